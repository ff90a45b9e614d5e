import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BIN_GROWTH, binOf, LAST_BIN, quantileOfBins, upperEdge, type BinCount } from './log-bins.js';

const times = fc.double({ min: 0, max: 3_600_000, noNaN: true });

function counted(values: readonly number[]): BinCount[] {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(binOf(value), (counts.get(binOf(value)) ?? 0) + 1);
  return [...counts].toSorted(([a], [b]) => a - b);
}

describe('bins of times', () => {
  it('hold what lies between their edges, an hour and more', () => {
    fc.assert(
      fc.property(times, (ms) => {
        const bin = binOf(ms);
        expect(ms).toBeLessThanOrEqual(upperEdge(bin) * (1 + 1e-12));
        expect(ms).toBeGreaterThanOrEqual(upperEdge(bin - 1) * (1 - 1e-12));
        expect(bin).toBeLessThan(LAST_BIN);
      }),
    );
    expect([0, -5, 0.1, Infinity].map(binOf)).toEqual([0, 0, 0, LAST_BIN]);
  });

  it('tell a quantile to the width of a bin', () => {
    fc.assert(
      fc.property(
        fc.array(times, { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.5, 0.95, 0.99),
        (values, level) => {
          const found = quantileOfBins(counted(values), level)!;
          const sorted = values.toSorted((a, b) => a - b);
          const exact = sorted[Math.ceil(values.length * level) - 1]!;
          expect(found).toBeLessThanOrEqual(Math.max(exact, 0.1) * (1 + BIN_GROWTH) * (1 + 1e-12));
          expect(found).toBeGreaterThanOrEqual((exact <= 0.1 ? 0 : exact / (1 + BIN_GROWTH)) * (1 - 1e-12));
        },
      ),
    );
    expect(quantileOfBins([], 0.5)).toBeNull();
  });

  it('spread their values evenly', () => {
    const [lower, upper] = [upperEdge(99), upperEdge(100)];
    expect(quantileOfBins([[100, 4]], 0.25)).toBeCloseTo(lower + (upper - lower) / 4, 12);
    expect(
      quantileOfBins(
        [
          [7, 3],
          [100, 1],
        ],
        1,
      ),
    ).toBe(upper);
  });
});
