import { describe, expect, it } from 'vitest';
import type { ArmInput, PhaseInput } from './ab-test.js';
import { analyse } from './analysis.js';
import { arm, costs, input, phase } from './spec-inputs.js';

describe('sample ratio', () => {
  const cause = (
    treatment: Partial<ArmInput>,
    more: Partial<PhaseInput> = {},
    control: Partial<ArmInput> = {},
    lagSeconds?: number,
  ) => {
    const arms = [
      arm('control', [], { units: 10_000, requests: 20_000, ...control }),
      arm('treatment', [], { units: 9_000, requests: 18_000, ...treatment }),
    ];
    return analyse(input([phase(arms, more)], { ...(lagSeconds !== undefined && { lagSeconds }) }));
  };

  it('alarms, decides nothing, and says which arm lacks units', () => {
    const { sampleRatio, decision } = cause({});
    expect(sampleRatio).toMatchObject({
      alarm: true,
      cause: expect.stringMatching(
        /"treatment" has 9000 units where 9500 were expected \(5\.3 % missing\).*Nothing that is known/,
      ),
    });
    expect(decision).toMatchObject({ decision: 'keep_running', reason: 'sample_ratio_mismatch' });
  });

  it.each<[string, Partial<ArmInput>, Partial<PhaseInput>, number | undefined, RegExp]>([
    ['rows of arms the split does not have', {}, { strangers: { old: 700 } }, undefined, /700 of "old"/],
    ['gateways that die', { interrupted: 900 }, {}, undefined, /gateway that died/],
    ['overrides', {}, { overrideRequests: 2000 }, undefined, /pinned by an override/],
    ['units of an earlier phase', {}, { returningUnits: 9000 }, undefined, /were here in an earlier phase/],
    ['requests without a unit', { requestsWithoutUnit: 3000 }, {}, undefined, /without a unit/],
    ['failing requests', { errors: 4000 }, {}, undefined, /fail/],
    ['rows that wait', {}, {}, 600, /600 seconds old/],
  ])('names the likely cause: %s', (_, treatment, more, lag, expected) => {
    const { sampleRatio } = cause(
      treatment,
      more,
      { interrupted: 0, requestsWithoutUnit: 0, errors: 0 },
      lag,
    );
    expect(sampleRatio.cause).toMatch(expected);
  });

  it('names an arm with weight 0 that gets units', () => {
    const arms = [
      arm('control', costs(50), { weightBps: 10_000 }),
      arm('treatment', costs(3), { weightBps: 0 }),
    ];
    expect(analyse(input([phase(arms)])).sampleRatio).toMatchObject({
      alarm: true,
      cause: expect.stringMatching(/weight 0/),
    });
  });

  const counted = (name: string, weightBps: number, units: number, newcomers = units) =>
    arm(name, [], { weightBps, units, requests: units, newcomers });

  it('counts newcomers from the second phase on: units may come back unevenly', () => {
    const first = phase([counted('control', 7500, 60_000), counted('treatment', 2500, 20_000)]);
    const later = (units: number, newcomers: number) =>
      analyse(
        input([
          first,
          phase([counted('control', 5000, 40_000, 16_000), counted('treatment', 5000, units, newcomers)], {
            splitRevision: 2,
            returningUnits: 47_600,
          }),
        ]),
      );
    const healthy = later(38_000, 16_100);
    expect(healthy.sampleRatio.alarm).toBe(false);
    expect(healthy.notes.at(-1)).toMatch(
      /split revision 2 new units fall as the split says, all units do not/,
    );
    expect(later(38_000, 15_200).sampleRatio).toMatchObject({
      alarm: true,
      cause: expect.stringMatching(/In split revision 2: Arm "treatment" has 15200 units where 15600/),
    });
  });

  it('is not held up for good by the alarm of a small phase, which it names', () => {
    const { decision, notes, phases } = analyse(
      input([
        phase([counted('control', 5000, 60), counted('treatment', 5000, 25)]),
        phase([counted('control', 5000, 50_000), counted('treatment', 5000, 50_000)], {
          splitRevision: 2,
          returningUnits: 0,
        }),
      ]),
    );
    expect(phases.map(({ sampleRatio }) => sampleRatio.alarm)).toEqual([true, false]);
    expect(decision.reason).not.toBe('sample_ratio_mismatch');
    expect(notes).toContainEqual(expect.stringMatching(/units of split revision 1 do not fall as it says/));
  });

  it.each([
    [0, 0.01],
    [0.05, 0.99],
  ])('of 168 phases, %d of one arm lost, alarms as it should', (lost, expected) => {
    let state = 7;
    const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
    const RUNS = 200;
    let alarms = 0;
    for (let run = 0; run < RUNS; run++) {
      const phases = Array.from({ length: 168 }, (_, at) => {
        const units = [0, 0, 0];
        for (let i = 0; i < 480; i++) {
          const draw = random();
          const of = draw < 0.5 ? 0 : draw < 0.8 ? 1 : 2;
          if (of !== 1 || random() >= lost) units[of]!++;
        }
        const weights = [5000, 3000, 2000];
        return phase(
          ['control', 'a', 'b'].map((name, i) => counted(name, weights[i]!, units[i]!)),
          { splitRevision: at + 1, returningUnits: 0 },
        );
      });
      if (analyse(input(phases)).sampleRatio.alarm) alarms++;
    }
    if (lost > 0) expect(alarms / RUNS).toBeGreaterThanOrEqual(expected);
    else expect(alarms / RUNS).toBeLessThanOrEqual(expected);
  });

  it('does not alarm on the first units of a ramp', () => {
    const arms = [
      arm('control', costs(190), { weightBps: 9900 }),
      arm('treatment', costs(10), { weightBps: 100 }),
    ];
    expect(analyse(input([phase(arms)])).sampleRatio.alarm).toBe(false);
  });
});
