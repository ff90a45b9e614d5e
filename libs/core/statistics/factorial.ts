import { chiSquareUpperTail } from './distributions.js';
import { contrast, trustedVariances, type Effect } from './effect.js';
import type { Estimate } from './estimate.js';

/** Effects of a test whose arms are all pairs of the levels of two factors (prompt × model). All on the absolute scale. */
export interface FactorialEffects {
  /** Level 1, 2, … of the first factor against its level 0, averaged over the second factor's levels with equal weights. */
  readonly rows: readonly Effect[];
  /** The same of the second factor. */
  readonly columns: readonly Effect[];
  /**
   * [i − 1][j − 1]: what level i of the first factor gains more with level j of the second than with its level 0:
   * (m_ij − m_0j) − (m_i0 − m_00). Where it is not 0, a main effect is an average over unlike things.
   */
  readonly interactions: readonly (readonly Effect[])[];
}

/**
 * Main effects and interactions of a k × m test from its arms, as contrasts of independent means (Montgomery, "Design and analysis of
 * experiments", ch. 5; unweighted means, so that unequal arms do not mix the factors' effects), with Satterthwaite's degrees of freedom.
 * Several effects are several tests: correct them with `holm`.
 * @param arms [level of the first factor][level of the second]: at least 2 × 2, every pair there.
 * @throws RangeError for a grid with holes or too few levels.
 */
export function factorialEffects(arms: readonly (readonly Estimate[])[]): FactorialEffects {
  const [k, m] = sizeOf(arms);
  const flat = arms.flat();
  const of = (weight: (i: number, j: number) => number) =>
    contrast(
      flat,
      flat.map((_, at) => weight(Math.floor(at / m), at % m)),
    );
  /** 1 at the level, −1 at level 0, else 0. */
  const against = (level: number, index: number) => Number(index === level) - Number(index === 0);
  const levels = (count: number) => Array.from({ length: count - 1 }, (_, at) => at + 1);
  return {
    rows: levels(k).map((row) => of((i) => against(row, i) / m)),
    columns: levels(m).map((column) => of((_, j) => against(column, j) / k)),
    interactions: levels(k).map((row) =>
      levels(m).map((column) => of((i, j) => against(row, i) * against(column, j))),
    ),
  };
}

/** Whether the factors interact at all. */
export interface InteractionTest {
  /** Wald's: approximately χ². */
  readonly statistic: number;
  readonly degreesOfFreedom: number;
  readonly pValue: number;
}

/**
 * One test of all (k − 1)(m − 1) interactions together, for one look: θ'Σ⁻¹θ of the interactions θ with the covariance of the arms'
 * own variances (Wald; unequal variances, as Welch's test). It finds what no single interaction shows, and needs no correction among
 * them; which interaction it is, `factorialEffects` tells. For a 2 × 2 test it is z² of the only one.
 * @returns statistic 0 and p-value 1 while an arm's variance is not known.
 * @throws RangeError for a grid with holes or too few levels.
 */
export function interactionTest(arms: readonly (readonly Estimate[])[]): InteractionTest {
  const [k, m] = sizeOf(arms);
  const { usual } = trustedVariances(arms.flat());
  const variance = (i: number, j: number) => usual[i * m + j]! / arms[i]![j]!.units;
  const pairs = Array.from({ length: (k - 1) * (m - 1) }, (_, at) => ({
    i: 1 + Math.floor(at / (m - 1)),
    j: 1 + (at % (m - 1)),
  }));
  const value = (i: number, j: number) => arms[i]![j]!.value;
  const effects = pairs.map(({ i, j }) => value(i, j) - value(0, j) - value(i, 0) + value(0, 0));
  // Two interactions share the arms of the levels they share.
  const covariance = pairs.map((a) =>
    pairs.map(
      (b) =>
        variance(0, 0) +
        (a.i === b.i ? variance(a.i, 0) : 0) +
        (a.j === b.j ? variance(0, a.j) : 0) +
        (a.i === b.i && a.j === b.j ? variance(a.i, a.j) : 0),
    ),
  );
  const statistic = quadraticForm(covariance, effects) ?? 0;
  return { statistic, degreesOfFreedom: pairs.length, pValue: chiSquareUpperTail(statistic, pairs.length) };
}

/** v'A⁻¹v of a symmetric A, by Cholesky's decomposition; undefined unless A is positive definite and finite. */
function quadraticForm(a: readonly (readonly number[])[], v: readonly number[]): number | undefined {
  const lower: number[][] = [];
  const solved: number[] = [];
  for (const [i, row] of a.entries()) {
    const made: number[] = [];
    const without = (values: readonly number[], start: number) =>
      values.reduce((rest, value, at) => rest - value * made[at]!, start);
    for (let j = 0; j < i; j++) made.push(without(lower[j]!.slice(0, j), row[j]!) / lower[j]![j]!);
    const pivot = without(made, row[i]!);
    if (!(pivot > 0 && pivot < Infinity)) return undefined;
    solved.push(without(solved, v[i]!) / Math.sqrt(pivot));
    lower.push([...made, Math.sqrt(pivot)]);
  }
  return solved.reduce((sum, value) => sum + value ** 2, 0);
}

/** @throws RangeError for a grid with holes or too few levels. */
function sizeOf(arms: readonly (readonly Estimate[])[]): [k: number, m: number] {
  const k = arms.length;
  const m = arms[0]?.length ?? 0;
  if (k < 2 || m < 2 || arms.some((row) => row.length !== m))
    throw new RangeError(
      'A factorial test needs an arm for every pair of levels, and two levels of each factor.',
    );
  return [k, m];
}
