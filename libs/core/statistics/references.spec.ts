import { describe, expect, it } from 'vitest';
import { alwaysValid } from './always-valid.js';
import { betaBinomial } from './beta-binomial.js';
import { chanceToWin } from './chance-to-win.js';
import { cupedDifference } from './cuped.js';
import { chiSquareUpperTail, normalCdf, normalQuantile, tQuantile, tTwoSided } from './distributions.js';
import { difference } from './effect.js';
import { estimate, standardErrorOf, type Estimate } from './estimate.js';
import { factorialEffects, interactionTest } from './factorial.js';
import { fixedHorizon } from './fixed-horizon.js';
import { holm } from './holm.js';
import { powerOf, requiredUnits } from './power.js';
import { quantileEstimate, quantileRanks } from './quantile.js';
import ofPython from './references.json' with { type: 'json' };
import ofR from './references-r.json' with { type: 'json' };
import { sampleRatio } from './sample-ratio.js';
import type { ArmSums } from './sums.js';
import { chancesOfBeingBest } from './thompson.js';
import { wilsonInterval } from './wilson.js';

// Every entry was computed from raw units by references.py or references.R; here only their sums are known.

const distributions = { normalCdf, normalQuantile, tTwoSided, tQuantile, chiSquareUpperTail };

/** Relative to the reference. */
const TOLERANCE = 1e-9;
/** Besides, absolute: gbstats' tails are 1 − cdf; losses of two rates are differences of numbers near them. Our own tails get none. */
const floorOf = (what: string) => (what === 'betaBinomial' ? 1e-12 : what in distributions ? 0 : 1e-14);

/** Compares every number of the reference with the number at the same place of the result. */
function expectClose(actual: unknown, expected: unknown, floor: number, path = ''): void {
  if (typeof expected === 'number') {
    const difference = Math.abs((actual as number) - expected);
    expect(
      difference <= TOLERANCE * Math.abs(expected) + floor,
      `${path}: ${actual} is not ${expected}`,
    ).toBe(true);
    return;
  }
  for (const [key, value] of Object.entries(expected as object))
    expectClose((actual as Record<string, unknown>)[key], value, floor, `${path}/${key}`);
}

/** A reference's input is whatever its function takes. */
// oxlint-disable-next-line typescript/no-explicit-any
type Given = any;

function effectOf(given: Given) {
  const [control, treatment] = given.arms.map((sums: ArmSums) => estimate(given.kind, sums));
  return difference(control, treatment, given.scale)!;
}

const asPair = (interval: { lower: number; upper: number }) => [interval.lower, interval.upper];
const asEffect = (effect: { estimate: number; standardError: number }) => [
  effect.estimate,
  effect.standardError,
];

const estimatesOf = (cells: ArmSums[][]) =>
  cells.map((row) => row.map((sums): Estimate => estimate('mean', sums)!));

const computed: Record<string, (given: Given) => unknown> = {
  welch: (arms) => {
    const effect = effectOf({ kind: 'mean', arms, scale: 'absolute' });
    const { statistic, pValue, interval } = fixedHorizon(effect);
    return { statistic, pValue, df: effect.degreesOfFreedom, ...interval };
  },
  fixedHorizon: (given) => {
    const effect = effectOf(given);
    const { pValue, interval } = fixedHorizon(effect, { alpha: given.alpha });
    return { ...effect, pValue, interval: asPair(interval) };
  },
  alwaysValid: (given) => {
    const { pValue, interval } = alwaysValid(effectOf(given), { tunedUnits: given.tunedUnits });
    return { pValue, interval: asPair(interval) };
  },
  chanceToWin: (given) => {
    const result = chanceToWin(effectOf(given), given.prior ? { prior: given.prior } : {});
    return { ...result, interval: asPair(result.interval) };
  },
  cuped: ({ kind, arms: [control, treatment], scale }) => {
    const effect = cupedDifference(kind, control, treatment, scale)!;
    return { ...effect, pValue: fixedHorizon(effect).pValue };
  },
  standardError: ({ kind, arm }) => {
    const value = estimate(kind, arm)!;
    return { value: value.value, standardError: standardErrorOf(value) };
  },
  quantile: (given) => {
    const value = quantileEstimate(given)!;
    const ranks = quantileRanks(given.values, given.level)!;
    return { value: value.value, standardError: standardErrorOf(value), ranks: asPair(ranks) };
  },
  betaBinomial: ([control, treatment]) => betaBinomial(control, treatment),
  sampleRatio: ({ units, weights }) => sampleRatio(units, weights),
  holm: (pValues) => holm(pValues),
  requiredUnits: ({ design, effect }) => requiredUnits(design, effect).exact,
  power: ({ design, sizes, effect }) => powerOf(design, sizes, effect),
  wilson: ({ successes, units, alpha }) => asPair(wilsonInterval(successes, units, alpha)),
  interaction: (cells: ArmSums[][]) => interactionTest(estimatesOf(cells)),
  factorial: (cells: ArmSums[][]) => {
    const effects = factorialEffects(estimatesOf(cells));
    return {
      rows: effects.rows.map(asEffect),
      columns: effects.columns.map(asEffect),
      interactions: effects.interactions.flat().map(asEffect),
    };
  },
  chancesOfBeingBest: (arms) => chancesOfBeingBest(arms),
};

for (const [name, call] of Object.entries(distributions))
  computed[name] = (calls: [number, number][]) => calls.map(([x, degrees]) => call(x, degrees));

const references: {
  versions: string;
  cases: { what: string; source: string; given: Given; expected: unknown }[];
}[] = [ofPython, ofR];

describe.each(references)('references of $versions', ({ cases }) => {
  const named = cases.map(({ what, source, ...rest }, i) => [`${what} #${i}`, source, what, rest] as const);

  it.each(named)('%s agrees with %s to 1e-9', (_name, _source, what, { given, expected }) => {
    expectClose(computed[what]!(given), expected, floorOf(what));
  });
});

it('references cover every kind of calculation', () => {
  const kinds = references.flatMap(({ cases }) => cases.map(({ what }) => what));
  expect(new Set(kinds)).toEqual(new Set(Object.keys(computed)));
});
