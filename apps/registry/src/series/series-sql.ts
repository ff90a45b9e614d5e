import type { Statement } from '../inferences/inference-sql.js';
import type { TimeRange } from '../inferences/time-range.js';
import { SUMS, SUMS_TABLES, type Grain } from './sums.js';
import { STEP_SECONDS, type SeriesGroup, type SeriesQuery, type SeriesStep } from './series.dto.js';

const GROUP_COLUMNS: Record<SeriesGroup, readonly string[]> = {
  arm: ['arm'],
  chainVersion: ['chain', 'chain_version'],
  model: ['model_endpoint', 'model'],
};

/** What one statement answers for a group and a step; histograms as elements in any order, or null. */
export type SeriesRow = { readonly [sum in keyof typeof SUMS]: number } & {
  readonly at: Date;
  readonly arm?: string;
  readonly chain?: string;
  readonly chain_version?: number;
  readonly model_endpoint?: string;
  readonly model?: string;
  readonly latency_bins: readonly string[] | null;
  readonly ttft_bins: readonly string[] | null;
};

/** The widest of the sums that a step is made of. */
export function grainOf(step: SeriesStep): Grain {
  return STEP_SECONDS[step] >= STEP_SECONDS['1h'] ? 'hour' : 'minute';
}

/** One row per group and step, in the order of both. @param range whole minutes or hours, as `grainOf` the step. */
export function seriesStatement(
  workspaceId: string,
  endpoint: string,
  range: TimeRange,
  { step, groupBy, shadows }: SeriesQuery,
): Statement {
  const group = groupBy ? GROUP_COLUMNS[groupBy] : [];
  const keys = [...group, 'at'].join(', ');
  const shadow = shadows === 'include' ? '' : `AND shadow = ${shadows === 'only'}`;
  const sums = Object.keys(SUMS).map((name) => `sum(${name})::bigint AS ${name}`);
  const histogram = (name: string) => `
    ${name}_by_step AS (
      SELECT ${keys}, array_agg(element) AS ${name} FROM picked, unnest(${name}) element GROUP BY ${keys})`;
  return {
    text: `
      WITH picked AS (
        SELECT date_bin($5::interval, starts_at, 'epoch') AS at, *
          FROM ${SUMS_TABLES[grainOf(step)]}
         WHERE workspace_id = $1 AND endpoint = $2 AND starts_at >= $3 AND starts_at < $4 ${shadow}),
      sums AS (SELECT ${keys}, ${sums.join(', ')} FROM picked GROUP BY ${keys}),
      ${histogram('latency_bins')}, ${histogram('ttft_bins')}
      SELECT * FROM sums LEFT JOIN latency_bins_by_step USING (${keys}) LEFT JOIN ttft_bins_by_step USING (${keys})
       ORDER BY ${keys}`,
    values: [workspaceId, endpoint, range.from, range.to, `${STEP_SECONDS[step]} seconds`],
  };
}
