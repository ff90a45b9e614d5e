import { describe, expect, it } from 'vitest';
import { chiSquareUpperTail } from '../statistics/distributions.js';
import { bucketOf, MAX_UNIT_BYTES, unitProblem } from './assign.js';
import { BUCKETS } from './split.js';

/** Pearson's χ² of counts against equal shares. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** The chance of a χ² at least as large, were the shares equal. The units are fixed, so it is the same in every run. */
const pValueOf = (counts: readonly number[]) => chiSquareUpperTail(chiSquare(counts), counts.length - 1);

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
      for (let i = 0; i < 1_000_000; i++) counts[bucketOf('salt', unit(i))]!++;
      expect(pValueOf(counts)).toBeGreaterThan(0.01);
    }
  });

  // Ids of endpoints, which salts are unless somebody sets them, differ in few characters.
  it.each([
    ['before', 'after'],
    ['01935b7c-7a10-7000-8000-000000000001', '01935b7c-7a10-7000-8000-000000000002'],
    ['a', 'aa'],
  ])('gives units under the salts %j and %j buckets that are independent', (one, other) => {
    const joint = Array<number>(10_000).fill(0);
    for (let i = 0; i < 300_000; i++) {
      const first = Math.floor(bucketOf(one, `user-${i}`) / 100);
      const second = Math.floor(bucketOf(other, `user-${i}`) / 100);
      joint[first * 100 + second]!++;
    }
    expect(pValueOf(joint)).toBeGreaterThan(0.01);
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
