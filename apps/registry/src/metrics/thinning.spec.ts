import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PointColumns, type HistoryPoint } from './point-columns.js';
import { Thinning } from './thinning.js';

const value = fc.oneof(
  fc.integer({ min: -9, max: 9 }),
  fc.double(),
  fc.constantFrom(NaN, -0, Infinity, -Infinity),
);
const values = fc.array(value, { minLength: 1, maxLength: 80 });
const limits = fc.integer({ min: 1, max: 90 });

function columnsOf(points: readonly HistoryPoint[]): PointColumns {
  const [steps, times, values] = [8, 8, 8].map((size) => Buffer.alloc(points.length * size));
  points.forEach(({ step, timeMs, value }, index) => {
    steps!.writeBigInt64BE(BigInt(step), index * 8);
    times!.writeBigInt64BE(BigInt(timeMs), index * 8);
    values!.writeDoubleBE(value, index * 8);
  });
  return new PointColumns(points.length, steps!, times!, values!);
}

function thinnedOut(values: readonly number[], limit: number, page = values.length, total = values.length) {
  const points = values.map((value, step) => ({ step, timeMs: step, value }));
  const thinning = new Thinning(limit, total);
  for (let from = 0; from < points.length; from += page)
    thinning.add(columnsOf(points.slice(from, from + page)));
  return thinning.finish();
}

describe('thinning out', () => {
  it('does not depend on how points are paged', () => {
    fc.assert(
      fc.property(values, limits, fc.integer({ min: 1, max: 80 }), (given, limit, page) => {
        expect(thinnedOut(given, limit, page)).toEqual(thinnedOut(given, limit));
      }),
    );
  });

  it('keeps the first, the last and every extreme, each point once, in order, and no more than asked for', () => {
    fc.assert(
      fc.property(values, limits, (given, limit) => {
        const kept = thinnedOut(given, limit);
        const steps = kept.map(({ step }) => Number(step));
        expect(steps.length).toBeLessThanOrEqual(limit);
        expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
        expect(kept.map(({ value }) => value)).toEqual(steps.map((step) => given[step]));
        expect(steps.at(-1)).toBe(given.length - 1);
        if (limit > 1) expect(steps[0]).toBe(0);
        if (given.length <= limit) expect(steps.length).toBe(given.length);
        const numbers = (list: readonly number[]) => list.filter((value) => !Number.isNaN(value));
        if (limit < 4 || numbers(given).length === 0) return;
        const left = numbers(kept.map(({ value }) => value));
        // A flat line with holes may keep the holes only.
        if (new Set(numbers(given)).size === 1) return;
        expect([Math.min(...left) + 0, Math.max(...left) + 0]).toEqual([
          Math.min(...numbers(given)) + 0,
          Math.max(...numbers(given)) + 0,
        ]);
      }),
    );
  });

  it('holds its limit when points are logged while it reads', () => {
    fc.assert(
      fc.property(values, limits, fc.integer({ min: 1, max: 120 }), (given, limit, total) => {
        const kept = thinnedOut(given, limit, 7, total);
        expect(kept.length).toBeLessThanOrEqual(limit);
        expect(kept.at(-1)!.step).toBe(given.length - 1);
      }),
    );
  });

  it('spreads the points of a flat line evenly', () => {
    const line = Array.from({ length: 10 }, () => 7);
    const steps = (limit: number) => thinnedOut(line, limit).map(({ step }) => step);
    expect([5, 3, 2, 1].map(steps)).toEqual([[0, 2, 4, 6, 9], [0, 3, 9], [0, 9], [9]]);
  });
});

describe('points in columns', () => {
  it('keep every int64 and every double', () => {
    const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    const edge = fc.constantFrom(2n ** 52n, 2n ** 53n, -(2n ** 52n), -(2n ** 53n), -1n, 0n);
    fc.assert(
      fc.property(fc.oneof(int64, edge), int64, fc.double(), (step, timeMs, value) => {
        const point = columnsOf([{ step: step.toString(), timeMs: timeMs.toString(), value }]).point(0);
        expect([BigInt(point.step), BigInt(point.timeMs), point.value]).toEqual([step, timeMs, value]);
        expect(typeof point.step).toBe(Number.isSafeInteger(Number(step)) ? 'number' : 'string');
      }),
    );
  });
});
