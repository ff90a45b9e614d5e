import { bucketOf } from '#libs/core/assignment/assign.js';
import { armAt, BUCKETS } from '#libs/core/assignment/split.js';
import type { Assignment } from '#libs/core/inference/inference-row.js';
import type { ServedArm, ServedEndpoint } from '../snapshot/snapshot.js';

export interface Assigned {
  readonly arm: ServedArm;
  /** 0…9999: the unit's bucket, or the drawn one. */
  readonly bucket: number;
  readonly assignment: Assignment;
  /** Whether the same unit gets the same arm again. */
  readonly sticky: boolean;
}

/**
 * Which arm answers. Pure but for `random`.
 * @param unit what sticks to an arm, checked with `unitProblem` before; undefined draws an arm at random.
 * @param random a number in [0, 1), asked only without a unit.
 */
export function assignArm(
  endpoint: ServedEndpoint,
  unit: string | undefined,
  random: () => number,
): Assigned {
  if (unit === undefined) {
    const bucket = Math.floor(random() * BUCKETS);
    return { arm: armOf(endpoint, bucket), bucket, assignment: 'random', sticky: false };
  }
  const bucket = bucketOf(endpoint.saltPrefix, unit);
  const override = endpoint.overrides.size > 0 ? endpoint.overrides.get(unit) : undefined;
  if (override !== undefined)
    return { arm: endpoint.arms[override]!, bucket, assignment: 'override', sticky: true };
  return { arm: armOf(endpoint, bucket), bucket, assignment: 'split', sticky: true };
}

function armOf(endpoint: ServedEndpoint, bucket: number): ServedArm {
  const index = armAt(endpoint.ranges, bucket);
  if (index === undefined)
    throw new Error(
      `Bucket ${bucket} of split revision ${endpoint.splitRevision} of "${endpoint.name}" has no arm.`,
    );
  return endpoint.arms[index]!;
}
