import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { RunWithDataDto } from './run.dto.js';
import { RunDetails } from './run-details.js';
import { SearchRunsDto } from './run-search.dto.js';

@ApiTags('runs')
@Controller('api/v1/runs/search')
export class RunSearchController {
  constructor(private readonly runs: RunDetails) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Search runs',
    description:
      'By a filter over what they logged, in any order, with the latest value of everything they logged.',
  })
  @ApiPage(RunWithDataDto, 'Runs in the order asked for.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'INVALID_CURSOR', 'NOT_FOUND', 'PAYLOAD_TOO_LARGE')
  search(@CallerParam() caller: Caller, @Body() body: SearchRunsDto): Promise<Page<RunWithDataDto>> {
    return this.runs.search(caller, body);
  }
}
