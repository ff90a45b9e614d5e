import { difference, effectOf, type Effect, type Scale, type Share } from './effect.js';
import { covariateEstimate, estimate, type Estimate, type MetricKind } from './estimate.js';
import { pooled, type ArmSums } from './sums.js';

export interface CupedEffect extends Effect {
  /** θ; 0 when the covariate tells nothing and the difference is the plain one. */
  readonly theta: number;
  /** Share of the plain difference's variance that is gone, 0…1; below 0 in the rare sample where it did harm. */
  readonly varianceReduction: number;
}

/**
 * θ = cov(Y, X)/var(X) over the units of all arms together (Deng, Xu, Kohavi & Walker 2013, WSDM, eq. 4): a θ per arm would let the
 * effect leak into the adjustment. Ratios are taken as the delta method makes them linear.
 * @returns 0 when it cannot be told: fewer than two units, a covariate without variance, or either without a value.
 * @throws RangeError as `estimate` does.
 */
export function cupedTheta(kind: MetricKind, arms: readonly ArmSums[]): number {
  const together = covariateEstimate(kind, pooled(arms));
  if (together === undefined || !(together.covariateVariance > 0)) return 0;
  return together.covariance / together.covariateVariance;
}

/**
 * An arm's estimate with the covariate's part taken out: ȳ − θ(x̄ − x̄_all), variance s²_y + θ²s²_x − 2θ·s_xy. Centred on the covariate's
 * value over all arms, so that it stays on the metric's scale; differences do not depend on that.
 * @param center the covariate's value over all arms: `covariateEstimate(kind, pooled(arms))?.covariateValue`.
 * @returns the plain estimate when there is nothing to adjust by.
 */
export function cupedEstimate(
  kind: MetricKind,
  sums: ArmSums,
  theta: number,
  center: number,
): Estimate | undefined {
  const arm = theta === 0 ? undefined : covariateEstimate(kind, sums);
  if (arm === undefined) return estimate(kind, sums);
  return {
    units: arm.units,
    thin: arm.thin,
    value: arm.value - theta * (arm.covariateValue - center),
    variance: Math.max(0, arm.variance + theta ** 2 * arm.covariateVariance - 2 * theta * arm.covariance),
  };
}

/**
 * Treatment minus control with CUPED, by a covariate that was known before assignment (else it takes the effect away with the noise).
 *
 * absolute: (ȳ_T − θx̄_T) − (ȳ_C − θx̄_C). relative: that over |ȳ_C|, with the delta method's variance of the joint moments,
 * (s²_yT + θ²s²_xT − 2θs_xyT)/(n_T·ȳ_C²) + (s²_yC·q² − 2θs_xyC·q + θ²s²_xC)/(n_C·ȳ_C²), q = ȳ_T/ȳ_C (GrowthBook, "Technical CUPED details";
 * control and treatment have the same covariate in expectation).
 *
 * @returns the plain difference with `theta` 0 when there is nothing to adjust by, or an arm's own variance says little (all units
 *   alike, a rate with fewer than 5 of either outcome); undefined where `difference` would be, or an arm has no value.
 * @throws RangeError as `estimate` does.
 */
export function cupedDifference(
  kind: MetricKind,
  control: ArmSums,
  treatment: ArmSums,
  scale: Scale = 'absolute',
): CupedEffect | undefined {
  const plainC = estimate(kind, control);
  const plainT = estimate(kind, treatment);
  if (plainC === undefined || plainT === undefined) return undefined;
  const plain = difference(plainC, plainT, scale);
  if (plain === undefined) return undefined;
  const parts = adjustedParts(kind, control, treatment);
  if (parts === undefined) return { ...plain, theta: 0, varianceReduction: 0 };

  const { theta, c, t, gap, shares } = parts;
  const adjusted =
    scale === 'absolute'
      ? effectOf(gap, shares(1))
      : effectOf(
          gap / Math.abs(c.value),
          shares(t.value / c.value).map((share) => ({ ...share, variance: share.variance / c.value ** 2 })),
          shares(1),
        );
  return { ...adjusted, theta, varianceReduction: reduction(plain, adjusted) };
}

/**
 * Treatment minus control with CUPED, less a share of control's value: (ȳ_T − θx̄_T) − (ȳ_C − θx̄_C) − share·|ȳ_C|, linear in the arms'
 * values, so that it holds where control is near 0.
 * @returns undefined when there is nothing to adjust by, as `cupedDifference` has it.
 * @throws RangeError as `estimate` does.
 */
export function cupedContrast(
  kind: MetricKind,
  control: ArmSums,
  treatment: ArmSums,
  share: number,
): Effect | undefined {
  const parts = adjustedParts(kind, control, treatment);
  if (parts === undefined) return undefined;
  const { c, gap, shares } = parts;
  return effectOf(gap - share * Math.abs(c.value), shares(1 + share * Math.sign(c.value)), shares(1));
}

/** The adjusted difference and the variances of its arms by control's slope; undefined when there is nothing to adjust by. */
function adjustedParts(kind: MetricKind, control: ArmSums, treatment: ArmSums) {
  const plain = [estimate(kind, control), estimate(kind, treatment)];
  if (plain.some((arm) => arm === undefined || arm.thin || arm.variance === 0)) return undefined;
  const theta = cupedTheta(kind, [control, treatment]);
  const c = theta === 0 ? undefined : covariateEstimate(kind, control);
  const t = theta === 0 ? undefined : covariateEstimate(kind, treatment);
  if (c === undefined || t === undefined) return undefined;
  const share = (arm: typeof c, slope: number): Share => ({
    variance:
      Math.max(
        0,
        slope ** 2 * arm.variance - 2 * slope * theta * arm.covariance + theta ** 2 * arm.covariateVariance,
      ) / arm.units,
    units: arm.units,
  });
  return {
    theta,
    c,
    t,
    gap: t.value - c.value - theta * (t.covariateValue - c.covariateValue),
    shares: (slope: number) => [share(c, slope), share(t, 1)],
  };
}

function reduction(plain: Effect, adjusted: Effect): number {
  if (plain.standardError === Infinity || adjusted.standardError === Infinity) return 0;
  return 1 - (adjusted.standardError / plain.standardError) ** 2;
}
