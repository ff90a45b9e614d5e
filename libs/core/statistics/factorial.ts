import { contrast, type Effect } from './effect.js';
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
  const k = arms.length;
  const m = arms[0]?.length ?? 0;
  if (k < 2 || m < 2 || arms.some((row) => row.length !== m))
    throw new RangeError(
      'A factorial test needs an arm for every pair of levels, and two levels of each factor.',
    );
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
