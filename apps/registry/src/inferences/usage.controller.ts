import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { UsageDto, UsageQuery } from './usage.dto.js';
import { UsageService } from './usage.service.js';

@ApiTags('inferences')
@Controller('api/v1/usage')
export class UsageController {
  constructor(private readonly service: UsageService) {}

  @Get()
  @ApiOperation({
    summary: 'Tokens and cost by day, team, API key, endpoint, version, model endpoint and model',
    description:
      'One entry per combination of what `groupBy` names. The time range is mandatory, 31 days at most.',
  })
  @ApiPage(UsageDto, 'Groups in the order of their keys.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: UsageQuery): Promise<Page<UsageDto>> {
    return this.service.list(caller, query);
  }
}
