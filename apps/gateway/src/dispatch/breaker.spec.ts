import { describe, expect, it } from 'vitest';
import { Breaker } from './breaker.js';

const breaker = (failures = 3) => new Breaker({ failures, openMs: 1000 }, () => 0.5);
function opened(): Breaker {
  const one = breaker();
  for (let n = 0; n < 3; n++) one.failed(false, 0);
  return one;
}

describe('Breaker', () => {
  it('opens at failures in a row, and a success begins the row anew', () => {
    const one = breaker();
    expect([one.failed(false, 0), one.failed(false, 0)]).toEqual([false, false]);
    one.succeeded(false);
    expect([one.failed(false, 0), one.failed(false, 0), one.isClosed]).toEqual([false, false, true]);
    expect([one.failed(false, 0), one.state]).toEqual([true, 'open']);
  });

  it('opens when half of twenty requests fail, though never many in a row', () => {
    const one = breaker();
    for (let n = 0; n < 9; n++) {
      one.succeeded(false);
      expect(one.failed(false, 100)).toBe(false);
    }
    one.succeeded(false);
    expect(one.failed(false, 100)).toBe(true);
  });

  it('forgets the rate of long ago', () => {
    const one = breaker();
    for (let n = 0; n < 9; n++) {
      one.succeeded(false);
      one.failed(false, 0);
    }
    one.succeeded(false);
    expect(one.failed(false, 25_000)).toBe(false);
  });

  it('takes one trial after its pause, and closes when that succeeds', () => {
    const one = opened();
    expect([one.takesTrial(999), one.waitMs(400)]).toEqual([false, 600]);
    expect(one.takesTrial(1000)).toBe(true);
    one.beginTrial();
    expect([one.takesTrial(2000), one.state]).toEqual([false, 'half_open']);
    one.succeeded(true);
    expect(one.state).toBe('closed');
  });

  it('opens for twice as long when the trial fails, and as long as at first after a success', () => {
    const one = opened();
    one.beginTrial();
    expect(one.failed(true, 1000)).toBe(true);
    expect([one.takesTrial(2999), one.takesTrial(3000)]).toEqual([false, true]);
    one.beginTrial();
    one.succeeded(true);
    one.succeeded(false);
    for (let n = 0; n < 3; n++) one.failed(false, 5000);
    expect([one.takesTrial(5999), one.takesTrial(6000)]).toEqual([false, true]);
  });

  it('takes the next trial when one ends without a verdict', () => {
    const one = opened();
    one.beginTrial();
    one.endTrial();
    expect([one.state, one.takesTrial(1000)]).toEqual(['open', true]);
  });

  it('opens again at the first failure after a trial that only began well', () => {
    const one = opened();
    one.beginTrial();
    one.trialBegan();
    expect(one.state).toBe('closed');
    expect([one.failed(true, 1100), one.state]).toEqual([true, 'open']);
  });

  it('does not listen to what was sent before it opened', () => {
    const one = opened();
    one.succeeded(false);
    expect([one.failed(false, 500), one.state, one.waitMs(0)]).toEqual([false, 'open', 1000]);
    one.beginTrial();
    one.succeeded(false);
    expect(one.state).toBe('half_open');
  });

  it('never opens where it is switched off', () => {
    const one = breaker(0);
    for (let n = 0; n < 100; n++) one.failed(false, n);
    expect(one.isClosed).toBe(true);
  });

  it('never pauses longer than a minute, spread by a fifth', () => {
    const one = new Breaker({ failures: 1, openMs: 1000 }, () => 1);
    let now = 0;
    for (let n = 0; n < 40; n++) {
      one.failed(n > 0, now);
      expect(one.waitMs(now)).toBeLessThanOrEqual(72_000);
      now += one.waitMs(now);
      one.beginTrial();
    }
    one.failed(true, now);
    expect(one.waitMs(now)).toBeCloseTo(72_000, 3);
  });
});
