import { Injectable } from '@nestjs/common';
import type { ReviewQueue } from '../../review-queues/review-queue.js';
import { ReviewQueueService } from '../../review-queues/review-queue.service.js';
import { runHex as hexOf } from '../../runs/run-id.js';
import { choice, flag, integer, list, text } from '../protocol/fields.js';
import { namedActor } from '../protocol/mlflow-caller.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment } from '../tracking/tracking-refusals.js';
import { experimentNumber } from './genai-refusals.js';
import { aboutQueue, idOf } from './review-refusals.js';

const MAX_PAGE = 1_000;
const ID = { queue_id: text({ required: true }) };
const EXPERIMENT = { experiment_id: text({ required: true }) };
const TEXTS = list(text({ default: '' }));
const KIND = choice(
  { REVIEW_QUEUE_TYPE_UNSPECIFIED: 0, USER: 1, CUSTOM: 2 },
  { default: 'REVIEW_QUEUE_TYPE_UNSPECIFIED' },
);

/** `/review-queues…`, but for their items. */
@Injectable()
export class ReviewQueueRoutes {
  constructor(private readonly queues: ReviewQueueService) {}

  register(routes: MlflowRoutes): void {
    this.registerMaking(routes);
    this.registerReading(routes);
    this.registerChanging(routes);
  }

  private registerMaking(routes: MlflowRoutes): void {
    const { queues } = this;
    routes.add({
      method: 'POST',
      path: '/review-queues/create',
      version: 3,
      fields: {
        ...EXPERIMENT,
        name: text({ required: true }),
        queue_type: KIND,
        users: TEXTS,
        schema_ids: TEXTS,
      },
      handle: async (caller, { experiment_id, name, queue_type, users, schema_ids }) => {
        const number = experimentNumber(experiment_id);
        if (queue_type === 'REVIEW_QUEUE_TYPE_UNSPECIFIED')
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            '`queue_type` must be one of USER or CUSTOM; got proto enum value 0.',
          );
        const made = queues.create(caller, {
          experimentNumber: number,
          name,
          kind: queue_type === 'USER' ? 'user' : 'custom',
          users,
          labelSchemaIds: schemaIds(schema_ids),
        });
        return { review_queue: queueMessage(await aboutExperiment({ number }, made)) };
      },
    });
    routes.add({
      method: 'POST',
      path: '/review-queues/get-or-create-user',
      version: 3,
      fields: { ...EXPERIMENT, user: text({ required: true }) },
      handle: async (caller, { experiment_id, user }) => {
        const number = experimentNumber(experiment_id);
        const queue = queues.ensureOfUser(caller, number, user);
        return { review_queue: queueMessage(await aboutExperiment({ number }, queue)) };
      },
    });
  }

  private registerReading(routes: MlflowRoutes): void {
    const { queues } = this;
    routes.add({
      method: 'GET',
      path: '/review-queues/get',
      version: 3,
      fields: ID,
      handle: async (caller, { queue_id }) => ({
        review_queue: queueMessage(await aboutQueue(queue_id, (id) => queues.get(caller, id))),
      }),
    });
    routes.add({
      method: 'GET',
      path: '/review-queues/get-by-name',
      version: 3,
      fields: { ...EXPERIMENT, name: text({ required: true }) },
      handle: async (caller, { experiment_id, name }) => ({
        review_queue: queueMessage(await queues.getByName(caller, experimentNumber(experiment_id), name)),
      }),
    });
    routes.add({
      method: 'GET',
      path: '/review-queues/list',
      version: 3,
      fields: {
        ...EXPERIMENT,
        user: text(),
        item_id: text(),
        max_results: integer({ default: MAX_PAGE, min: 1, max: 50_000 }),
        page_token: text(),
      },
      handle: async (caller, { experiment_id, user, item_id, max_results, page_token }) => {
        const number = experimentNumber(experiment_id);
        const page = await aboutExperiment(
          { number },
          queues.list(caller, number, {
            user,
            traceId: item_id,
            limit: Math.min(max_results, MAX_PAGE),
            cursor: page_token || undefined,
          }),
        );
        return { review_queues: page.items.map(queueMessage), next_page_token: page.nextCursor ?? '' };
      },
    });
  }

  private registerChanging(routes: MlflowRoutes): void {
    const { queues } = this;
    routes.add({
      method: 'POST',
      path: '/review-queues/update',
      version: 3,
      fields: {
        ...ID,
        update_users: flag({ default: false }),
        users: TEXTS,
        update_schema_ids: flag({ default: false }),
        schema_ids: TEXTS,
        name: text(),
        new_owner: text(),
      },
      handle: async (caller, { queue_id, ...given }) => {
        const patch = {
          name: given.name,
          owner: given.new_owner,
          users: given.update_users ? given.users : undefined,
          labelSchemaIds: given.update_schema_ids ? schemaIds(given.schema_ids) : undefined,
        };
        return {
          review_queue: queueMessage(await aboutQueue(queue_id, (id) => queues.update(caller, id, patch))),
        };
      },
    });
    routes.add({
      method: 'POST',
      path: '/review-queues/delete',
      version: 3,
      fields: ID,
      // As MLflow: what is not there is as good as deleted.
      handle: async (caller, { queue_id }) => {
        const id = idOf(queue_id);
        if (id === undefined) return;
        await queues.delete(caller, id).catch((error: unknown) => {
          if (!isRefusal(error, 'NOT_FOUND')) throw error;
        });
      },
    });
  }
}

/** What is no id of a label schema names none, and the service says so. */
function schemaIds(given: readonly string[]): string[] {
  return given.map((id) => idOf(id.trim(), 'ls-') ?? id.trim());
}

function queueMessage(queue: ReviewQueue): object {
  return {
    queue_id: `rq-${hexOf(queue.id)}`,
    experiment_id: String(queue.experimentNumber),
    name: queue.name,
    queue_type: queue.kind.toUpperCase(),
    created_by: namedActor(queue.createdBy),
    creation_time_ms: queue.createdAt.getTime(),
    last_update_time_ms: queue.updatedAt.getTime(),
    users: queue.users,
    schema_ids: queue.labelSchemaIds.map((id) => `ls-${hexOf(id)}`),
  };
}
