import type { BinCount } from '../histogram/log-bins.js';

/** Groups of units per arm, by a hash of the unit: the clusters of a quantile's error. */
export const UNIT_GROUPS = 64;

/** Counts of one group of units, in any order. Groups without requests may be left out. */
export interface GroupHistogram {
  readonly group: number;
  readonly bins: readonly BinCount[];
}
