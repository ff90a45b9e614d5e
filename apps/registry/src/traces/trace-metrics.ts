import { Injectable } from '@nestjs/common';
import { DataSource, QueryFailedError } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { parseRunId } from '../runs/run-id.js';
import { SOURCE_RUN } from './trace.js';

export type MetricView = 'TRACES' | 'SPANS' | 'ASSESSMENTS';
export type AggregationType = 'COUNT' | 'SUM' | 'AVG' | 'MIN' | 'MAX' | 'PERCENTILE';

export interface Aggregation {
  readonly type: AggregationType;
  /** 0 to 100, of PERCENTILE. */
  readonly percentile?: number | undefined;
}

/** One equality; all of a query hold. */
export interface MetricFilter {
  readonly view: 'trace' | 'span' | 'assessment';
  readonly entity: string;
  readonly key?: string | undefined;
  readonly value: string;
}

export interface MetricQuery {
  readonly experiments: readonly number[];
  readonly view: MetricView;
  readonly metric: string;
  readonly aggregations: readonly Aggregation[];
  readonly dimensions: readonly string[];
  readonly filters: readonly MetricFilter[];
  readonly intervalSeconds?: number | undefined;
  /** Both inclusive. */
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  readonly limit: number;
}

export interface MetricPoint {
  /** Dimension → value; null where a row has none. */
  readonly dimensions: Readonly<Record<string, string | null>>;
  /** When the interval of the point begins. */
  readonly timeMs: number | null;
  /** In order of the aggregations; null where nothing is there to aggregate. */
  readonly values: readonly (number | null)[];
}

interface Metric {
  readonly sql: string;
  readonly aggregations: readonly AggregationType[];
  readonly dimensions: readonly string[];
}

const STATISTICS = ['AVG', 'MIN', 'MAX', 'PERCENTILE'] as const;
const tokens = (sql: string): Metric => ({
  sql,
  aggregations: ['SUM', ...STATISTICS],
  dimensions: ['trace_name'],
});
const cost = (sql: string): Metric => ({
  sql,
  aggregations: ['SUM', ...STATISTICS],
  dimensions: ['span_model_name', 'span_model_provider'],
});

const METRICS: Readonly<Record<MetricView, Readonly<Record<string, Metric>>>> = {
  TRACES: {
    trace_count: { sql: 't.serial', aggregations: ['COUNT'], dimensions: ['trace_name', 'trace_status'] },
    session_count: { sql: 'DISTINCT t.session', aggregations: ['COUNT'], dimensions: [] },
    latency: { sql: 't.duration_ms', aggregations: STATISTICS, dimensions: ['trace_name'] },
    input_tokens: tokens('t.input_tokens'),
    output_tokens: tokens('t.output_tokens'),
    total_tokens: tokens('t.total_tokens'),
    cache_read_input_tokens: tokens('t.cache_read_tokens'),
    cache_creation_input_tokens: tokens('t.cache_creation_tokens'),
  },
  SPANS: {
    span_count: {
      sql: 's.span_id',
      aggregations: ['COUNT'],
      dimensions: ['span_name', 'span_type', 'span_status', 'span_model_name', 'span_model_provider'],
    },
    latency: {
      sql: '((s.end_ns - s.start_ns) / 1000000)',
      aggregations: STATISTICS,
      dimensions: ['span_name', 'span_status'],
    },
    input_cost: cost('s.input_cost'),
    output_cost: cost('s.output_cost'),
    total_cost: cost('s.total_cost'),
  },
  ASSESSMENTS: {
    assessment_count: {
      sql: 'a.assessment_id',
      aggregations: ['COUNT'],
      dimensions: ['assessment_name', 'assessment_value'],
    },
    assessment_value: { sql: 'a.number_value', aggregations: STATISTICS, dimensions: ['assessment_name'] },
  },
};

const DIMENSIONS: Readonly<Record<string, string>> = {
  trace_name: 't.name',
  trace_status: 't.state',
  span_name: 's.name',
  span_type: 's.type',
  span_status: 's.status',
  span_model_name: 's.model',
  span_model_provider: 's.model_provider',
  assessment_name: 'a.name',
  assessment_value: 'a.value::text',
};

const FILTERS: Readonly<Record<string, string>> = {
  'trace.status': 't.state',
  'span.name': 's.name',
  'span.status': 's.status',
  'span.type': 's.type',
  'assessment.name': 'a.name',
  'assessment.type': 'a.kind',
};

const SOURCES: Readonly<Record<MetricView, string>> = {
  TRACES: 'trace t',
  SPANS: 'trace t JOIN span s ON s.trace = t.serial',
  ASSESSMENTS: 'trace t JOIN assessment a ON a.trace = t.serial AND a.valid',
};

/** Figures over many traces, by time and dimension. */
@Injectable()
export class TraceMetrics {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError VALIDATION_FAILED. */
  async query(caller: Caller, query: MetricQuery): Promise<MetricPoint[]> {
    const { text, values } = metricStatement(caller, query);
    const rows: Record<string, string | number | null>[] = await this.database
      .query(text, values)
      .catch((error: unknown) => {
        if (isOverflow(error)) refuse(`the values of ${query.metric} add up to more than a double holds`, []);
        throw error;
      });
    return rows.map((row) => ({
      timeMs: query.intervalSeconds === undefined ? null : Number(row['time']),
      dimensions: Object.fromEntries(
        query.dimensions.map((dimension, index) => [dimension, row[`d${index}`] as string | null]),
      ),
      values: query.aggregations.map((_, index) => row[`v${index}`] as number | null),
    }));
  }
}

/** SQLSTATE 22003: clients may log costs and scores of 1e308. */
function isOverflow(error: unknown): boolean {
  return error instanceof QueryFailedError && (error.driverError as { code?: string }).code === '22003';
}

function metricStatement(caller: Caller, query: MetricQuery): { text: string; values: unknown[] } {
  const metric = allowed(METRICS[query.view], query.metric, 'metric_name', query.view);
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [
    `t.experiment IN (SELECT serial FROM experiment WHERE workspace_id = ${bind(caller.workspaceId)}
                         AND number = ANY(${bind(query.experiments)}::integer[]))`,
    ...query.filters.map((filter) => filterSql(query.view, filter, bind)),
  ];
  if (query.fromMs !== undefined) conditions.push(`t.time_ms >= ${bind(query.fromMs)}::bigint`);
  if (query.toMs !== undefined) conditions.push(`t.time_ms <= ${bind(query.toMs)}::bigint`);
  const groups = query.dimensions.map((dimension, index) => {
    if (!metric.dimensions.includes(dimension))
      refuse(`dimension "${dimension}" does not go with ${query.metric}`, metric.dimensions);
    return `${DIMENSIONS[dimension]!} AS d${index}`;
  });
  if (query.intervalSeconds !== undefined) {
    if (query.fromMs === undefined || query.toMs === undefined)
      refuse('start_time_ms and end_time_ms are required if time_interval_seconds is set', []);
    const width = `${bind(query.intervalSeconds * 1000)}::numeric`;
    const time = query.view === 'SPANS' ? 's.start_ns / 1000000' : 't.time_ms';
    groups.unshift(`(floor(${time} / ${width}) * ${width})::bigint AS "time"`);
  }
  const figures = query.aggregations.map(
    (aggregation, index) => `${aggregationSql(query.metric, metric, aggregation, bind)} AS v${index}`,
  );
  const numbers = groups.map((_, index) => index + 1).join(', ');
  const text = `SELECT ${[...groups, ...figures].join(', ')} FROM ${SOURCES[query.view]} WHERE ${conditions.join(' AND ')}
                ${numbers && `GROUP BY ${numbers} ORDER BY ${numbers}`} LIMIT ${bind(query.limit)}`;
  return { text, values };
}

function aggregationSql(
  name: string,
  metric: Metric,
  { type, percentile }: Aggregation,
  bind: (value: unknown) => string,
): string {
  if (!metric.aggregations.includes(type))
    refuse(`aggregation ${type} does not go with ${name}`, metric.aggregations);
  if (type !== 'PERCENTILE') return `${type.toLowerCase()}(${metric.sql})::float8`;
  if (percentile === undefined || !(percentile >= 0 && percentile <= 100))
    refuse('a percentile needs percentile_value, 0 to 100', []);
  return `percentile_cont(${bind(percentile / 100)}::float8) WITHIN GROUP (ORDER BY ${metric.sql})`;
}

function filterSql(view: MetricView, filter: MetricFilter, bind: (value: unknown) => string): string {
  const { entity, key, value } = filter;
  if (
    (filter.view === 'span' && view !== 'SPANS') ||
    (filter.view === 'assessment' && view !== 'ASSESSMENTS')
  )
    refuse(`${view} cannot be filtered by ${filter.view}`, ['trace']);
  if (filter.view === 'trace' && key !== undefined && (entity === 'tag' || entity === 'metadata')) {
    const pair = `t.${entity === 'tag' ? 'tags' : 'metadata'} @> ${bind(JSON.stringify({ [key]: value }))}::jsonb`;
    if (key !== SOURCE_RUN || entity === 'tag') return pair;
    return `(${pair} OR t.trace_id IN (SELECT l.trace_id FROM trace_run l JOIN run r ON r.serial = l.run
                                        WHERE r.id = ${bind(parseRunId(value) ?? null)}::uuid
                                          AND r.workspace_id = t.workspace_id))`;
  }
  const column = allowed(FILTERS, `${filter.view}.${entity}`, 'filter', view);
  return `${column} = ${bind(value)}`;
}

function allowed<T>(table: Readonly<Record<string, T>>, name: string, what: string, view: string): T {
  if (!Object.hasOwn(table, name)) refuse(`${what} "${name}" is not one of ${view}`, Object.keys(table));
  return table[name]!;
}

function refuse(message: string, choices: readonly string[]): never {
  throw new DomainError(
    'VALIDATION_FAILED',
    `The metrics cannot be computed: ${message}.${choices.length > 0 ? ` Choose from: ${choices.join(', ')}.` : ''}`,
  );
}
