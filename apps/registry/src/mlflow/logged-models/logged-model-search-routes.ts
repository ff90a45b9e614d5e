import { Injectable } from '@nestjs/common';
import { FilterError } from '#libs/core/search/filter-error.js';
import { parseOrderField } from '#libs/core/search/filter-parser.js';
import type { ModelOrderTerm } from '../../logged-models/logged-model-query.js';
import { LoggedModelSearchService } from '../../logged-models/logged-model-search.service.js';
import { flag, integer, list, message, text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { experimentRefOf } from '../tracking/tracking-refusals.js';
import { loggedModelMessage } from './logged-model-message.js';

const DEFAULT_RESULTS = 100;
/** Clients page on; a page of all there is would be held in memory here and there. */
const MAX_RESULTS = 1_000;

const ORDER_BY = message({
  field_name: text({ required: true }),
  ascending: flag({ default: true }),
  dataset_name: text(),
  dataset_digest: text(),
});

/** `/logged-models/search`. */
@Injectable()
export class LoggedModelSearchRoutes {
  constructor(private readonly finder: LoggedModelSearchService) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/logged-models/search',
      version: 2,
      fields: {
        experiment_ids: list(text(), { max: 1_000 }),
        filter: text(),
        datasets: list(message({ dataset_name: text({ default: '' }), dataset_digest: text() }), {
          max: 100,
        }),
        max_results: integer({ min: 0 }),
        order_by: list(ORDER_BY, { max: 20 }),
        page_token: text(),
      },
      handle: async (caller, request) => {
        if (request.datasets.some(({ dataset_name }) => dataset_name === ''))
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            '`dataset_name` in the `datasets` clause must be specified.',
          );
        const { items, nextCursor } = await this.finder.search(caller, {
          experiments: { numbers: request.experiment_ids.map((id) => experimentRefOf(id).number) },
          filter: request.filter,
          datasets: request.datasets.map(({ dataset_name, dataset_digest }) => ({
            name: dataset_name,
            digest: dataset_digest || undefined,
          })),
          orderBy: request.order_by.map((term) => ({
            field: fieldOf(term.field_name),
            direction: term.ascending ? 'asc' : 'desc',
            dataset: { name: term.dataset_name || undefined, digest: term.dataset_digest || undefined },
          })),
          limit: Math.min(request.max_results || DEFAULT_RESULTS, MAX_RESULTS),
          cursor: request.page_token || undefined,
        });
        return { models: items.map(loggedModelMessage), next_page_token: nextCursor };
      },
    });
  }
}

/** As MLflow says what cannot be ordered by. */
function fieldOf(name: string): ModelOrderTerm['field'] {
  try {
    return parseOrderField('loggedModel', name);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const why = name.includes('.') ? `. ${error.message}` : '';
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid order by field name: ${name.slice(0, 256)}${why}`,
    );
  }
}
