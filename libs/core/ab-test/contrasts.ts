import { alwaysValidMultiplier } from '../statistics/always-valid.js';
import { cupedContrast, cupedDifference } from '../statistics/cuped.js';
import type { Effect, Interval } from '../statistics/effect.js';
import type { AbTestRules } from './ab-test.js';
import { acrossPhases, averageEffects, type PhasePair } from './across-phases.js';
import { armEstimate, type ArmEstimate } from './arm-estimate.js';
import type { ArmPair, Comparison } from './comparison.js';
import type { Metric } from './metrics.js';

/** What is told of a treatment's metric against control's. */
export interface Contrasts {
  /** m_T − m_C − share·|m_C|: linear in the arms' values. With share 0 it is the absolute difference. */
  readonly beyond: (share: number) => Effect;
  /** (m_T − m_C)/|m_C| by the delta method; undefined where control is 0. */
  readonly relative: Effect | undefined;
  readonly cuped: Comparison['cuped'];
}

/** @returns undefined where no phase has a value of both arms. */
export function contrastsOf(metric: Metric, pairs: readonly ArmPair[]): Contrasts | undefined {
  const measured = measuredPairs(metric, pairs);
  if (measured.length === 0) return undefined;
  const adjusted = withCovariate(metric, measured);
  if (adjusted) return adjusted;
  const phases = measured.map(({ phase }) => phase);
  return {
    beyond: (share) =>
      acrossPhases(phases, (c, t) => ({
        value: t - c - share * Math.abs(c),
        slopes: [-1 - share * Math.sign(c), 1],
      }))!,
    relative: acrossPhases(phases, (c, t) =>
      c === 0 ? undefined : { value: (t - c) / Math.abs(c), slopes: [-t / c ** 2, 1 / Math.abs(c)] },
    ),
    cuped: null,
  };
}

/**
 * The always-valid interval of the relative difference: all shares whose contrast m_T − m_C − share·|m_C| is not told from 0 (Fieller
 * 1954). It leaves 0 out just when the absolute one does. The delta method's interval is too narrow on one side while control is few
 * standard errors from 0, and is left too soon when looked at often.
 *
 * The contrast's variance is a quadratic in the share, known from three shares; over phases that share units it is read between them.
 * Where control is not told from 0 the interval has no end on one side, or on both.
 */
export function relativeInterval(
  beyond: Contrasts['beyond'],
  { alpha, tunedUnits }: Required<Pick<AbTestRules, 'alpha' | 'tunedUnits'>>,
): Interval {
  const [none, plus, minus] = [beyond(0), beyond(1), beyond(-1)];
  const base = none.estimate - plus.estimate;
  const factor = alwaysValidMultiplier(none.units, alpha, tunedUnits) ** 2;
  const at = (effect: Effect) => factor * effect.cautiousError ** 2;
  const [middle, right, left] = [at(none), at(plus), at(minus)];
  // a·share² + b·share + c ≤ 0 holds inside the interval.
  const a = base ** 2 - ((right + left) / 2 - middle);
  const b = -2 * none.estimate * base - (right - left) / 2;
  const c = none.estimate ** 2 - middle;
  const root = -(b + (b < 0 ? -1 : 1) * Math.sqrt(Math.max(0, b ** 2 - 4 * a * c))) / 2;
  const ends = [root / a, c / root];
  const open = { lower: -Infinity, upper: Infinity };
  if (ends.some((end) => Number.isNaN(end))) return open;
  const [lower, upper] = [Math.min(...ends), Math.max(...ends)];
  if (a > 0) return { lower, upper };
  if (!(c > 0)) return open;
  return none.estimate > 0 ? { ...open, lower: upper } : { ...open, upper: lower };
}

interface MeasuredPair {
  readonly phase: PhasePair;
  readonly arms: ArmPair;
}

/** Phases in which both arms have a value. */
export function measuredPairs(metric: Metric, pairs: readonly ArmPair[]): MeasuredPair[] {
  return pairs.flatMap((arms) => {
    const control = armEstimate(metric, arms.control);
    const treatment = armEstimate(metric, arms.treatment);
    if (!control || !treatment) return [];
    return [{ arms, phase: pairOf(arms, control, treatment, metric.unit === 'ratio') }];
  });
}

/** Two arms' values of a phase as they are held against each other. */
export function pairOf(
  { control, treatment, returning }: ArmPair,
  controlValue: ArmEstimate,
  treatmentValue: ArmEstimate,
  areShares: boolean,
): PhasePair {
  const known = areShares
    ? allOrNothing(controlValue, treatmentValue)
    : { control: controlValue, treatment: treatmentValue };
  const treatmentShare = treatment.weightBps / (control.weightBps + treatment.weightBps);
  return { ...known, treatmentShare, returning };
}

/**
 * Shares of which one arm has all and the other none do not vary in either, and would never be told apart: a treatment that always fails
 * would never be found. They take the variance of (s + 1)/(n + 2), as if one more unit had gone either way (Laplace).
 */
function allOrNothing(control: ArmEstimate, treatment: ArmEstimate) {
  const known = (arm: ArmEstimate): ArmEstimate => {
    const p = (arm.value * arm.units + 1) / (arm.units + 2);
    return { ...arm, variance: p * (1 - p) };
  };
  const opposite =
    Math.abs(treatment.value - control.value) === 1 &&
    [control, treatment].every(({ variance, units }) => variance === 0 || units === 1);
  return opposite ? { control: known(control), treatment: known(treatment) } : { control, treatment };
}

/**
 * The difference with CUPED, where every phase has a covariate and it narrows the result. Not where an arm's own variance is not trusted
 * for many looks (few units, a thin rate): CUPED knows no such caution.
 */
function withCovariate(metric: Metric, measured: readonly MeasuredPair[]): Contrasts | undefined {
  if (metric.kind === 'quantile') return undefined;
  const { kind, name } = metric;
  const phases = measured.map(({ phase }) => phase);
  const plain = acrossPhases(phases, (c, t) => ({ value: t - c, slopes: [-1, 1] }))!;
  if (plain.cautiousError > plain.standardError || plain.standardError === Infinity) return undefined;
  const sums = measured.map(({ arms }) => [arms.control.sums[name]!, arms.treatment.sums[name]!] as const);
  if (
    sums.some((pair) => pair.some(({ x, xx, yx }) => x === undefined || xx === undefined || yx === undefined))
  )
    return undefined;
  const beyond = (share: number) => sums.map(([c, t]) => cupedContrast(kind, c, t, share));
  if (beyond(0).includes(undefined)) return undefined;
  const average = (effects: readonly (Effect | undefined)[]) => averageEffects(effects as Effect[], phases);
  const varianceReduction = 1 - (average(beyond(0)).standardError / plain.standardError) ** 2;
  if (!(varianceReduction > 0)) return undefined;
  const lifts = sums.map(([c, t]) => cupedDifference(kind, c, t, 'relative'));
  return {
    beyond: (share) => average(beyond(share)),
    relative: lifts.includes(undefined) ? undefined : average(lifts),
    cuped: { theta: cupedDifference(kind, ...sums.at(-1)!)!.theta, varianceReduction },
  };
}
