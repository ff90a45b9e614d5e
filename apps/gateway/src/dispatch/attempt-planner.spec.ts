import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttemptPlanner } from './attempt-planner.js';

const failed = (mayRetry = true, mayFallBack = true, retryAfterMs?: number) => ({
  mayRetry,
  mayFallBack,
  retryAfterMs,
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

  it('waits as long as the server asks, up to the limit of the policy', () => {
    const planner = new AttemptPlanner(1, { maxAttempts: 3, maxBackoffMs: 500 }, () => 0);
    expect(planner.next(failed(true, true, 300))).toEqual({ generation: 0, delayMs: 300 });
    expect(planner.next(failed(true, true, 60_000))).toEqual({ generation: 0, delayMs: 500 });
  });

  it('neither retries nor falls back where the request itself was refused', () => {
    const planner = new AttemptPlanner(2, { maxAttempts: 3 }, () => 0);
    expect(planner.next(failed(false, false))).toBeUndefined();
    expect(planner.next(failed(false, true))).toEqual({ generation: 1, delayMs: 0 });
  });
});
