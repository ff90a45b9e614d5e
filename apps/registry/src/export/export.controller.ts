import { pipeline } from 'node:stream/promises';
import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { attachment } from '../artifacts/content-headers.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ExportQuery } from './export.dto.js';
import { ExportService } from './export.service.js';

@ApiTags('inferences')
@Controller('api/v1/inferences/export')
export class ExportController {
  constructor(private readonly service: ExportService) {}

  @Get()
  @ApiOperation({
    summary: 'Export inferences',
    description:
      'All that a list with these filters would list, newest first, days of the archive included: streamed, 31 days at most. The connection is cut where it cannot be completed.',
  })
  @ApiProduces('application/x-ndjson', 'text/csv', 'application/vnd.apache.parquet')
  @ApiOkResponse({ description: 'The rows.', schema: { type: 'string', format: 'binary' } })
  @ApiErrors('VALIDATION_FAILED', 'SEARCH_TOO_SLOW', 'OBJECT_STORE_UNAVAILABLE')
  export(
    @CallerParam() caller: Caller,
    @Query() query: ExportQuery,
    @Res() response: Response,
  ): Promise<void> {
    return send(response, (signal) => this.service.export(caller, query, signal));
  }
}

/** When the client goes away, the work ends. */
async function send(
  response: Response,
  prepare: (signal: AbortSignal) => ReturnType<ExportService['export']>,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    const { fileName, contentType, body } = await prepare(gone.signal);
    response.setHeader('content-type', contentType);
    response.setHeader('content-disposition', attachment(fileName));
    response.setHeader('x-content-type-options', 'nosniff');
    await pipeline(body, response);
  } catch (error) {
    if (!gone.signal.aborted) throw error; // otherwise there is nobody to tell
  }
}
