import { Body, Controller, Get, HttpCode, Post, Query } from '@nestjs/common';
import {
  ApiBody,
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
  getSchemaPath,
} from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { FeedbackSummaryDto, FeedbackSummaryQuery } from './feedback-summary.dto.js';
import {
  AcceptedFeedbackDto,
  FeedbackBatchDto,
  FeedbackDto,
  FeedbackEventDto,
  FeedbackQuery,
} from './feedback.dto.js';
import { FeedbackReader } from './feedback-reader.js';
import { FeedbackService } from './feedback.service.js';

@ApiTags('feedback')
@ApiExtraModels(FeedbackEventDto, FeedbackBatchDto)
@Controller('api/v1/feedback')
export class FeedbackController {
  constructor(
    private readonly service: FeedbackService,
    private readonly reader: FeedbackReader,
  ) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Give feedback',
    description:
      'One judgement, or a list of them: all are stored, or none. Idempotent by the id of the event. Feedback about what is not there yet is kept, and matched when it lands.',
  })
  @ApiBody({
    schema: {
      oneOf: [{ $ref: getSchemaPath(FeedbackEventDto) }, { $ref: getSchemaPath(FeedbackBatchDto) }],
      example: { eventId: 'review-4711', clientRequestId: 'order-123', name: 'thumbs', value: true },
    },
  })
  @ApiOkResponse({ description: 'Stored.', type: AcceptedFeedbackDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE')
  give(@CallerParam() caller: Caller, @Body() body: unknown): Promise<AcceptedFeedbackDto> {
    return this.service.give(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List feedback', description: 'Received last first.' })
  @ApiPage(FeedbackDto, 'Feedback, received last first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: FeedbackQuery): Promise<Page<FeedbackDto>> {
    return this.reader.list(caller, query);
  }

  @Get('summary')
  @ApiOperation({
    summary: 'Compare the feedback of chain versions or arms',
    description:
      'Of the inferences begun in a time range: how many judgements count, and what they say. Copies for shadows have arms of their own.',
  })
  @ApiOkResponse({ description: 'One entry per group.', type: FeedbackSummaryDto })
  @ApiErrors('VALIDATION_FAILED')
  summarize(
    @CallerParam() caller: Caller,
    @Query() query: FeedbackSummaryQuery,
  ): Promise<FeedbackSummaryDto> {
    return this.reader.summarize(caller, query);
  }
}
