import { Injectable } from '@nestjs/common';
import type { Caller } from '../../http/caller.js';
import { parseInt64 } from '../../metrics/int64.js';
import {
  MAX_HISTORY_POINTS,
  MAX_HISTORY_RUNS,
  MetricHistory,
  type HistoryPage,
  type RunHistory,
} from '../../metrics/metric-history.service.js';
import { metricValueSql } from '../../metrics/metric-value.js';
import type { HistoryPoint } from '../../metrics/point-columns.js';
import { parseRunId, runHex } from '../../runs/run-id.js';
import { integer, list, long, text, type RequestOf } from '../protocol/fields.js';
import { doubleText, int64Json, Streamed, Verbatim, writeJson } from '../protocol/json-writer.js';
import { isRefusal, MlflowError, SEE_THE_DOCS } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { badToken, decodeToken, encodeToken } from './page-token.js';
import { detailsOf } from './tracking-refusals.js';

const MAX_SAMPLE = 2_500;

const HISTORY_FIELDS = {
  run_id: text({ required: true, orElse: 'run_uuid' }),
  metric_key: text({ required: true }),
  max_results: integer(),
  page_token: text(),
};
const INTERVAL_FIELDS = {
  run_ids: list(text(), { required: true }),
  metric_key: text({ required: true }),
  start_step: long(),
  end_step: long(),
  max_results: integer({ default: MAX_SAMPLE }),
};

/** `/metrics/get-history…`. A run that does not exist has no history: MLflow answers nothing, and so do we. */
@Injectable()
export class MetricRoutes {
  constructor(private readonly history: MetricHistory) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'GET',
      path: '/metrics/get-history',
      version: 2,
      fields: HISTORY_FIELDS,
      handle: (caller, request) => this.page(caller, request),
    });
    routes.add({
      method: 'GET',
      path: '/metrics/get-history-bulk',
      version: 2,
      fields: {
        run_id: list(text()),
        metric_key: text(),
        max_results: integer({ default: MAX_HISTORY_POINTS }),
      },
      handle: (caller, { run_id, metric_key, max_results }) =>
        this.bulk(caller, run_id, metric_key, max_results),
    });
    routes.add({
      method: 'GET',
      path: '/metrics/get-history-bulk-interval',
      version: 2,
      fields: INTERVAL_FIELDS,
      handle: (caller, request) => this.sample(caller, request),
    });
  }

  private async page(caller: Caller, request: RequestOf<typeof HISTORY_FIELDS>): Promise<object> {
    const { run_id, metric_key, max_results } = request;
    if (max_results !== undefined && max_results <= 0)
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Invalid value ${max_results} for parameter 'max_results' supplied. It must be a positive integer.`,
      );
    const after = request.page_token ? pointOf(request.page_token) : undefined;
    const id = parseRunId(run_id);
    if (id === undefined) return {};
    if (max_results === undefined) return new Streamed(this.whole(caller, id, metric_key, after));
    const { points, next } = await this.read(caller, id, metric_key, max_results, after);
    return {
      metrics: points.map((point) => pointMessage(metric_key, point)),
      next_page_token: next === null ? undefined : tokenOf(next),
    };
  }

  /** Who names no size of a page wants all: old clients do not look for a second page. */
  private async *whole(
    caller: Caller,
    runId: string,
    key: string,
    start: HistoryPoint | undefined,
  ): AsyncGenerator<string> {
    let page = await this.read(caller, runId, key, MAX_HISTORY_POINTS, start);
    if (page.points.length === 0) {
      yield '{}';
      return;
    }
    yield '{"metrics":[';
    for (let isFirst = true; ; isFirst = false) {
      const text = page.points.map((point) => writeJson(pointMessage(key, point))).join(',');
      yield isFirst ? text : `,${text}`;
      if (page.next === null) break;
      page = await this.read(caller, runId, key, MAX_HISTORY_POINTS, page.next);
    }
    yield ']}';
  }

  private async read(
    caller: Caller,
    runId: string,
    key: string,
    maxResults: number,
    after: HistoryPoint | undefined,
  ): Promise<HistoryPage> {
    try {
      const limit = Math.min(maxResults, MAX_HISTORY_POINTS);
      return await this.history.page(caller, runId, key, {
        limit,
        order: 'time',
        ...(after === undefined ? {} : { after }),
      });
    } catch (error) {
      if (isRefusal(error, 'NOT_FOUND')) return { points: [], next: null };
      throw error;
    }
  }

  private async bulk(
    caller: Caller,
    runIds: readonly string[],
    key: string | undefined,
    maxResults: number,
  ): Promise<object> {
    if (runIds.length === 0) throw refused('GetMetricHistoryBulk request must specify at least one run_id.');
    if (runIds.length > MAX_HISTORY_RUNS)
      throw refused(
        `GetMetricHistoryBulk request cannot specify more than ${MAX_HISTORY_RUNS} run_ids. Received ${runIds.length} run_ids.`,
      );
    if (key === undefined) throw refused('GetMetricHistoryBulk request must specify a metric_key.');
    const limit = Math.min(Math.max(maxResults, 0), MAX_HISTORY_POINTS);
    const histories = await ofKnown(runIds, (known) => this.history.bulk(caller, known, key, limit));
    const metrics = withRunIds(key, histories);
    // Not proto-JSON: an empty list is written.
    return { metrics: metrics.length === 0 ? new Verbatim([]) : metrics };
  }

  private async sample(caller: Caller, request: RequestOf<typeof INTERVAL_FIELDS>): Promise<object> {
    const { run_ids, metric_key, start_step, end_step, max_results } = request;
    if (run_ids.length > MAX_HISTORY_RUNS)
      throw refused(
        `GetMetricHistoryBulkInterval request must specify at most ${MAX_HISTORY_RUNS} run_ids. Received ${run_ids.length} run_ids. ${SEE_THE_DOCS}`,
      );
    if (max_results < 1 || max_results > MAX_SAMPLE)
      throw refused(`max_results must be between 1 and ${MAX_SAMPLE}. ${SEE_THE_DOCS}`);
    if ((start_step === undefined) !== (end_step === undefined))
      throw refused('If either start step or end step are specified, both must be specified.');
    if (start_step !== undefined && end_step !== undefined && BigInt(start_step) > BigInt(end_step))
      throw refused(
        `end_step must be greater than start_step. Found start_step=${start_step} and end_step=${end_step}.`,
      );
    const range =
      start_step === undefined || end_step === undefined ? {} : { startStep: start_step, endStep: end_step };
    const histories = await ofKnown(run_ids, (known) =>
      this.history.sample(caller, known, metric_key, { points: max_results, ...range }),
    );
    const drawn = histories.filter(({ points }) => points.length > 0);
    return drawn.length === 0 ? {} : new Streamed(drawing(metric_key, drawn));
  }
}

/** The answer to a drawing, a run at a time: up to 250 000 points, which are written here directly. */
async function* drawing(key: string, histories: readonly RunHistory[]): AsyncGenerator<string> {
  const start = `{"key":${JSON.stringify(key)},"value":`;
  let before = '{"metrics":[';
  for (const { runId, points } of histories) {
    const end = `,"run_id":"${runHex(runId)}"}`;
    let text = '';
    for (const { value, timeMs, step } of points) {
      text += `${before}${start}${doubleText(value)},"timestamp":${timeMs},"step":${step}${end}`;
      before = ',';
    }
    yield text;
  }
  yield ']}';
}

/** The histories of those runs that exist. */
async function ofKnown(
  runIds: readonly string[],
  read: (known: readonly string[]) => Promise<RunHistory[]>,
): Promise<RunHistory[]> {
  const known = new Set(runIds.map(parseRunId).filter((id) => id !== undefined));
  while (known.size > 0)
    try {
      return await read([...known]);
    } catch (error) {
      const missing = isRefusal(error, 'NOT_FOUND') ? detailsOf(error)['id'] : undefined;
      if (typeof missing !== 'string' || !known.delete(missing)) throw error;
    }
  return [];
}

function pointMessage(key: string, { value, step, timeMs }: HistoryPoint): object {
  return { key, value, timestamp: int64Json(timeMs), step: int64Json(step) };
}

function withRunIds(key: string, histories: readonly RunHistory[]): object[] {
  return histories.flatMap(({ runId, points }) => {
    const run_id = runHex(runId);
    return points.map((point) => ({ ...pointMessage(key, point), run_id }));
  });
}

function tokenOf({ timeMs, step, value }: HistoryPoint): string {
  return encodeToken([String(timeMs), String(step), metricValueSql(value)]);
}

function pointOf(token: string): HistoryPoint {
  const [timeText, stepText, valueText] = decodeToken(token, 3) as [string, string, string];
  const [timeMs, step, value] = [parseInt64(timeText), parseInt64(stepText), Number(valueText)];
  if (
    timeMs === undefined ||
    step === undefined ||
    valueText === '' ||
    (Number.isNaN(value) && valueText !== 'NaN')
  )
    throw badToken();
  return { timeMs, step, value };
}

function refused(message: string): MlflowError {
  return new MlflowError('INVALID_PARAMETER_VALUE', message);
}
