import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { historyPageDto, historyPosition } from './history-cursor.js';
import {
  HistoryParams,
  HistoryQuery,
  MetricPointDto,
  SampleDto,
  sampleDto,
  SampleQuery,
  stepRange,
} from './metric.dto.js';
import { MetricHistory } from './metric-history.service.js';

@ApiTags('runs')
@Controller('api/v1/runs')
export class MetricController {
  constructor(private readonly history: MetricHistory) {}

  // Registered before `runs/:id`, which would match it too.
  @Get('metrics')
  @ApiOperation({
    summary: 'Draw one metric of many runs',
    description:
      'Every run thinned out to a number of points that keeps the first, the last, and the least and greatest value of every interval.',
  })
  @ApiOkResponse({ description: 'One entry per run.', type: SampleDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  sample(@CallerParam() caller: Caller, @Query() query: SampleQuery): Promise<SampleDto> {
    return this.history
      .sample(caller, query.runIds, query.key, { points: query.points, ...stepRange(query) })
      .then(sampleDto);
  }

  @Get(':id/metrics')
  @ApiOperation({ summary: 'List all points of one metric of a run' })
  @ApiPage(MetricPointDto, 'Points, in order of step or of time.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(
    @CallerParam() caller: Caller,
    @Param() params: HistoryParams,
    @Query() query: HistoryQuery,
  ): Promise<Page<MetricPointDto>> {
    return this.history
      .page(caller, params.id, query.key, {
        limit: query.limit,
        order: query.order,
        ...historyPosition(query.cursor),
        ...stepRange(query),
      })
      .then(historyPageDto);
  }
}
