import gammainc from '@stdlib/math-base-special-gammainc';
import normalCdfOf from '@stdlib/stats-base-dists-normal-cdf';
import normalPdfOf from '@stdlib/stats-base-dists-normal-pdf';
import normalQuantileOf from '@stdlib/stats-base-dists-normal-quantile';
import tCdfOf from '@stdlib/stats-base-dists-t-cdf';
import tQuantileOf from '@stdlib/stats-base-dists-t-quantile';

/** Above it Student's t is the normal distribution to every digit a double has (and t's quantile fails far above it). */
const NORMAL_FROM_DEGREES = 1e15;

/** Φ(x), the standard normal distribution. Exact in the lower tail: take `normalCdf(-x)`, never `1 - normalCdf(x)`. */
export function normalCdf(x: number): number {
  return normalCdfOf(x, 0, 1);
}

/** φ(x), the standard normal density. */
export function normalPdf(x: number): number {
  return normalPdfOf(x, 0, 1);
}

/**
 * Φ⁻¹(p).
 * @throws RangeError unless 0 < p < 1.
 */
export function normalQuantile(p: number): number {
  requireInside('A probability', p, 0, 1);
  return normalQuantileOf(p, 0, 1);
}

/** P(|T| ≥ |t|) for Student's t with that many degrees of freedom; Infinity is the normal distribution. */
export function tTwoSided(t: number, degreesOfFreedom: number): number {
  const lower = -Math.abs(t);
  return Math.min(
    1,
    2 * (degreesOfFreedom > NORMAL_FROM_DEGREES ? normalCdf(lower) : tCdfOf(lower, degreesOfFreedom)),
  );
}

/**
 * Quantile of Student's t; with infinitely many degrees of freedom, of the normal distribution.
 * @throws RangeError unless 0 < p < 1.
 */
export function tQuantile(p: number, degreesOfFreedom: number): number {
  requireInside('A probability', p, 0, 1);
  return degreesOfFreedom > NORMAL_FROM_DEGREES ? normalQuantile(p) : tQuantileOf(p, degreesOfFreedom);
}

/** P(χ² ≥ x) with that many degrees of freedom, by the upper incomplete gamma function: 1 − cdf would be 0 from x = 70 on. */
export function chiSquareUpperTail(x: number, degreesOfFreedom: number): number {
  if (x <= 0) return 1;
  if (x === Infinity) return 0;
  return gammainc(x / 2, degreesOfFreedom / 2, true, true);
}

/** @throws RangeError unless `low < value < high`. */
export function requireInside(what: string, value: number, low: number, high: number): void {
  if (!(value > low && value < high))
    throw new RangeError(`${what} must be greater than ${low} and less than ${high}; it is ${value}.`);
}

/** @throws RangeError unless the value is a finite number above 0. */
export function requirePositive(what: string, value: number): void {
  if (!(value > 0 && value < Infinity))
    throw new RangeError(`${what} must be a finite number above 0; it is ${value}.`);
}
