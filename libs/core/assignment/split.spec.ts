import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  armAt,
  BUCKETS,
  compileRanges,
  deriveRanges,
  MAX_ARMS,
  movements,
  type RangedArm,
  type WeightedArm,
} from './split.js';

/** Name of the arm of every bucket, found without the code under test. */
function owners(arms: readonly RangedArm[]): (string | undefined)[] {
  const found = Array<string | undefined>(BUCKETS).fill(undefined);
  for (const { name, ranges } of arms)
    for (const [start, end] of ranges)
      for (let bucket = start; bucket < end; bucket++) {
        if (found[bucket] !== undefined) throw new Error(`bucket ${bucket} has two owners`);
        found[bucket] = name;
      }
  return found;
}

function minimum(before: readonly WeightedArm[], after: readonly WeightedArm[]): number {
  const weights = new Map(after.map((arm) => [arm.name, arm.weightBps]));
  return before.reduce((sum, arm) => sum + Math.max(0, arm.weightBps - (weights.get(arm.name) ?? 0)), 0);
}

/** Arms with unique names out of a small pool (so that revisions share some), whose weights sum to 10 000. */
const weightedArms = fc
  .uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'), {
    minLength: 1,
    maxLength: 8,
  })
  .chain((names) =>
    fc
      .array(fc.integer({ min: 0, max: BUCKETS }), {
        minLength: names.length - 1,
        maxLength: names.length - 1,
      })
      .map((cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), BUCKETS];
        return names.map((name, i) => ({ name, weightBps: edges[i + 1]! - edges[i]! }));
      }),
  );

const arm = (name: string, weightBps: number): WeightedArm => ({ name, weightBps });
const half = deriveRanges([arm('a', 5000), arm('b', 5000)]);

describe('deriveRanges', () => {
  it('gives every bucket to exactly one arm, weightBps of them to each, along any history', () => {
    fc.assert(
      fc.property(fc.array(weightedArms, { minLength: 1, maxLength: 6 }), (history) => {
        let previous: RangedArm[] = [];
        for (const arms of history) {
          previous = deriveRanges(arms, previous);
          const found = owners(previous);
          expect(previous.map(({ name, weightBps }) => ({ name, weightBps }))).toEqual(arms);
          for (const { name, weightBps } of arms)
            expect(found.filter((owner) => owner === name)).toHaveLength(weightBps);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('moves exactly the minimum Σ max(0, old − new), over 10 000 random reweightings', () => {
    fc.assert(
      fc.property(weightedArms, weightedArms, weightedArms, (first, second, third) => {
        // The second revision leaves fragmented ranges behind, the harder start for the third.
        const before = deriveRanges(second, deriveRanges(first));
        const after = deriveRanges(third, before);
        const [was, is] = [owners(before), owners(after)];
        const moved = was.filter((owner, bucket) => owner !== is[bucket]).length;
        expect(moved).toBe(minimum(second, third));
      }),
      { numRuns: 10_000 },
    );
  });

  it('moves nobody when arms are reordered', () => {
    fc.assert(
      fc.property(
        weightedArms.chain((arms) =>
          fc.tuple(fc.constant(arms), fc.shuffledSubarray(arms, { minLength: arms.length })),
        ),
        weightedArms,
        ([arms, shuffled], start) => {
          const previous = deriveRanges(start);
          expect(owners(deriveRanges(shuffled, previous))).toEqual(owners(deriveRanges(arms, previous)));
          const current = deriveRanges(arms, previous);
          expect(movements(current, deriveRanges(shuffled, current))).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('moves exactly 2000 buckets from 50/50 to 40/40/20, all of them into the new arm', () => {
    const next = deriveRanges([arm('a', 4000), arm('b', 4000), arm('c', 2000)], half);
    const moved = movements(half, next);
    expect(moved.map(({ from, to, buckets }) => ({ from, to, buckets }))).toEqual([
      { from: 'a', to: 'c', buckets: 1000 },
      { from: 'b', to: 'c', buckets: 1000 },
    ]);
  });

  it.each([
    ['weights that sum to less', [arm('a', 5000), arm('b', 4999)], /sum to 9999 .* exactly 10000/],
    ['weights that sum to more', [arm('a', 5000), arm('b', 5001)], /sum to 10001/],
    ['a fraction', [arm('a', 5000.5), arm('b', 4999.5)], /whole number/],
    ['a negative weight', [arm('a', 10_001), arm('b', -1)], /0 to 10000/],
    ['NaN', [arm('a', NaN)], /whole number/],
    ['a name twice', [arm('a', 5000), arm('a', 5000)], /listed twice/],
    ['no arm', [], /sum to 0/],
    [
      'too many arms',
      Array.from({ length: MAX_ARMS + 1 }, (_, i) => arm(`${i}`, i ? 0 : BUCKETS)),
      /at most 100/,
    ],
  ])('refuses %s in words that tell how to mend it', (_, arms, message) => {
    expect(() => deriveRanges(arms)).toThrow(RangeError);
    expect(() => deriveRanges(arms)).toThrow(message);
  });
});

describe('movements', () => {
  it('list exactly the buckets whose owner differs, by pairs of arms', () => {
    fc.assert(
      fc.property(weightedArms, weightedArms, (first, second) => {
        const before = deriveRanges(first);
        const after = deriveRanges(second, before);
        const [was, is] = [owners(before), owners(after)];
        const listed = new Set<number>();
        for (const { from, to, ranges, buckets } of movements(before, after)) {
          let size = 0;
          for (const [start, end] of ranges)
            for (let bucket = start; bucket < end; bucket++, size++) {
              if (was[bucket] !== from || is[bucket] !== to) expect.fail(`bucket ${bucket}`);
              listed.add(bucket);
            }
          expect(size).toBe(buckets);
        }
        expect(listed.size).toBe(was.filter((owner, bucket) => owner !== is[bucket]).length);
      }),
      { numRuns: 50 },
    );
  });

  it('come from nobody on the first revision', () => {
    expect(movements([], half).map(({ from, to, buckets }) => [from, to, buckets])).toEqual([
      [undefined, 'a', 5000],
      [undefined, 'b', 5000],
    ]);
  });
});

describe('armAt', () => {
  it('finds the owner of every bucket', () => {
    fc.assert(
      fc.property(weightedArms, weightedArms, (first, second) => {
        const arms = deriveRanges(second, deriveRanges(first));
        const compiled = compileRanges(arms);
        const found = owners(arms);
        for (let bucket = 0; bucket < BUCKETS; bucket++)
          if (arms[armAt(compiled, bucket)!]?.name !== found[bucket]) expect.fail(`bucket ${bucket}`);
      }),
      { numRuns: 50 },
    );
  });

  it('finds nobody where no arm owns the bucket', () => {
    const compiled = compileRanges([{ ranges: [[10, 20]] }]);
    expect([9, 10, 19, 20, 9999].map((bucket) => armAt(compiled, bucket))).toEqual([
      undefined,
      0,
      0,
      undefined,
      undefined,
    ]);
  });
});
