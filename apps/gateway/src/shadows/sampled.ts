import { bucketOf } from '#libs/core/assignment/assign.js';
import { BUCKETS } from '#libs/core/assignment/split.js';
import type { Assigned } from '../resolve/assign.js';
import type { ServedShadow } from '../snapshot/snapshot.js';

/** A shadow that gets a copy, in the words of an assignment. */
export type Sampled = Assigned;

/**
 * Which shadows get a copy of a request. Pure but for `random`.
 * @param unit sampled the same way each time; without one, each request is drawn for itself.
 * @param random a number in [0, 1), asked once per shadow, and only without a unit.
 */
export function sampled(
  shadows: readonly ServedShadow[],
  unit: string | undefined,
  random: () => number,
): Sampled[] {
  const found: Sampled[] = [];
  for (const { arm, sampleBps, saltPrefix } of shadows) {
    const bucket = unit === undefined ? Math.floor(random() * BUCKETS) : bucketOf(saltPrefix, unit);
    if (bucket >= sampleBps) continue;
    const sticky = unit !== undefined;
    found.push({ arm, bucket, sticky, assignment: sticky ? 'split' : 'random' });
  }
  return found;
}
