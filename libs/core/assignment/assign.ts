import { murmur3Joined } from './murmur3.js';
import { BUCKETS } from './split.js';

/** Longest unit, in UTF-8 bytes. Longer ones are refused at the edge: they are payload, not an id. */
export const MAX_UNIT_BYTES = 512;

/**
 * Bucket of a unit: `murmur3_x86_32(salt + ":" + unit) mod 10000`, over UTF-8 bytes, seed 0.
 * @returns an integer 0…9999. A pure function of its arguments.
 */
export function bucketOf(salt: string, unit: string): number {
  return murmur3Joined(salt, unit) % BUCKETS;
}

/** Says what is wrong with a unit in words that tell how to mend it; undefined when it is fine. */
export function unitProblem(unit: string): string | undefined {
  if (unit.length === 0) return 'The unit is empty; leave it out to be assigned at random, or send an id.';
  if (unit.includes('\0')) return 'The unit contains a NUL byte; send a conversation, user or tenant id.';
  const bytes = Buffer.byteLength(unit, 'utf8');
  if (bytes > MAX_UNIT_BYTES)
    return `The unit has ${bytes} bytes; the limit is ${MAX_UNIT_BYTES}. Send an id, or a hash of the long value.`;
  return undefined;
}
