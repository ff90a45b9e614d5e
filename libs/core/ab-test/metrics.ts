import type { MetricKind } from '../statistics/estimate.js';

/** Which way is better. */
export type Direction = 'higher' | 'lower';

/**
 * What is known of one unit from its rows: sums over its requests, whatever became of them (intention to treat). A row without the fact
 * adds nothing; where a metric is an average over the rows that have the fact, their number is a total of its own (`…Rows`).
 */
export const UNIT_TOTALS = [
  'requests',
  /** Status `error` or `interrupted`. */
  'errors',
  'cancelled',
  /** Answered by another model endpoint or model than the first one tried. */
  'fallbacks',
  /** Rows held against an output contract. */
  'schemaRows',
  'schemaValid',
  /** Finish reason `content_filter`, or the error code of a guard. */
  'guardBlocks',
  'latencyRows',
  'latencyMs',
  'ttftRows',
  'ttftMs',
  'costMicroUsd',
  'inputTokens',
  'outputTokens',
] as const;

export type UnitTotal = (typeof UNIT_TOTALS)[number];

/** A total of the latest values of one feedback name: their sum, the judged inferences, or 1 if any value is above 0 (else 0). */
export interface FeedbackTotal {
  readonly feedback: string;
  readonly of: 'sum' | 'count' | 'positive';
}

/** The row fact whose distribution a quantile is of. */
export type HistogramFact = 'latencyMs' | 'ttftMs';

interface Described {
  /** `error_rate`, `feedback:solved`. */
  readonly name: string;
  /** Unless the test says otherwise. */
  readonly direction: Direction;
  /** Of the value: `ratio` (0.05 is 5 %), `ms`, `micro_usd`, `tokens`, `requests`, `score`. */
  readonly unit: string;
  readonly description: string;
}

/** A metric that sums over units tell: Σ numerator / Σ denominator, or / units where there is none. */
export interface SumMetric extends Described {
  readonly kind: MetricKind;
  /** `y` of a unit. */
  readonly numerator: UnitTotal | FeedbackTotal;
  /** `d` of a unit; of ratios only. */
  readonly denominator?: UnitTotal | FeedbackTotal;
}

export interface QuantileMetric extends Described {
  readonly kind: 'quantile';
  readonly fact: HistogramFact;
  /** 0.95 for p95. */
  readonly level: number;
}

export type Metric = SumMetric | QuantileMetric;

const ratio = (
  name: string,
  direction: Direction,
  unit: string,
  numerator: UnitTotal,
  denominator: UnitTotal,
  description: string,
): SumMetric => ({ name, kind: 'ratio', direction, unit, numerator, denominator, description });

const perUnit = (
  name: string,
  direction: Direction,
  unit: string,
  numerator: UnitTotal,
  description: string,
): SumMetric => ({ name, kind: 'mean', direction, unit, numerator, description });

const QUANTILES = [0.5, 0.95, 0.99] as const;

function quantiles(prefix: string, fact: HistogramFact, what: string): QuantileMetric[] {
  return QUANTILES.map((level) => ({
    name: `${prefix}_p${level * 100}`,
    kind: 'quantile',
    direction: 'lower',
    unit: 'ms',
    fact,
    level,
    description: `${what}: the time ${level * 100} % of the requests stay within.`,
  }));
}

/** The metrics that rows alone tell. */
export const STANDARD_METRICS: readonly Metric[] = [
  ratio('error_rate', 'lower', 'ratio', 'errors', 'requests', 'Share of requests that failed.'),
  ratio('cancel_rate', 'lower', 'ratio', 'cancelled', 'requests', 'Share of requests the caller gave up.'),
  ratio(
    'fallback_rate',
    'lower',
    'ratio',
    'fallbacks',
    'requests',
    'Share of requests answered by another model endpoint or model than the first one tried.',
  ),
  ratio(
    'schema_valid_rate',
    'higher',
    'ratio',
    'schemaValid',
    'schemaRows',
    'Share of the answers held against an output contract that satisfy it.',
  ),
  ratio(
    'guard_block_rate',
    'lower',
    'ratio',
    'guardBlocks',
    'requests',
    'Share of requests a guard stopped.',
  ),
  ratio('latency_ms_mean', 'lower', 'ms', 'latencyMs', 'latencyRows', 'Mean time to the end of the answer.'),
  ...quantiles('latency_ms', 'latencyMs', 'Time to the end of the answer'),
  ratio('ttft_ms_mean', 'lower', 'ms', 'ttftMs', 'ttftRows', 'Mean time to the first content of the answer.'),
  ...quantiles('ttft_ms', 'ttftMs', 'Time to the first content of the answer'),
  ratio(
    'cost_micro_usd_per_request',
    'lower',
    'micro_usd',
    'costMicroUsd',
    'requests',
    'Cost per request; a request without a known cost counts 0.',
  ),
  perUnit('cost_micro_usd_per_unit', 'lower', 'micro_usd', 'costMicroUsd', 'Cost per unit.'),
  ratio(
    'input_tokens_per_request',
    'lower',
    'tokens',
    'inputTokens',
    'requests',
    'Prompt tokens per request.',
  ),
  ratio(
    'output_tokens_per_request',
    'lower',
    'tokens',
    'outputTokens',
    'requests',
    'Completion tokens per request.',
  ),
  perUnit(
    'requests_per_unit',
    'lower',
    'requests',
    'requests',
    'Requests per unit. Fewer is better unless the test says so: who has an answer does not ask again.',
  ),
];

const BY_NAME: ReadonlyMap<string, Metric> = new Map(STANDARD_METRICS.map((metric) => [metric.name, metric]));

/** Longest name of a feedback in a metric. */
const FEEDBACK_NAME = /^[^\s:][^\0]{0,127}$/;

/**
 * The metric of a name: a standard one, `feedback:<name>` (mean of the latest values over the judged inferences, clustered by unit) or
 * `feedback_rate:<name>` (share of all units with any latest value above 0).
 * @returns undefined for any other name; `metricProblem` says what is wrong with it.
 */
export function findMetric(name: string): Metric | undefined {
  const standard = BY_NAME.get(name);
  if (standard) return standard;
  const [, prefix, feedback] = /^(feedback|feedback_rate):(.+)$/s.exec(name) ?? [];
  if (feedback === undefined || !FEEDBACK_NAME.test(feedback)) return undefined;
  if (prefix === 'feedback')
    return {
      name,
      kind: 'ratio',
      direction: 'higher',
      unit: 'score',
      numerator: { feedback, of: 'sum' },
      denominator: { feedback, of: 'count' },
      description: `Mean of the latest "${feedback}" over the inferences that have one (true is 1, false 0).`,
    };
  return {
    name,
    kind: 'rate',
    direction: 'higher',
    unit: 'ratio',
    numerator: { feedback, of: 'positive' },
    description: `Share of the units that have a "${feedback}" above 0 (or true).`,
  };
}

/** What is wrong with a name of a metric, and how to mend it; undefined for a good one. */
export function metricProblem(name: string): string | undefined {
  if (findMetric(name)) return undefined;
  return `There is no metric "${name}"; use feedback:<name>, feedback_rate:<name>, or one of ${[...BY_NAME.keys()].join(', ')}.`;
}

/** Name of the feedback a metric is about; undefined for metrics of rows. */
export function feedbackOf(metric: Metric): string | undefined {
  if (metric.kind === 'quantile' || typeof metric.numerator === 'string') return undefined;
  return metric.numerator.feedback;
}
