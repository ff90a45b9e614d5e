import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttemptPlanner } from './attempt-planner.js';
import { RetryBudget } from './retry-budget.js';

const failed = (mayRetry = true, mayFallBack = true, retryAfterMs?: number, remainingMs = 600_000) => ({
  mayRetry,
  mayFallBack,
  retryAfterMs,
  remainingMs,
  budget: new RetryBudget(),
});

describe('AttemptPlanner', () => {
  it('makes one attempt per generation without a policy', () => {
    const planner = new AttemptPlanner(3, undefined, () => 0.5);
    expect(planner.next(failed())).toEqual({ generation: 1, delayMs: 0 });
    expect(planner.next(failed())).toEqual({ generation: 2, delayMs: 0 });
    expect(planner.next(failed())).toBeUndefined();
  });

  it('makes exactly the attempts of the policy for every generation, in order', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 10 }),
        (generations, maxAttempts) => {
          const planner = new AttemptPlanner(generations, { maxAttempts }, Math.random);
          const made = [0];
          for (let next = planner.next(failed()); next; next = planner.next(failed()))
            made.push(next.generation);
          expect(made).toEqual(
            Array.from({ length: generations * maxAttempts }, (_, n) => Math.floor(n / maxAttempts)),
          );
        },
      ),
    );
  });

  it('waits up to twice as long each time, never longer than the policy allows', () => {
    const planner = new AttemptPlanner(
      1,
      { maxAttempts: 6, initialBackoffMs: 100, maxBackoffMs: 500 },
      () => 1,
    );
    const waits = Array.from({ length: 5 }, () => planner.next(failed())!.delayMs);
    expect(waits).toEqual([100, 200, 400, 500, 500]);
  });

  it('waits as long as the server asks, and as much longer as it would have waited anyway', () => {
    const planner = new AttemptPlanner(
      1,
      { maxAttempts: 4, initialBackoffMs: 100, maxBackoffMs: 500 },
      () => 1,
    );
    expect(planner.next(failed(true, true, 300))).toEqual({ generation: 0, delayMs: 400 });
    expect(planner.next(failed(true, true, 300))).toEqual({ generation: 0, delayMs: 500 });
    expect(planner.next(failed(true, true, 500))).toEqual({ generation: 0, delayMs: 500 });
  });

  it('never waits less than the server asks, nor more than it may: then it goes on to the fallback', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 1, max: 5_000 }),
        fc.integer({ min: 1, max: 10_000 }),
        (asked, maxBackoffMs, remainingMs) => {
          const planner = new AttemptPlanner(2, { maxAttempts: 2, maxBackoffMs }, Math.random);
          const next = planner.next(failed(true, true, asked, remainingMs))!;
          if (next.generation === 1) expect(next.delayMs).toBe(0);
          else {
            expect(next.delayMs).toBeGreaterThanOrEqual(asked);
            expect(next.delayMs).toBeLessThanOrEqual(maxBackoffMs);
            expect(next.delayMs).toBeLessThan(remainingMs);
          }
          if (asked > maxBackoffMs || asked >= remainingMs) expect(next.generation).toBe(1);
        },
      ),
    );
  });

  it('retries only within the budget of the model endpoint, and goes on to the fallback without one', () => {
    const budget = new RetryBudget(() => 0);
    const made = Array.from({ length: 30 }, () => {
      const planner = new AttemptPlanner(2, { maxAttempts: 10, initialBackoffMs: 1 }, () => 0);
      const { generation } = planner.next({ ...failed(), budget })!;
      return { generation, lacksBudget: planner.lacksBudget };
    });
    expect(made.filter(({ generation }) => generation === 0)).toHaveLength(20);
    expect(made.at(-1)).toEqual({ generation: 1, lacksBudget: true });
    const planner = new AttemptPlanner(2, { maxAttempts: 2 }, () => 0);
    expect(planner.next({ ...failed(), budget: undefined })).toMatchObject({ generation: 1 });
  });

  it('neither retries nor falls back where the request itself was refused', () => {
    const planner = new AttemptPlanner(2, { maxAttempts: 3 }, () => 0);
    expect(planner.next(failed(false, false))).toBeUndefined();
    expect(planner.next(failed(false, true))).toEqual({ generation: 1, delayMs: 0 });
  });
});
