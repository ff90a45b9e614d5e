import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../../http/caller.js';
import { ApiErrors } from '../../http/errors.doc.js';
import { CompareQuery, ComparisonDto } from './run-compare.dto.js';
import { RunCompare } from './run-compare.service.js';

/** Registered before `runs/:id`, which would match it too. */
@ApiTags('runs')
@Controller('api/v1/runs/compare')
export class RunCompareController {
  constructor(private readonly runs: RunCompare) {}

  @Get()
  @ApiOperation({
    summary: 'Compare runs',
    description: 'Params and tags, apart by whether they differ, and the latest value of every metric.',
  })
  @ApiOkResponse({ description: 'Side by side.', type: ComparisonDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  compare(@CallerParam() caller: Caller, @Query() query: CompareQuery): Promise<ComparisonDto> {
    return this.runs.compare(caller, query.runIds);
  }
}
