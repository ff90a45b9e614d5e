import { describe, expect, it } from 'vitest';
import { DrainRate, retryAfterOf } from './drain-rate.js';

describe('DrainRate', () => {
  function drain(...intervalsMs: number[]) {
    let nowMs = 1_000_000;
    const rate = new DrainRate(() => nowMs);
    rate.begin();
    const depart = (...intervals: number[]) => {
      for (const interval of intervals) {
        nowMs += interval;
        rate.departed();
      }
    };
    depart(...intervalsMs);
    return { rate, depart, wait: (ms: number) => (nowMs += ms) };
  }

  it('says nothing before it has seen five depart', () => {
    expect(drain(10, 10, 10, 10).rate.waitMs(0)).toBeUndefined();
    expect(drain(10, 10, 10, 10, 10).rate.waitMs(0)).toBeCloseTo(10);
  });

  it('tells the wait from the number ahead and the mean time between departures', () => {
    const { rate } = drain(...Array.from({ length: 100 }, (_, n) => (n % 4 === 0 ? 40 : 0)));
    expect(rate.waitMs(99)! / 1000).toBeCloseTo(1, 0.2);
  });

  it('follows a change within a hundred departures', () => {
    const { rate, depart } = drain(...Array.from({ length: 200 }, () => 10));
    depart(...Array.from({ length: 100 }, () => 100));
    expect(rate.waitMs(0)).toBeGreaterThan(85);
  });

  it('does not take the time for a rate in which nobody waited, and forgets after a minute of it', () => {
    const { rate, wait } = drain(10, 10, 10, 10, 10);
    wait(30_000);
    rate.begin();
    expect(rate.waitMs(0)).toBeCloseTo(10);
    wait(60_001);
    rate.begin();
    expect(rate.waitMs(0)).toBeUndefined();
  });

  it('asks to come back when those who wait are through, after a second at least and a minute at most', () => {
    const { rate } = drain(...Array.from({ length: 50 }, () => 100));
    expect(retryAfterOf(rate, 0)).toBe(1000);
    expect(retryAfterOf(rate, 99)).toBeCloseTo(10_000);
    expect(retryAfterOf(rate, 10_000)).toBe(60_000);
    expect(retryAfterOf(new DrainRate(), 10)).toBe(1000);
  });
});
