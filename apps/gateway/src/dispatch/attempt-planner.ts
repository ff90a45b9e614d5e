import type { RetryPolicy } from '#libs/core/content/types.js';
import type { RetryBudget } from './retry-budget.js';

export interface Attempt {
  /** 0 is the chain's generation, 1 its first fallback, and so on. */
  readonly generation: number;
  /** Wait before it, in milliseconds. */
  readonly delayMs: number;
}

/** What the planner needs to know of a failed attempt. */
export interface FailedAttempt {
  readonly mayRetry: boolean;
  readonly mayFallBack: boolean;
  /** What the server asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** What is left of the request's time, in milliseconds. */
  readonly remainingMs: number;
  /** Of the model endpoint it failed at; undefined where that is gone. */
  readonly budget: Pick<RetryBudget, 'take'> | undefined;
}

/** Says which generations may run at all. */
export interface GenerationGate {
  mayRun(generation: number): boolean;
}

const DEFAULT_INITIAL_BACKOFF_MS = 200;
const DEFAULT_MAX_BACKOFF_MS = 5_000;

/**
 * Which attempt comes next. Pure but for `random`. Each generation gets the attempts of the retry policy, one
 * without a policy; then the fallbacks follow in order. Waits have full jitter, so that clients of a server that
 * comes back do not come back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 * What a server asks for with `Retry-After` is kept to: one that asks for more than the policy would ever wait, or
 * than is left of the request's time, is not asked again.
 */
export class AttemptPlanner {
  private generation = 0;
  private tried = 1;
  /** Whether the last answer would have been a retry, had the budget allowed it. */
  lacksBudget = false;

  /**
   * @param generations the chain's generation and its fallbacks, counted.
   * @param gate those it does not let through are passed over, as if they were not there.
   */
  constructor(
    private readonly generations: number,
    private readonly policy: RetryPolicy | undefined,
    private readonly random: () => number,
    private readonly gate?: GenerationGate,
  ) {}

  /** The attempt after a failed one; undefined when the request has failed. */
  next(failed: FailedAttempt): Attempt | undefined {
    this.lacksBudget = false;
    if (failed.mayRetry && this.tried < (this.policy?.maxAttempts ?? 1)) {
      const delayMs = this.backoff(failed.retryAfterMs);
      if (delayMs !== undefined && delayMs < failed.remainingMs) {
        this.lacksBudget = !failed.budget?.take();
        if (!this.lacksBudget) {
          this.tried++;
          return { generation: this.generation, delayMs };
        }
      }
    }
    if (!failed.mayFallBack) return undefined;
    do if (++this.generation >= this.generations) return undefined;
    while (this.gate?.mayRun(this.generation) === false);
    this.tried = 1;
    return { generation: this.generation, delayMs: 0 };
  }

  /** @returns undefined where the server asks for more than the policy would wait. */
  private backoff(retryAfterMs = 0): number | undefined {
    const initial = this.policy?.initialBackoffMs ?? DEFAULT_INITIAL_BACKOFF_MS;
    const max = this.policy?.maxBackoffMs ?? Math.max(DEFAULT_MAX_BACKOFF_MS, initial);
    if (retryAfterMs > max) return undefined;
    // On top of what the server asks for, too: it has asked all others for the same.
    return Math.min(max, retryAfterMs + this.random() * initial * 2 ** (this.tried - 1));
  }
}
