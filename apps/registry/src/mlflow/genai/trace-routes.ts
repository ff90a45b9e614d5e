import { Injectable } from '@nestjs/common';
import type { Caller } from '../../http/caller.js';
import { readFilter, readOrderBy } from '../../search/search-text.js';
import { TraceReader } from '../../traces/trace-reader.js';
import { MAX_TAG_VALUE, type TraceInfo } from '../../traces/trace.js';
import { TraceService } from '../../traces/trace.service.js';
import { TraceWriter } from '../../traces/trace-writer.js';
import { flag, integer, list, message, text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment } from '../tracking/tracking-refusals.js';
import { aboutTraceTag, experimentNumber, experimentNumbers } from './genai-refusals.js';
import {
  LOCATION,
  readTraceInfo,
  TRACE_INFO_FIELDS,
  traceInfoMessage,
  wholeTraces,
} from './trace-message.js';
import { readAssessment } from './assessment-message.js';

const DEFAULT_PAGE = 100;
const MAX_PAGE = 500;
const MAX_BATCH = 1_000;
const TAG_FIELDS = { key: text({ required: true }), value: text({ default: '' }) };

/** `/traces…` of version 3, and what later clients still call of version 2. */
@Injectable()
export class TraceRoutes {
  constructor(
    private readonly reader: TraceReader,
    private readonly writer: TraceWriter,
    private readonly traces: TraceService,
  ) {}

  register(routes: MlflowRoutes): void {
    this.registerReading(routes);
    this.registerWriting(routes);
    this.registerLinks(routes);
  }

  private registerReading(routes: MlflowRoutes): void {
    const { reader } = this;
    const batch = {
      trace_ids: list(text(), { required: true, max: MAX_BATCH }),
      experiment_ids: list(text()),
    };
    routes.add({
      method: 'GET',
      path: '/traces/{trace_id}',
      version: 3,
      fields: { trace_id: text({ required: true }) },
      handle: async (caller, { trace_id }) => ({
        trace: { trace_info: traceInfoMessage(await reader.get(caller, trace_id)) },
      }),
    });
    routes.add({
      method: 'GET',
      path: '/traces/get',
      version: 3,
      fields: { trace_id: text({ required: true }), allow_partial: flag({ default: false }) },
      handle: async (caller, { trace_id, allow_partial }) => {
        const trace = await reader.getWhole(caller, trace_id);
        if (!allow_partial && trace.spans.length < announcedSpans(trace))
          throw new MlflowError(
            'RESOURCE_DOES_NOT_EXIST',
            `Trace with ID ${trace_id} is not fully exported yet, please try again later.`,
          );
        return wholeTraces([trace], { before: '{"trace":', after: '}' });
      },
    });
    routes.add({
      method: 'GET',
      path: '/traces/batchGet',
      version: 3,
      fields: batch,
      handle: async (caller, { trace_ids, experiment_ids }) => {
        const found = await reader.findWhole(caller, definite(trace_ids), within(experiment_ids));
        const complete = found.filter((trace) => trace.spans.length >= announcedSpans(trace));
        return wholeTraces(complete, { before: '{"traces":[', after: ']}' });
      },
    });
    routes.add({
      method: 'POST',
      path: '/traces/batchGetInfos',
      version: 3,
      fields: batch,
      handle: async (caller, { trace_ids, experiment_ids }) => ({
        trace_infos: (await reader.find(caller, definite(trace_ids), within(experiment_ids))).map(
          traceInfoMessage,
        ),
      }),
    });
    routes.add({
      method: 'POST',
      path: '/traces/search',
      version: 3,
      fields: {
        locations: list(LOCATION, { required: true }),
        filter: text(),
        max_results: integer({ default: DEFAULT_PAGE, min: 1, max: MAX_PAGE }),
        order_by: list(text({ default: '' })),
        page_token: text(),
      },
      handle: async (caller, { locations, filter, max_results, order_by, page_token }) => {
        const ids = locations.flatMap((location) => location?.mlflow_experiment?.experiment_id ?? []);
        const page = await reader.search(caller, {
          experiments: experimentNumbers(ids),
          filter: readFilter('trace', filter) ?? undefined,
          order: readOrderBy('trace', order_by),
          limit: max_results,
          cursor: page_token || undefined,
        });
        return { traces: page.items.map(traceInfoMessage), next_page_token: page.nextCursor };
      },
    });
  }

  private registerWriting(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/traces',
      version: 3,
      fields: {
        trace: message({ trace_info: message(TRACE_INFO_FIELDS, { required: true }) }, { required: true }),
      },
      handle: async (caller, { trace: { trace_info } }) => {
        const number = experimentNumber(trace_info.trace_location?.mlflow_experiment?.experiment_id ?? '');
        const assessments = trace_info.assessments.flatMap((given) =>
          given === undefined ? [] : [readAssessment(given)],
        );
        const trace = readTraceInfo(trace_info);
        await aboutExperiment({ number }, this.writer.record(caller, number, trace, assessments));
        return { trace: { trace_info: traceInfoMessage(await this.reader.get(caller, trace.traceId)) } };
      },
    });
    for (const version of [2, 3] as const)
      routes.add({
        method: 'POST',
        path: '/traces/delete-traces',
        version,
        fields: {
          experiment_id: text({ required: true }),
          max_timestamp_millis: integer(),
          max_traces: integer(),
          request_ids: list(text({ default: '' })),
        },
        handle: (caller, request) => this.delete(caller, request),
      });
    for (const [version, name] of [
      [2, 'request_id'],
      [3, 'trace_id'],
    ] as const) {
      routes.add({
        method: 'PATCH',
        path: `/traces/{${name}}/tags`,
        version,
        fields: { [name]: text({ required: true }), ...TAG_FIELDS },
        handle: async (caller, request) => {
          const { key, value, [name]: id } = request as Record<string, string>;
          // MLflow cuts longer values as well.
          await this.traces.setTag(caller, id!, key!, value!.slice(0, MAX_TAG_VALUE).toWellFormed());
        },
      });
      routes.add({
        method: 'DELETE',
        path: `/traces/{${name}}/tags`,
        version,
        fields: { [name]: text({ required: true }), key: text({ required: true }) },
        handle: async (caller, request) => {
          const { key, [name]: id } = request as Record<string, string>;
          await aboutTraceTag(id!, this.traces.deleteTag(caller, id!, key!));
        },
      });
    }
  }

  private registerLinks(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/traces/link-to-run',
      version: 2,
      fields: {
        trace_ids: list(text({ default: '' }), { required: true }),
        run_id: text({ required: true }),
      },
      handle: async (caller, { trace_ids, run_id }) => {
        await this.traces.linkToRun(caller, trace_ids, run_id);
      },
    });
    routes.add({
      method: 'POST',
      path: '/traces/link-prompts',
      version: 2,
      fields: {
        trace_id: text({ required: true }),
        prompt_versions: list(
          message({
            name: text({ required: true }),
            version: integer({ required: true, min: 1, max: 2 ** 31 - 1 }),
          }),
          { required: true },
        ),
      },
      handle: async (caller, { trace_id, prompt_versions }) => {
        const prompts = prompt_versions.flatMap((prompt) => (prompt === undefined ? [] : [prompt]));
        await this.traces.linkPrompts(
          caller,
          trace_id,
          prompts.map(({ name, version }) => ({ name, number: version })),
        );
      },
    });
  }

  private async delete(
    caller: Caller,
    given: {
      experiment_id: string;
      max_timestamp_millis: number | undefined;
      max_traces: number | undefined;
      request_ids: string[];
    },
  ): Promise<object> {
    const { max_timestamp_millis: untilMs, max_traces: atMost, request_ids: ids } = given;
    const refuse = (message: string): never => {
      throw new MlflowError('INVALID_PARAMETER_VALUE', message);
    };
    if ((untilMs === undefined) === (ids.length === 0))
      refuse('Either `max_timestamp_millis` or `trace_ids` must be specified, but not both.');
    if (ids.length > 0 && atMost !== undefined)
      refuse("`max_traces` can't be specified if `trace_ids` is specified.");
    if (atMost !== undefined && atMost <= 0)
      refuse(`\`max_traces\` must be a positive integer, received ${atMost}.`);
    const number = experimentNumber(given.experiment_id);
    const deleted = await aboutExperiment(
      { number },
      this.traces.delete(caller, number, { traceIds: ids.length > 0 ? ids : undefined, untilMs, atMost }),
    );
    return { traces_deleted: deleted };
  }
}

const definite = (ids: readonly (string | undefined)[]): string[] => ids.filter((id) => id !== undefined);

function within(ids: readonly (string | undefined)[]): number[] | undefined {
  return ids.length === 0 ? undefined : experimentNumbers(definite(ids));
}

/** How many spans the client said that the trace has. */
function announcedSpans(trace: TraceInfo): number {
  const stats = trace.metadata['mlflow.trace.sizeStats'];
  if (stats === undefined || trace.tags['mlflow.trace.spansLocation'] !== 'TRACKING_STORE') return 0;
  try {
    return Number((JSON.parse(stats) as { num_spans?: unknown } | null)?.num_spans) || 0;
  } catch {
    return 0;
  }
}
