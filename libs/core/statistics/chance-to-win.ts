import { normalCdf, normalPdf, normalQuantile, requireInside, requirePositive } from './distributions.js';
import type { Effect, Interval } from './effect.js';

/** What was believed of the effect before the data, in the effect's scale: N(mean, standardDeviation²). */
export interface NormalPrior {
  readonly mean: number;
  readonly standardDeviation: number;
}

export interface ChanceToWinOptions {
  /** Flat unless said. On the relative scale N(0, 0.3²) is gbstats' proper default. */
  readonly prior?: NormalPrior;
  /** For cost, latency, errors. */
  readonly lowerIsBetter?: boolean;
  /** The interval holds 1 − alpha of the posterior; 0.05 unless said. */
  readonly alpha?: number;
}

export interface ChanceToWin {
  /** P(the treatment is better than control | data). */
  readonly chanceToWin: number;
  /** What shipping the treatment costs on average, counting it 0 where it is better: E[max(0, −gain)], in the effect's scale. */
  readonly lossOfShipping: number;
  /** What keeping control costs on average: E[max(0, gain)]. */
  readonly lossOfKeeping: number;
  readonly mean: number;
  readonly standardDeviation: number;
  readonly interval: Interval;
}

/**
 * Bayesian reading of an effect by the normal approximation of its likelihood (Stucchio 2015, "Bayesian A/B testing at VWO"; as gbstats).
 * Posterior precision 1/se² + 1/sd₀², mean weighted by these; P = Φ(m/s); losses s·φ(m/s) ∓ m·Φ(∓m/s). A standard error that is not
 * known leaves the prior; without one, chance ½ and infinite losses.
 * Not safe against looking often: with a flat prior P > 95 % comes as often by chance as p < 5 % one-sided.
 * @throws RangeError unless 0 < alpha < 1 and the prior's standard deviation is above 0.
 */
export function chanceToWin(effect: Effect, options: ChanceToWinOptions = {}): ChanceToWin {
  const { prior, lowerIsBetter = false, alpha = 0.05 } = options;
  requireInside('alpha', alpha, 0, 1);
  if (prior) requirePositive("The prior's standard deviation", prior.standardDeviation);
  const ofData = effect.standardError ** -2;
  const ofPrior = prior ? prior.standardDeviation ** -2 : 0;
  const precision = ofData + ofPrior;
  const half = normalQuantile(1 - alpha / 2);
  if (precision === 0)
    return {
      chanceToWin: 0.5,
      lossOfShipping: Infinity,
      lossOfKeeping: Infinity,
      mean: effect.estimate,
      standardDeviation: Infinity,
      interval: { lower: -Infinity, upper: Infinity },
    };
  const mean = (effect.estimate * ofData + (prior?.mean ?? 0) * ofPrior) / precision;
  const sd = 1 / Math.sqrt(precision);
  const z = (lowerIsBetter ? -mean : mean) / sd;
  return {
    chanceToWin: normalCdf(z),
    lossOfShipping: sd * meanAbove(-z),
    lossOfKeeping: sd * meanAbove(z),
    mean,
    standardDeviation: sd,
    interval: { lower: mean - half * sd, upper: mean + half * sd },
  };
}

/** E[max(0, z + N(0, 1))], the unit normal loss. */
function meanAbove(z: number): number {
  return Math.max(0, normalPdf(z) + z * normalCdf(z));
}
