import { Injectable } from '@nestjs/common';
import type { ItemStatus, ReviewItem } from '../../review-queues/review-queue.js';
import { ReviewItemService } from '../../review-queues/review-item.service.js';
import { runHex as hexOf } from '../../runs/run-id.js';
import { choice, integer, list, text } from '../protocol/fields.js';
import { namedActor } from '../protocol/mlflow-caller.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { detailsOf } from '../tracking/tracking-refusals.js';
import { aboutQueue } from './review-refusals.js';

const MAX_PAGE = 1_000;
const ID = { queue_id: text({ required: true }) };
const ITEM_IDS = list(text({ default: '' }));
const UNSPECIFIED = 'REVIEW_STATUS_UNSPECIFIED';
const STATUS = choice({ [UNSPECIFIED]: 0, PENDING: 1, COMPLETE: 2, DECLINED: 3 }, { default: UNSPECIFIED });

/** `/review-queues/items…`: items are traces, which is all that MLflow has of them. */
@Injectable()
export class ReviewItemRoutes {
  constructor(private readonly items: ReviewItemService) {}

  register(routes: MlflowRoutes): void {
    const { items } = this;
    routes.add({
      method: 'POST',
      path: '/review-queues/items/add',
      version: 3,
      fields: { ...ID, item_type: choice({ REVIEW_ITEM_TYPE_UNSPECIFIED: 0, TRACE: 1 }), item_ids: ITEM_IDS },
      handle: async (caller, { queue_id, item_ids }) => {
        const added = await aboutQueue(queue_id, (id) =>
          items.add(caller, id, item_ids).catch(aboutTraces(queue_id)),
        );
        return { items: added.map(itemMessage) };
      },
    });
    routes.add({
      method: 'POST',
      path: '/review-queues/items/remove',
      version: 3,
      fields: { ...ID, item_ids: ITEM_IDS },
      handle: (caller, { queue_id, item_ids }) =>
        aboutQueue(queue_id, (id) => items.remove(caller, id, item_ids)),
    });
    routes.add({
      method: 'GET',
      path: '/review-queues/items/list',
      version: 3,
      fields: {
        ...ID,
        status: STATUS,
        max_results: integer({ default: MAX_PAGE, min: 1, max: 50_000 }),
        page_token: text(),
      },
      handle: async (caller, { queue_id, status, max_results, page_token }) => {
        const page = await aboutQueue(queue_id, (id) =>
          items.list(caller, id, {
            status: status === UNSPECIFIED ? undefined : (status.toLowerCase() as ItemStatus),
            limit: Math.min(max_results, MAX_PAGE),
            cursor: page_token || undefined,
          }),
        );
        return { items: page.items.map(itemMessage), next_page_token: page.nextCursor ?? '' };
      },
    });
    this.registerStatus(routes);
  }

  private registerStatus(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/review-queues/items/set-status',
      version: 3,
      fields: { ...ID, item_id: text({ required: true }), status: STATUS, completed_by: text() },
      handle: async (caller, { queue_id, item_id, status, completed_by }) => {
        if (status === UNSPECIFIED)
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            '`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0.',
          );
        // As MLflow: who is known to call, cannot complete as somebody else.
        const actor = namedActor(caller.actor);
        const by = actor !== undefined && status === 'PENDING' ? undefined : (actor ?? completed_by);
        const item = await aboutQueue(queue_id, (id) =>
          this.items
            .setStatus(caller, id, item_id, status.toLowerCase() as ItemStatus, by || undefined)
            .catch(aboutItem(queue_id, item_id)),
        );
        return { item: itemMessage(item) };
      },
    });
  }
}

function aboutTraces(queueId: string): (error: unknown) => never {
  return (error) => {
    const missing = isRefusal(error, 'NOT_FOUND') ? detailsOf(error)['missing'] : undefined;
    if (!Array.isArray(missing)) throw error;
    const names = missing.slice(0, 20).map((id) => `'${String(id).slice(0, 250)}'`);
    throw new MlflowError(
      'RESOURCE_DOES_NOT_EXIST',
      `Cannot attach trace(s) [${names.join(', ')}${missing.length > 20 ? ', …' : ''}] to review queue '${queueId}': they do not exist in its experiment.`,
    );
  };
}

function aboutItem(queueId: string, itemId: string): (error: unknown) => never {
  return (error) => {
    if (!isRefusal(error, 'NOT_FOUND') || error.details === undefined) throw error;
    throw new MlflowError(
      'RESOURCE_DOES_NOT_EXIST',
      `Item '${itemId.slice(0, 250)}' is not attached to review queue '${queueId}'.`,
    );
  };
}

function itemMessage(item: ReviewItem): object {
  return {
    queue_id: `rq-${hexOf(item.queueId)}`,
    item_type: 'TRACE',
    item_id: item.traceId,
    status: item.status.toUpperCase(),
    completed_by: item.completedBy,
    completed_time_ms: item.completedAt?.getTime(),
    creation_time_ms: item.createdAt.getTime(),
    last_update_time_ms: item.updatedAt.getTime(),
  };
}
