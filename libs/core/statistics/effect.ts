import type { Estimate } from './estimate.js';

/** `absolute`: in the metric's unit. `relative`: as a share of the control's value (0.05 is 5 % more). */
export type Scale = 'absolute' | 'relative';

/**
 * A number estimated from several arms, with its error: a difference, a contrast, or one arm's value.
 *
 * An arm whose units are all alike takes the largest variance among the other arms: seeing no variation is not knowing that there is
 * none. Where that says nothing either (all arms without variation, or an arm with one unit) the errors are Infinity; intervals are then
 * infinite, p-values 1, the chance to win ½.
 */
export interface Effect {
  readonly estimate: number;
  readonly standardError: number;
  /** Of Student's t (Welch 1947, Satterthwaite 1946); meaningless when the standard error is Infinity. */
  readonly degreesOfFreedom: number;
  /** Units in all the arms it is made of: the clock of a confidence sequence. */
  readonly units: number;
  /** The standard error for looking often: larger where an arm's variance may be small by chance, see `alwaysValid`. */
  readonly cautiousError: number;
}

export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

/** A part of an effect's variance: slope² · variance of the arm's value, from that many units. */
export interface Share {
  readonly variance: number;
  readonly units: number;
}

/**
 * Effect from its value and independent parts of its variance.
 * @param forDegrees the parts that degrees of freedom go by, when these are other ones.
 * @param cautious the parts of the cautious error, when these are other ones.
 */
export function effectOf(
  value: number,
  shares: readonly Share[],
  forDegrees: readonly Share[] = shares,
  cautious: readonly Share[] = shares,
): Effect {
  const spread = totalVariance(forDegrees);
  const degrees =
    spread ** 2 / forDegrees.reduce((sum, share) => sum + share.variance ** 2 / (share.units - 1), 0);
  return {
    estimate: value,
    standardError: errorOf(shares),
    degreesOfFreedom: Number.isNaN(degrees) ? 1 : degrees,
    units: shares.reduce((sum, share) => sum + share.units, 0),
    cautiousError: errorOf(cautious),
  };
}

function totalVariance(shares: readonly Share[]): number {
  return shares.reduce((sum, share) => sum + share.variance, 0);
}

function errorOf(shares: readonly Share[]): number {
  const variance = totalVariance(shares);
  return variance > 0 && variance < Infinity ? Math.sqrt(variance) : Infinity;
}

/** Variances of the arms, where one that cannot be trusted is at least the largest of all. */
function variancesOf(arms: readonly Estimate[], distrusted: (arm: Estimate) => boolean): number[] {
  const largest = Math.max(...arms.map((arm) => arm.variance));
  return arms.map((arm) => (distrusted(arm) ? largest : arm.variance));
}

/** Variances of the arms for one look, and the cautious ones for many (see `alwaysValid`). */
export function trustedVariances(arms: readonly Estimate[]): { usual: number[]; cautious: number[] } {
  const few = arms.reduce((sum, arm) => sum + arm.units, 0) / (2 * arms.length);
  return {
    usual: variancesOf(arms, (arm) => arm.variance === 0),
    cautious: variancesOf(arms, (arm) => arm.variance === 0 || arm.thin || arm.units < few),
  };
}

/** One arm's own value as an effect, so that intervals can be drawn around it. */
export function valueEffect(arm: Estimate): Effect {
  return contrast([arm], [1]);
}

/**
 * Treatment minus control.
 *
 * absolute: m_T − m_C, variance s²_T/n_T + s²_C/n_C. relative: (m_T − m_C)/|m_C|, variance s²_T/(m_C²·n_T) + s²_C·m_T²/(m_C⁴·n_C) by the
 * delta method (Deng, Knoblich & Lu 2018, §2; as gbstats), which needs a control that is several standard errors away from 0.
 * Degrees of freedom are Welch's, of the absolute difference on both scales (as gbstats).
 *
 * @returns undefined on the relative scale when the control's value is 0: there is no such difference.
 */
export function difference(
  control: Estimate,
  treatment: Estimate,
  scale: Scale = 'absolute',
): Effect | undefined {
  const gap = treatment.value - control.value;
  if (scale === 'absolute') return combine(gap, [control, treatment], [-1, 1]);
  const base = control.value;
  if (base === 0) return undefined;
  return combine(
    gap / Math.abs(base),
    [control, treatment],
    [treatment.value / base ** 2, 1 / base],
    [-1, 1],
  );
}

/**
 * Σ cᵢ·mᵢ over independent arms, variance Σ cᵢ²·s²ᵢ/nᵢ, degrees of freedom by Satterthwaite. Arms with weight 0 take no part.
 * @throws RangeError unless there is one weight for each arm, and one that is not 0.
 */
export function contrast(arms: readonly Estimate[], weights: readonly number[]): Effect {
  if (arms.length !== weights.length || weights.every((weight) => weight === 0))
    throw new RangeError(
      `${arms.length} arms need as many weights, not all of them 0; there are ${weights.length}.`,
    );
  const taking = arms.filter((_, i) => weights[i] !== 0);
  return combine(
    arms.reduce((sum, arm, i) => sum + weights[i]! * arm.value, 0),
    taking,
    weights.filter((weight) => weight !== 0),
  );
}

function combine(
  value: number,
  arms: readonly Estimate[],
  slopes: readonly number[],
  slopesForDegrees = slopes,
): Effect {
  const shares = (variances: readonly number[], by: readonly number[]): Share[] =>
    arms.map(({ units }, i) => ({ variance: (by[i]! ** 2 * variances[i]!) / units, units }));
  const { usual, cautious } = trustedVariances(arms);
  return effectOf(value, shares(usual, slopes), shares(usual, slopesForDegrees), shares(cautious, slopes));
}
