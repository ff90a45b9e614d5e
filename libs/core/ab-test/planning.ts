import { alwaysValidMultiplier } from '../statistics/always-valid.js';
import { normalQuantile } from '../statistics/distributions.js';
import type { Scale } from '../statistics/effect.js';
import type { Estimate } from '../statistics/estimate.js';
import { minimumDetectableEffect, requiredUnits } from '../statistics/power.js';
import { finite, type MaybeNumber } from './results.js';

export interface PlanOptions {
  /** The smallest effect that matters, above 0, in `scale`. */
  readonly effect: number;
  readonly scale: Scale;
  readonly alpha: number;
  readonly power: number;
  readonly tunedUnits: number;
  /** The treatment's share of the two arms' units, strictly between 0 and 1. */
  readonly treatmentShare: number;
  /** New units a day in the two arms together, if known. */
  readonly unitsPerDay?: number;
  /** Share of the variance that a covariate takes away, 0 unless known. */
  readonly varianceReduction?: number;
}

export interface Plan {
  /** Units of both arms for one look at a moment set before. */
  readonly fixedHorizonUnits: number;
  /** Units of both arms until a test that is looked at all the time finds the effect; about twice as many. */
  readonly alwaysValidUnits: number;
  readonly days: MaybeNumber;
}

/**
 * Units and days that an effect takes, from control's estimate now. For always-valid reading the units of one look times
 * ((multiplier + z_power)/(z_{1−α/2} + z_power))², the multiplier at these units.
 * @returns undefined where control does not know its variance, or is 0 on the relative scale.
 * @throws RangeError as `requiredUnits` does.
 */
export function planFor(control: Estimate, options: PlanOptions): Plan | undefined {
  const {
    effect,
    scale,
    alpha,
    power,
    tunedUnits,
    treatmentShare,
    unitsPerDay,
    varianceReduction = 0,
  } = options;
  if (!(control.variance > 0 && control.variance < Infinity)) return undefined;
  if (scale === 'relative' && control.value === 0) return undefined;
  const variance = control.variance * (1 - varianceReduction);
  const design = { control: { value: control.value, variance }, treatmentShare, alpha, power, scale };
  const fixedHorizonUnits = requiredUnits(design, effect).total;
  const z = normalQuantile(power);
  const once = normalQuantile(1 - alpha / 2) + z;
  // The multiplier hardly depends on the units: one step from twice as many is within 1 %.
  const always = alwaysValidMultiplier(2 * fixedHorizonUnits, alpha, tunedUnits) + z;
  const alwaysValidUnits = Math.ceil(fixedHorizonUnits * (always / once) ** 2);
  return {
    fixedHorizonUnits,
    alwaysValidUnits,
    days: unitsPerDay && unitsPerDay > 0 ? alwaysValidUnits / unitsPerDay : null,
  };
}

/** The effect (in `scale`, above 0) that so many units of both arms find, at one look; null where none is large enough. */
export function detectableWith(
  control: Estimate,
  units: number,
  { scale, alpha, power, treatmentShare }: Pick<PlanOptions, 'scale' | 'alpha' | 'power' | 'treatmentShare'>,
): MaybeNumber {
  if (!(control.variance > 0 && control.variance < Infinity)) return null;
  if (scale === 'relative' && control.value === 0) return null;
  const design = {
    control: { value: control.value, variance: control.variance },
    treatmentShare,
    alpha,
    power,
    scale,
  };
  const sizes = { control: units * (1 - treatmentShare), treatment: units * treatmentShare };
  return finite(minimumDetectableEffect(design, sizes));
}
