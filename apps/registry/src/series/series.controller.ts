import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { SeriesListDto, SeriesQuery } from './series.dto.js';
import { SeriesService } from './series.service.js';

@ApiTags('endpoints')
@Controller('api/v1/endpoints')
export class SeriesController {
  constructor(private readonly service: SeriesService) {}

  @Get(':name/series')
  @ApiParam({ name: 'name', description: 'Name of the endpoint.', example: 'support-bot' })
  @ApiOperation({
    summary: 'Figures of a serving endpoint over time',
    description:
      'Requests, outcomes, tokens, cost and times per step, out of sums that follow the rows by a second or two. Rows that arrive late are in, however late. The time range is mandatory, 31 days at most. Empty where the endpoint had no requests.',
  })
  @ApiOkResponse({ description: 'One series per group.', type: SeriesListDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  read(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: SeriesQuery,
  ): Promise<SeriesListDto> {
    return this.service.read(caller, name, query);
  }
}
