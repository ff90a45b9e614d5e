import { normalQuantile, requireInside } from './distributions.js';
import type { Interval } from './effect.js';

/**
 * Interval of one arm's rate by Wilson's score, without correction for continuity (Wilson 1927, JASA 22; Brown, Cai & DasGupta 2001):
 * (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²))/(1 + z²/n). It stays within 0…1, and is not empty where all units are alike, as the interval
 * by the standard error is. For one look at a moment set before; units, not requests.
 * @returns 0…1 without units.
 * @throws RangeError for counts that cannot be, and unless 0 < alpha < 1.
 */
export function wilsonInterval(successes: number, units: number, alpha = 0.05): Interval {
  requireInside('alpha', alpha, 0, 1);
  if (!(successes >= 0 && successes <= units && units < Infinity))
    throw new RangeError(`${successes} successes of ${units} units cannot be.`);
  if (units === 0) return { lower: 0, upper: 1 };
  const zz = normalQuantile(1 - alpha / 2) ** 2;
  const failures = units - successes;
  const middle = successes + zz / 2;
  const reach = Math.sqrt(zz * ((successes * failures) / units + zz / 4));
  return {
    // The differences that are 0 are so to the last digit.
    lower: successes === 0 ? 0 : (middle - reach) / (units + zz),
    upper: failures === 0 ? 1 : (middle + reach) / (units + zz),
  };
}
