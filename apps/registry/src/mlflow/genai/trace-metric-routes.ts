import { Injectable } from '@nestjs/common';
import { readFilter } from '../../search/search-text.js';
import { TraceMetrics, type MetricFilter } from '../../traces/trace-metrics.js';
import { TraceReader } from '../../traces/trace-reader.js';
import { choice, double, integer, list, message, text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { experimentNumbers } from './genai-refusals.js';

const DEFAULT_POINTS = 1_000;
const MAX_POINTS = 100_000;
const DAY_SECONDS = 86_400;

/** Figures over many traces. */
@Injectable()
export class TraceMetricRoutes {
  constructor(
    private readonly metrics: TraceMetrics,
    private readonly reader: TraceReader,
  ) {}

  register(routes: MlflowRoutes): void {
    this.registerMetrics(routes);
    this.registerCorrelation(routes);
  }

  private registerMetrics(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/traces/metrics',
      version: 3,
      fields: {
        experiment_ids: list(text({ default: '' }), { required: true }),
        view_type: choice({ TRACES: 1, SPANS: 2, ASSESSMENTS: 3 }, { required: true }),
        metric_name: text({ required: true }),
        aggregations: list(
          message({
            aggregation_type: choice(
              { COUNT: 1, SUM: 2, AVG: 3, PERCENTILE: 4, MIN: 5, MAX: 6 },
              { required: true },
            ),
            percentile_value: double(),
          }),
          { required: true, max: 20 },
        ),
        dimensions: list(text({ default: '' }), { max: 10 }),
        filters: list(text({ default: '' }), { max: 50 }),
        time_interval_seconds: integer({ min: 1, max: 3_660 * DAY_SECONDS }),
        start_time_ms: integer(),
        end_time_ms: integer(),
        max_results: integer({ default: DEFAULT_POINTS, min: 1, max: MAX_POINTS }),
        page_token: text(),
      },
      handle: async (caller, request) => {
        const aggregations = request.aggregations.flatMap((given) => (given === undefined ? [] : [given]));
        const points = await this.metrics.query(caller, {
          experiments: experimentNumbers(request.experiment_ids),
          view: request.view_type,
          metric: request.metric_name,
          aggregations: aggregations.map((given) => ({
            type: given.aggregation_type,
            percentile: given.percentile_value,
          })),
          dimensions: request.dimensions,
          filters: request.filters.map(readMetricFilter),
          intervalSeconds: request.time_interval_seconds,
          fromMs: request.start_time_ms,
          toMs: request.end_time_ms,
          limit: request.max_results,
        });
        const labels = aggregations.map((given) =>
          given.aggregation_type === 'PERCENTILE'
            ? `P${pythonFloat(given.percentile_value!)}`
            : given.aggregation_type,
        );
        return {
          data_points: points
            .map((point) => ({
              metric_name: request.metric_name,
              dimensions: {
                ...point.dimensions,
                ...(point.timeMs !== null && { time_bucket: pythonTime(point.timeMs) }),
              },
              values: Object.fromEntries(
                labels
                  .map((label, index) => [label, point.values[index]] as const)
                  .filter(([, value]) => value !== null),
              ),
            }))
            // A map of the protocol has no null, and MLflow leaves out what has none.
            .filter(
              (point) =>
                Object.values(point.dimensions).every((value) => value !== null) &&
                Object.keys(point.values).length > 0,
            ),
        };
      },
    });
  }

  private registerCorrelation(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/traces/calculate-filter-correlation',
      version: 3,
      fields: {
        experiment_ids: list(text({ default: '' }), { required: true }),
        filter_string1: text({ required: true }),
        filter_string2: text({ required: true }),
        base_filter: text(),
      },
      handle: async (caller, { experiment_ids, filter_string1, filter_string2, base_filter }) => {
        const first = readFilter('trace', filter_string1);
        const second = readFilter('trace', filter_string2);
        if (first === null || second === null)
          throw new MlflowError('INVALID_PARAMETER_VALUE', 'Both filters must say something.');
        const base = readFilter('trace', base_filter) ?? undefined;
        const counts = await this.reader.countOverlap(caller, experimentNumbers(experiment_ids), {
          base,
          first,
          second,
        });
        return {
          npmi: mutualInformation(counts, 0),
          npmi_smoothed: mutualInformation(counts, 0.5),
          filter1_count: counts.first,
          filter2_count: counts.second,
          joint_count: counts.joint,
          total_count: counts.total,
        };
      },
    });
  }
}

const FILTER =
  /^\s*(trace|span|assessment)\.(\w+)(?:\.(?:`([^`]+)`|"([^"]+)"|([^\s=]+)))?\s*=\s*(?:'((?:[^']|'')*)'|"([^"]*)")\s*$/;

/** One equality, such as `trace.tag.team = 'support'`. @throws MlflowError INVALID_PARAMETER_VALUE. */
function readMetricFilter(filter: string): MetricFilter {
  const [, view, entity, inBackticks, inQuotes, bare, single, double] = FILTER.exec(filter) ?? [];
  if (view === undefined)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid filter '${filter.slice(0, 200)}': expected one equality such as trace.status = 'OK', trace.tag.team = 'support', span.name = 'chat' or assessment.name = 'quality'.`,
    );
  return {
    view: view as MetricFilter['view'],
    entity: entity!,
    key: inBackticks ?? inQuotes ?? bare,
    value: single?.replaceAll("''", "'") ?? double!,
  };
}

/**
 * Normalised pointwise mutual information of two conditions, -1 to 1; NaN where one of them never holds.
 * Bouma, "Normalized (Pointwise) Mutual Information in Collocation Extraction", 2009.
 * @param prior added to each of the four cells (0.5 is Jeffreys').
 */
export function mutualInformation(
  counts: { total: number; first: number; second: number; joint: number },
  prior: number,
): number {
  const { total, first, second, joint } = counts;
  if (total === 0 || first === 0 || second === 0) return NaN;
  if (joint === 0 && prior === 0) return -1;
  if (joint === total) return 1;
  const all = total + 4 * prior;
  const both = (joint + prior) / all;
  const information = Math.log(both / (((first + 2 * prior) / all) * ((second + 2 * prior) / all)));
  return Math.min(1, Math.max(-1, information / -Math.log(both)));
}

/** Labels are made of Python's `str(95.0)`. */
const pythonFloat = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value));

/** Python's `isoformat` of a time in UTC. */
function pythonTime(timeMs: number): string {
  return new Date(timeMs)
    .toISOString()
    .replace('.000Z', 'Z')
    .replace(/\.(\d{3})Z$/, '.$1000Z')
    .replace('Z', '+00:00');
}
