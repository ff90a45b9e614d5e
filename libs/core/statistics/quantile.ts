import { normalQuantile, requireInside } from './distributions.js';
import type { Estimate } from './estimate.js';

/** One quantile of one arm's requests: three order statistics, and for clustered errors sums over units. */
export interface QuantileSums {
  /** ν: 0.95 for p95. */
  readonly level: number;
  /** All values (requests) of the arm. */
  readonly values: number;
  /** The value at rank ⌈values · level⌉. */
  readonly quantile: number;
  /** The values at the ranks that `quantileRanks` gives for 95 %. */
  readonly lower: number;
  readonly upper: number;
  /** Absent when every unit has one value. */
  readonly clusters?: QuantileClusters;
}

/** Sums over units: `s` values at or below the arm's quantile, `n` values, of one unit. */
export interface QuantileClusters {
  readonly units: number;
  readonly s: number;
  readonly ss: number;
  readonly n: number;
  readonly nn: number;
  readonly sn: number;
}

/** The interval between the order statistics, whose width tells the density around the quantile. */
const Z = normalQuantile(0.975);

/**
 * Ranks (1-based, not rounded: take ⌊lower⌋ and ⌈upper⌉, or interpolate) of the order statistics that enclose the quantile:
 * values · (ν ± z·√(ν(1 − ν)/values)).
 * @param z 1.96 (95 %) unless said.
 * @returns undefined while there are too few values for both ranks to exist: up to z²·ν/(1 − ν) (73 for p95, 381 for p99).
 * @throws RangeError for a level outside 0…1 or a broken count.
 */
export function quantileRanks(
  values: number,
  level: number,
  z: number = Z,
): { lower: number; upper: number } | undefined {
  requireInside('A quantile level', level, 0, 1);
  if (!Number.isInteger(values) || values < 0)
    throw new RangeError(`The number of values must be an integer, 0 or more; it is ${values}.`);
  if (values <= z ** 2 * Math.max(level / (1 - level), (1 - level) / level)) return undefined;
  const reach = z * Math.sqrt((level * (1 - level)) / values);
  return { lower: values * (level - reach), upper: values * (level + reach) };
}

/**
 * A quantile as an estimate, to be compared like any other (`difference`, `fixedHorizon`, `chanceToWin`).
 *
 * Standard error: (upper − lower)/(2z), times √((values − 1)/values) as gbstats; for requests clustered in units times the square root
 * of Var(share of values below the quantile, by the delta method over units)/(ν(1 − ν)/values) (Deng, Knoblich & Lu 2018, arXiv
 * 1803.06336, §4). Degrees of freedom go by units, of which there are fewer than values; gbstats takes the values.
 *
 * @returns undefined with too few values. Order statistics that coincide give variance 0, which `difference` does not take at its
 *   word. A single unit has infinite variance.
 * @throws RangeError when `lower ≤ quantile ≤ upper` does not hold, or for counts that cannot be.
 */
export function quantileEstimate(sums: QuantileSums): Estimate | undefined {
  const { level, values, quantile, lower, upper, clusters } = sums;
  if (!(lower <= quantile && quantile <= upper))
    throw new RangeError(`The quantile ${quantile} must lie between ${lower} and ${upper}.`);
  if (quantileRanks(values, level) === undefined) return undefined;
  const independent = ((upper - lower) / (2 * Z)) ** 2 * ((values - 1) / values);
  if (!clusters) return { units: values, value: quantile, variance: independent * values, thin: false };
  const factor = clusterVariance(clusters) / ((level * (1 - level)) / values);
  return {
    units: clusters.units,
    value: quantile,
    variance: independent * factor * clusters.units,
    thin: false,
  };
}

/** Variance of Σs/Σn over units, by the delta method: (s²_s − 2µ·s_sn + µ²·s²_n)/(units · n̄²), µ = Σs/Σn. */
function clusterVariance(clusters: QuantileClusters): number {
  const { units, s, ss, n, nn, sn } = clusters;
  if (!Number.isInteger(units) || units < 1 || !(n > 0) || s > n)
    throw new RangeError(`${units} units with ${s} of ${n} values at or below the quantile cannot be.`);
  if (units === 1) return Infinity;
  const covariance = (product: number, a: number, b: number) => (product - (a * b) / units) / (units - 1);
  const share = s / n;
  const variance =
    covariance(ss, s, s) - 2 * share * covariance(sn, s, n) + share ** 2 * covariance(nn, n, n);
  return (Math.max(0, variance) * units) / n ** 2;
}
