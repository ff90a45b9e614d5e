import { describe, expect, it } from 'vitest';
import { bucketOf, MAX_UNIT_BYTES, unitProblem } from './assign.js';
import { BUCKETS } from './split.js';

/** Pearson's χ² of counts against equal shares. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** χ² has mean `k` and variance `2k`; beyond five standard deviations it is no accident, and the units are fixed. */
const within5Sigma = (value: number, k: number) => Math.abs(value - k) < 5 * Math.sqrt(2 * k);

describe('bucketOf', () => {
  // Computed by an implementation in Python of the published algorithm.
  it.each([
    ['s', 'user-1', 1717],
    ['autumn', 'user-1', 8965],
    ['autumn', 'Zoë', 3151],
    ['autumn', '日本', 4469],
  ])('puts salt %j, unit %j for ever into bucket %i', (salt, unit, bucket) => {
    expect(bucketOf(salt, unit)).toBe(bucket);
  });

  it('spreads units evenly over the buckets, sequential ids as well as random-looking ones', () => {
    for (const unit of [(i: number) => `user-${i}`, (i: number) => `${i * 2654435761}@example.org`]) {
      const counts = Array<number>(BUCKETS).fill(0);
      for (let i = 0; i < 200_000; i++) counts[bucketOf('salt', unit(i))]!++;
      expect(within5Sigma(chiSquare(counts), BUCKETS - 1)).toBe(true);
    }
  });

  it('gives units under another salt buckets that are independent of those before', () => {
    const joint = Array<number>(100).fill(0);
    for (let i = 0; i < 200_000; i++) {
      const before = Math.floor(bucketOf('before', `user-${i}`) / 1000);
      const after = Math.floor(bucketOf('after', `user-${i}`) / 1000);
      joint[before * 10 + after]!++;
    }
    expect(within5Sigma(chiSquare(joint), 99)).toBe(true);
  });
});

describe('unitProblem', () => {
  it('accepts ids up to the limit in UTF-8 bytes', () => {
    expect(unitProblem('x'.repeat(MAX_UNIT_BYTES))).toBeUndefined();
    expect(unitProblem('é'.repeat(MAX_UNIT_BYTES / 2))).toBeUndefined();
    expect(unitProblem('é'.repeat(MAX_UNIT_BYTES / 2) + 'x')).toMatch(/513 bytes.*limit is 512/);
  });

  it('says how to mend an empty unit and one with a NUL byte', () => {
    expect(unitProblem('')).toMatch(/leave it out/);
    expect(unitProblem('a\0b')).toMatch(/NUL/);
  });
});
