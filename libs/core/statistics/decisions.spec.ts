import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { betaBinomial, betaPosterior } from './beta-binomial.js';
import { estimate } from './estimate.js';
import { factorialEffects, interactionTest } from './factorial.js';
import { fixedHorizon } from './fixed-horizon.js';
import { holm } from './holm.js';
import { sampleRatio } from './sample-ratio.js';
import { sumsOf } from './sums.js';
import { chancesOfBeingBest, thompsonWeights } from './thompson.js';
import { wilsonInterval } from './wilson.js';

describe('betaBinomial', () => {
  it('has the published values', () => {
    const result = betaBinomial({ successes: 200, units: 1000 }, { successes: 250, units: 1000 })!;
    expect(result.chanceToWin).toBeCloseTo(0.99628332913, 11);
    expect(result.lossOfShipping).toBeCloseTo(2.1364e-5, 9);
  });

  it('knows nothing before the first unit, and is calm about all successes', () => {
    const none = { successes: 0, units: 0 };
    expect(betaBinomial(none, none)!.chanceToWin).toBeCloseTo(0.5, 12);
    expect(betaBinomial(none, none)!.lossOfShipping).toBeCloseTo(1 / 6, 12);
    expect(betaBinomial({ successes: 3, units: 3 }, { successes: 2, units: 3 })!.chanceToWin).toBeGreaterThan(
      0.1,
    );
  });

  it('gives the arms chances that add to 1, and losses whose difference is that of the means', () => {
    const arm = fc
      .tuple(fc.nat(300), fc.nat(300))
      .map(([successes, failures]) => ({ successes, units: successes + failures }));
    fc.assert(
      fc.property(arm, arm, (a, b) => {
        const there = betaBinomial(a, b)!;
        const back = betaBinomial(b, a)!;
        expect(there.chanceToWin + back.chanceToWin).toBeCloseTo(1, 9);
        expect(there.lossOfKeeping - there.lossOfShipping).toBeCloseTo(
          betaPosterior(b).mean - betaPosterior(a).mean,
          9,
        );
      }),
    );
  });

  it('leaves numbers to the normal approximation for which the exact sum is too long', () => {
    const large = { successes: 150_000, units: 300_000 };
    expect(betaBinomial(large, large)).toBeUndefined();
    expect(betaBinomial(large, { successes: 90_000, units: 190_000 })!.chanceToWin).toBeLessThan(1e-12);
  });

  it('refuses counts and priors that cannot be', () => {
    const arm = { successes: 1, units: 2 };
    expect(() => betaBinomial({ successes: 3, units: 2 }, arm)).toThrow(/3 successes are more/);
    expect(() => betaBinomial({ successes: -1, units: 2 }, arm)).toThrow(RangeError);
    expect(() => betaBinomial(arm, arm, { alpha: 0.5, beta: 1 })).toThrow(/prior's alpha must be an integer/);
    expect(() => betaBinomial(arm, arm, { alpha: 0, beta: 1 })).toThrow(RangeError);
  });
});

describe('holm', () => {
  const pValue = fc.double({ min: 0, max: 1, noNaN: true });

  it('keeps the order, never lowers a p-value, and never exceeds Bonferroni', () => {
    fc.assert(
      fc.property(fc.array(pValue, { maxLength: 12 }), (p) => {
        const adjusted = holm(p);
        for (const [i, a] of p.entries()) {
          expect(adjusted[i]).toBeGreaterThanOrEqual(a);
          expect(adjusted[i]).toBeLessThanOrEqual(Math.min(1, p.length * a));
          for (const [j, b] of p.entries()) if (a <= b) expect(adjusted[i]).toBeLessThanOrEqual(adjusted[j]!);
        }
      }),
    );
  });

  it('does not depend on the order they come in', () => {
    fc.assert(
      fc.property(fc.array(pValue, { maxLength: 12 }), (p) => {
        expect(holm(p.toReversed())).toEqual(holm(p).toReversed());
      }),
    );
  });

  it('refuses what is no p-value', () => {
    expect(() => holm([0.5, 1.1])).toThrow(RangeError);
    expect(() => holm([NaN])).toThrow(RangeError);
  });
});

describe('sampleRatio', () => {
  it('is calm about counts that fall as they should, and about none', () => {
    expect(sampleRatio([500, 500], [1, 1])).toMatchObject({ statistic: 0, pValue: 1, alarm: false });
    expect(sampleRatio([0, 0], [1, 1])).toMatchObject({ pValue: 1, alarm: false });
    expect(sampleRatio([812], [10_000])).toMatchObject({ pValue: 1, alarm: false });
  });

  it('alarms below 0.001, not at it', () => {
    expect(sampleRatio([10_250, 9750], [1, 1])).toMatchObject({ alarm: true });
    expect(sampleRatio([10_200, 9800], [1, 1])).toMatchObject({ alarm: false });
  });

  it('gives an arm with weight 0 no degree of freedom, and alarms at a unit in it', () => {
    const fine = sampleRatio([520, 480, 0], [5000, 5000, 0]);
    expect(fine.degreesOfFreedom).toBe(1);
    expect(fine.pValue).toBeCloseTo(sampleRatio([520, 480], [1, 1]).pValue, 12);
    expect(sampleRatio([500, 500, 1], [5000, 5000, 0])).toMatchObject({ pValue: 0, alarm: true });
    expect(sampleRatio([500, 1], [10_000, 0])).toMatchObject({ pValue: 0, alarm: true });
  });

  it('does not depend on the scale of the weights', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1000), { minLength: 2, maxLength: 5 }),
        fc.integer({ min: 1, max: 99 }),
        (units, times) => {
          const weights = units.map((_, i) => i + 1);
          const scaled = sampleRatio(
            units,
            weights.map((weight) => times * weight),
          );
          expect(scaled.pValue).toBeCloseTo(sampleRatio(units, weights).pValue, 9);
        },
      ),
    );
  });

  it('refuses lists that do not match and weights that cannot be', () => {
    expect(() => sampleRatio([1, 2], [1])).toThrow(/as many weights/);
    expect(() => sampleRatio([1, 2], [0, 0])).toThrow(/above 0/);
    expect(() => sampleRatio([1, -2], [1, 1])).toThrow(/0 or more/);
  });
});

describe('factorialEffects', () => {
  const arm = (...values: number[]) => estimate('mean', sumsOf(values.map((y) => ({ y }))))!;

  it('tells main effects and interaction of a 2 × 2 test apart', () => {
    const { rows, columns, interactions } = factorialEffects([
      [arm(9, 11), arm(14, 16)],
      [arm(11, 13), arm(26, 28)],
    ]);
    expect(rows.map((effect) => effect.estimate)).toEqual([7]);
    expect(columns.map((effect) => effect.estimate)).toEqual([10]);
    expect(interactions.flat().map((effect) => effect.estimate)).toEqual([10]);
    expect(rows[0]!.degreesOfFreedom).toBeCloseTo(4, 12);
  });

  it('swaps the factors when the grid is transposed', () => {
    const grid = [1, 2, 3].map((i) => [1, 5].map((j) => arm(i * j, i + j, i - j)));
    const there = factorialEffects(grid);
    const back = factorialEffects([0, 1].map((j) => grid.map((row) => row[j]!)));
    expect(back.columns.map((effect) => effect.estimate)).toEqual(
      there.rows.map((effect) => effect.estimate),
    );
    expect(back.interactions[0]!.length).toBe(2);
    expect(there.interactions.length).toBe(2);
  });

  it('refuses grids with holes or of one level', () => {
    expect(() => factorialEffects([[arm(1, 2), arm(1, 2)]])).toThrow(RangeError);
    expect(() => factorialEffects([[arm(1, 2), arm(1, 2)], [arm(1, 2)]])).toThrow(/every pair of levels/);
  });
});

describe('interactionTest', () => {
  const arm = (value: number, spread = 1) => ({ units: 500, value, variance: spread ** 2, thin: false });
  const grids = fc.tuple(fc.integer({ min: 2, max: 4 }), fc.integer({ min: 2, max: 4 })).chain(([k, m]) => {
    const cell = fc.record({
      units: fc.integer({ min: 50, max: 900 }),
      value: fc.double({ min: -3, max: 3, noNaN: true }),
      variance: fc.double({ min: 0.1, max: 9, noNaN: true }),
      thin: fc.constant(false),
    });
    const row = fc.array(cell, { minLength: m, maxLength: m });
    return fc.array(row, { minLength: k, maxLength: k });
  });

  it('is the square of the only interaction of a 2 × 2 test', () => {
    const grid = [
      [arm(1), arm(2, 3)],
      [arm(1.5, 2), arm(2.9)],
    ];
    const only = fixedHorizon(factorialEffects(grid).interactions[0]![0]!, { distribution: 'z' });
    const together = interactionTest(grid);
    expect(together.statistic).toBeCloseTo(only.statistic ** 2, 10);
    expect(together.pValue).toBeCloseTo(only.pValue, 12);
  });

  it('does not depend on the order of the levels, nor on main effects', () => {
    fc.assert(
      fc.property(
        grids,
        fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 8 }),
        (grid, shifts) => {
          const { statistic, pValue } = interactionTest(grid);
          const turned = grid.toReversed().map((row) => row.toReversed());
          const shifted = grid.map((row, i) =>
            row.map((cell, j) => ({ ...cell, value: cell.value + shifts[i]! + shifts[4 + j]! })),
          );
          const transposed = grid[0]!.map((_, j) => grid.map((row) => row[j]!));
          for (const same of [turned, shifted, transposed])
            expect(Math.abs(interactionTest(same).statistic - statistic)).toBeLessThan(
              1e-6 * (1 + statistic),
            );
          expect(pValue).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });

  it('finds what single interactions do not, each of which goes by the noisy arm of the first levels', () => {
    const shift = [
      [0, 0, 0],
      [0, 0.15, -0.15],
      [0, -0.15, 0.15],
    ];
    const grid = shift.map((row, i) => row.map((value, j) => arm(value, i + j === 0 ? 10 : 1)));
    const single = factorialEffects(grid)
      .interactions.flat()
      .map((effect) => fixedHorizon(effect).pValue);
    expect(Math.min(...holm(single))).toBeGreaterThan(0.05);
    expect(interactionTest(grid).pValue).toBeLessThan(1e-6);
  });

  it('says nothing while an arm has one unit, and refuses grids with holes', () => {
    const alone = { units: 1, value: 3, variance: Infinity, thin: false };
    expect(
      interactionTest([
        [arm(1), arm(2)],
        [arm(4), alone],
      ]),
    ).toMatchObject({ statistic: 0, pValue: 1 });
    expect(() => interactionTest([[arm(1), arm(2)], [arm(4)]])).toThrow(/every pair of levels/);
  });
});

describe('wilsonInterval', () => {
  const counts = fc
    .integer({ min: 1, max: 5_000 })
    .chain((units) =>
      fc.record({ units: fc.constant(units), successes: fc.integer({ min: 0, max: units }) }),
    );

  it('holds the rate, stays within 0…1 and turns around with the outcomes', () => {
    fc.assert(
      fc.property(counts, ({ units, successes }) => {
        const { lower, upper } = wilsonInterval(successes, units);
        expect(lower).toBeGreaterThanOrEqual(0);
        expect(upper).toBeLessThanOrEqual(1);
        expect(lower).toBeLessThanOrEqual(successes / units);
        expect(upper).toBeGreaterThanOrEqual(successes / units);
        expect(wilsonInterval(units - successes, units).lower).toBeCloseTo(1 - upper, 12);
      }),
    );
  });

  it('is not empty where all units are alike, and narrows with units', () => {
    const [few, many] = [wilsonInterval(0, 20), wilsonInterval(0, 2_000)];
    expect([few.lower, many.lower]).toEqual([0, 0]);
    expect(few.upper).toBeGreaterThan(0.1);
    expect(many.upper).toBeLessThan(0.002);
    expect(wilsonInterval(20, 20).upper).toBe(1);
    expect(wilsonInterval(0, 0)).toEqual({ lower: 0, upper: 1 });
  });

  it('refuses counts that cannot be', () => {
    for (const [successes, units] of [
      [3, 2],
      [-1, 2],
      [NaN, 2],
      [1, Infinity],
    ])
      expect(() => wilsonInterval(successes!, units!)).toThrow(RangeError);
  });
});

describe('thompsonWeights', () => {
  const arms = fc.array(
    fc.record({
      mean: fc.double({ min: -5, max: 5, noNaN: true }),
      standardDeviation: fc.double({ min: 1e-3, max: 10, noNaN: true }),
    }),
    { minLength: 1, maxLength: 6 },
  );

  it('sums to 10 000 and leaves every arm the floor', () => {
    fc.assert(
      fc.property(arms, fc.integer({ min: 0, max: 1600 }), (beliefs, floorBps) => {
        const weights = thompsonWeights(beliefs, { floorBps });
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBe(10_000);
        expect(Math.min(...weights)).toBeGreaterThanOrEqual(floorBps);
        expect(thompsonWeights(beliefs, { floorBps })).toEqual(weights);
      }),
    );
  });

  it('gives the better of two arms more, by their chances, and the other one when less is better', () => {
    const beliefs = [
      { mean: 1, standardDeviation: 0.3 },
      { mean: 1.5, standardDeviation: 0.4 },
    ];
    // P = Φ(0.5/0.5) = 0.841344746068543, and 0.01 + 0.98·P.
    expect(chancesOfBeingBest(beliefs)[1]).toBeCloseTo(0.841344746068543, 12);
    expect(thompsonWeights(beliefs)).toEqual([1655, 8345]);
    expect(thompsonWeights(beliefs, { lowerIsBetter: true })).toEqual([8345, 1655]);
  });

  it('is exact where one belief is far sharper than the other', () => {
    const chances = chancesOfBeingBest([
      { mean: 0, standardDeviation: 1e-9 },
      { mean: 0, standardDeviation: 1 },
    ]);
    expect(chances[0]).toBeCloseTo(0.5, 12);
  });

  it('splits evenly while an arm is unknown, and among equals gives the first ones what does not divide', () => {
    const known = { mean: 1, standardDeviation: 0.1 };
    for (const standardDeviation of [0, Infinity, NaN])
      expect(thompsonWeights([known, { mean: 9, standardDeviation }])).toEqual([5000, 5000]);
    expect(thompsonWeights([known, known, known], { floorBps: 0 })).toEqual([3334, 3333, 3333]);
  });

  it('keeps an arm alive that has had no success yet', () => {
    const weights = thompsonWeights([
      { ...betaPosterior({ successes: 3, units: 10 }) },
      { ...betaPosterior({ successes: 0, units: 3 }) },
    ]);
    expect(weights[1]).toBeGreaterThan(1000);
  });

  it('refuses a floor that the arms cannot all have', () => {
    const belief = { mean: 1, standardDeviation: 1 };
    expect(() => thompsonWeights([belief, belief], { floorBps: 5001 })).toThrow(/0 to 5000 with 2 arms/);
    expect(() => thompsonWeights([belief], { floorBps: 0.5 })).toThrow(RangeError);
    expect(() => thompsonWeights([])).toThrow(RangeError);
  });
});
