import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cupedDifference, cupedEstimate, cupedTheta } from './cuped.js';
import { difference } from './effect.js';
import { covariateEstimate, estimate, standardErrorOf } from './estimate.js';
import { minimumDetectableEffect, powerOf, requiredDays, requiredUnits, type Design } from './power.js';
import { quantileEstimate, quantileRanks } from './quantile.js';
import { pooled, sumsOf } from './sums.js';

const designs = fc.record<Required<Design>>({
  control: fc.oneof(
    fc.record({ rate: fc.double({ min: 0.2, max: 0.8, noNaN: true }) }),
    fc.record({
      value: fc.double({ min: 1, max: 100, noNaN: true }),
      variance: fc.double({ min: 1, max: 1000, noNaN: true }),
    }),
  ),
  treatmentShare: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
  alpha: fc.constantFrom(0.01, 0.05, 0.1),
  power: fc.constantFrom(0.8, 0.9),
  scale: fc.constantFrom('absolute', 'relative'),
});

describe('power', () => {
  it.each([
    [0.1, 0.01, 14_748.05],
    [0.05, 0.005, 31_230.69],
    [0.2, 0.05, 1090.99],
  ])('needs the published number of units in each arm: rate %d, effect %d', (rate, effect, perArm) => {
    const units = requiredUnits({ control: { rate } }, effect);
    expect(units.exact / 2).toBeCloseTo(perArm, 2);
    expect(units).toMatchObject({
      control: Math.ceil(perArm),
      treatment: Math.ceil(perArm),
      total: 2 * Math.ceil(perArm),
    });
  });

  it('finds the published relative effect with 1 000 units in each arm', () => {
    const design: Design = { control: { value: 0.2, variance: 0.16 }, scale: 'relative' };
    expect(minimumDetectableEffect(design, { control: 1000, treatment: 1000 })).toBeCloseTo(0.28907811, 8);
  });

  it('finds with the required units just the effect that they were required for, in either direction', () => {
    fc.assert(
      fc.property(
        designs,
        fc.double({ min: 0.01, max: 0.15, noNaN: true }),
        fc.boolean(),
        (design, size, up) => {
          const effect = up ? size : -size;
          const { exact } = requiredUnits(design, effect);
          fc.pre(exact > 2);
          const sizes = {
            control: exact * (1 - design.treatmentShare),
            treatment: exact * design.treatmentShare,
          };
          const found = minimumDetectableEffect(design, sizes, up ? 'increase' : 'decrease');
          expect(found! / effect).toBeCloseTo(1, 6);
          // The tail on the wrong side adds less than the error rate's half.
          expect(powerOf(design, sizes, effect) - design.power).toBeGreaterThanOrEqual(-1e-9);
          expect(powerOf(design, sizes, effect) - design.power).toBeLessThan(1e-3);
        },
      ),
    );
  });

  it('needs four times the units for half the effect, and more for shares that are not even', () => {
    const design: Design = { control: { value: 10, variance: 25 } };
    expect(requiredUnits(design, 0.5).exact).toBeCloseTo(4 * requiredUnits(design, 1).exact, 6);
    expect(requiredUnits({ ...design, treatmentShare: 0.1 }, 1).exact).toBeGreaterThan(
      requiredUnits(design, 1).exact,
    );
  });

  it('says so when no effect is large enough to be found', () => {
    const few = { control: 4, treatment: 4 };
    expect(minimumDetectableEffect({ control: { rate: 0.5 } }, few)).toBeUndefined();
    const relative: Design = { control: { value: 1, variance: 100 }, scale: 'relative' };
    expect(minimumDetectableEffect(relative, few)).toBeUndefined();
  });

  it('counts whole days', () => {
    expect(requiredDays(1001, 100)).toBe(11);
    expect(() => requiredDays(10, 0)).toThrow(/unitsPerDay/);
  });

  it.each<[Design, number, RegExp]>([
    [{ control: { rate: 0.9 } }, 0.2, /no rate/],
    [{ control: { rate: 0 } }, 0.2, /Control's rate/],
    [{ control: { value: 1, variance: 0 } }, 0.2, /variance/],
    [{ control: { value: 0, variance: 1 }, scale: 'relative' }, 0.2, /absolute scale/],
    [{ control: { rate: 0.5 } }, 0, /other than 0/],
    [{ control: { rate: 0.5 }, power: 1 }, 0.1, /power/],
    [{ control: { rate: 0.5 }, treatmentShare: 0 }, 0.1, /treatmentShare/],
  ])('refuses %j with effect %d', (design, effect, message) => {
    expect(() => requiredUnits(design, effect)).toThrow(message);
  });
});

describe('CUPED', () => {
  const xs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const ys = [2, 3, 3, 5, 6, 6, 8, 9, 9, 12];
  const arm = sumsOf(xs.map((x, i) => ({ x, y: ys[i]! })));

  it('has the published theta and variance', () => {
    const theta = cupedTheta('mean', [arm]);
    expect(theta).toBeCloseTo(1.03636364, 8);
    expect(cupedEstimate('mean', arm, theta, 5.5)!.variance).toBeCloseTo(0.38787879, 8);
    expect(cupedEstimate('mean', arm, theta, 5.5)!.value).toBeCloseTo(estimate('mean', arm)!.value, 12);
  });

  it('is the plain difference when the covariate does not vary', () => {
    const flat = sumsOf(ys.map((y) => ({ y, x: 4 })));
    const other = sumsOf(ys.map((y) => ({ y: y + 1, x: 4 })));
    const plain = difference(estimate('mean', flat)!, estimate('mean', other)!)!;
    expect(cupedDifference('mean', flat, other)).toEqual({ ...plain, theta: 0, varianceReduction: 0 });
  });

  it('is the same difference by adjusted estimates of the arms', () => {
    const other = sumsOf(xs.map((x, i) => ({ x: x + (i % 2), y: ys[i]! * 1.1 })));
    const theta = cupedTheta('mean', [arm, other]);
    const center = covariateEstimate('mean', pooled([arm, other]))!.covariateValue;
    const [c, t] = [arm, other].map((sums) => cupedEstimate('mean', sums, theta, center)!);
    const byArms = difference(c!, t!)!;
    const direct = cupedDifference('mean', arm, other)!;
    expect(direct.estimate).toBeCloseTo(byArms.estimate, 12);
    expect(direct.standardError).toBeCloseTo(byArms.standardError, 12);
  });

  it('does not depend on the covariate’s scale and origin', () => {
    fc.assert(
      fc.property(fc.integer({ min: -50, max: 50 }), fc.constantFrom(0.1, 2, 30), (by, times) => {
        const moved = (shift: number) =>
          sumsOf(xs.map((x, i) => ({ x: times * x + by, y: ys[i]! + shift * (i % 3) })));
        const plain = (shift: number) => sumsOf(xs.map((x, i) => ({ x, y: ys[i]! + shift * (i % 3) })));
        const a = cupedDifference('mean', moved(0), moved(1))!;
        const b = cupedDifference('mean', plain(0), plain(1))!;
        expect(a.estimate).toBeCloseTo(b.estimate, 8);
        expect(a.standardError).toBeCloseTo(b.standardError, 8);
      }),
    );
  });

  it('takes a covariate that is a ratio itself', () => {
    const sums = sumsOf(xs.map((x, i) => ({ y: ys[i]!, d: 1 + (i % 3), x: x * 0.9, w: 1 + ((i + 1) % 3) })));
    const effect = cupedDifference('ratio', sums, sums)!;
    expect(effect.estimate).toBeCloseTo(0, 12);
    expect(effect.theta).not.toBe(0);
    expect(effect.varianceReduction).toBeGreaterThanOrEqual(0);
  });

  it('has no value for an arm without units, and none on the relative scale over a control of 0', () => {
    expect(cupedDifference('mean', { units: 0, y: 0, yy: 0, x: 0, xx: 0, yx: 0 }, arm)).toBeUndefined();
    const zero = sumsOf([
      { y: -1, x: 1 },
      { y: 1, x: 2 },
    ]);
    expect(cupedDifference('mean', zero, arm, 'relative')).toBeUndefined();
  });

  it('leaves a rate alone that has too few of one outcome', () => {
    const rate = sumsOf(xs.map((x) => ({ x, y: x > 9 ? 1 : 0 })));
    expect(cupedDifference('rate', rate, rate)).toMatchObject({ theta: 0, varianceReduction: 0 });
  });

  it('needs a covariate', () => {
    expect(() => cupedTheta('mean', [sumsOf([{ y: 1 }, { y: 2 }])])).toThrow(/'x' is missing/);
  });
});

describe('quantileEstimate', () => {
  it('has the published ranks and error for 1…1000 at 0.95', () => {
    const ranks = quantileRanks(1000, 0.95)!;
    expect(ranks.lower).toBeCloseTo(936.4919, 4);
    expect(ranks.upper).toBeCloseTo(963.5081, 4);
    const sums = { level: 0.95, values: 1000, quantile: 950, ...ranks };
    // Published without gbstats' factor (n − 1)/n.
    expect(standardErrorOf(quantileEstimate(sums)!) * Math.sqrt(1000 / 999)).toBeCloseTo(6.892024, 6);
  });

  it('has the same error when every value is a unit of its own, up to n/(n − 1)', () => {
    const sums = { level: 0.5, values: 400, quantile: 10, lower: 9, upper: 11 };
    const clusters = { units: 400, s: 200, ss: 200, n: 400, nn: 400, sn: 200 };
    const ratio =
      standardErrorOf(quantileEstimate({ ...sums, clusters })!) / standardErrorOf(quantileEstimate(sums)!);
    expect(ratio ** 2).toBeCloseTo(400 / 399, 12);
  });

  it('has √10 times the error when units repeat the same value ten times', () => {
    const sums = { level: 0.5, values: 400, quantile: 10, lower: 9, upper: 11 };
    const clusters = { units: 40, s: 200, ss: 2000, n: 400, nn: 4000, sn: 2000 };
    const ratio =
      standardErrorOf(quantileEstimate({ ...sums, clusters })!) / standardErrorOf(quantileEstimate(sums)!);
    expect(ratio ** 2).toBeCloseTo((10 * 40) / 39, 10);
  });

  it('waits until both ranks exist: 73 values for p95, 381 for p99', () => {
    expect(quantileRanks(72, 0.95)).toBeUndefined();
    expect(quantileRanks(73, 0.95)!.upper).toBeLessThanOrEqual(73);
    expect(quantileRanks(380, 0.99)).toBeUndefined();
    expect(quantileRanks(381, 0.99)).toBeDefined();
    expect(quantileEstimate({ level: 0.95, values: 20, quantile: 3, lower: 3, upper: 3 })).toBeUndefined();
  });

  it('refuses what cannot be', () => {
    const sums = { level: 0.5, values: 400, quantile: 12, lower: 9, upper: 11 };
    expect(() => quantileEstimate(sums)).toThrow(/must lie between 9 and 11/);
    const clusters = { units: 40, s: 500, ss: 2000, n: 400, nn: 4000, sn: 2000 };
    expect(() => quantileEstimate({ ...sums, quantile: 10, clusters })).toThrow(/cannot be/);
    expect(() => quantileRanks(10, 1)).toThrow(RangeError);
  });
});
