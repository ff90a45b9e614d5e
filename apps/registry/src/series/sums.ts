import { binSql, isTime } from '#libs/core/histogram/log-bins.js';

/** Tables of sums, by the width of what a row adds up. */
export const SUMS_TABLES = { minute: 'inference_minute', hour: 'inference_hour' } as const;
export type Grain = keyof typeof SUMS_TABLES;

/** What sums are kept by, as expressions over rows of table `inference`; columns of the key of both tables. */
const keyOf = (grain: Grain) => ({
  workspace_id: 'workspace_id',
  endpoint: 'endpoint',
  starts_at: `date_bin('1 ${grain}', started_at, 'epoch')`,
  split_revision: 'split_revision',
  arm: 'arm',
  chain: 'chain',
  chain_version: 'chain_version',
  shadow: 'shadow_of IS NOT NULL',
  model_endpoint: `coalesce(model_endpoint, '')`,
  model: `coalesce(model, '')`,
});

const count = (condition: string): string => `count(*) FILTER (WHERE ${condition})`;
const total = (value: string): string => `coalesce(sum(${value}), 0)::bigint`;
/** Times say how fast models are: those of answers from the cache and of failures are left out. */
const answered = `status = 'ok' AND cache_hit IS NOT TRUE`;
/** Sums of whole microseconds are exact, in whatever order they are made. */
const microseconds = (column: string): string =>
  `coalesce(sum(round(${column} * 1000)::bigint) FILTER (WHERE ${answered} AND ${isTime(column)}), 0)::bigint`;
const rows = (column: string): string => `count(*) FILTER (WHERE ${answered} AND ${isTime(column)})`;

/** Sums over rows of table `inference`; columns of both tables. */
export const SUMS = {
  requests: 'count(*)',
  ok: count(`status = 'ok'`),
  errors: count(`status = 'error'`),
  cancelled: count(`status = 'cancelled'`),
  interrupted: count(`status = 'interrupted'`),
  cache_hits: count('cache_hit'),
  fallbacks: count(`model_calls @> '[{"step": "fallback"}]'`),
  attempts: total('attempts'),
  schema_rows: 'count(schema_valid)',
  schema_valid: count('schema_valid'),
  input_tokens: total('input_tokens'),
  cached_input_tokens: total('cached_input_tokens'),
  output_tokens: total('output_tokens'),
  cost_micro_usd: total('cost_micro_usd'),
  latency_rows: rows('latency_ms'),
  latency_us: microseconds('latency_ms'),
  ttft_rows: rows('ttft_ms'),
  ttft_us: microseconds('ttft_ms'),
} as const;

/** The histograms beside them: elements `count · 1024 + bin`. */
const BINS = { latency_bins: 'latency_ms', ttft_bins: 'ttft_ms' } as const;

const bins = Object.values(BINS).map(
  (column) =>
    `catena_merge_bins('{}', array_agg(1024::bigint + ${binSql(column)})
       FILTER (WHERE ${answered} AND ${isTime(column)}))`,
);

/** The months of the rows that arrived from $1 on and before $2, and the times they lie between. */
export const SPAN_OF_ARRIVALS = `
  SELECT array_agg(DISTINCT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-01')) AS months,
         min(started_at)::text AS first, max(started_at)::text AS last
    FROM inference WHERE arrived >= $1 AND arrived < $2`;

/** Adds up the rows that arrived from $1 on and before $2. Their times, from $3 to $4, leave few partitions to plan for. */
export function addArrivals(grain: Grain): string {
  const key = keyOf(grain);
  const columns = [...Object.keys(key), ...Object.keys(SUMS), ...Object.keys(BINS)];
  return `
    INSERT INTO ${SUMS_TABLES[grain]} AS held (${columns.join(', ')})
    SELECT ${[...Object.values(key), ...Object.values(SUMS), ...bins].join(', ')}
      FROM inference WHERE arrived >= $1 AND arrived < $2 AND started_at BETWEEN $3 AND $4
     GROUP BY ${Object.keys(key)
       .map((_, index) => index + 1)
       .join(', ')}
    ON CONFLICT ON CONSTRAINT ${SUMS_TABLES[grain]}_pk DO UPDATE SET
      ${Object.keys(SUMS)
        .map((name) => `${name} = held.${name} + excluded.${name}`)
        .join(', ')},
      ${Object.keys(BINS)
        .map((name) => `${name} = catena_merge_bins(held.${name}, excluded.${name})`)
        .join(', ')}`;
}
