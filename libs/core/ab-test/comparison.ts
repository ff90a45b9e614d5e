import { alwaysValid, alwaysValidBound } from '../statistics/always-valid.js';
import { chanceToWin } from '../statistics/chance-to-win.js';
import { cupedDifference } from '../statistics/cuped.js';
import type { Effect, Interval, Scale } from '../statistics/effect.js';
import { fixedHorizon } from '../statistics/fixed-horizon.js';
import type { AbTestRules, ArmInput, Guardrail } from './ab-test.js';
import { acrossPhases, averageEffects, type PhasePair } from './across-phases.js';
import { armEstimate, type ArmEstimate } from './arm-estimate.js';
import type { Direction, Metric } from './metrics.js';
import { finite, type GuardrailResult, type Reading, type ResultInterval } from './results.js';

/** Control and a treatment in a phase in which both had traffic. */
export interface ArmPair {
  readonly control: ArmInput;
  readonly treatment: ArmInput;
  readonly returning: number;
}

export interface Comparison {
  readonly absolute: Reading | null;
  readonly relative: Reading | null;
  readonly cuped: { readonly theta: number; readonly varianceReduction: number } | null;
}

type Levels = Required<Pick<AbTestRules, 'alpha' | 'tunedUnits'>>;

/** A metric of a treatment against control's, on both scales. */
export function compare(
  metric: Metric,
  direction: Direction,
  pairs: readonly ArmPair[],
  levels: Levels,
): Comparison {
  const measured = measuredPairs(metric, pairs);
  if (measured.length === 0) return { absolute: null, relative: null, cuped: null };
  const phases = measured.map(({ phase }) => phase);
  const read = (effect: Effect | undefined) => (effect ? reading(effect, direction, levels) : null);
  const cuped = adjusted(metric, measured);
  if (cuped)
    return {
      absolute: read(cuped.absolute),
      relative: read(cuped.relative),
      cuped: { theta: cuped.theta, varianceReduction: cuped.varianceReduction },
    };
  const absolute = acrossPhases(phases, (c, t) => ({ value: t - c, slopes: [-1, 1] }));
  const relative = acrossPhases(phases, (c, t) =>
    c === 0 ? undefined : { value: (t - c) / Math.abs(c), slopes: [-t / c ** 2, 1 / Math.abs(c)] },
  );
  return { absolute: read(absolute), relative: read(relative), cuped: null };
}

/**
 * Is the treatment worse than control by more than the margin? Judged on m_T − m_C − margin·|m_C| (signs by direction), a linear
 * contrast: it exists where control is 0, unlike a relative difference. One-sided always-valid bounds at `alpha`.
 * @param alpha of this guardrail and treatment: the test's, divided by their number.
 */
export function guardrailResult(
  metric: Metric,
  direction: Direction,
  { margin, scale = 'relative' }: Guardrail,
  pairs: readonly ArmPair[],
  { alpha, tunedUnits }: Levels,
): GuardrailResult {
  const open = { margin, scale, state: 'open', beyondAtLeast: null, beyondAtMost: null } as const;
  const measured = measuredPairs(metric, pairs);
  if (measured.length === 0) return open;
  const sign = direction === 'lower' ? 1 : -1;
  const beyond = acrossPhases(
    measured.map(({ phase }) => phase),
    (c, t) => {
      const tolerated = scale === 'relative' ? margin * Math.abs(c) : margin;
      const slope = scale === 'relative' ? margin * Math.sign(c) : 0;
      return { value: sign * (t - c) - tolerated, slopes: [-sign - slope, sign] };
    },
  );
  if (!beyond) return open;
  const atLeast = alwaysValidBound(beyond, 'lower', { alpha, tunedUnits });
  const atMost = alwaysValidBound(beyond, 'upper', { alpha, tunedUnits });
  const state = atLeast > 0 ? 'breached' : atMost <= 0 ? 'held' : 'open';
  return { margin, scale, state, beyondAtLeast: finite(atLeast), beyondAtMost: finite(atMost) };
}

interface MeasuredPair {
  readonly phase: PhasePair;
  readonly arms: ArmPair;
}

/** Phases in which both arms have a value. */
function measuredPairs(metric: Metric, pairs: readonly ArmPair[]): MeasuredPair[] {
  return pairs.flatMap((arms) => {
    const control = armEstimate(metric, arms.control);
    const treatment = armEstimate(metric, arms.treatment);
    if (!control || !treatment) return [];
    const weights = arms.control.weightBps + arms.treatment.weightBps;
    const treatmentShare = arms.treatment.weightBps / weights;
    const known = metric.unit === 'ratio' ? allOrNothing(control, treatment) : { control, treatment };
    return [{ arms, phase: { ...known, treatmentShare, returning: arms.returning } }];
  });
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
function adjusted(metric: Metric, measured: readonly MeasuredPair[]) {
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
  const on = (scale: Scale) => {
    const effects = sums.map(([control, treatment]) => cupedDifference(kind, control, treatment, scale));
    const found = effects.filter((effect) => effect !== undefined);
    if (found.length < effects.length || found.some(({ theta }) => theta === 0)) return undefined;
    return { effect: averageEffects(found, phases), theta: found.at(-1)!.theta };
  };
  const absolute = on('absolute');
  if (!absolute) return undefined;
  const varianceReduction = 1 - (absolute.effect.standardError / plain.standardError) ** 2;
  if (!(varianceReduction > 0)) return undefined;
  return {
    absolute: absolute.effect,
    relative: on('relative')?.effect,
    theta: absolute.theta,
    varianceReduction,
  };
}

function reading(effect: Effect, direction: Direction, { alpha, tunedUnits }: Levels): Reading {
  const always = alwaysValid(effect, { alpha, tunedUnits });
  const once = fixedHorizon(effect, { alpha });
  const bayes = chanceToWin(effect, { alpha, lowerIsBetter: direction === 'lower' });
  const test = ({ interval, pValue }: { interval: Interval; pValue: number }) => ({
    interval: jsonInterval(interval),
    pValue,
    // Until all p-values are there.
    adjustedPValue: pValue,
  });
  return {
    estimate: effect.estimate,
    standardError: finite(effect.standardError),
    alwaysValid: test(always),
    fixedHorizon: test(once),
    chanceToWin: bayes.chanceToWin,
    lossOfShipping: finite(bayes.lossOfShipping),
    lossOfKeeping: finite(bayes.lossOfKeeping),
  };
}

export function jsonInterval({ lower, upper }: Interval): ResultInterval {
  return { lower: finite(lower), upper: finite(upper) };
}
