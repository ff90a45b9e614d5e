import { Controller, Delete, Get, HttpCode, Param, Query } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { ListTracesQuery, TraceDto, TraceSummaryDto } from './trace.dto.js';
import { TraceAnswers } from './trace-answers.js';

@ApiTags('traces')
@Controller('api/v1/traces')
export class TraceController {
  constructor(private readonly traces: TraceAnswers) {}

  @Get()
  @ApiOperation({
    summary: 'List traces',
    description: 'Those of one experiment, newest first, without their spans.',
  })
  @ApiPage(TraceSummaryDto, 'Traces, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(@CallerParam() caller: Caller, @Query() query: ListTracesQuery): Promise<Page<TraceSummaryDto>> {
    return this.traces.list(caller, query);
  }

  @Get(':id')
  @ApiParam({ name: 'id', description: 'Id of the trace, as its client made it.' })
  @ApiOperation({ summary: 'Get a trace with its spans' })
  @ApiOkResponse({ description: 'The trace.', type: TraceDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('id') id: string): Promise<TraceDto> {
    return this.traces.get(caller, id);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiParam({ name: 'id', description: 'Id of the trace, as its client made it.' })
  @ApiOperation({ summary: 'Delete a trace', description: 'With its spans and assessments, for good.' })
  @ApiNoContentResponse({ description: 'It is gone.' })
  @ApiErrors('NOT_FOUND')
  delete(@CallerParam() caller: Caller, @Param('id') id: string): Promise<void> {
    return this.traces.delete(caller, id);
  }
}
