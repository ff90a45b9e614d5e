import { describe, expect, it } from 'vitest';
import type { AbTestInput, AbTestRules, ArmInput } from './ab-test.js';
import { analyse } from './analysis.js';
import { binOf } from '../histogram/log-bins.js';
import type { Decision } from './results.js';

// A/A tests with fixed seeds that once were decided far too often, read at every look.

const RUNS = 400;
const LOOKS = 40;

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

function read(rules: Partial<AbTestRules>, arms: readonly ArmInput[]): Decision {
  const input: AbTestInput = {
    rules: {
      control: 'control',
      primary: { metric: 'requests_per_unit' },
      guardrails: [],
      minimumEffect: 0.05,
      maximumDays: 365,
      ...rules,
    },
    startedAt: '2026-01-01T00:00:00Z',
    now: '2026-01-03T00:00:00Z',
    phases: [{ splitRevision: 1, startedAt: '2026-01-01T00:00:00Z', endedAt: null, arms }],
  };
  return analyse(input).decision;
}

const isDecided = ({ reason }: Decision) => ['better', 'worse', 'guardrail_breached'].includes(reason);
const ARMS = ['control', 'treatment'] as const;

/** Share of the runs in which any look decides. */
function decided(runs: number, look: (random: () => number) => () => Decision): number {
  let found = 0;
  for (let seed = 1; seed <= runs; seed++) {
    const next = look(generator(seed * 7919));
    for (let at = 0; at < LOOKS; at++)
      if (isDecided(next())) {
        found++;
        break;
      }
  }
  return found / runs;
}

describe('on the relative scale, which divides by a control that is not yet known well', () => {
  it.each([
    ['error_rate', 0.005, 400],
    ['feedback:solved', 0.05, 100],
  ])('%s of %d is decided in at most 5 %% of A/A tests', (metric, rate, perLook) => {
    const look = (random: () => number) => {
      const counts = ARMS.map(() => ({ units: 0, y: 0 }));
      return () => {
        for (let i = 0; i < perLook; i++) {
          const arm = counts[random() < 0.5 ? 0 : 1]!;
          arm.units++;
          if (random() < rate) arm.y++;
        }
        return read(
          { primary: { metric } },
          counts.map(({ units, y }, i) => ({
            arm: ARMS[i]!,
            chainDigest: ARMS[i]!,
            weightBps: 5000,
            units,
            requests: units,
            sums: { [metric]: { units, y, yy: y, d: units, dd: units, yd: y } },
          })),
        );
      };
    };
    expect(decided(RUNS, look)).toBeLessThanOrEqual(0.05);
  });
});

describe('percentiles of latency', () => {
  const PER_LOOK = 250;

  /** Looks at p50 or p95 as a guardrail, with the times that `draw` gives for an arm. */
  const watch =
    (metric: string, margin: number, draw: (arm: number, random: () => number) => number) =>
    (random: () => number) => {
      const units = [0, 0];
      const groups = ARMS.map(() => Array.from({ length: 64 }, () => new Map<number, number>()));
      return () => {
        for (let i = 0; i < PER_LOOK; i++) {
          const arm = random() < 0.5 ? 0 : 1;
          units[arm]!++;
          const bin = binOf(draw(arm, random));
          const bins = groups[arm]![Math.floor(64 * random())]!;
          bins.set(bin, (bins.get(bin) ?? 0) + 1);
        }
        return read(
          { guardrails: [{ metric, margin }] },
          ARMS.map((arm, i) => ({
            arm,
            chainDigest: arm,
            weightBps: 5000,
            units: units[i]!,
            requests: units[i]!,
            sums: {},
            histograms: { latencyMs: groups[i]!.map((bins, group) => ({ group, bins: [...bins] })) },
          })),
        );
      };
    };
  const normal = (random: () => number) =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

  it.each([
    ['latency_ms_p95', 0.05, 2, 0],
    ['latency_ms_p95', 0.045, 2, 0.1],
    ['latency_ms_p95', 0.05, 10, 0],
    ['latency_ms_p95', 0.045, 10, 0.1],
    ['latency_ms_p50', 0.5, 3, 0],
  ])(
    'do not breach %s in A/A tests where a share of %d is %d times as slow (margin %d)',
    (metric, slow, times, margin) => {
      const draw = (_: number, random: () => number) =>
        (random() < slow ? 100 * times : 100) * Math.exp(0.03 * normal(random));
      expect(decided(100, watch(metric, margin, draw))).toBeLessThanOrEqual(0.05);
    },
  );

  it('still find a p95 that is 20 % slower, in log-normal times, within 10 000 units', () => {
    const draw = (arm: number, random: () => number) =>
      500 * (1 + 0.2 * arm) * Math.exp(0.5 * normal(random));
    expect(decided(50, watch('latency_ms_p95', 0, draw))).toBeGreaterThanOrEqual(0.95);
  });
});
