import { trustedVariances, type Effect } from '../statistics/effect.js';
import type { ArmEstimate } from './arm-estimate.js';

/** Control and one treatment in one phase. */
export interface PhasePair {
  readonly control: ArmEstimate;
  readonly treatment: ArmEstimate;
  /** The treatment's share of the two arms' weights, strictly between 0 and 1. */
  readonly treatmentShare: number;
  /** Share of the phase's units that were seen in an earlier phase. */
  readonly returning: number;
}

/** A linear reading of the two arms' values: what it is, and its slopes by control's and the treatment's value. */
export interface LinearReading {
  readonly value: number;
  readonly slopes: readonly [control: number, treatment: number];
}

/** An effect of one phase with what it weighs. */
interface Part {
  readonly weight: number;
  readonly units: number;
  readonly returning: number;
  /** Variances of the weighted effect: of both arms. */
  readonly variance: number;
  readonly cautious: number;
  readonly degreesOfFreedom: number;
}

/**
 * What a phase weighs: units · π(1 − π), π the treatment's share. It is the inverse of the variance that units alike would have (as
 * Cochran–Mantel–Haenszel weigh strata), and is known before the phase's data are: the differences stay a sum of martingale differences,
 * for which confidence sequences hold (Waudby-Smith et al., arXiv 2103.06476, §2.4), even where earlier data set the split.
 */
export function phaseWeights(pairs: readonly Pick<PhasePair, 'control' | 'treatment' | 'treatmentShare'>[]): {
  weights: number[];
  clock: number;
} {
  const information = pairs.map(
    ({ control, treatment, treatmentShare: p }) => (control.units + treatment.units) * p * (1 - p),
  );
  const whole = information.reduce((sum, value) => sum + value, 0);
  const first = pairs[0]!.treatmentShare;
  return {
    weights: information.map((value) => value / whole),
    // In units of the first phase, so that variance and clock grow together, and one phase has its own units.
    clock: whole / (first * (1 - first)),
  };
}

/**
 * One effect from the same comparison in several phases: arms are compared within each phase, and these differences averaged. Sums of
 * phases with unlike splits are never added up (Simpson's paradox). Units seen in several phases make their differences dependent; the
 * covariance is taken at its largest possible, r·√(n_q/n_p)·se_p·se_q, r the returning share of the later phase.
 * @param read value and slopes from the arms' weighted values.
 * @returns undefined where `read` says so (no relative difference to a control of 0).
 */
export function acrossPhases(
  pairs: readonly PhasePair[],
  read: (control: number, treatment: number) => LinearReading | undefined,
): Effect | undefined {
  const { weights, clock } = phaseWeights(pairs);
  const mean = (of: (pair: PhasePair) => number) =>
    pairs.reduce((sum, pair, i) => sum + weights[i]! * of(pair), 0);
  const control = mean((pair) => pair.control.value);
  const treatment = mean((pair) => pair.treatment.value);
  const reading = read(control, treatment);
  if (!reading) return undefined;
  const largest = largestVariance(pairs.flatMap(({ control, treatment }) => [control, treatment]));
  const parts = pairs.map((pair, i) => part(pair, weights[i]!, reading.slopes, largest, pairs.length > 1));
  return combine(reading.value, parts, clock);
}

function part(
  pair: PhasePair,
  weight: number,
  slopes: LinearReading['slopes'],
  largest: number,
  several: boolean,
): Part {
  // Beside other phases, an arm that does not know its variance takes the largest of all, as it does beside other arms.
  const known = (arm: ArmEstimate): ArmEstimate =>
    several ? { ...arm, variance: knownVariance(arm, largest) } : arm;
  const arms = [known(pair.control), known(pair.treatment)];
  const { usual, cautious } = trustedVariances(arms);
  const ofValue = (variances: readonly number[], by: readonly number[]) =>
    arms.map(({ units }, i) => (by[i]! ** 2 * variances[i]!) / units);
  const plain = ofValue(usual, [1, 1]);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const degrees =
    sum(plain) ** 2 /
    sum(plain.map((variance, i) => variance ** 2 / ((arms[i]!.clusters ?? arms[i]!.units) - 1)));
  return {
    weight,
    units: pair.control.units + pair.treatment.units,
    returning: pair.returning,
    variance: weight ** 2 * sum(ofValue(usual, slopes)),
    cautious: weight ** 2 * sum(ofValue(cautious, slopes)),
    degreesOfFreedom: atLeastOne(degrees),
  };
}

function knownVariance({ variance }: ArmEstimate, largest: number): number {
  return largest > 0 && (variance === 0 || variance === Infinity) ? largest : variance;
}

/** The largest variance that any of the arms knows. */
export function largestVariance(arms: readonly ArmEstimate[]): number {
  return Math.max(0, ...arms.map(({ variance }) => variance).filter(Number.isFinite));
}

/** Effects of phases that are there already (adjusted by CUPED), averaged with the phases' weights. */
export function averageEffects(effects: readonly Effect[], pairs: readonly PhasePair[]): Effect {
  const { weights, clock } = phaseWeights(pairs);
  const parts = effects.map((effect, i) => ({
    weight: weights[i]!,
    units: pairs[i]!.control.units + pairs[i]!.treatment.units,
    returning: pairs[i]!.returning,
    variance: (weights[i]! * effect.standardError) ** 2,
    cautious: (weights[i]! * effect.cautiousError) ** 2,
    degreesOfFreedom: effect.degreesOfFreedom,
  }));
  const value = effects.reduce((sum, effect, i) => sum + weights[i]! * effect.estimate, 0);
  return combine(value, parts, clock);
}

/**
 * One arm's value over several phases, each weighing as many units as it had in all its arms: the same weights for every arm.
 * @param largest variance of any arm in these phases: what an arm takes that does not know its own, beside other phases.
 */
export function armAcrossPhases(
  phases: readonly { readonly arm: ArmEstimate; readonly units: number; readonly returning: number }[],
  largest: number,
): Effect {
  const whole = phases.reduce((sum, { units }) => sum + units, 0);
  const parts = phases.map(({ arm, units, returning }) => {
    const weight = units / whole;
    const known = phases.length > 1 ? knownVariance(arm, largest) : arm.variance;
    const variance = (weight ** 2 * known) / arm.units;
    const degreesOfFreedom = atLeastOne((arm.clusters ?? arm.units) - 1);
    return { weight, units: arm.units, returning, variance, cautious: variance, degreesOfFreedom };
  });
  const value = phases.reduce((sum, { arm, units }) => sum + (units / whole) * arm.value, 0);
  return combine(
    value,
    parts,
    parts.reduce((sum, { units }) => sum + units, 0),
  );
}

function combine(estimate: number, parts: readonly Part[], clock: number): Effect {
  const variance = parts.reduce((sum, { variance }) => sum + variance, 0);
  const degrees =
    variance ** 2 / parts.reduce((sum, each) => sum + each.variance ** 2 / each.degreesOfFreedom, 0);
  return {
    estimate,
    standardError: errorOf(parts, (each) => each.variance),
    cautiousError: errorOf(parts, (each) => each.cautious),
    degreesOfFreedom: atLeastOne(degrees),
    units: clock,
  };
}

/** One unit has no degree of freedom of its own; with the variance of other phases it has few. */
function atLeastOne(degrees: number): number {
  return degrees >= 1 ? degrees : 1;
}

function errorOf(parts: readonly Part[], of: (part: Part) => number): number {
  // By index and with roots taken once: an adaptive test may have hundreds of phases, and every pair of them counts.
  const deviations = parts.map((part) => Math.sqrt(of(part)));
  const roots = parts.map(({ units }) => Math.sqrt(units));
  let variance = 0;
  for (const [q, later] of parts.entries()) {
    variance += of(later);
    if (later.returning === 0) continue;
    for (let p = 0; p < q; p++) {
      const ratio = roots[q]! / roots[p]!;
      variance += 2 * Math.min(1, later.returning * ratio, 1 / ratio) * deviations[p]! * deviations[q]!;
    }
  }
  return variance > 0 && variance < Infinity ? Math.sqrt(variance) : Infinity;
}
