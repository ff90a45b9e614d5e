import { requireInside, requirePositive } from './distributions.js';
import type { Effect, Interval } from './effect.js';

/** The number of units (both arms together) at which the sequence is narrowest, unless said: gbstats' default. */
export const TUNED_UNITS = 5000;

export interface AlwaysValidOptions {
  /** Error rate over all looks together, 0.05 unless said. */
  readonly alpha?: number;
  /** N*: units of the arms together at which to be narrowest; about those the test is planned for. Set before the start, never moved. */
  readonly tunedUnits?: number;
  /** The effect under the null hypothesis, 0 unless said. */
  readonly hypothesis?: number;
}

export interface AlwaysValidResult {
  /** Of the mixture sequential probability ratio test: may be read at any time, and is below alpha just when the interval leaves the hypothesis out. */
  readonly pValue: number;
  readonly interval: Interval;
}

/**
 * ρ of the mixing distribution N(0, ρ²) that makes the sequence narrowest at N* units: ρ² = (−2 ln α + ln(−2 ln α + 1))/N*
 * (Waudby-Smith et al. 2021, arXiv 2103.06476, eq. 161).
 * @throws RangeError unless 0 < alpha < 1 and tunedUnits is above 0.
 */
export function mixtureRho(alpha: number, tunedUnits: number = TUNED_UNITS): number {
  requireInside('alpha', alpha, 0, 1);
  requirePositive('tunedUnits', tunedUnits);
  const twice = -2 * Math.log(alpha);
  return Math.sqrt((twice + Math.log(twice + 1)) / tunedUnits);
}

/** Half width of the sequence in standard errors: what 1.96 is to a fixed horizon. */
export function alwaysValidMultiplier(units: number, alpha = 0.05, tunedUnits: number = TUNED_UNITS): number {
  requirePositive('units', units);
  const v = units * mixtureRho(alpha, tunedUnits) ** 2;
  return Math.sqrt(((2 * (v + 1)) / v) * Math.log(Math.sqrt(v + 1) / alpha));
}

/**
 * Asymptotic confidence sequence and p-value of an effect: valid at every look together, however often and whenever one looks or stops.
 *
 * interval: estimate ± se · √(2(Nρ² + 1)/(Nρ²) · ln(√(Nρ² + 1)/α)), N units of both arms (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
 * 2021/2024, Annals of Statistics 52(6), eq. 9; as gbstats; the same as Howard et al. 2021, arXiv 1810.08240, eq. 14).
 * pValue: min(1, √(Nρ² + 1) · exp(−ρ²·N·z²/(2(Nρ² + 1)))), the mixture SPRT (Robbins 1970; eq. 155), as the interval's inverse.
 *
 * Asymptotic, so se is the effect's `cautiousError`: an arm with less than half of an even share of the units (a quarter of two arms'), and
 * a rate with fewer than 5 units of either outcome, take the largest variance of the arms. Their own may be small by chance, as long as
 * what makes it large has not been seen: split 1 : 99, the formula as published rejects in 5 to 80 % of A/A tests. Between arms of like
 * size it changes nothing.
 * docs/statistics.md has what remains, in figures. The p-value of one look may rise again; the least of all looks so far is valid too.
 * @throws RangeError for alpha and tunedUnits as `mixtureRho` does.
 */
export function alwaysValid(effect: Effect, options: AlwaysValidOptions = {}): AlwaysValidResult {
  const { alpha = 0.05, tunedUnits = TUNED_UNITS, hypothesis = 0 } = options;
  const rho = mixtureRho(alpha, tunedUnits);
  const { cautiousError: standardError, units } = effect;
  if (standardError === Infinity) return { pValue: 1, interval: { lower: -Infinity, upper: Infinity } };
  const v = units * rho ** 2;
  const z = (effect.estimate - hypothesis) / standardError;
  const width = alwaysValidMultiplier(units, alpha, tunedUnits) * standardError;
  return {
    // In logarithms: √(v + 1) and exp(…) alone leave the range of numbers long before their product does.
    pValue: Math.min(1, Math.exp(Math.log(v + 1) / 2 - (v * z * z) / (2 * (v + 1)))),
    interval: { lower: effect.estimate - width, upper: effect.estimate + width },
  };
}

/**
 * One-sided confidence sequence, for guardrails ("is it worse than the margin?"): the bound below which (`lower`) or above which
 * (`upper`) the effect does not lie, at error rate alpha over all looks together.
 *
 * estimate ∓ se · √(2(Nρ² + 1)/(Nρ²) · ln(1 + √(Nρ² + 1)/(2α))), ρ tuned for 2α (Waudby-Smith et al. 2021, eq. 134).
 * @throws RangeError unless 0 < alpha < 0.5.
 */
export function alwaysValidBound(
  effect: Effect,
  side: 'lower' | 'upper',
  options: Omit<AlwaysValidOptions, 'hypothesis'> = {},
): number {
  const { alpha = 0.05, tunedUnits = TUNED_UNITS } = options;
  requireInside('alpha', alpha, 0, 0.5);
  const sign = side === 'lower' ? -1 : 1;
  const { cautiousError: standardError, units } = effect;
  if (standardError === Infinity) return sign * Infinity;
  const v = units * mixtureRho(2 * alpha, tunedUnits) ** 2;
  const width = Math.sqrt(((2 * (v + 1)) / v) * Math.log1p(Math.sqrt(v + 1) / (2 * alpha)));
  return effect.estimate + sign * width * standardError;
}
