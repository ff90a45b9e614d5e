import { describe, expect, it } from 'vitest';
import { RetryBudget } from './retry-budget.js';

describe('RetryBudget', () => {
  function budget() {
    let nowMs = 0;
    const given = new RetryBudget(() => nowMs);
    return {
      deposit: (times: number) => {
        for (let n = 0; n < times; n++) given.deposit();
      },
      wait: (ms: number) => (nowMs += ms),
      /** How many of so many retries are allowed. */
      take: (times: number) => Array.from({ length: times }, () => given.take()).filter(Boolean).length,
    };
  }

  it('allows twenty retries at once, and then one a second, however many are wanted', () => {
    const { take, wait } = budget();
    expect(take(1000)).toBe(20);
    wait(999);
    expect(take(1000)).toBe(0);
    wait(1);
    expect(take(1000)).toBe(1);
    for (let n = 0; n < 100; n++) wait(50);
    expect(take(1000)).toBe(5);
  });

  it('allows one retry for every five successes', () => {
    const { take, deposit } = budget();
    take(1000);
    deposit(4);
    expect(take(1)).toBe(0);
    deposit(1);
    expect(take(1000)).toBe(1);
    deposit(50);
    expect(take(1000)).toBe(10);
  });

  it('saves no more than twenty', () => {
    const { take, deposit, wait } = budget();
    deposit(100_000);
    wait(3_600_000);
    expect(take(1000)).toBe(20);
  });

  it('counts time in small steps as well as in large ones', () => {
    const { take, wait } = budget();
    take(1000);
    let allowed = 0;
    for (let n = 0; n < 10_100; n++) {
      wait(1.3);
      allowed += take(1);
    }
    expect(allowed).toBe(13);
  });
});
