import { describe, expect, it } from 'vitest';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { Budget } from './budget.js';
import type { LimitRecord } from './limit-record.js';

const limit = (fields: Partial<LimitRecord> = {}): LimitRecord => ({
  id: '0',
  workspaceId: DEFAULT_WORKSPACE_ID,
  name: 'b',
  targetKind: 'team',
  target: 'support',
  metric: 'costMicroUsd',
  window: 'day',
  amount: 1000,
  hardStop: true,
  alertPercent: 80,
  ...fields,
});
const at = (text: string) => Date.parse(text);
const NOON = at('2026-11-22T12:00:00Z');

function budget(fields?: Partial<LimitRecord>): { budget: Budget; alerts: string[] } {
  const alerts: string[] = [];
  return { budget: new Budget(limit(fields), (told) => alerts.push(told.limit.name)), alerts };
}

describe('a budget', () => {
  it('counts what is reserved as if it were spent, and lets nothing beyond it', () => {
    const { budget: b } = budget();
    expect(b.waitMs(1000, NOON)).toBe(0);
    b.reserve(600, NOON);
    expect(b.left(NOON)).toBe(400);
    expect(b.waitMs(400, NOON)).toBe(0);
    expect(b.waitMs(401, NOON)).toBe(12 * 3_600_000);
    b.settle(600, 100, NOON);
    expect(b.left(NOON)).toBe(900);
  });

  it('that is not a hard stop refuses nothing', () => {
    const { budget: b, alerts } = budget({ hardStop: false });
    b.settle(0, 5000, NOON);
    expect(b.waitMs(1, NOON)).toBe(0);
    expect(alerts).toEqual(['b']);
  });

  it.each([
    ['day', '2026-11-22T23:59:59.999Z', '2026-11-23T00:00:00Z'],
    ['month', '2026-11-30T23:59:59.999Z', '2026-12-01T00:00:00Z'],
    ['month', '2026-12-31T23:59:59.999Z', '2027-01-01T00:00:00Z'],
  ] as const)('of a %s begins anew in UTC: after %s', (window, last, first) => {
    const { budget: b } = budget({ window });
    b.settle(0, 1000, at(last));
    expect(b.waitMs(1, at(last))).toBe(1);
    expect(b.waitMs(1, at(first))).toBe(0);
    expect(b.left(at(first))).toBe(1000);
  });

  it('alerts once a period, and again in the next', () => {
    const { budget: b, alerts } = budget();
    b.settle(0, 799, NOON);
    expect([alerts.length, b.alertedPercent]).toEqual([0, undefined]);
    b.settle(0, 1, NOON);
    b.settle(0, 50, NOON);
    expect([alerts.length, b.alertedPercent]).toEqual([1, 85]);
    b.settle(0, 900, NOON + 86_400_000);
    expect(alerts).toHaveLength(2);
  });

  it('learns from the rows what it did not count, and counts nothing twice', () => {
    const { budget: b } = budget();
    b.settle(0, 100, NOON);
    const asked = b.period(NOON);
    b.settle(0, 20, NOON); // while the rows are read
    b.learn(500, asked);
    expect(b.left(NOON)).toBe(480);
    // The rows lag behind: what was counted stays counted.
    b.learn(400, b.period(NOON));
    expect(b.left(NOON)).toBe(480);
    b.learn(900, { ...asked, startMs: asked.startMs - 86_400_000 });
    expect(b.left(NOON)).toBe(480);
  });

  it('follows what gateways share of it, and forgets what others have reserved when they are alone', () => {
    const { budget: b, alerts } = budget();
    const { startMs, endMs } = b.period(NOON);
    const shared = (spent: number, reserved: number) => ['d', startMs, endMs, spent, reserved].map(String);
    b.settle(0, 50, NOON);
    b.adopt(shared(300, 120), 100, NOON);
    expect(b.left(NOON)).toBe(580); // 300 spent, 100 reserved here, 20 elsewhere
    // Whoever has seen the most is right, and a period that is over says nothing of this one.
    b.adopt(shared(200, 100), 0, NOON);
    b.adopt(['d', String(startMs - 86_400_000), String(startMs), '900', '100'], 0, NOON);
    expect(b.left(NOON)).toBe(600);
    b.adopt(shared(300, 150), 0, NOON);
    expect(b.left(NOON)).toBe(550);
    b.standAlone();
    expect(b.left(NOON)).toBe(600);
    expect(b.told(NOON)).toEqual(['d', '1000', String(startMs), '300', '1']);
    // What others spent, and the rows have by now, is not counted once more.
    const asked = b.period(NOON);
    b.adopt(shared(500, 100), 0, NOON);
    b.learn(500, asked);
    expect(b.told(NOON)[3]).toBe('500');
    b.adopt(shared(800, 100), 0, NOON);
    expect(alerts).toEqual(['b']);
  });

  it('that is raised or lowered keeps what was spent', () => {
    const { budget: b, alerts } = budget();
    b.settle(0, 700, NOON);
    b.change(limit({ amount: 800 }));
    expect([b.left(NOON), alerts.length]).toEqual([100, 1]);
    b.change(limit({ amount: 5000 }));
    expect([b.left(NOON), b.alertedPercent]).toEqual([4300, undefined]);
  });
});
