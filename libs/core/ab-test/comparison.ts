import { alwaysValid, alwaysValidBound } from '../statistics/always-valid.js';
import { chanceToWin } from '../statistics/chance-to-win.js';
import type { Effect, Interval, Scale } from '../statistics/effect.js';
import { fixedHorizon } from '../statistics/fixed-horizon.js';
import type { AbTestRules, ArmInput, Guardrail } from './ab-test.js';
import { acrossPhases } from './across-phases.js';
import { contrastsOf, measuredPairs, relativeInterval } from './contrasts.js';
import type { Direction, Metric } from './metrics.js';
import { finite, type GuardrailResult, type Reading, type ResultInterval } from './results.js';

const HIGHEST_ALPHA = 0.25;

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

/** A metric of a treatment against control's, on both scales. Proven is the same on both: it is told by the absolute difference. */
export function compare(
  metric: Metric,
  direction: Direction,
  pairs: readonly ArmPair[],
  levels: Levels,
): Comparison {
  const found = contrastsOf(metric, pairs);
  if (!found) return { absolute: null, relative: null, cuped: null };
  const absolute = reading(found.beyond(0), direction, levels);
  const relative = found.relative && reading(found.relative, direction, levels);
  return {
    absolute,
    relative: relative
      ? {
          ...relative,
          alwaysValid: {
            ...absolute.alwaysValid,
            interval: jsonInterval(relativeInterval(found.beyond, levels)),
          },
        }
      : null,
    cuped: found.cuped,
  };
}

/**
 * Is the treatment's gain proven to be below the minimum effect, and proven to be above its negative? Judged as guardrails are, on
 * (m_T − m_C) ∓ minimumEffect·|m_C| on the relative scale.
 * @param alpha of this treatment: the test's, divided by their number.
 */
export function withinMinimum(
  metric: Metric,
  direction: Direction,
  pairs: readonly ArmPair[],
  { scale, minimumEffect, ...levels }: Levels & { readonly scale: Scale; readonly minimumEffect: number },
): { readonly below: boolean; readonly above: boolean } {
  const found = contrastsOf(metric, pairs);
  if (!found) return { below: false, above: false };
  const interval = (effect: number) => {
    if (scale === 'relative') return alwaysValid(found.beyond(effect), levels).interval;
    const absolute = found.beyond(0);
    return alwaysValid({ ...absolute, estimate: absolute.estimate - effect }, levels).interval;
  };
  const less = interval(minimumEffect).upper < 0;
  const more = interval(-minimumEffect).lower > 0;
  return direction === 'higher' ? { below: less, above: more } : { below: more, above: less };
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
  // A bound needs less than one half, and is widest just below it.
  const levels = { alpha: Math.min(alpha, HIGHEST_ALPHA), tunedUnits };
  const atLeast = alwaysValidBound(beyond, 'lower', levels);
  const atMost = alwaysValidBound(beyond, 'upper', levels);
  const state = atLeast > 0 ? 'breached' : atMost <= 0 ? 'held' : 'open';
  return { margin, scale, state, beyondAtLeast: finite(atLeast), beyondAtMost: finite(atMost) };
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
