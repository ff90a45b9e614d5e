import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { readFilter, readOrderBy } from '../../search/search-text.js';
import { TraceReader } from '../../traces/trace-reader.js';
import { TraceWriter } from '../../traces/trace-writer.js';
import { choice, integer, list, message, text } from '../protocol/fields.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment } from '../tracking/tracking-refusals.js';
import { experimentNumber, experimentNumbers } from './genai-refusals.js';
import { oldTraceInfoMessage } from './trace-message.js';

const PAIRS = list(message({ key: text({ default: '' }), value: text({ default: '' }) }));
const STATUS = choice({ TRACE_STATUS_UNSPECIFIED: 0, OK: 1, ERROR: 2, IN_PROGRESS: 3 });

/** `/traces…` of version 2: deprecated, and what clients before 3.0 call. */
@Injectable()
export class OldTraceRoutes {
  constructor(
    private readonly reader: TraceReader,
    private readonly writer: TraceWriter,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/traces',
      version: 2,
      fields: {
        experiment_id: text({ required: true }),
        timestamp_ms: integer({ required: true }),
        request_metadata: PAIRS,
        tags: PAIRS,
      },
      handle: async (caller, { experiment_id, timestamp_ms, request_metadata, tags }) => {
        const number = experimentNumber(experiment_id);
        const traceId = randomUUID().replaceAll('-', '');
        const trace = {
          traceId,
          timeMs: timestamp_ms,
          durationMs: null,
          state: 'IN_PROGRESS',
          requestPreview: null,
          responsePreview: null,
          clientRequestId: null,
          metadata: mapOf(request_metadata),
          tags: mapOf(tags),
        } as const;
        await aboutExperiment({ number }, this.writer.record(caller, number, trace));
        return { trace_info: oldTraceInfoMessage(await this.reader.get(caller, traceId)) };
      },
    });
    routes.add({
      method: 'PATCH',
      path: '/traces/{request_id}',
      version: 2,
      fields: {
        request_id: text({ required: true }),
        timestamp_ms: integer({ required: true }),
        status: STATUS,
        request_metadata: PAIRS,
        tags: PAIRS,
      },
      handle: async (caller, { request_id, timestamp_ms, status, request_metadata, tags }) => {
        const state =
          status === undefined || status === 'TRACE_STATUS_UNSPECIFIED' ? 'STATE_UNSPECIFIED' : status;
        await this.writer.end(caller, request_id, timestamp_ms, {
          state,
          metadata: mapOf(request_metadata),
          tags: mapOf(tags),
        });
        return { trace_info: oldTraceInfoMessage(await this.reader.get(caller, request_id)) };
      },
    });
    routes.add({
      method: 'GET',
      path: '/traces/{request_id}/info',
      version: 2,
      fields: { request_id: text({ required: true }) },
      handle: async (caller, { request_id }) => ({
        trace_info: oldTraceInfoMessage(await this.reader.get(caller, request_id)),
      }),
    });
    routes.add({
      method: 'GET',
      path: '/traces',
      version: 2,
      fields: {
        experiment_ids: list(text({ default: '' }), { required: true }),
        filter: text(),
        max_results: integer({ default: 100, min: 1, max: 500 }),
        order_by: list(text({ default: '' })),
        page_token: text(),
      },
      handle: async (caller, { experiment_ids, filter, max_results, order_by, page_token }) => {
        const page = await this.reader.search(caller, {
          experiments: experimentNumbers(experiment_ids),
          filter: readFilter('trace', filter) ?? undefined,
          order: readOrderBy('trace', order_by),
          limit: max_results,
          cursor: page_token || undefined,
        });
        return { traces: page.items.map(oldTraceInfoMessage), next_page_token: page.nextCursor };
      },
    });
  }
}

function mapOf(
  pairs: readonly ({ readonly key: string; readonly value: string } | undefined)[],
): Record<string, string> {
  return Object.fromEntries(pairs.flatMap((pair) => (pair === undefined ? [] : [[pair.key, pair.value]])));
}
