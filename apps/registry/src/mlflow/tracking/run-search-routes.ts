import { Injectable } from '@nestjs/common';
import { ExperimentService } from '../../experiments/experiment.service.js';
import type { Caller } from '../../http/caller.js';
import { RunSearch, type SerialPage } from '../../search/run-search.js';
import { readFilter, readOrderBy } from '../../search/search-text.js';
import { choice, integer, list, text, type RequestOf } from '../protocol/fields.js';
import { Written } from '../protocol/json-writer.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { LIFECYCLES, VIEW_TYPES } from './experiment-message.js';
import { RunMessages } from './run-messages.js';
import { assertPageSize, asTokenError, MAX_RESULTS } from './page-token.js';
import { experimentRefOf } from './tracking-refusals.js';

const FIELDS = {
  experiment_ids: list(text()),
  filter: text({ default: '' }),
  run_view_type: choice(VIEW_TYPES, { default: 'ACTIVE_ONLY' }),
  max_results: integer({ default: 1_000, max: MAX_RESULTS }),
  order_by: list(text()),
  page_token: text(),
};

/** `/runs/search`. */
@Injectable()
export class RunSearchRoutes {
  constructor(
    private readonly experiments: ExperimentService,
    private readonly search: RunSearch,
    private readonly messages: RunMessages,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/runs/search',
      version: 2,
      fields: FIELDS,
      handle: (caller, request) => this.find(caller, request),
    });
  }

  private async find(caller: Caller, request: RequestOf<typeof FIELDS>): Promise<object> {
    assertPageSize(request.max_results);
    const filter = readFilter('run', request.filter);
    const orderBy = readOrderBy('run', request.order_by);
    const numbers = request.experiment_ids.map((id) => experimentRefOf(id).number);
    const experiments = await this.experiments.findByNumbers(caller, numbers);
    const page: SerialPage = await this.search
      .serials(caller, {
        experimentSerials: experiments.map(({ serial }) => serial),
        filter,
        orderBy,
        lifecycle: LIFECYCLES[request.run_view_type],
        limit: request.max_results,
        cursor: request.page_token || undefined,
      })
      .catch(asTokenError);
    const runs = await this.messages.all(page, experiments);
    if (runs.length === 0) return {};
    const token = page.nextCursor === null ? '' : `,"next_page_token":${JSON.stringify(page.nextCursor)}`;
    return new Written(`{"runs":[${runs.join(',')}]${token}}`);
  }
}
