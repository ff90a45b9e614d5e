import { hashPrefix, murmur3After, type HashPrefix } from './murmur3.js';
import { BUCKETS } from './split.js';

/** Longest unit, in UTF-8 bytes. Longer ones are refused at the edge: they are payload, not an id. */
export const MAX_UNIT_BYTES = 512;

/** A salt as a resolver keeps it: the part of the hash that all units of a split share. */
export function saltPrefix(salt: string): HashPrefix {
  return hashPrefix(`${salt}:`);
}

/**
 * Bucket of a unit: `murmur3_x86_32(salt + ":" + unit) mod 10000`, over UTF-8 bytes, seed 0.
 * @param salt as text, or prepared with `saltPrefix`.
 * @returns an integer 0…9999. A pure function of its arguments.
 */
export function bucketOf(salt: string | HashPrefix, unit: string): number {
  return murmur3After(typeof salt === 'string' ? saltPrefix(salt) : salt, unit) % BUCKETS;
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
