import { describe, expect, it } from 'vitest';
import { alwaysValid, alwaysValidBound } from './always-valid.js';
import { cupedDifference } from './cuped.js';
import { difference, type Effect } from './effect.js';
import { estimate, type MetricKind } from './estimate.js';
import { fixedHorizon } from './fixed-horizon.js';
import { sampleRatio } from './sample-ratio.js';
import type { ArmSums } from './sums.js';

// Simulations with fixed seeds: what is promised about looking often, seen on data that are not normal and not independent.

const RUNS = 2000;
const LOOKS = 50;

/** mulberry32: a small, seeded generator of numbers in 0…1. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const normal = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

type Mutable = { -readonly [K in 'units' | 'y' | 'yy' | 'd' | 'dd' | 'yd']: number };

/** One arm while its units come in: `look` is called before each look and adds to the sums. */
interface GrowingArm {
  readonly sums: Mutable;
  look(): void;
}

const noSums = (): Mutable => ({ units: 0, y: 0, yy: 0, d: 0, dd: 0, yd: 0 });

/** Units that come once, with a value each. */
function arrivingUnits(perLook: number, draw: () => number): GrowingArm {
  const sums = noSums();
  return {
    sums,
    look: () => {
      for (let i = 0; i < perLook; i++) {
        const y = draw();
        sums.units++;
        sums.y += y;
        sums.yy += y * y;
      }
    },
  };
}

/** Users of whom some come anew before every look, and all of whom come back: each has a share of good answers of its own, and habits. */
function returningUnits(perLook: number, random: () => number): GrowingArm {
  const sums = noSums();
  const users: { good: number; habit: number; y: number; d: number }[] = [];
  return {
    sums,
    look: () => {
      for (let i = 0; i < perLook; i++)
        users.push({ good: random() < 0.3 ? 0.2 : 0.95, habit: 0.5 * random() ** 2, y: 0, d: 0 });
      sums.units = users.length;
      for (const user of users) {
        if (user.d > 0 && random() > user.habit) continue;
        const y = random() < user.good ? 1 : 0;
        sums.yy += 2 * user.y * y + y;
        sums.dd += 2 * user.d + 1;
        sums.yd += user.y + user.d * y + y;
        user.y += y;
        user.d++;
        sums.y += y;
        sums.d++;
      }
    },
  };
}

/** Share of A/A tests in which any of the looks rejects. */
function falsePositives(
  arm: () => GrowingArm,
  rejects: (control: Mutable, treatment: Mutable) => boolean,
  runs = RUNS,
  treatmentArm = arm,
): number {
  let alarms = 0;
  for (let run = 0; run < runs; run++) {
    const control = arm();
    const treatment = treatmentArm();
    let alarm = false;
    for (let look = 0; look < LOOKS && !alarm; look++) {
      control.look();
      treatment.look();
      alarm = rejects(control.sums, treatment.sums);
    }
    if (alarm) alarms++;
  }
  return alarms / runs;
}

function effectOf(kind: MetricKind, control: ArmSums, treatment: ArmSums, scale?: 'relative'): Effect {
  return difference(estimate(kind, control)!, estimate(kind, treatment)!, scale)!;
}

const always =
  (kind: MetricKind, scale?: 'relative') =>
  (control: ArmSums, treatment: ArmSums): boolean =>
    alwaysValid(effectOf(kind, control, treatment, scale)).pValue < 0.05;

describe(`${RUNS} A/A tests, looked at ${LOOKS} times each`, () => {
  it('reject too often when every look is read as if it were the only one', () => {
    const random = generator(1);
    const fixed = (control: ArmSums, treatment: ArmSums) =>
      fixedHorizon(effectOf('mean', control, treatment)).pValue < 0.05;
    expect(falsePositives(() => arrivingUnits(40, () => normal(random)), fixed, 500)).toBeGreaterThan(0.25);
  });

  it.each([
    ['means of normal values', 100, (random: () => number) => 100 + 20 * normal(random)],
    ['means of skewed values (exponential)', 60, (random: () => number) => -Math.log(1 - random())],
    [
      'means of heavy-tailed values (log-normal, sigma 1.5)',
      40,
      (random: () => number) => Math.exp(1.5 * normal(random)),
    ],
  ])('reject in at most 5 % by the confidence sequence: %s', (_what, perLook, draw) => {
    const random = generator(2);
    const share = falsePositives(() => arrivingUnits(perLook, () => draw(random)), always('mean'));
    expect(share).toBeLessThanOrEqual(0.05);
  });

  it.each([0.5, 0.9, 0.05, 0.01])(
    'reject in at most 5 %: rates of %d, from the first 40 units on',
    (rate) => {
      const random = generator(3);
      const share = falsePositives(() => arrivingUnits(40, () => (random() < rate ? 1 : 0)), always('rate'));
      expect(share).toBeLessThanOrEqual(0.05);
    },
  );

  it('reject in at most 5 %: relative differences', () => {
    const random = generator(4);
    const share = falsePositives(() => arrivingUnits(40, () => 1 + random()), always('mean', 'relative'));
    expect(share).toBeLessThanOrEqual(0.05);
  });

  it.each([
    ['skewed values', 190, 10, 'mean', (random: () => number) => -Math.log(1 - random())],
    ['heavy-tailed values', 495, 5, 'mean', (random: () => number) => Math.exp(1.5 * normal(random))],
    ['rates of 0.05', 190, 10, 'rate', (random: () => number) => (random() < 0.05 ? 1 : 0)],
    ['rates of 0.98', 10, 190, 'rate', (random: () => number) => (random() < 0.98 ? 1 : 0)],
    ['rates of 0.5', 198, 2, 'rate', (random: () => number) => (random() < 0.5 ? 1 : 0)],
  ] as const)(
    'reject in at most a twentieth: %s, %i units of control for %i of the treatment',
    (_what, c, t, kind, draw) => {
      const random = generator(10);
      const value = () => draw(random);
      const share = falsePositives(
        () => arrivingUnits(c, value),
        always(kind),
        1000,
        () => arrivingUnits(t, value),
      );
      expect(share).toBeLessThanOrEqual(0.05);
    },
  );

  it('reject in at most 5 %: ratios over users who come back', () => {
    const random = generator(5);
    expect(falsePositives(() => returningUnits(20, random), always('ratio'))).toBeLessThanOrEqual(0.05);
  });

  it('reject too often when the requests of those users are counted as independent', () => {
    const random = generator(5);
    const requests = ({ y, d }: Mutable): ArmSums => ({ units: d, y });
    const share = falsePositives(
      () => returningUnits(20, random),
      (control, treatment) => always('rate')(requests(control), requests(treatment)),
      500,
    );
    expect(share).toBeGreaterThan(0.1);
  });

  it('leave the one-sided bound on the wrong side of the truth in at most 5 %', () => {
    const random = generator(6);
    const wrong = (control: ArmSums, treatment: ArmSums) =>
      alwaysValidBound(effectOf('mean', control, treatment), 'lower') > 0;
    const share = falsePositives(() => arrivingUnits(40, () => -Math.log(1 - random())), wrong);
    expect(share).toBeLessThanOrEqual(0.05);
  });
});

describe('the confidence sequence', () => {
  it('finds an effect of a tenth of a standard deviation in most tests of 10 000 units', () => {
    const random = generator(7);
    let found = 0;
    for (let run = 0; run < 200; run++) {
      const control = arrivingUnits(5000, () => normal(random));
      const treatment = arrivingUnits(5000, () => 0.1 + normal(random));
      control.look();
      treatment.look();
      if (always('mean')(control.sums, treatment.sums)) found++;
    }
    expect(found).toBeGreaterThan(180);
  });
});

describe('CUPED', () => {
  it('narrows the interval by what the covariate explains, and does not widen it on average when it explains nothing', () => {
    const random = generator(8);
    const gain = (slope: number) => {
      const arm = () => {
        const sums = { units: 400, y: 0, yy: 0, x: 0, xx: 0, yx: 0 };
        for (let i = 0; i < sums.units; i++) {
          const x = normal(random);
          const y = slope * x + normal(random);
          sums.y += y;
          sums.yy += y * y;
          sums.x += x;
          sums.xx += x * x;
          sums.yx += y * x;
        }
        return sums;
      };
      let total = 0;
      for (let run = 0; run < 500; run++)
        total += cupedDifference('mean', arm(), arm())!.varianceReduction / 500;
      return total;
    };
    expect(gain(2)).toBeCloseTo(0.8, 2);
    expect(gain(0)).toBeGreaterThan(-1e-4);
    expect(gain(0)).toBeLessThan(0.01);
  });
});

describe('the sample-ratio check', () => {
  const alarms = (lost: number) => {
    const random = generator(9);
    let count = 0;
    for (let run = 0; run < 500; run++) {
      let control = 0;
      let treatment = 0;
      for (let i = 0; i < 80_000; i++) {
        if (random() < 0.5) control++;
        else if (random() >= lost) treatment++;
      }
      if (sampleRatio([control, treatment], [5000, 5000]).alarm) count++;
    }
    return count / 500;
  };

  it('rings in 99 % when 5 % of the units of one arm get lost', () => {
    expect(alarms(0.05)).toBeGreaterThanOrEqual(0.99);
  });

  it('does not ring when none gets lost', () => {
    expect(alarms(0)).toBeLessThanOrEqual(0.006);
  });
});
