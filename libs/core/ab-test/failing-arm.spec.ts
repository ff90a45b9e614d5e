import { describe, expect, it } from 'vitest';
import type { ArmSums } from '../statistics/sums.js';
import type { AbTestRules, ArmInput } from './ab-test.js';
import { analyse } from './analysis.js';
import { arm, input, phase, RULES } from './spec-inputs.js';

describe('an arm that is down', () => {
  const UP = { errors: 0.01, solved: 0.6, cost: 1500, ms: 800 };
  const DOWN = { errors: 0.9, solved: 0.06, cost: 150, ms: 120 };
  const rate = (count: number, share: number): ArmSums => ({
    units: count,
    y: count * share,
    yy: count * share,
  });
  const perRequest = (count: number, value: number, deviation: number): ArmSums => ({
    units: count,
    y: count * value,
    yy: count * (value ** 2 + deviation ** 2),
    d: count,
    dd: count,
    yd: count * value,
  });
  const measured = (name: string, count: number, { errors, solved, cost, ms }: typeof UP): ArmInput =>
    arm(name, [], {
      units: count,
      requests: count,
      errors: Math.round(count * errors),
      sums: {
        'feedback_rate:solved': rate(count, solved),
        cost_micro_usd_per_request: perRequest(count, cost, 0.3 * cost),
        latency_ms_mean: perRequest(count, ms, 0.5 * ms),
        output_tokens_per_request: perRequest(count, cost / 10, cost / 30),
      },
    });
  const decided = (
    count: number,
    primary: AbTestRules['primary'],
    guardrails: readonly string[],
    [control, treatment]: readonly [typeof UP, typeof UP],
    now = '2026-01-03T00:00:00Z',
  ) =>
    analyse(
      input([phase([measured('control', count, control), measured('treatment', count, treatment)])], {
        now,
        rules: { ...RULES, primary, guardrails: guardrails.map((metric) => ({ metric, margin: 0.2 })) },
      }),
    ).decision;
  const SOLVED = { metric: 'feedback_rate:solved' };
  const CHEAP = ['cost_micro_usd_per_request', 'latency_ms_mean', 'output_tokens_per_request'];

  it.each([20, 30, 60, 99, 200, 1000])(
    'is no reason to roll a healthy treatment back, when it is control (%d units)',
    (count) => {
      const found = decided(count, SOLVED, CHEAP, [DOWN, UP]);
      expect(found).toMatchObject({ decision: 'keep_running', reason: 'guardrail_open' });
      expect(found.sentence).toMatch(
        /cost_micro_usd_per_request.*(89\.9|90\.0) % of the requests of "control" fail, \d\.\d % of "treatment".*look at the errors of "control"/,
      );
    },
  );

  it('is no reason to roll back by a primary metric, nor because the time is over, when it is control', () => {
    for (const metric of CHEAP)
      for (const now of ['2026-01-03T00:00:00Z', '2026-03-03T00:00:00Z'])
        expect(decided(500, { metric }, ['latency_ms_mean'], [DOWN, UP], now)).toMatchObject({
          decision: 'keep_running',
          sentence: expect.stringMatching(/look at the errors of "control"/),
        });
  });

  it('is not shipped for being quick and cheap, when it is the treatment; once the time is over it goes', () => {
    for (const metric of CHEAP) {
      const found = decided(500, { metric }, CHEAP, [UP, DOWN]);
      expect(found).toMatchObject({ decision: 'keep_running', reason: 'undecided' });
      expect(found.sentence).toMatch(/look at the errors of "treatment"/);
    }
    const late = decided(500, { metric: CHEAP[0]! }, [], [UP, DOWN], '2026-03-03T00:00:00Z');
    expect(late).toMatchObject({ decision: 'roll_back', reason: 'maximum_duration' });
  });

  it('leaves breaches and decisions alone that failures do not explain', () => {
    const dear = { ...UP, cost: 2000 };
    expect(decided(500, SOLVED, CHEAP, [UP, dear])).toMatchObject({ reason: 'guardrail_breached' });
    expect(decided(500, { metric: CHEAP[0]! }, [], [dear, UP])).toMatchObject({ decision: 'ship' });
    expect(decided(500, SOLVED, ['latency_ms_mean'], [UP, DOWN])).toMatchObject({ reason: 'worse' });
    // The dear arm fails more as well: its cost is no artefact.
    expect(decided(500, SOLVED, CHEAP, [UP, { ...dear, errors: 0.3 }])).toMatchObject({
      reason: 'guardrail_breached',
    });
  });
});
