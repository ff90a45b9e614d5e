import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
} from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { ReviewItemService } from './review-item.service.js';
import { ReviewQueueAnswers } from './review-queue-answers.js';
import {
  CreateReviewQueueDto,
  ListReviewItemsQuery,
  ListReviewQueuesQuery,
  ReviewItemDto,
  ReviewItemsDto,
  ReviewQueueDto,
  TraceIdsDto,
  UpdateReviewItemDto,
  UpdateReviewQueueDto,
} from './review-queue.dto.js';
import { ReviewQueueService } from './review-queue.service.js';

const ApiId = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'Id of the review queue, a UUIDv7.', format: 'uuid' });
const ApiTraceId = (): MethodDecorator =>
  ApiParam({
    name: 'traceId',
    description: 'Id of the trace.',
    example: 'tr-0af7651916cd43dd8448eb211c80319c',
  });

@ApiTags('review queues')
@Controller('api/v1/review-queues')
export class ReviewQueueController {
  constructor(
    private readonly answers: ReviewQueueAnswers,
    private readonly queues: ReviewQueueService,
    private readonly items: ReviewItemService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Make a review queue',
    description: 'Traces that people are to review, and the questions they are asked.',
  })
  @ApiCreatedResponse({ description: 'The queue.', type: ReviewQueueDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED', 'ALREADY_EXISTS', 'REFERENCE_NOT_FOUND')
  create(@CallerParam() caller: Caller, @Body() body: CreateReviewQueueDto): Promise<ReviewQueueDto> {
    return this.answers.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List the review queues of an experiment', description: 'Newest first.' })
  @ApiPage(ReviewQueueDto, 'Review queues, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND', 'DELETED')
  list(@CallerParam() caller: Caller, @Query() query: ListReviewQueuesQuery): Promise<Page<ReviewQueueDto>> {
    return this.answers.list(caller, query);
  }

  @Get(':id')
  @ApiId()
  @ApiOperation({ summary: 'Get a review queue' })
  @ApiOkResponse({ description: 'The queue.', type: ReviewQueueDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('id') id: string): Promise<ReviewQueueDto> {
    return this.answers.get(caller, id);
  }

  @Patch(':id')
  @ApiId()
  @ApiOperation({
    summary: 'Change a review queue',
    description: 'The queue of a user is fixed, and so are the questions of one that holds traces.',
  })
  @ApiOkResponse({ description: 'The queue.', type: ReviewQueueDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'ALREADY_EXISTS', 'IMMUTABLE', 'REFERENCE_NOT_FOUND')
  update(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Body() body: UpdateReviewQueueDto,
  ): Promise<ReviewQueueDto> {
    return this.answers.update(caller, id, body);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiId()
  @ApiOperation({ summary: 'Delete a review queue', description: 'Traces, and what was said of them, stay.' })
  @ApiNoContentResponse({ description: 'It is gone.' })
  @ApiErrors('NOT_FOUND')
  delete(@CallerParam() caller: Caller, @Param('id') id: string): Promise<void> {
    return this.queues.delete(caller, id);
  }

  @Post(':id/items')
  @HttpCode(200)
  @ApiId()
  @ApiOperation({
    summary: 'Add traces to a review queue',
    description: 'All or none; those that are in it stay as they are.',
  })
  @ApiOkResponse({ description: 'The items.', type: ReviewItemsDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  addItems(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Body() body: TraceIdsDto,
  ): Promise<ReviewItemsDto> {
    return this.answers.addItems(caller, id, body);
  }

  @Get(':id/items')
  @ApiId()
  @ApiOperation({ summary: 'List the traces of a review queue', description: 'Last added first.' })
  @ApiPage(ReviewItemDto, 'Items, last added first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  listItems(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Query() query: ListReviewItemsQuery,
  ): Promise<Page<ReviewItemDto>> {
    return this.answers.listItems(caller, id, query);
  }

  @Patch(':id/items/:traceId')
  @ApiId()
  @ApiTraceId()
  @ApiOperation({
    summary: 'Complete, decline or reopen the review of a trace',
    description: 'The same again changes nothing: who completed it first, did.',
  })
  @ApiOkResponse({ description: 'The item.', type: ReviewItemDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  updateItem(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Param('traceId') traceId: string,
    @Body() body: UpdateReviewItemDto,
  ): Promise<ReviewItemDto> {
    return this.answers.updateItem(caller, id, traceId, body);
  }

  @Delete(':id/items/:traceId')
  @HttpCode(204)
  @ApiId()
  @ApiTraceId()
  @ApiOperation({ summary: 'Take a trace out of a review queue', description: 'Whether it is in it or not.' })
  @ApiNoContentResponse({ description: 'It is not in the queue.' })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  removeItem(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Param('traceId') traceId: string,
  ): Promise<void> {
    return this.items.remove(caller, id, [traceId]);
  }
}
