import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rampWeights } from './ramp.js';
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

  it('takes the day of its own time zone', () => {
    const monday = { windows: [{ days: [1], from: '00:00', to: '24:00' }] };
    expect(whyNotNow({ ...monday, timeZone: 'Pacific/Auckland' }, '2026-01-04T12:00:00Z')).toBeUndefined();
    expect(whyNotNow(monday, '2026-01-04T12:00:00Z')).toBe(
      'It is Sun 12:00 (UTC), outside the windows in which it may take a step.',
    );
  });
});
