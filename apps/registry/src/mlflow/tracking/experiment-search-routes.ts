import { Injectable } from '@nestjs/common';
import { ExperimentSearch } from '../../search/experiment-search.js';
import { readFilter, readOrderBy } from '../../search/search-text.js';
import { choice, integer, list, text, type RequestOf } from '../protocol/fields.js';
import type { MlflowCaller } from '../protocol/mlflow-caller.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { experimentMessage, LIFECYCLES, VIEW_TYPES } from './experiment-message.js';
import { assertPageSize, asTokenError } from './page-token.js';

const FIELDS = {
  filter: text({ default: '' }),
  view_type: choice(VIEW_TYPES, { default: 'ACTIVE_ONLY' }),
  max_results: integer({ default: 1_000 }),
  order_by: list(text()),
  page_token: text(),
};

/** `/experiments/search`. */
@Injectable()
export class ExperimentSearchRoutes {
  constructor(private readonly search: ExperimentSearch) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: ['POST', 'GET'],
      path: '/experiments/search',
      version: 2,
      fields: FIELDS,
      handle: (caller, request) => this.find(caller, request),
    });
  }

  private async find(caller: MlflowCaller, request: RequestOf<typeof FIELDS>): Promise<object> {
    assertPageSize(request.max_results);
    const page = await this.search
      .search(caller, {
        filter: readFilter('experiment', request.filter),
        orderBy: readOrderBy('experiment', request.order_by),
        lifecycle: LIFECYCLES[request.view_type],
        limit: request.max_results,
        cursor: request.page_token || undefined,
      })
      .catch(asTokenError);
    return {
      experiments: page.experiments.map((experiment) => experimentMessage(experiment, caller.workspace)),
      next_page_token: page.nextCursor,
    };
  }
}
