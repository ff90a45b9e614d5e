import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alwaysValid, alwaysValidBound, alwaysValidMultiplier, mixtureRho } from './always-valid.js';
import { chanceToWin } from './chance-to-win.js';
import { contrast, difference, valueEffect } from './effect.js';
import { estimate, standardErrorOf, type Estimate } from './estimate.js';
import { fixedHorizon } from './fixed-horizon.js';
import { pooled, sumsOf, type ArmSums } from './sums.js';

const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 2, maxLength: 30 });
const mean = (units: readonly number[]) => estimate('mean', sumsOf(units.map((y) => ({ y }))))!;
const rate = (y: number, units: number) => estimate('rate', { units, y })!;
const everything = { lower: -Infinity, upper: Infinity };

/** Both numbers, or both infinite; sums of squares lose some digits. */
function expectNear(actual: number, expected: number, scale = Math.abs(expected)): void {
  if (!Number.isFinite(expected)) expect(actual).toBe(expected);
  else expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-6 * scale + 1e-9);
}

/** Arms whose spread is above the noise of their sums: rounding decides whether the others vary at all. */
const spread = (...arms: readonly (readonly number[])[]) =>
  arms.every((values) => Math.max(...values) - Math.min(...values) > 1e-2);

describe('estimate', () => {
  it('has the published ratio: R = 2.4, variance of R 0.026819047619', () => {
    const m = [3, 5, 2, 8, 4, 7, 1, 6];
    const d = [1, 2, 1, 3, 2, 3, 1, 2];
    const ratio = estimate('ratio', sumsOf(m.map((y, i) => ({ y, d: d[i]! }))))!;
    expect(ratio.value).toBeCloseTo(2.4, 12);
    expect(standardErrorOf(ratio) ** 2).toBeCloseTo(0.026819047619, 12);
  });

  it('has no value over no units, and over a denominator of 0', () => {
    expect(estimate('mean', { units: 0, y: 0, yy: 0 })).toBeUndefined();
    expect(estimate('ratio', sumsOf([{ y: 0, d: 0 }]))).toBeUndefined();
  });

  it('has a value and no error over a single unit', () => {
    expect(estimate('mean', { units: 1, y: 7, yy: 49 })).toMatchObject({ value: 7, variance: Infinity });
    expect(estimate('rate', { units: 1, y: 1 })).toMatchObject({ value: 1, variance: Infinity });
  });

  it('never has a negative variance, whatever rounding does', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e5, max: 1e9, noNaN: true }), fc.integer({ min: 2, max: 50 }), (y, n) => {
        expect(mean(Array<number>(n).fill(y)).variance).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it.each<[string, Parameters<typeof estimate>[0], ArmSums, RegExp]>([
    ['units that are no count', 'mean', { units: 1.5, y: 1, yy: 1 }, /units must be an integer/],
    ['a sum that is no number', 'mean', { units: 2, y: NaN, yy: 1 }, /'y' must be a finite number/],
    ['values of no units', 'mean', { units: 0, y: 3, yy: 9 }, /over no units/],
    ['squares that are too small', 'mean', { units: 2, y: 10, yy: 49 }, /sum of squares 'yy'/],
    ['more successes than units', 'rate', { units: 10, y: 11 }, /between 0 and its 10 units/],
    ['a ratio without denominator', 'ratio', { units: 3, y: 3, yy: 3 }, /'d' is missing/],
    ['a mean without squares', 'mean', { units: 3, y: 3 }, /'yy' is missing/],
  ])('refuses %s, naming it', (_what, kind, sums, message) => {
    expect(() => estimate(kind, sums)).toThrow(RangeError);
    expect(() => estimate(kind, sums)).toThrow(message);
  });

  it('is the same from sums of parts as from sums of all', () => {
    fc.assert(
      fc.property(values, values, (a, b) => {
        const together = estimate(
          'mean',
          pooled([sumsOf(a.map((y) => ({ y }))), sumsOf(b.map((y) => ({ y })))]),
        )!;
        expectNear(together.value, mean([...a, ...b]).value, 1000);
        expectNear(together.variance, mean([...a, ...b]).variance, 1e6);
      }),
    );
  });
});

describe('difference', () => {
  it('turns its sign, and nothing else, when the arms are swapped', () => {
    fc.assert(
      fc.property(values, values, (a, b) => {
        const there = difference(mean(a), mean(b))!;
        const back = difference(mean(b), mean(a))!;
        expect(back.estimate).toBeCloseTo(-there.estimate, 9);
        expectNear(back.standardError, there.standardError);
        expect(alwaysValid(back).pValue).toBeCloseTo(alwaysValid(there).pValue, 9);
        expect(chanceToWin(back).chanceToWin).toBeCloseTo(1 - chanceToWin(there).chanceToWin, 9);
      }),
    );
  });

  it('does not change when all values are shifted, and p-values do not when they are scaled', () => {
    fc.assert(
      fc.property(
        values,
        values,
        fc.integer({ min: -500, max: 500 }),
        fc.constantFrom(0.25, 3, 100),
        (a, b, by, times) => {
          const before = difference(mean(a), mean(b))!;
          fc.pre(spread(a, b));
          const shifted = difference(mean(a.map((y) => y + by)), mean(b.map((y) => y + by)))!;
          expectNear(shifted.estimate, before.estimate, 1000);
          expectNear(shifted.standardError, before.standardError, 1000);
          const scaled = difference(mean(a.map((y) => y * times)), mean(b.map((y) => y * times)))!;
          expectNear(scaled.standardError, before.standardError * times);
          expectNear(fixedHorizon(scaled).pValue, fixedHorizon(before).pValue, 1);
          expectNear(alwaysValid(scaled).pValue, alwaysValid(before).pValue, 1);
        },
      ),
    );
  });

  it('does not depend on the unit of measurement on the relative scale', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1, max: 9, noNaN: true }), { minLength: 3, maxLength: 20 }),
        (a) => {
          const b = a.map((y, i) => y + (i % 3));
          const before = difference(mean(a), mean(b), 'relative')!;
          fc.pre(spread(a, b));
          const cents = difference(mean(a.map((y) => 100 * y)), mean(b.map((y) => 100 * y)), 'relative')!;
          expectNear(cents.estimate, before.estimate, 1);
          expectNear(cents.standardError, before.standardError, 1);
        },
      ),
    );
  });

  it('does not exist on the relative scale over a control of 0', () => {
    expect(difference(mean([-1, 1]), mean([1, 2]), 'relative')).toBeUndefined();
  });

  it('keeps its direction on the relative scale over a negative control', () => {
    expect(difference(mean([-2, -4]), mean([-1, -2]), 'relative')!.estimate).toBeCloseTo(0.5, 12);
  });

  it.each<[string, Estimate, Estimate]>([
    ['one arm has a single unit', mean([1, 2, 3]), estimate('mean', { units: 1, y: 5, yy: 25 })!],
    ['all units of both arms are alike', mean([2, 2]), mean([3, 3, 3])],
    ['all units of both arms succeed', rate(50, 50), rate(60, 60)],
  ])('claims nothing when %s', (_what, control, treatment) => {
    const effect = difference(control, treatment)!;
    expect(effect.standardError).toBe(Infinity);
    expect(fixedHorizon(effect)).toEqual({ statistic: 0, pValue: 1, interval: everything });
    expect(alwaysValid(effect)).toEqual({ pValue: 1, interval: everything });
    expect(alwaysValidBound(effect, 'lower')).toBe(-Infinity);
    expect(alwaysValidBound(effect, 'upper')).toBe(Infinity);
    expect(chanceToWin(effect)).toMatchObject({
      chanceToWin: 0.5,
      lossOfShipping: Infinity,
      interval: everything,
    });
    const prior = { mean: 0.1, standardDeviation: 0.2 };
    expect(chanceToWin(effect, { prior }).mean).toBeCloseTo(0.1, 12);
    expect(chanceToWin(effect, { prior }).standardDeviation).toBeCloseTo(0.2, 12);
  });

  it('finds a guardrail broken although control never failed', () => {
    const effect = difference(rate(0, 10_000), rate(500, 10_000))!;
    expect(alwaysValid(effect).interval.lower).toBeGreaterThan(0.03);
  });

  it('does not take few units without an event for a rate of 0 that is known', () => {
    const effect = difference(rate(50, 1000), rate(0, 20))!;
    expect(effect.standardError).toBeGreaterThan(0.04);
    expect(fixedHorizon(effect).pValue).toBeGreaterThan(0.2);
    expect(alwaysValid(effect).pValue).toBe(1);
  });
});

describe('the error for looking often', () => {
  it('is the usual one between arms of like size with enough of both outcomes', () => {
    const effect = difference(rate(50, 100), rate(95, 100))!;
    expect(effect.cautiousError).toBe(effect.standardError);
  });

  it('is larger for a rate with fewer than 5 of an outcome', () => {
    const effect = difference(rate(50, 100), rate(96, 100))!;
    expect(effect.cautiousError).toBeCloseTo(Math.sqrt(0.25 / 50), 12);
    expect(effect.cautiousError).toBeGreaterThan(effect.standardError);
  });

  it('takes the larger variance for an arm with less than a quarter of the units, not for one with a quarter', () => {
    const control = rate(150, 300);
    expect(difference(control, rate(20, 100))!.cautiousError).toBe(
      difference(control, rate(20, 100))!.standardError,
    );
    expect(difference(control, rate(20, 99))!.cautiousError).toBeCloseTo(
      Math.sqrt(0.25 / 300 + 0.25 / 99),
      12,
    );
  });

  it('is never smaller than the usual one, also where units of an arm are all alike', () => {
    fc.assert(
      fc.property(values, values, fc.boolean(), (a, b, alike) => {
        const effect = difference(mean(a), mean(alike ? b.map(() => 3) : b))!;
        expect(effect.cautiousError).toBeGreaterThanOrEqual(effect.standardError);
      }),
    );
  });
});

describe('contrast', () => {
  it('refuses weights that do not match, or choose no arm', () => {
    expect(() => contrast([mean([1, 2])], [1, 2])).toThrow(RangeError);
    expect(() => contrast([mean([1, 2])], [0])).toThrow(RangeError);
  });

  it('of one arm is its value with its error', () => {
    const arm = mean([1, 2, 3, 4]);
    expect(valueEffect(arm)).toMatchObject({
      estimate: 2.5,
      standardError: standardErrorOf(arm),
      degreesOfFreedom: 3,
    });
  });
});

describe('alwaysValid', () => {
  const effect = difference(mean([1, 2, 3, 4, 5, 6]), mean([2, 4, 6, 8, 10, 13]))!;

  it('has the published multipliers and rho', () => {
    expect(mixtureRho(0.05, 5000)).toBeCloseTo(0.03984006677, 11);
    expect(mixtureRho(0.05, 10_000)).toBeCloseTo(0.02817118138, 11);
    for (const [units, multiplier] of [
      [100, 6.694389],
      [1000, 3.363888],
      [5000, 3.035209],
      [10_000, 3.061477],
      [100_000, 3.336858],
    ] as const)
      expect(alwaysValidMultiplier(units)).toBeCloseTo(multiplier, 6);
  });

  it('has a p-value below alpha just when the interval leaves the hypothesis out', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -6, max: 6, noNaN: true }),
        fc.integer({ min: 2, max: 100_000 }),
        fc.constantFrom(0.01, 0.05, 0.2),
        (z, units, alpha) => {
          const at = { ...effect, estimate: z, cautiousError: 1, units };
          const { pValue, interval } = alwaysValid(at, { alpha, hypothesis: 0.5 });
          expect(pValue < alpha).toBe(interval.lower > 0.5 || interval.upper < 0.5);
        },
      ),
    );
  });

  it('is wider than the interval of a single look, and narrowest relative to it at the tuned number of units', () => {
    const at = (units: number) => alwaysValidMultiplier(units, 0.05, 3000);
    expect(at(3000)).toBeLessThan(at(2500));
    expect(at(3000)).toBeLessThan(at(3500));
    fc.assert(fc.property(fc.integer({ min: 2, max: 1e9 }), (units) => at(units) > 1.96));
  });

  it('has p-values that neither overflow nor turn to NaN at effects of any size', () => {
    const huge = { ...effect, estimate: 1e6, cautiousError: 1, units: 1e9 };
    expect(alwaysValid(huge).pValue).toBe(0);
    expect(alwaysValid({ ...huge, estimate: 0 }).pValue).toBe(1);
  });

  it('bounds one side at 2.5 % about where two sides are at 5 %, and tighter at 5 %', () => {
    const { interval } = alwaysValid(effect);
    const off = alwaysValidBound(effect, 'lower', { alpha: 0.025 }) - interval.lower;
    expect(Math.abs(off)).toBeLessThan(0.01 * (interval.upper - interval.lower));
    expect(alwaysValidBound(effect, 'lower')).toBeGreaterThan(interval.lower);
    expect(alwaysValidBound(effect, 'upper')).toBeLessThan(interval.upper);
  });

  it('refuses error rates and tunings that cannot be', () => {
    expect(() => alwaysValid(effect, { alpha: 0 })).toThrow(/alpha must be greater than 0/);
    expect(() => alwaysValid(effect, { tunedUnits: 0 })).toThrow(/tunedUnits/);
    expect(() => alwaysValidBound(effect, 'lower', { alpha: 0.5 })).toThrow(RangeError);
    expect(() => fixedHorizon(effect, { alpha: 1 })).toThrow(RangeError);
  });
});

describe('chanceToWin', () => {
  it('turns around for metrics of which less is better, losses included', () => {
    const effect = difference(mean([1, 2, 3]), mean([2, 3, 5]))!;
    const more = chanceToWin(effect);
    const less = chanceToWin(effect, { lowerIsBetter: true });
    expect(less.chanceToWin).toBeCloseTo(1 - more.chanceToWin, 12);
    expect([less.lossOfShipping, less.lossOfKeeping]).toEqual([more.lossOfKeeping, more.lossOfShipping]);
    expect(more.lossOfKeeping - more.lossOfShipping).toBeCloseTo(effect.estimate, 12);
    expect(less.interval).toEqual(more.interval);
  });
});
