import { v7 } from 'uuid';
import { binOf } from '../../libs/core/histogram/log-bins.js';
import { findMetric, UNIT_TOTALS, type UnitTotal } from '../../libs/core/ab-test/metrics.js';
import type { InferenceRow } from '../../libs/core/inference/inference-row.js';
import type { ModelCall } from '../../libs/core/inference/model-call.js';
import { sumsOf, type ArmSums } from '../../libs/core/statistics/sums.js';
import { inferenceRow, insertInferences } from './inferences.js';
import type { TestRegistry } from './registry.js';

/** Inserts rows, with their model calls as the gateway's shipper writes them. */
export async function insertRows(
  registry: TestRegistry,
  rows: readonly Partial<InferenceRow>[],
): Promise<string[]> {
  const whole = rows.map((row) =>
    inferenceRow({
      startedAt: new Date().toISOString(),
      ...row,
      ...(row.modelCalls && { modelCalls: JSON.parse(row.modelCalls) as string }),
    }),
  );
  await insertInferences(registry.database.client, whole);
  return whole.map(({ id }) => id);
}

/** As in the database: what `modelCalls` of a row says that a fallback answered. */
export const FELL_BACK = JSON.stringify([
  { step: 'ask' },
  { step: 'fallback' },
] satisfies Partial<ModelCall>[]);

/** One row as the reference reads it. */
interface StoredRow {
  readonly id: string;
  readonly arm: string;
  readonly revision: number;
  readonly unit: string | null;
  readonly status: string;
  readonly finish_reason: string | null;
  readonly model_calls: { step: string }[] | null;
  readonly schema_valid: boolean | null;
  readonly latency_ms: number | null;
  readonly ttft_ms: number | null;
  readonly cost_micro_usd: number | null;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly counts: boolean;
  readonly shadow: boolean;
}

const facts = (row: StoredRow): Record<UnitTotal, number> => ({
  requests: 1,
  errors: Number(row.status === 'error' || row.status === 'interrupted'),
  cancelled: Number(row.status === 'cancelled'),
  fallbacks: Number(row.model_calls?.some(({ step }) => step === 'fallback') ?? false),
  schemaRows: Number(row.schema_valid !== null),
  schemaValid: Number(row.schema_valid === true),
  guardBlocks: Number(row.finish_reason === 'content_filter'),
  latencyRows: Number(row.latency_ms !== null),
  latencyMs: Math.round((row.latency_ms ?? 0) * 1000),
  ttftRows: Number(row.ttft_ms !== null),
  ttftMs: Math.round((row.ttft_ms ?? 0) * 1000),
  costMicroUsd: row.cost_micro_usd ?? 0,
  inputTokens: row.input_tokens ?? 0,
  outputTokens: row.output_tokens ?? 0,
});

type Totals = Record<UnitTotal, number>;
const none = (): Totals => Object.fromEntries(UNIT_TOTALS.map((name) => [name, 0])) as Totals;
const add = (to: Totals, more: Totals): void => {
  for (const name of UNIT_TOTALS) to[name] += more[name];
};

interface Judged {
  sum: number;
  count: number;
  positive: number;
}

/**
 * Sums, exposures and histograms of a test, computed from scratch and all at once: from its rows and feedback as they are, one
 * by one, in this language. Times are in microseconds, as the tables have them.
 */
export async function fromScratch(registry: TestRegistry, testId: string) {
  const query = async <T>(text: string, values: unknown[]): Promise<T[]> =>
    (await registry.database.client.query(text, values)).rows as T[];
  const rows = await query<StoredRow>(
    `SELECT i.id, i.arm, i.split_revision AS revision, i.unit, i.status, i.finish_reason, i.model_calls, i.schema_valid, i.latency_ms,
            i.ttft_ms, i.cost_micro_usd, i.input_tokens, i.output_tokens,
            i.assignment <> 'override' AND i.shadow_of IS NULL AS counts, i.shadow_of IS NOT NULL AS shadow
       FROM inference i JOIN endpoint e ON e.name = i.endpoint JOIN ab_test t ON t.endpoint_id = e.id
      WHERE t.id = $1 AND i.started_at >= t.started_at AND i.arrived >= t.started_arrival
        AND i.split_revision BETWEEN t.first_revision AND coalesce(t.last_revision, 1000000)
        AND (t.stopped_at IS NULL OR i.started_at < t.stopped_at OR i.arrived < t.stopped_arrival)`,
    [testId],
  );
  const before = await query<StoredRow>(
    `SELECT i.*, i.split_revision AS revision FROM inference i JOIN endpoint e ON e.name = i.endpoint JOIN ab_test t ON t.endpoint_id = e.id
      WHERE t.id = $1 AND i.arrived < t.started_arrival
        AND i.started_at < t.started_at AND i.started_at >= t.started_at - interval '14 days'
        AND i.unit IS NOT NULL AND i.shadow_of IS NULL
        AND (SELECT count(DISTINCT a.chain_version_id) FROM split s JOIN arm a ON a.split_id = s.id
              WHERE s.endpoint_id = e.id AND s.revision = i.split_revision AND a.weight_bps > 0) = 1`,
    [testId],
  );
  const judgements = await query<{ inference: string; name: string; value: number }>(
    `SELECT matched_inference_id AS inference, name, number_value AS value FROM feedback
      WHERE latest AND number_value IS NOT NULL AND matched_inference_id = ANY ($1)`,
    [rows.map(({ id }) => id)],
  );
  const [{ metrics }] = (await query<{ metrics: string[] }>('SELECT metrics FROM ab_test WHERE id = $1', [
    testId,
  ])) as [{ metrics: string[] }];

  const past = new Map<string, Totals>();
  for (const row of before) {
    if (!past.has(row.unit!)) past.set(row.unit!, none());
    add(past.get(row.unit!)!, facts(row));
  }
  const units = new Map<
    string,
    { unit: string; revision: number; arm: string; totals: Totals; judged: Map<string, Judged> }
  >();
  const exposure = new Map<string, Record<string, number>>();
  const histogram = new Map<string, number>();
  for (const row of rows) {
    const arm = `${row.revision} ${row.arm}`;
    if (!exposure.has(arm))
      exposure.set(arm, {
        units: 0,
        newcomers: 0,
        requests: 0,
        without_unit: 0,
        errors: 0,
        interrupted: 0,
        overrides: 0,
        shadows: 0,
      });
    const seen = exposure.get(arm)!;
    if (row.shadow) seen.shadows!++;
    if (!row.counts && !row.shadow) seen.overrides!++;
    if (!row.counts) continue;
    seen.requests!++;
    seen.without_unit! += Number(row.unit === null);
    seen.errors! += facts(row).errors;
    seen.interrupted! += Number(row.status === 'interrupted');
    const unit = row.unit ?? row.id;
    const key = `${arm} ${unit}`;
    if (!units.has(key))
      units.set(key, { unit, revision: row.revision, arm: row.arm, totals: none(), judged: new Map() });
    const found = units.get(key)!;
    add(found.totals, facts(row));
    for (const { name, value } of judgements.filter(({ inference }) => inference === row.id)) {
      const judged = found.judged.get(name) ?? { sum: 0, count: 0, positive: 0 };
      found.judged.set(name, {
        sum: judged.sum + value,
        count: judged.count + 1,
        positive: Math.max(judged.positive, Number(value > 0)),
      });
    }
    for (const [fact, ms] of [
      ['latencyMs', row.latency_ms],
      ['ttftMs', row.ttft_ms],
    ] as const) {
      if (ms === null) continue;
      const bin = `${arm} ${fact} ${binOf(ms)}`;
      histogram.set(bin, (histogram.get(bin) ?? 0) + 1);
    }
  }
  for (const { unit, revision, arm } of units.values()) {
    const phases = [...units.values()].filter((other) => other.unit === unit);
    const first = phases.sort((a, b) => a.revision - b.revision || (a.arm < b.arm ? -1 : 1))[0]!;
    exposure.get(`${revision} ${arm}`)!.units!++;
    if (first.revision === revision && first.arm === arm) exposure.get(`${revision} ${arm}`)!.newcomers!++;
  }

  const sums = new Map<string, ArmSums>();
  for (const name of metrics) {
    const metric = findMetric(name)!;
    if (metric.kind === 'quantile') continue;
    const valued = [...units.values()].map(({ totals, judged, unit, ...where }) => {
      const of = (total: typeof metric.numerator, from: Totals | undefined): number => {
        if (typeof total === 'string') return from?.[total] ?? 0;
        return { sum: 0, count: 0, positive: 0, ...judged.get(total.feedback) }[total.of];
      };
      const isRow = typeof metric.numerator === 'string';
      const values = {
        y: of(metric.numerator, totals),
        ...(metric.denominator && { d: of(metric.denominator, totals) }),
        ...(isRow && { x: of(metric.numerator, past.get(unit)) }),
        ...(isRow && metric.denominator && { w: of(metric.denominator, past.get(unit)) }),
      };
      return { ...where, values };
    });
    for (const arm of new Set(valued.map((unit) => `${unit.revision} ${unit.arm}`))) {
      const counted = valued
        .filter((unit) => `${unit.revision} ${unit.arm}` === arm && unit.values.d !== 0)
        .map(({ values }) => values);
      if (counted.length > 0) sums.set(`${arm} ${name}`, sumsOf(counted));
    }
  }
  return { sums, exposure, histogram };
}

/** Which followers have to come past which arrivals before what they feed can be looked at. */
const FOLLOWED = {
  'ab-test-rows': 'inference',
  'feedback-rows': 'inference',
  'feedback-events': 'feedback',
  'ab-test-judgements': 'feedback_change',
} as const;

/** Whether these followers have dealt with all there is: a transaction of anybody on the server may hold them up for a moment. */
export async function haveFollowed(
  registry: TestRegistry,
  names = Object.keys(FOLLOWED) as (keyof typeof FOLLOWED)[],
): Promise<boolean> {
  const each = names.map(
    (name) =>
      `coalesce((SELECT max(arrived) FROM ${FOLLOWED[name]}), -1) < (SELECT position FROM follower WHERE name = '${name}')`,
  );
  const { rows } = await registry.database.client.query(`SELECT ${each.join(' AND ')} AS all`);
  return rows[0].all;
}

export const newId = (): string => v7();
