import { requireInside, tQuantile, tTwoSided } from './distributions.js';
import type { Effect, Interval } from './effect.js';

export interface FixedHorizonOptions {
  /** Two-sided error rate, 0.05 unless said. */
  readonly alpha?: number;
  /** `t`: Welch's test (unless said). `z`: the normal distribution, for rates and large numbers. */
  readonly distribution?: 't' | 'z';
  /** The effect under the null hypothesis, 0 unless said: a margin, in the effect's scale. */
  readonly hypothesis?: number;
}

export interface FixedHorizonResult {
  /** (estimate − hypothesis) / standard error; 0 when the standard error is not known. */
  readonly statistic: number;
  readonly pValue: number;
  readonly interval: Interval;
}

/**
 * Two-sided test and interval for **one** look, at a moment that was set before the start. Read more often, it cries wolf (36 % of A/A
 * tests at 55 looks): use `alwaysValid` for that. Welch 1947, Biometrika 34.
 * @throws RangeError unless 0 < alpha < 1.
 */
export function fixedHorizon(effect: Effect, options: FixedHorizonOptions = {}): FixedHorizonResult {
  const { alpha = 0.05, distribution = 't', hypothesis = 0 } = options;
  requireInside('alpha', alpha, 0, 1);
  if (effect.standardError === Infinity)
    return { statistic: 0, pValue: 1, interval: { lower: -Infinity, upper: Infinity } };
  const degrees = distribution === 't' ? effect.degreesOfFreedom : Infinity;
  const statistic = (effect.estimate - hypothesis) / effect.standardError;
  const width = tQuantile(1 - alpha / 2, degrees) * effect.standardError;
  return {
    statistic,
    pValue: tTwoSided(statistic, degrees),
    interval: { lower: effect.estimate - width, upper: effect.estimate + width },
  };
}
