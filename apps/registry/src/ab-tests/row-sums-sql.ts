import { UNIT_GROUPS } from '#libs/core/ab-test/histogram.js';
import { findMetric, type HistogramFact, type Metric, type UnitTotal } from '#libs/core/ab-test/metrics.js';
import { binSql, isTime } from '#libs/core/histogram/log-bins.js';
import { COUNTS, OF_TEST, testsIn, UNIT } from './running-tests.js';
import { TOTAL_COLUMNS, TOTAL_LIST, TOTAL_SUMS, TOTALS } from './unit-totals.js';

/** Columns of table `ab_test_sums` after `units`. */
export const SUMS = ['y', 'yy', 'd', 'dd', 'yd', 'x', 'xx', 'yx', 'dx', 'w', 'ww', 'yw', 'dw', 'xw'] as const;

/** What of a metric's sums changes where a unit's old values `y0`, `d0` become `y`, `d`; `c` and `c0`: whether it counts. */
const CHANGES: Readonly<Record<'units' | (typeof SUMS)[number], string>> = {
  units: 'm.c - m.c0',
  y: 'm.y - m.y0',
  yy: 'm.y * m.y - m.y0 * m.y0',
  d: 'm.d - m.d0',
  dd: 'm.d * m.d - m.d0 * m.d0',
  yd: 'm.y * m.d - m.y0 * m.d0',
  x: 'm.x * (m.c - m.c0)',
  xx: 'm.x * m.x * (m.c - m.c0)',
  yx: 'm.x * (m.y - m.y0)',
  dx: 'm.x * (m.d - m.d0)',
  w: 'm.w * (m.c - m.c0)',
  ww: 'm.w * m.w * (m.c - m.c0)',
  yw: 'm.w * (m.y - m.y0)',
  dw: 'm.w * (m.d - m.d0)',
  xw: 'm.x * m.w * (m.c - m.c0)',
};

const CHANGED_SUMS = Object.entries(CHANGES)
  .map(([name, change]) => `coalesce(sum(${change}), 0) AS ${name}`)
  .join(', ');

/** Adds rows (test, revision, arm, metric, sums in order) to table `ab_test_sums`. */
export const addToSums = (rows: string): string => `
  INSERT INTO ab_test_sums AS s (test, revision, arm, metric, units, ${SUMS.join(', ')}) ${rows}
  ON CONFLICT (test, revision, arm, metric) DO UPDATE SET
    ${['units', ...SUMS].map((name) => `${name} = s.${name} + excluded.${name}`).join(', ')}`;

/** The changes of sums over units `m (test, revision, arm, metric, y, y0, d, d0, c, c0, x, w)`. */
export const changesOf = (units: string): string => `
  SELECT m.test, m.revision, m.arm, m.metric, ${CHANGED_SUMS} FROM ${units} GROUP BY 1, 2, 3, 4`;

/**
 * One statement that counts rows for the tests they are of: unit totals, and from these, old against new, the sums of the tests'
 * metrics; exposures; histograms. $1 and $2: bounds of the arrival; $3: the tests, as JSON.
 * @param metrics names of all metrics of the tests.
 * @param covariates whether any of the tests has totals from before its start.
 */
export function countStatement(metrics: ReadonlySet<string>, covariates: boolean): string {
  const asked = [...metrics].map((name) => findMetric(name)!);
  const values = asked.flatMap((metric) => metricValues(metric, covariates));
  const histograms = (['latencyMs', 'ttftMs'] as const)
    .map((fact) => histogramRows(fact, asked))
    .filter((rows) => rows !== undefined);
  return `
    WITH seen AS MATERIALIZED (
      SELECT t.serial AS test, t.metrics, i.split_revision AS revision, i.arm, ${UNIT} AS unit, i.unit IS NULL AS alone,
             ${COUNTS} AS counts, i.shadow_of, i.status, i.error_code, i.finish_reason, i.model_calls, i.schema_valid,
             i.latency_ms, i.ttft_ms, i.cost_micro_usd, i.input_tokens, i.output_tokens
        FROM inference i JOIN ${testsIn('$3')} ON ${OF_TEST}
       WHERE i.arrived >= $1 AND i.arrived < $2
    ), fact AS MATERIALIZED (
      SELECT i.test, i.metrics, i.revision, i.arm, i.unit, ${TOTAL_SUMS}
        FROM seen i WHERE i.counts GROUP BY i.test, i.metrics, i.revision, i.arm, i.unit
    ), grown AS (
      INSERT INTO ab_test_unit AS u (test, revision, arm, unit, ${TOTAL_LIST})
      SELECT test, revision, arm, unit, ${TOTAL_LIST} FROM fact ORDER BY test, unit
      ON CONFLICT (test, unit, revision, arm) DO UPDATE SET
        ${TOTAL_COLUMNS.map((column) => `${column} = u.${column} + excluded.${column}`).join(', ')}
      RETURNING u.*
    ), ${values.length === 0 ? '' : `summed AS (${addToSums(changesOf(unitChanges(values, covariates)))}), `}
    ${histograms.length === 0 ? '' : `spread AS (${addToHistograms(histograms)}), `}
    appeared AS (
      SELECT DISTINCT ON (n.test, n.unit) n.test, n.unit, n.revision, n.arm
        FROM grown n JOIN fact f USING (test, revision, arm, unit) WHERE n.requests = f.requests
       ORDER BY n.test, n.unit, n.revision, n.arm
    ), came_first AS (
      SELECT a.*, p.revision AS old_revision, p.arm AS old_arm FROM appeared a
        LEFT JOIN LATERAL (SELECT p.revision, p.arm FROM ab_test_unit p
                            WHERE p.test = a.test AND p.unit = a.unit AND p.revision > 0
                            ORDER BY p.revision, p.arm LIMIT 1) p ON true
       WHERE p.revision IS NULL OR (a.revision, a.arm) < (p.revision, p.arm)
    ), exposed AS (
      SELECT test, revision, arm, 0 AS units, 0 AS newcomers, count(*) FILTER (WHERE counts) AS requests,
             count(*) FILTER (WHERE counts AND alone) AS without_unit,
             count(*) FILTER (WHERE counts AND status IN ('error', 'interrupted')) AS errors,
             count(*) FILTER (WHERE counts AND status = 'interrupted') AS interrupted,
             count(*) FILTER (WHERE NOT counts AND shadow_of IS NULL) AS overrides,
             count(*) FILTER (WHERE shadow_of IS NOT NULL) AS shadows
        FROM seen GROUP BY 1, 2, 3
      UNION ALL
      SELECT n.test, n.revision, n.arm, count(*), 0, 0, 0, 0, 0, 0, 0
        FROM grown n JOIN fact f USING (test, revision, arm, unit) WHERE n.requests = f.requests GROUP BY 1, 2, 3
      UNION ALL
      SELECT test, revision, arm, 0, count(*), 0, 0, 0, 0, 0, 0 FROM came_first GROUP BY 1, 2, 3
      UNION ALL
      SELECT test, old_revision, old_arm, 0, -count(*), 0, 0, 0, 0, 0, 0
        FROM came_first WHERE old_revision IS NOT NULL GROUP BY 1, 2, 3
    )
    INSERT INTO ab_test_exposure AS e (test, revision, arm, ${EXPOSURES.join(', ')})
    SELECT test, revision, arm, ${EXPOSURES.map((column) => `sum(${column})`).join(', ')} FROM exposed GROUP BY 1, 2, 3
    ON CONFLICT (test, revision, arm) DO UPDATE SET
      ${EXPOSURES.map((column) => `${column} = e.${column} + excluded.${column}`).join(', ')}`;
}

const EXPOSURES = [
  'units',
  'newcomers',
  'requests',
  'without_unit',
  'errors',
  'interrupted',
  'overrides',
  'shadows',
];

/** A unit's part in a metric as a row of `m`: a unit counts once it has something in the denominator. */
function metricValues(metric: Metric, covariates: boolean): string[] {
  if (metric.kind === 'quantile') return [];
  const { name, numerator, denominator } = metric;
  if (typeof numerator !== 'string' || typeof denominator === 'object') return [];
  const now = (total: UnitTotal): string => `n.${TOTALS[total].column}::numeric`;
  const before = (total: UnitTotal): string =>
    `(n.${TOTALS[total].column} - f.${TOTALS[total].column})::numeric`;
  const earlier = (total: UnitTotal): string =>
    covariates ? `coalesce(p.${TOTALS[total].column}, 0)::numeric` : 'NULL::numeric';
  const counted = denominator ?? 'requests';
  return [
    [
      `'${name}'`,
      now(numerator),
      before(numerator),
      denominator ? now(denominator) : 'NULL::numeric',
      denominator ? before(denominator) : 'NULL::numeric',
      `(${now(counted)} <> 0)::integer`,
      `(${before(counted)} <> 0)::integer`,
      earlier(numerator),
      denominator ? earlier(denominator) : 'NULL::numeric',
    ].join(', '),
  ];
}

function unitChanges(values: readonly string[], covariates: boolean): string {
  // The LIMIT keeps the planner from reading all units of all tests instead of those it was asked for.
  const earlier = `
    LEFT JOIN LATERAL (SELECT * FROM ab_test_unit p
                        WHERE p.test = n.test AND p.unit = n.unit AND p.revision = 0 AND p.arm = '' LIMIT 1) p ON true`;
  return `(
    SELECT n.test, n.revision, n.arm, m.* FROM grown n JOIN fact f USING (test, revision, arm, unit)
    ${covariates ? earlier : ''}
    CROSS JOIN LATERAL (VALUES ${values.map((row) => `(${row})`).join(', ')})
      AS m (metric, y, y0, d, d0, c, c0, x, w)
     WHERE m.metric = ANY (f.metrics)) m`;
}

/** Bins as `binOf` has them; requests of one unit fall into one group. */
function histogramRows(fact: HistogramFact, asked: readonly Metric[]): string | undefined {
  const names = asked.flatMap((metric) =>
    metric.kind === 'quantile' && metric.fact === fact ? [`'${metric.name}'`] : [],
  );
  if (names.length === 0) return undefined;
  const column = { latencyMs: 'latency_ms', ttftMs: 'ttft_ms' }[fact];
  return `
    SELECT test, revision, arm, '${fact}' AS fact, (hashtextextended(unit, 0) & ${UNIT_GROUPS - 1})::smallint AS unit_group,
           (${binSql(column)})::smallint AS bin, count(*) AS requests
      FROM seen WHERE counts AND ${isTime(column)} AND metrics && ARRAY[${names.join(', ')}]
     GROUP BY 1, 2, 3, 4, 5, 6`;
}

const addToHistograms = (cells: readonly string[]): string => `
  INSERT INTO ab_test_histogram AS h (test, revision, arm, fact, unit_group, bins, requests)
  SELECT test, revision, arm, fact, unit_group, array_agg(bin), array_agg(requests)
    FROM (${cells.join(' UNION ALL ')}) c GROUP BY 1, 2, 3, 4, 5
  ON CONFLICT (test, revision, arm, fact, unit_group) DO UPDATE SET (bins, requests) = (
    SELECT array_agg(bin), array_agg(requests)
      FROM (SELECT bin, sum(requests)::bigint AS requests
              FROM (SELECT unnest(h.bins) AS bin, unnest(h.requests) AS requests
                    UNION ALL SELECT unnest(excluded.bins), unnest(excluded.requests)) two
             GROUP BY bin) merged)`;
