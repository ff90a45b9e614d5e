import { normalCdf, normalQuantile, requireInside, requirePositive } from './distributions.js';
import type { Scale } from './effect.js';

/** What is expected of a test between control and one treatment before it starts. */
export interface Design {
  /** Control's expected value: a rate (its variance follows), or the value of a mean or ratio whose unit variance is given. */
  readonly control: { readonly rate: number } | { readonly value: number; readonly variance: number };
  /** Share of the units of the two arms that go to the treatment, 0.5 unless said. */
  readonly treatmentShare?: number;
  /** Two-sided error rate, 0.05 unless said. */
  readonly alpha?: number;
  /** Chance to find an effect that is there, 0.8 unless said. */
  readonly power?: number;
  /** The scale of effects and of the test, `absolute` unless said. */
  readonly scale?: Scale;
}

export interface RequiredUnits {
  readonly control: number;
  readonly treatment: number;
  readonly total: number;
  /** The total before arms were rounded up. */
  readonly exact: number;
}

/** Treatment's variance as t0 + t1·M + t2·M² of its value M, and the rest of a design with its defaults. */
function settled(design: Design) {
  const { control, treatmentShare = 0.5, alpha = 0.05, power = 0.8, scale = 'absolute' } = design;
  requireInside('treatmentShare', treatmentShare, 0, 1);
  requireInside('alpha', alpha, 0, 1);
  requireInside('power', power, 0, 1);
  const isRate = 'rate' in control;
  const value = isRate ? control.rate : control.value;
  if (isRate) requireInside("Control's rate", value, 0, 1);
  else requirePositive("Control's variance", control.variance);
  if (!Number.isFinite(value))
    throw new RangeError(`Control's value must be a finite number; it is ${value}.`);
  if (scale === 'relative' && value === 0)
    throw new RangeError(
      'There is no relative effect on a control whose value is 0; use the absolute scale.',
    );
  const [t0, t1, t2] = isRate ? [0, 1, -1] : [control.variance, 0, 0];
  const variance = isRate ? value * (1 - value) : control.variance;
  return { isRate, value, variance, t0, t1, t2, treatmentShare, alpha, power, scale };
}

type Settled = ReturnType<typeof settled>;

/** Treatment's value under an effect. @throws RangeError when it is no effect, or no rate. */
function treatmentValue(d: Settled, effect: number): number {
  if (!Number.isFinite(effect) || effect === 0)
    throw new RangeError(`The effect must be a finite number other than 0; it is ${effect}.`);
  const value = d.value + (d.scale === 'relative' ? effect * Math.abs(d.value) : effect);
  if (d.isRate && !(value >= 0 && value <= 1))
    throw new RangeError(`The effect ${effect} would make the treatment's rate ${value}, which is no rate.`);
  return value;
}

/** Variance of the estimated effect in the absolute unit; on the relative scale times control's value squared (delta method). */
function varianceOfEffect(d: Settled, treated: number, control: number, treatment: number): number {
  const ofTreatment = (d.t0 + d.t1 * treated + d.t2 * treated ** 2) / treatment;
  const slope = d.scale === 'relative' ? treated / d.value : 1;
  return ofTreatment + (slope ** 2 * d.variance) / control;
}

/**
 * Units that a two-sided test at a fixed horizon needs to find an effect: N = (z_{1−α/2} + z_power)²·V/effect², V the variance of the
 * effect with one unit in the arms together, unpooled (Chow, Shao & Wang 2008, §3.2 and §4.2; statsmodels' normal approximation). For
 * reading always-valid results multiply by about 1.9 to 2.3: (multiplier + z_power)² instead of (1.96 + z_power)².
 * @throws RangeError for a design or effect that cannot be.
 */
export function requiredUnits(design: Design, effect: number): RequiredUnits {
  const d = settled(design);
  const treated = treatmentValue(d, effect);
  const k = normalQuantile(1 - d.alpha / 2) + normalQuantile(d.power);
  const ofOne = varianceOfEffect(d, treated, 1 - d.treatmentShare, d.treatmentShare);
  const exact = Math.max(2, (k ** 2 * ofOne) / (treated - d.value) ** 2);
  const control = Math.ceil(exact * (1 - d.treatmentShare));
  const treatment = Math.ceil(exact * d.treatmentShare);
  return { control, treatment, total: control + treatment, exact };
}

/** Whole days until that many units have come. @throws RangeError unless unitsPerDay is above 0. */
export function requiredDays(units: number, unitsPerDay: number): number {
  requirePositive('unitsPerDay', unitsPerDay);
  return Math.ceil(units / unitsPerDay);
}

/** Units in each arm that a test has, or will have. */
export interface Sizes {
  readonly control: number;
  readonly treatment: number;
}

function checkSizes(sizes: Sizes): void {
  requirePositive("Control's units", sizes.control);
  requirePositive("The treatment's units", sizes.treatment);
}

/**
 * Chance that the two-sided test finds an effect with so many units: Φ(|effect|/se − z) + Φ(−|effect|/se − z). `treatmentShare` and
 * `power` of the design are not used.
 * @throws RangeError as `requiredUnits` does, and for sizes that are not above 0.
 */
export function powerOf(design: Design, sizes: Sizes, effect: number): number {
  const d = settled(design);
  checkSizes(sizes);
  const treated = treatmentValue(d, effect);
  const error = Math.sqrt(varianceOfEffect(d, treated, sizes.control, sizes.treatment));
  const z = normalQuantile(1 - d.alpha / 2);
  const away = error === 0 ? Infinity : Math.abs(treated - d.value) / error;
  return normalCdf(away - z) + normalCdf(-away - z);
}

/**
 * The smallest effect of a direction that so many units find with the design's power: |effect| = k·se, where se depends on the effect
 * for rates and on the relative scale, so that a quadratic in the treatment's value is solved (as GrowthBook's documentation of power).
 * @returns positive for `increase`, negative for `decrease`; undefined when no effect is large enough to be found.
 * @throws RangeError for a design or sizes that cannot be.
 */
export function minimumDetectableEffect(
  design: Design,
  sizes: Sizes,
  direction: 'increase' | 'decrease' = 'increase',
): number | undefined {
  const d = settled(design);
  checkSizes(sizes);
  const kk = (normalQuantile(1 - d.alpha / 2) + normalQuantile(d.power)) ** 2;
  const ofControl = d.variance / sizes.control;
  const relative = d.scale === 'relative';
  // (M − m)² = k²·((t0 + t1·M + t2·M²)/n_T + s²_C/n_C·slope²), slope 1 or M/m.
  const a = 1 - kk * (d.t2 / sizes.treatment + (relative ? ofControl / d.value ** 2 : 0));
  const b = -2 * d.value - (kk * d.t1) / sizes.treatment;
  const c = d.value ** 2 - kk * (d.t0 / sizes.treatment + (relative ? 0 : ofControl));
  if (a <= 0) return undefined;
  const root = Math.sqrt(Math.max(0, b * b - 4 * a * c));
  const treated = (-b + (direction === 'increase' ? root : -root)) / (2 * a);
  if (d.isRate && !(treated >= 0 && treated <= 1)) return undefined;
  return (treated - d.value) / (relative ? Math.abs(d.value) : 1);
}
