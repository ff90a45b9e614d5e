import { checkSums, covarianceOf, meanOf, type ArmSums, type Variable } from './sums.js';

/**
 * `mean`: Σy/n, of anything measured per unit (cost of a conversation). `rate`: the same of units that are 0 or 1 (the conversation
 * was solved). `ratio`: Σy/Σd, of anything measured per request while units are assigned (share of valid answers, latency per request).
 */
export type MetricKind = 'mean' | 'rate' | 'ratio';

/** A metric of one arm. Everything after it (differences, intervals, power) needs only this. */
export interface Estimate {
  /** n: units. */
  readonly units: number;
  /** In the metric's unit. */
  readonly value: number;
  /**
   * Variance of what one unit contributes, in the metric's unit squared: the value's own variance is `variance / units`.
   * Infinity with a single unit: one unit says nothing about how units vary.
   */
  readonly variance: number;
  /** A rate with fewer than 5 units of either outcome: p(1 − p) may then be far too small. Only always-valid results take care of it. */
  readonly thin: boolean;
}

/** Units of either outcome from which on p(1 − p) is trusted at every look; simulated in peeking.spec.ts. */
const ENOUGH_OUTCOMES = 5;

/** An estimate with its covariate, both as the delta method makes them linear. */
export interface CovariateEstimate extends Estimate {
  readonly covariateValue: number;
  readonly covariateVariance: number;
  readonly covariance: number;
}

/** ∂value/∂mean of each variable: the delta method's gradient. */
type Gradient = readonly (readonly [Variable, number])[];

/** @throws RangeError when the metric is a rate and its y are not counts of units. */
function checkRate(sums: ArmSums): void {
  if (sums.y < 0 || sums.y > sums.units)
    throw new RangeError(`A rate's sum must lie between 0 and its ${sums.units} units; it is ${sums.y}.`);
}

/** Value and gradient of Σa/n or Σa/Σb; undefined over no units or a denominator of 0. */
function linear(
  sums: ArmSums,
  over: Variable,
  under?: Variable,
): { value: number; gradient: Gradient } | undefined {
  if (sums.units === 0) return undefined;
  const mean = meanOf(sums, over);
  if (under === undefined) return { value: mean, gradient: [[over, 1]] };
  const denominator = meanOf(sums, under);
  if (denominator === 0) return undefined;
  const value = mean / denominator;
  return {
    value,
    gradient: [
      [over, 1 / denominator],
      [under, -value / denominator],
    ],
  };
}

function covarianceAlong(sums: ArmSums, a: Gradient, b: Gradient): number {
  let total = 0;
  for (const [i, slopeA] of a)
    for (const [j, slopeB] of b) total += slopeA * slopeB * covarianceOf(sums, i, j);
  return total;
}

/**
 * Estimate of a metric from the sums of an arm.
 *
 * mean: ȳ, variance s²_y · rate: p, variance p(1 − p) · ratio: R = ȳ/d̄, variance (s²_y − 2R·s_yd + R²·s²_d)/d̄² by the delta method
 * (Deng, Knoblich & Lu 2018, arXiv 1803.06336, §3.1: the same as cluster-robust errors).
 *
 * @returns undefined where there is no value: over no units, or for a ratio whose denominators add to 0. A single unit has a value
 *   and an infinite variance; units that are all alike have variance 0, which `difference` does not
 *   take at its word.
 * @throws RangeError for sums that cannot be, or that are missing.
 */
export function estimate(kind: MetricKind, sums: ArmSums): Estimate | undefined {
  checkSums(sums);
  if (kind === 'rate') checkRate(sums);
  const metric = linear(sums, 'y', kind === 'ratio' ? 'd' : undefined);
  if (metric === undefined) return undefined;
  return {
    units: sums.units,
    value: metric.value,
    variance: varianceOf(kind, sums, metric),
    thin: kind === 'rate' && Math.min(sums.y, sums.units - sums.y) < ENOUGH_OUTCOMES,
  };
}

function varianceOf(kind: MetricKind, sums: ArmSums, metric: { value: number; gradient: Gradient }): number {
  if (sums.units < 2) return Infinity;
  // Without n/(n − 1), as the z test for proportions and gbstats have it.
  if (kind === 'rate') return metric.value * (1 - metric.value);
  return Math.max(0, covarianceAlong(sums, metric.gradient, metric.gradient));
}

/**
 * The estimate together with its covariate `x` (or `x/w`) and their covariance, for CUPED.
 * @returns undefined where metric or covariate have no value, and with fewer than two units.
 * @throws RangeError as `estimate` does, and when there is no covariate.
 */
export function covariateEstimate(kind: MetricKind, sums: ArmSums): CovariateEstimate | undefined {
  const plain = estimate(kind, sums);
  if (plain === undefined || sums.units < 2) return undefined;
  const metric = linear(sums, 'y', kind === 'ratio' ? 'd' : undefined);
  const covariate = linear(sums, 'x', sums.w === undefined ? undefined : 'w');
  if (metric === undefined || covariate === undefined) return undefined;
  return {
    ...plain,
    covariateValue: covariate.value,
    covariateVariance: Math.max(0, covarianceAlong(sums, covariate.gradient, covariate.gradient)),
    covariance: covarianceAlong(sums, metric.gradient, covariate.gradient),
  };
}

/** Standard error of the value, in the metric's unit; Infinity with a single unit. */
export function standardErrorOf(value: Estimate): number {
  return Math.sqrt(value.variance / value.units);
}
