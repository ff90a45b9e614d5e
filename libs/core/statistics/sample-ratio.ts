import { chiSquareUpperTail } from './distributions.js';

/** Below it the split is broken, not unlucky: at one look an hour, a healthy test alarms once in six weeks. */
export const SAMPLE_RATIO_ALPHA = 0.001;

export interface SampleRatio {
  /** Pearson's χ²: Σ (units − expected)²/expected. Infinity when units came to an arm with weight 0. */
  readonly statistic: number;
  readonly degreesOfFreedom: number;
  readonly pValue: number;
  /** The p-value is below 0.001: the results of the test are not to be believed before the cause is found. */
  readonly alarm: boolean;
  /** Units each arm should have, in the order given. */
  readonly expected: readonly number[];
}

/**
 * Sample-ratio check: do the units fall as the weights say? (Fabijan et al. 2019, KDD, "Diagnosing sample ratio mismatch".)
 *
 * Arms with weight 0 have no degree of freedom (gbstats counts one, and is a little blinder); a unit in one of them is an alarm by itself.
 * No units, or one arm with weight only: p-value 1.
 * @param units of each arm, counted once each.
 * @param weights of the arms, on any scale (basis points).
 * @throws RangeError for lists that do not match, negative or broken numbers, and weights that are all 0.
 */
export function sampleRatio(units: readonly number[], weights: readonly number[]): SampleRatio {
  if (units.length !== weights.length)
    throw new RangeError(
      `${units.length} counts of units need as many weights; there are ${weights.length}.`,
    );
  for (const value of [...units, ...weights])
    if (!(value >= 0 && value < Infinity))
      throw new RangeError(`Units and weights must be finite numbers, 0 or more; one is ${value}.`);
  const all = units.reduce((sum, value) => sum + value, 0);
  const whole = weights.reduce((sum, value) => sum + value, 0);
  if (whole === 0) throw new RangeError('At least one arm must have a weight above 0.');
  const expected = weights.map((weight) => (weight / whole) * all);
  let statistic = 0;
  for (const [i, count] of units.entries()) {
    if (expected[i]! > 0) statistic += (count - expected[i]!) ** 2 / expected[i]!;
    else if (count > 0) statistic = Infinity;
  }
  const degreesOfFreedom = weights.filter((weight) => weight > 0).length - 1;
  const pValue =
    degreesOfFreedom === 0 && statistic < Infinity ? 1 : chiSquareUpperTail(statistic, degreesOfFreedom);
  return { statistic, degreesOfFreedom, pValue, alarm: pValue < SAMPLE_RATIO_ALPHA, expected };
}
