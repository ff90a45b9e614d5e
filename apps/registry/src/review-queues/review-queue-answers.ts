import { Injectable } from '@nestjs/common';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { ReviewItemService } from './review-item.service.js';
import {
  itemDto,
  queueDto,
  type CreateReviewQueueDto,
  type ListReviewItemsQuery,
  type ListReviewQueuesQuery,
  type ReviewItemDto,
  type ReviewItemsDto,
  type ReviewQueueDto,
  type TraceIdsDto,
  type UpdateReviewItemDto,
  type UpdateReviewQueueDto,
} from './review-queue.dto.js';
import { ReviewQueueService } from './review-queue.service.js';

/** Review queues as the native API shows them. */
@Injectable()
export class ReviewQueueAnswers {
  constructor(
    private readonly queues: ReviewQueueService,
    private readonly items: ReviewItemService,
    private readonly experiments: ExperimentService,
  ) {}

  async create(caller: Caller, { experimentId, ...given }: CreateReviewQueueDto): Promise<ReviewQueueDto> {
    const experimentNumber = await this.number(caller, experimentId);
    return queueDto(await this.queues.create(caller, { ...given, experimentNumber }));
  }

  async get(caller: Caller, id: string): Promise<ReviewQueueDto> {
    return queueDto(await this.queues.get(caller, id));
  }

  async list(caller: Caller, query: ListReviewQueuesQuery): Promise<Page<ReviewQueueDto>> {
    const page = await this.queues.list(caller, await this.number(caller, query.experimentId), query);
    return { ...page, items: page.items.map(queueDto) };
  }

  async update(caller: Caller, id: string, patch: UpdateReviewQueueDto): Promise<ReviewQueueDto> {
    return queueDto(await this.queues.update(caller, id, patch));
  }

  async addItems(caller: Caller, id: string, { traceIds }: TraceIdsDto): Promise<ReviewItemsDto> {
    return { items: (await this.items.add(caller, id, traceIds)).map(itemDto) };
  }

  async listItems(caller: Caller, id: string, query: ListReviewItemsQuery): Promise<Page<ReviewItemDto>> {
    const page = await this.items.list(caller, id, query);
    return { ...page, items: page.items.map(itemDto) };
  }

  /** Who calls, completes. */
  async updateItem(
    caller: Caller,
    id: string,
    traceId: string,
    { status }: UpdateReviewItemDto,
  ): Promise<ReviewItemDto> {
    const by = status === 'pending' ? undefined : caller.actor;
    return itemDto(await this.items.setStatus(caller, id, traceId, status, by));
  }

  private async number(caller: Caller, experimentId: string): Promise<number> {
    return (await this.experiments.get(caller, parseExperimentRef(experimentId, '/experimentId'))).number;
  }
}
