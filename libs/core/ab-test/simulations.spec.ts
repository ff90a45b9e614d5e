import { describe, expect, it } from 'vitest';
import type { ArmSums } from '../statistics/sums.js';
import type { AbTestInput, AbTestRules, ArmInput } from './ab-test.js';
import { analyse } from './analysis.js';
import type { Decision } from './results.js';

// Whole tests with fixed seeds, read at every look as a page that is reloaded would read them.

const RUNS = 400;
const LOOKS = 30;
const PER_LOOK = 60;

/** mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Truth {
  readonly solved: number;
  readonly errors: number;
}

type Mutable = { -readonly [K in 'units' | 'y' | 'yy' | 'd' | 'dd' | 'yd']: number };

class GrowingArm {
  private requests = 0;
  private readonly solved: Mutable = { units: 0, y: 0, yy: 0, d: 0, dd: 0, yd: 0 };
  private readonly errors: Mutable = { units: 0, y: 0, yy: 0, d: 0, dd: 0, yd: 0 };

  constructor(
    private readonly arm: string,
    private readonly truth: Truth,
    private readonly random: () => number,
  ) {}

  /** A conversation of 1 to 6 requests, some of which fail together, with one judgement. */
  addUnit(): void {
    const requests = 1 + Math.floor(6 * this.random() ** 2);
    const bad = this.random() < 0.2 ? 4 * this.truth.errors : this.truth.errors / 4;
    let errors = 0;
    for (let i = 0; i < requests; i++) errors += this.random() < bad ? 1 : 0;
    this.requests += requests;
    add(this.errors, errors, requests);
    add(this.solved, this.random() < this.truth.solved ? 1 : 0, 1);
  }

  input(weightBps: number): ArmInput {
    return {
      arm: this.arm,
      chainDigest: `sha256:${this.arm}`,
      weightBps,
      units: this.solved.units,
      requests: this.requests,
      sums: { 'feedback_rate:solved': { ...this.solved }, error_rate: { ...this.errors } },
    };
  }
}

function add(sums: Mutable, y: number, d: number): void {
  sums.units++;
  sums.y += y;
  sums.yy += y * y;
  sums.d += d;
  sums.dd += d * d;
  sums.yd += y * d;
}

const RULES: AbTestRules = {
  control: 'control',
  primary: { metric: 'feedback_rate:solved' },
  guardrails: [{ metric: 'error_rate', margin: 0.2 }],
  minimumEffect: 0.1,
  maximumDays: 365,
};

/** The first decision that is not "keep running", looking at every day. */
function firstDecision(
  seed: number,
  truths: Readonly<Record<string, Truth>>,
  shares: readonly number[],
): Decision | undefined {
  const random = generator(seed);
  const arms = Object.entries(truths).map(([arm, truth]) => new GrowingArm(arm, truth, random));
  for (let look = 1; look <= LOOKS; look++) {
    for (let i = 0; i < PER_LOOK * arms.length; i++) {
      let draw = random();
      const at = shares.findIndex((share) => (draw -= share) < 0);
      arms[at === -1 ? arms.length - 1 : at]!.addUnit();
    }
    const input: AbTestInput = {
      rules: RULES,
      startedAt: '2026-01-01T00:00:00Z',
      now: new Date(Date.UTC(2026, 0, 1 + look)).toISOString(),
      phases: [
        {
          splitRevision: 1,
          startedAt: '2026-01-01T00:00:00Z',
          endedAt: null,
          arms: arms.map((arm, i) => arm.input(Math.round(shares[i]! * 10_000))),
        },
      ],
    };
    const { decision } = analyse(input);
    if (decision.decision !== 'keep_running') return decision;
  }
  return undefined;
}

function tally(
  truths: Readonly<Record<string, Truth>>,
  shares: readonly number[],
  runs = RUNS,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let seed = 1; seed <= runs; seed++) {
    const found = firstDecision(seed * 7919, truths, shares);
    const key = found ? `${found.decision}: ${found.reason}` : 'none';
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

const SAME = { solved: 0.6, errors: 0.05 };
const wrong = (counts: Map<string, number>) =>
  ['ship: better', 'roll_back: worse', 'roll_back: guardrail_breached'].reduce(
    (sum, key) => sum + (counts.get(key) ?? 0),
    0,
  );

describe('decisions of simulated tests, read at 30 looks', () => {
  it('ships or rolls back for harm at most 5 % of A/A tests with even arms', () => {
    const counts = tally({ control: SAME, treatment: SAME }, [0.5, 0.5]);
    expect(wrong(counts) / RUNS).toBeLessThanOrEqual(0.05);
  });

  it('does so at most as often while the treatment has 5 % of the units', () => {
    const counts = tally({ control: SAME, treatment: SAME }, [0.95, 0.05]);
    expect(wrong(counts) / RUNS).toBeLessThanOrEqual(0.05);
  });

  it('does so at most as often with three treatments', () => {
    const counts = tally({ control: SAME, a: SAME, b: SAME, c: SAME }, [0.25, 0.25, 0.25, 0.25], RUNS / 2);
    expect(wrong(counts) / (RUNS / 2)).toBeLessThanOrEqual(0.05);
  });

  it('ships a planted improvement', () => {
    const counts = tally({ control: SAME, treatment: { ...SAME, solved: 0.75 } }, [0.5, 0.5], 100);
    expect((counts.get('ship: better') ?? 0) / 100).toBeGreaterThanOrEqual(0.95);
  });

  it('ships the best of several treatments', () => {
    const shipped = Array.from({ length: 50 }, (_, seed) =>
      firstDecision(
        seed + 1,
        { control: SAME, good: { ...SAME, solved: 0.75 }, same: SAME, bad: { ...SAME, solved: 0.45 } },
        [0.25, 0.25, 0.25, 0.25],
      ),
    );
    expect(
      shipped.filter((decision) => decision?.decision === 'ship' && decision.arm === 'good').length,
    ).toBeGreaterThanOrEqual(47);
  });

  it('rolls planted harm back by the primary metric', () => {
    const counts = tally({ control: SAME, treatment: { ...SAME, solved: 0.45 } }, [0.5, 0.5], 100);
    expect((counts.get('roll_back: worse') ?? 0) / 100).toBeGreaterThanOrEqual(0.95);
  });

  it('rolls a planted breach of a guardrail back, though the primary metric is better', () => {
    const counts = tally({ control: SAME, treatment: { solved: 0.65, errors: 0.15 } }, [0.5, 0.5], 100);
    expect((counts.get('roll_back: guardrail_breached') ?? 0) / 100).toBeGreaterThanOrEqual(0.9);
    expect(counts.get('ship: better') ?? 0).toBeLessThanOrEqual(5);
  });

  it('rolls a treatment back that always fails, after few units', () => {
    const sums = (y: number): ArmSums => ({
      units: 40,
      y: y * 2,
      yy: y * y * 0.1,
      d: 80,
      dd: 160,
      yd: y * 4,
    });
    const arm = (name: string, failed: number): ArmInput => ({
      arm: name,
      chainDigest: name,
      weightBps: 5000,
      units: 40,
      requests: 80,
      sums: { error_rate: { ...sums(failed), yy: failed === 0 ? 0 : 160 } },
    });
    const { decision } = analyse({
      rules: RULES,
      startedAt: '2026-01-01T00:00:00Z',
      now: '2026-01-02T00:00:00Z',
      phases: [
        {
          splitRevision: 1,
          startedAt: '2026-01-01T00:00:00Z',
          endedAt: null,
          arms: [arm('control', 0), arm('treatment', 40)],
        },
      ],
    });
    expect(decision).toMatchObject({ decision: 'roll_back', reason: 'guardrail_breached' });
  });
});

describe('decisions over several phases', () => {
  const day = (at: number) => new Date(Date.UTC(2026, 0, 1 + at)).toISOString();
  const PER_DAY = 120;

  /** A test in which both arms get worse from phase to phase, and `next` sets the treatment's share after every tenth look. */
  function inPhases(seed: number, next: (input: AbTestInput, at: number) => number): Decision | undefined {
    const random = generator(seed);
    const phases: { arms: [GrowingArm, GrowingArm]; share: number }[] = [];
    let input: AbTestInput | undefined;
    for (let look = 0; look < LOOKS; look++) {
      if (look % 10 === 0) {
        const truth = { solved: 0.7 - 0.2 * phases.length, errors: 0.05 };
        const arms = ['control', 'treatment'].map((arm) => new GrowingArm(arm, truth, random));
        phases.push({ arms: arms as [GrowingArm, GrowingArm], share: next(input!, phases.length) });
      }
      const { arms, share } = phases.at(-1)!;
      for (let i = 0; i < PER_DAY; i++) arms[random() < share ? 1 : 0].addUnit();
      input = {
        rules: RULES,
        startedAt: day(0),
        now: day(look + 1),
        phases: phases.map((phase, at) => ({
          splitRevision: at + 1,
          startedAt: day(at * 10),
          endedAt: phase === phases.at(-1) ? null : day(at * 10 + 10),
          returningUnits: 0,
          arms: phase.arms.map((arm, i) =>
            arm.input(Math.round(10_000 * (i === 1 ? phase.share : 1 - phase.share))),
          ),
        })),
      };
      const { decision } = analyse(input);
      if (decision.decision !== 'keep_running') return decision;
    }
    return undefined;
  }

  const wrongOf = (next: Parameters<typeof inPhases>[1]) =>
    Array.from({ length: RUNS }, (_, seed) => inPhases(seed * 7919 + 1, next)).filter(
      (decision) =>
        decision !== undefined && ['better', 'worse', 'guardrail_breached'].includes(decision.reason),
    ).length / RUNS;

  it('are wrong in at most 5 % of A/A tests on a ramp, though the weeks differ far more than any arms', () => {
    expect(wrongOf((_, at) => [0.05, 0.25, 0.5][at]!)).toBeLessThanOrEqual(0.05);
  });

  it('are wrong in at most 5 % of A/A tests whose split follows what was seen', () => {
    const follow = (input: AbTestInput | undefined) =>
      input ? 0.1 + 0.8 * analyse(input).treatments[0]!.metrics[0]!.absolute!.chanceToWin : 0.5;
    expect(wrongOf(follow)).toBeLessThanOrEqual(0.05);
  });
});
