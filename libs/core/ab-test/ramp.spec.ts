import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_REWEIGHTINGS, nextAdaptiveMove, type AdaptiveSettings } from './adaptive.js';
import { nextRampMove, rampWeights, stepReached, type RampSettings, type Sight } from './ramp.js';
import type { AbTestAnalysis, Decision } from './results.js';
import { whyNotNow } from './schedule.js';

describe('weights of a ramp', () => {
  it('sum to 10 000, are even among the treatments that are left, and leave the rest to control', () => {
    const names = fc.uniqueArray(fc.constantFrom<string[]>('a', 'b', 'c', 'd', 'e', 'f', 'g'), {
      minLength: 1,
    });
    fc.assert(
      fc.property(names, fc.nat(), fc.nat(10_000), (treatments, some, share) => {
        const dropped = treatments.slice(0, some % (treatments.length + 1));
        const weights = rampWeights([...treatments, 'control'], 'control', dropped, share);
        expect(weights.map(({ arm }) => arm)).toEqual([...treatments, 'control']);
        expect(weights.reduce((sum, { weightBps }) => sum + weightBps, 0)).toBe(10_000);
        const alive = weights.filter(({ arm }) => arm !== 'control' && !dropped.includes(arm));
        const given = alive.map(({ weightBps }) => weightBps);
        if (alive.length > 0) {
          expect(Math.max(...given) - Math.min(...given)).toBeLessThanOrEqual(1);
          expect(given.reduce((sum, bps) => sum + bps, 0)).toBe(share);
        }
        for (const arm of dropped) expect(weights.find((each) => each.arm === arm)!.weightBps).toBe(0);
      }),
    );
  });
});

describe('a schedule', () => {
  const office = { windows: [{ days: [1, 2, 3, 4], from: '09:00', to: '16:00' }], timeZone: 'Europe/Berlin' };

  it.each([
    // Summer and winter time: Berlin is two hours ahead of UTC in July, one in January.
    ['2026-07-06T07:00:00Z', true],
    ['2026-07-06T06:59:59Z', false],
    ['2026-01-05T08:00:00Z', true],
    ['2026-01-05T07:59:00Z', false],
    ['2026-01-05T14:59:00Z', true],
    ['2026-01-05T15:00:00Z', false],
    // A Friday.
    ['2026-01-09T10:00:00Z', false],
  ])('at %s is open: %s', (now, isOpen) => {
    expect(whyNotNow(office, now) === undefined).toBe(isOpen);
  });

  it('that cannot be read is never open', () => {
    expect(whyNotNow({ notBefore: '2026-W49-2' }, '2027-01-01T00:00:00Z')).toMatch(/not to begin/);
  });

  it('takes the day of its own time zone', () => {
    const monday = { windows: [{ days: [1], from: '00:00', to: '24:00' }] };
    expect(whyNotNow({ ...monday, timeZone: 'Pacific/Auckland' }, '2026-01-04T12:00:00Z')).toBeUndefined();
    expect(whyNotNow(monday, '2026-01-04T12:00:00Z')).toBe(
      'It is Sun 12:00 (UTC), outside the windows in which it may take a step.',
    );
  });
});

describe('a move', () => {
  const RAMP: RampSettings = {
    stepsBps: [6000, 10_000],
    holdoutBps: 0,
    minimumMinutes: 0,
    minimumUnits: 0,
    lastStepNeeds: 'ship',
    autoRollBack: true,
    schedule: {},
  };
  const STATE = { step: 0, since: '2026-11-02T00:00:00Z', dropped: [], acknowledged: [] };
  const GOING = { decision: 'keep_running', reason: 'undecided' };
  const SHIP = { decision: 'ship', reason: 'better' };
  const HARM = { decision: 'roll_back', reason: 'worse' };

  /** @param shown decisions of treatments; the first is the test's. */
  function sight(
    weights: Readonly<Record<string, number>>,
    shown: Readonly<Record<string, object>>,
    alarm = false,
  ): Sight {
    const treatments = Object.entries(shown).map(([arm, decision]) => ({
      arm,
      decision: { ...decision, arm, sentence: `of ${arm}` } as Decision,
    }));
    return {
      control: 'control',
      weights: Object.entries(weights).map(([arm, weightBps]) => ({ arm, weightBps })),
      revision: 7,
      now: '2026-11-03T00:00:00Z',
      analysis: {
        arms: Object.keys(weights).map((arm) => ({
          arm,
          units: 100,
          metrics: [{ metric: 'cost', value: 1, standardError: 0.1 }],
        })),
        treatments,
        phases: [{ splitRevision: 7, arms: [], sampleRatio: { alarm, cause: 'A cause.' } }],
        decision: treatments[0]!.decision,
      } as unknown as AbTestAnalysis,
    };
  }

  it('that drops a treatment gives what it had to control, and nothing to the others, outside the windows too', () => {
    const closed = { ...RAMP, schedule: { notBefore: '2027-01-01T00:00:00Z' } };
    const seen = sight({ control: 4000, good: 3000, bad: 3000 }, { good: GOING, bad: HARM });
    expect(nextRampMove(closed, STATE, seen)).toMatchObject({
      kind: 'split',
      step: 0,
      dropped: ['bad'],
      weights: [
        { arm: 'control', weightBps: 7000 },
        { arm: 'good', weightBps: 3000 },
        { arm: 'bad', weightBps: 0 },
      ],
    });
  });

  it('never gives the last step to a treatment that was dropped', () => {
    const state = { ...STATE, dropped: ['out'] };
    const alone = sight({ control: 7000, left: 3000, out: 0 }, { out: SHIP, left: GOING });
    expect(nextRampMove(RAMP, state, alone)).toEqual({
      kind: 'wait',
      why: 'The last step needs a decision to ship a treatment that is left. of out',
    });
    const both = sight({ control: 7000, left: 3000, out: 0 }, { out: SHIP, left: SHIP });
    expect(nextRampMove(RAMP, state, both)).toMatchObject({
      kind: 'split',
      dropped: ['out'],
      weights: [
        { arm: 'control', weightBps: 0 },
        { arm: 'left', weightBps: 10_000 },
        { arm: 'out', weightBps: 0 },
      ],
    });
  });

  it('pauses for an alarm until it is acknowledged, for this revision only', () => {
    const seen = sight({ control: 4000, a: 6000 }, { a: GOING }, true);
    expect(nextRampMove(RAMP, STATE, seen)).toMatchObject({ kind: 'pause', alarms: ['sample_ratio:7'] });
    const told = { ...STATE, acknowledged: ['sample_ratio:7'] };
    expect(nextRampMove(RAMP, told, seen)).toMatchObject({ kind: 'wait' });
    const other = { ...STATE, acknowledged: ['sample_ratio:6'] };
    expect(nextRampMove(RAMP, other, seen)).toMatchObject({ kind: 'pause' });
    const harm = sight({ control: 4000, a: 6000 }, { a: HARM });
    const shy = { ...RAMP, autoRollBack: false, lastStepNeeds: 'no_harm' as const };
    expect(nextRampMove(shy, told, harm)).toMatchObject({ kind: 'pause', alarms: ['harm:7:a'] });
    expect(nextRampMove(shy, { ...STATE, acknowledged: ['harm:7:a'] }, harm)).toMatchObject({
      kind: 'split',
    });
    // What rolls back by itself asks nobody.
    expect(nextRampMove(RAMP, { ...STATE, acknowledged: ['harm:7:a'] }, harm)).toMatchObject({
      kind: 'roll_back',
    });
  });

  it.each([
    [0, -1],
    [99, -1],
    [100, 0],
    [499, 0],
    [3000, 2],
    [9000, 4],
  ])('that goes on from %i basis points of treatments goes on from step %i', (share, step) => {
    const settings = { ...RAMP, stepsBps: [100, 500, 2500, 5000, 10_000], holdoutBps: 1000 };
    const { weights } = sight({ control: 10_000 - share, a: share }, { a: GOING });
    expect(stepReached(settings, { weights, control: 'control' }, [])).toBe(step);
  });

  it('waits for the gates of a split that gives treatments less than the first step', () => {
    const settings = { ...RAMP, minimumMinutes: 10_000 };
    const seen = sight({ control: 9900, a: 100 }, { a: GOING });
    expect(nextRampMove(settings, { ...STATE, step: -1 }, seen)).toMatchObject({ kind: 'wait' });
    const none = sight({ control: 10_000, a: 0 }, { a: GOING });
    expect(nextRampMove(settings, { ...STATE, step: -1 }, none)).toMatchObject({ kind: 'split', step: 0 });
    // The only step is the last.
    const only = { ...RAMP, stepsBps: [10_000] };
    expect(nextRampMove(only, { ...STATE, step: -1 }, seen)).toMatchObject({ kind: 'wait' });
    expect(nextRampMove(only, { ...STATE, step: -1 }, none)).toMatchObject({ kind: 'split', step: 0 });
  });

  it('of an adaptive test survives a floor too high for its arms, and is made a limited number of times', () => {
    const settings: AdaptiveSettings = {
      intervalMinutes: 60,
      floorBps: 5000,
      minimumUnits: 10,
      minimumChangeBps: 1,
      autoRollBack: true,
      schedule: {},
    };
    const seen = sight({ control: 8000, a: 1000, b: 1000 }, { a: GOING, b: GOING });
    const move = nextAdaptiveMove(settings, STATE, seen, 'lower');
    expect(move).toMatchObject({ kind: 'split', step: 1 });
    const often = { ...STATE, step: MAX_REWEIGHTINGS - 1 };
    expect(nextAdaptiveMove(settings, often, seen, 'lower')).toMatchObject({ kind: 'wait' });
  });
});
