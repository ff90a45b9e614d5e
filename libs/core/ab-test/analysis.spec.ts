import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alwaysValid, alwaysValidMultiplier } from '../statistics/always-valid.js';
import { cupedContrast, cupedDifference } from '../statistics/cuped.js';
import { contrast, difference } from '../statistics/effect.js';
import { estimate } from '../statistics/estimate.js';
import { fixedHorizon } from '../statistics/fixed-horizon.js';
import { sumsOf } from '../statistics/sums.js';
import type { ArmInput, PhaseInput } from './ab-test.js';
import { analyse } from './analysis.js';
import { arm, costs, input, phase, RULES, spread } from './spec-inputs.js';
import { factorialResult } from './factorial.js';
import { binOf, upperEdge } from '../histogram/log-bins.js';
import type { GroupHistogram } from './histogram.js';
import { findMetric, metricProblem, STANDARD_METRICS } from './metrics.js';
import type { MetricResult } from './results.js';

describe('metrics of A/B tests', () => {
  it('has every standard metric by its name', () => {
    for (const metric of STANDARD_METRICS) expect(findMetric(metric.name)).toBe(metric);
    expect(STANDARD_METRICS.map(({ name }) => name)).toEqual([
      'error_rate',
      'cancel_rate',
      'fallback_rate',
      'schema_valid_rate',
      'guard_block_rate',
      'latency_ms_mean',
      'latency_ms_p50',
      'latency_ms_p95',
      'latency_ms_p99',
      'ttft_ms_mean',
      'ttft_ms_p50',
      'ttft_ms_p95',
      'ttft_ms_p99',
      'cost_micro_usd_per_request',
      'cost_micro_usd_per_unit',
      'input_tokens_per_request',
      'output_tokens_per_request',
      'requests_per_unit',
    ]);
  });

  it('reads the name of a feedback, with colons and spaces inside', () => {
    expect(findMetric('feedback:quality: tone')).toMatchObject({
      numerator: { feedback: 'quality: tone', of: 'sum' },
    });
    expect(findMetric('feedback_rate:solved')).toMatchObject({
      kind: 'rate',
      numerator: { feedback: 'solved', of: 'positive' },
    });
  });

  it.each(['', 'latency', 'feedback:', 'feedback: x', 'feedback', 'toString', '__proto__'])(
    'says of "%s" which metrics there are',
    (name) => {
      expect(findMetric(name)).toBeUndefined();
      expect(metricProblem(name)).toMatch(/error_rate, cancel_rate/);
    },
  );
});

describe('one phase', () => {
  const [control, treatment] = [costs(300), costs(320, 9)];

  it('reads as libs/core/statistics reads the same sums', () => {
    const { treatments, arms } = analyse(
      input([phase([arm('control', control), arm('treatment', treatment)])]),
    );
    const [c, t] = [estimate('ratio', sumsOf(control))!, estimate('ratio', sumsOf(treatment))!];
    for (const scale of ['absolute', 'relative'] as const) {
      const effect = difference(c, t, scale)!;
      const reading = treatments[0]!.metrics[0]![scale]!;
      expect(reading.estimate).toBeCloseTo(effect.estimate, 12);
      expect(reading.standardError).toBeCloseTo(effect.standardError, 12);
      expect(reading.fixedHorizon.interval.upper).toBeCloseTo(fixedHorizon(effect).interval.upper, 12);
      // Proven is proven on both scales.
      expect(reading.alwaysValid.pValue).toBeCloseTo(alwaysValid(difference(c, t)!).pValue, 12);
    }
    const [{ absolute, relative }] = treatments[0]!.metrics as [MetricResult];
    expect(absolute!.alwaysValid.interval.upper).toBeCloseTo(
      alwaysValid(difference(c, t)!).interval.upper,
      12,
    );
    // Fieller's interval: at its ends treatment − (1 + share)·control is just told from 0.
    for (const share of Object.values(relative!.alwaysValid.interval) as number[]) {
      const beyond = contrast([c, t], [-1 - share, 1]);
      expect(Math.abs(beyond.estimate)).toBeCloseTo(
        alwaysValidMultiplier(beyond.units) * beyond.cautiousError,
        9,
      );
    }
    expect(arms.map(({ metrics }) => metrics[0]!.value)).toEqual([c.value, t.value]);
  });

  it('has a relative interval without an end where control is not told from 0, and leaves out 0 just when the absolute one does', () => {
    const read = (failed: number) => {
      const units = (bad: number) => spread(1000, (i) => ({ y: i < bad ? 1 : 0, d: 1 }));
      const [metric] = analyse(input([phase([arm('control', units(3)), arm('treatment', units(failed))])]))
        .treatments[0]!.metrics;
      return { absolute: metric!.absolute!.alwaysValid, relative: metric!.relative!.alwaysValid };
    };
    const few = read(5);
    expect(few.relative.interval).toEqual({ lower: null, upper: null });
    const many = read(80);
    expect(many.absolute.interval.lower).toBeGreaterThan(0);
    expect(many.relative.interval.lower).toBeGreaterThan(0);
    expect(many.relative.interval.upper).toBeNull();
    expect(many.relative.pValue).toBe(many.absolute.pValue);
  });

  it('uses a covariate that narrows the result, and says by how much', () => {
    const noisy = (count: number, shift: number) =>
      spread(count, (i) => {
        const x = 100 + 40 * Math.sin(i * 12.9898);
        return { y: x + shift + 5 * Math.sin(i * 78.233), d: 1, x, w: 1 };
      });
    const [c, t] = [noisy(300, 0), noisy(310, 2)];
    const [metric] = analyse(input([phase([arm('control', c), arm('treatment', t)])])).treatments[0]!.metrics;
    const expected = cupedDifference('ratio', sumsOf(c), sumsOf(t))!;
    expect(metric!.absolute!.estimate).toBeCloseTo(expected.estimate, 9);
    expect(metric!.cuped!.theta).toBeCloseTo(expected.theta, 9);
    expect(metric!.cuped!.varianceReduction).toBeCloseTo(expected.varianceReduction, 9);
    expect(expected.varianceReduction).toBeGreaterThan(0.9);
    const { lower, upper } = metric!.relative!.alwaysValid.interval;
    for (const share of [lower!, upper!]) {
      const beyond = cupedContrast('ratio', sumsOf(c), sumsOf(t), share)!;
      expect(Math.abs(beyond.estimate)).toBeCloseTo(alwaysValidMultiplier(610) * beyond.cautiousError, 9);
    }
  });

  it('leaves a covariate aside where the treatment has few units, whose own variance is not to be trusted', () => {
    const units = (count: number, spread: number) =>
      Array.from({ length: count }, (_, i) => ({
        y: spread * ((i % 7) + (i % 2)),
        d: 1,
        x: spread * (i % 7),
        w: 1,
      }));
    const cuped = (few: number) =>
      analyse(
        input([
          phase([
            arm('control', units(1000 - few, 10), { weightBps: 10_000 - 10 * few }),
            arm('treatment', units(few, 1), { weightBps: 10 * few }),
          ]),
        ]),
      ).treatments[0]!.metrics[0]!.cuped;
    expect(cuped(10)).toBeNull();
    expect(cuped(500)).not.toBeNull();
  });

  it('corrects the primary metric for the treatments only, the others for everything that is read', () => {
    const rules = {
      ...RULES,
      guardrails: [],
      secondary: [{ metric: 'error_rate' }, { metric: 'cancel_rate' }],
    };
    const shares = { error_rate: sumsOf(costs(300).map(({ d }, i) => ({ y: i % 2, d }))) };
    const arms = [arm('control', costs(300)), arm('a', costs(300, 12)), arm('b', costs(300, 3))].map(
      (each) => ({
        ...each,
        sums: { ...each.sums, ...shares, cancel_rate: shares.error_rate },
      }),
    );
    const { treatments } = analyse(input([phase(arms)], { rules }));
    const [a, b] = treatments.map(({ metrics }) => metrics[0]!.absolute!.fixedHorizon);
    expect(a!.pValue).toBeLessThan(b!.pValue);
    expect(a!.adjustedPValue).toBeCloseTo(2 * a!.pValue, 12);
    expect(b!.adjustedPValue).toBeCloseTo(Math.max(2 * a!.pValue, b!.pValue), 12);
    const tie = treatments[0]!.metrics[1]!.absolute!.fixedHorizon;
    expect([tie.pValue, tie.adjustedPValue]).toEqual([1, 1]);
  });
});

describe('several phases', () => {
  it('never adds up phases with unlike splits: no difference within them is no difference', () => {
    // Dear weeks and cheap weeks; most of the treatment's units came in the dear one.
    const dear = (count: number) => spread(count, (i) => ({ y: 1000 + (i % 5), d: 1 }));
    const cheap = (count: number) => spread(count, (i) => ({ y: 10 + (i % 5), d: 1 }));
    const phases = [
      phase(
        [arm('control', cheap(900), { weightBps: 9000 }), arm('treatment', cheap(100), { weightBps: 1000 })],
        {
          endedAt: '2026-01-02T00:00:00Z',
        },
      ),
      phase([arm('control', dear(500)), arm('treatment', dear(500))], {
        splitRevision: 2,
        returningUnits: 0,
      }),
    ];
    const { treatments, notes } = analyse(input(phases));
    expect(treatments[0]!.metrics[0]!.absolute!.estimate).toBeCloseTo(0, 9);
    expect(treatments[0]!.phases).toEqual([1, 2]);
    expect(notes[0]).toMatch(/2 phases are analysed together/);
  });

  it('is wider for phases that share their units than for phases that do not, and never narrower than one phase for the same units', () => {
    const arms = () => [arm('control', costs(300)), arm('treatment', costs(300, 9))];
    const error = (returningUnits?: number) =>
      analyse(
        input([
          phase(arms()),
          phase(arms(), { splitRevision: 2, ...(returningUnits !== undefined && { returningUnits }) }),
        ]),
      ).treatments[0]!.metrics[0]!.absolute!.standardError!;
    const single = analyse(input([phase(arms())])).treatments[0]!.metrics[0]!.absolute!.standardError!;
    expect(error(0)).toBeCloseTo(single / Math.SQRT2, 9);
    expect(error(300)).toBeGreaterThan(error(0));
    expect(error(600)).toBeCloseTo(single, 9);
    expect(error()).toBeCloseTo(single, 9);
  });

  const judged = (name: string, units: number, judgements: number, solved: number): ArmInput => {
    const [n, y] = [judgements, solved];
    return arm(name, [], {
      units,
      requests: units,
      sums: { 'feedback:solved': { units: n, y, yy: y, d: n, dd: n, yd: y } },
    });
  };
  const believed = (phases: readonly PhaseInput[]) =>
    analyse(input(phases, { rules: { ...RULES, primary: { metric: 'feedback:solved' } } })).arms.map(
      ({ metrics: [metric] }) => metric!,
    );

  it('knows an arm in spite of a phase with one judgement, and does not trust three of three', () => {
    const full = (splitRevision: number) =>
      phase([judged('control', 3000, 3000, 1500), judged('treatment', 3000, 3000, 1700)], {
        splitRevision,
        returningUnits: 0,
      });
    const few = (judgements: number) =>
      phase([judged('control', 300, judgements, judgements), judged('treatment', 5700, 570, 400)], {
        splitRevision: 2,
        returningUnits: 0,
      });
    const [once] = believed([full(1), few(1), full(3)]);
    expect(once!.standardError).toBeGreaterThan(0);
    expect(once!.standardError).toBeLessThan(0.25);
    const [thrice] = believed([full(1), few(3)]);
    // Half of its weight lies on three judgements.
    expect(thrice!.standardError).toBeGreaterThan(0.5 * Math.sqrt(0.2 / 3));
  });

  it('reads arms over the same phases, so that one added in a bad week is not worse for it', () => {
    const values = believed([
      phase([judged('control', 5000, 5000, 3500), judged('a', 5000, 5000, 3500)]),
      phase(
        [judged('control', 2000, 2000, 600), judged('a', 2000, 2000, 600), judged('b', 2000, 2000, 700)],
        {
          splitRevision: 2,
          returningUnits: 0,
        },
      ),
    ]);
    expect(values.map(({ value }) => value)).toEqual([0.3, 0.3, 0.35]);
  });

  it('leaves out a phase in which an arm served another chain version, or only one arm had traffic', () => {
    const { treatments, phases } = analyse(
      input([
        phase([arm('control', costs(200)), arm('treatment', costs(200, 500), { chainDigest: 'sha256:old' })]),
        phase([arm('control', costs(200), { weightBps: 10_000 })], { splitRevision: 2 }),
        phase([arm('control', costs(200)), arm('treatment', costs(200))], { splitRevision: 3 }),
      ]),
    );
    expect(treatments[0]!.phases).toEqual([3]);
    expect(phases.map(({ whyNot }) => whyNot)).toEqual([
      expect.stringMatching(/other chain versions/),
      expect.stringMatching(/one arm/),
      null,
    ]);
    expect(treatments[0]!.metrics[0]!.absolute!.estimate).toBeCloseTo(0, 9);
  });
});

describe('quantiles from histograms', () => {
  const groups = (values: readonly number[]): GroupHistogram[] =>
    Array.from({ length: 64 }, (_, group) => {
      const bins = new Map<number, number>();
      values
        .filter((_, i) => i % 64 === group)
        .forEach((ms) => bins.set(binOf(ms), (bins.get(binOf(ms)) ?? 0) + 1));
      return { group, bins: [...bins] };
    });

  it('puts every time into the bin whose edges enclose it', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 1e6, noNaN: true }), (ms) => {
        const bin = binOf(ms);
        expect(ms).toBeLessThanOrEqual(upperEdge(bin) * (1 + 1e-9));
        if (bin > 0) expect(ms).toBeGreaterThanOrEqual(upperEdge(bin - 1) * (1 - 1e-9));
      }),
    );
  });

  it('is within 2 % of the true quantile, and finds a difference between arms', () => {
    const times = (count: number, scale: number) =>
      spread(count, () => ({ y: 0, d: 0 })).map(
        (_, i) => scale * Math.exp(Math.sin(i * 12.9898) * 0.5 + ((i * 7919) % 1000) / 700),
      );
    const latency = (name: string, values: readonly number[]) =>
      arm(name, costs(2000), { histograms: { latencyMs: groups(values) } });
    const [slow, fast] = [times(6000, 500), times(6000, 400)];
    const { treatments, arms } = analyse(
      input([phase([latency('control', fast), latency('treatment', slow)])]),
    );
    const exact = [...fast].sort((a, b) => a - b)[5699]!;
    expect(Math.abs(arms[0]!.metrics[1]!.value! / exact - 1)).toBeLessThan(0.02);
    const p95 = treatments[0]!.metrics[1]!;
    expect(p95.relative!.estimate).toBeCloseTo(0.25, 1);
    expect(p95.guardrail!.state).toBe('breached');
    expect(treatments[0]!.decision.reason).toBe('guardrail_breached');
  });
});

it('takes any alpha that rules may have', () => {
  const rules = { ...RULES, alpha: 0.5, guardrails: [{ metric: 'cost_micro_usd_per_request', margin: 0.5 }] };
  const arms = [arm('control', costs(200)), arm('treatment', costs(200))];
  expect(analyse(input([phase(arms)], { rules })).treatments[0]!.metrics[1]!.guardrail!.state).toBe('held');
});

it('says anything in JSON, whatever the units are', () => {
  const unit = fc.record({
    y: fc.oneof(
      fc.constant(0),
      fc.integer({ min: -1e9, max: 1e9 }).map((value) => value / 1000),
    ),
    d: fc.nat(20),
    x: fc.integer({ min: -1e9, max: 1e9 }).map((value) => value / 1000),
    w: fc.nat(20),
  });
  const some = fc.array(unit, { maxLength: 30 });
  fc.assert(
    fc.property(fc.array(fc.tuple(some, some, some), { minLength: 1, maxLength: 3 }), (phases) => {
      const found = analyse(
        input(
          phases.map(([c, a, b], at) =>
            phase(
              [
                arm('control', c, { weightBps: 5000 }),
                arm('a', a, { weightBps: 2500 }),
                arm('b', b, { weightBps: 2500 }),
              ],
              {
                splitRevision: at + 1,
              },
            ),
          ),
        ),
      );
      expect(JSON.parse(JSON.stringify(found))).toEqual(found);
      expect(found.decision.sentence).not.toMatch(/NaN|Infinity|undefined/);
    }),
    { numRuns: 300 },
  );
});

it('tells main effects and interactions of prompt × model', () => {
  const cell = (prompt: number, model: number) =>
    arm(`p${prompt}m${model}`, costs(400, 10 * prompt + 20 * model + 5 * prompt * model), {
      weightBps: 2500,
    });
  const arms = [cell(0, 0), cell(0, 1), cell(1, 0), cell(1, 1)];
  const found = analyse(input([phase(arms)], { rules: { ...RULES, control: 'p0m0' } }));
  const design = {
    names: ['prompt', 'model'] as const,
    arms: arms.map(({ arm: name }) => ({ arm: name, levels: [name.slice(0, 2), name.slice(2)] as const })),
  };
  const effects = factorialResult(design, 'p0m0', found.arms, 'cost_micro_usd_per_request', {
    alpha: 0.05,
    tunedUnits: 5000,
  })!;
  // Per request: units have two requests on average.
  expect(effects.map(({ name, estimate }) => [name, Math.round(estimate * 100) / 100])).toEqual([
    ['prompt: p1 − p0', 6.26],
    ['model: m1 − m0', 11.26],
    ['prompt p1 × model m1', 2.5],
  ]);
});
