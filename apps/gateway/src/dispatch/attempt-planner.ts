import type { RetryPolicy } from '#libs/core/content/types.js';

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
}

const DEFAULT_INITIAL_BACKOFF_MS = 200;
const DEFAULT_MAX_BACKOFF_MS = 5_000;

/**
 * Which attempt comes next. Pure but for `random`. Each generation gets the attempts of the retry policy, one
 * without a policy; then the fallbacks follow in order. Waits have full jitter, so that clients of a server that
 * comes back do not come back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export class AttemptPlanner {
  private generation = 0;
  private tried = 1;

  /** @param generations the chain's generation and its fallbacks, counted. */
  constructor(
    private readonly generations: number,
    private readonly policy: RetryPolicy | undefined,
    private readonly random: () => number,
  ) {}

  /** The attempt after a failed one; undefined when the request has failed. */
  next(failed: FailedAttempt): Attempt | undefined {
    if (failed.mayRetry && this.tried < (this.policy?.maxAttempts ?? 1)) {
      this.tried++;
      return { generation: this.generation, delayMs: this.backoff(failed.retryAfterMs) };
    }
    if (!failed.mayFallBack || this.generation + 1 >= this.generations) return undefined;
    this.generation++;
    this.tried = 1;
    return { generation: this.generation, delayMs: 0 };
  }

  private backoff(retryAfterMs: number | undefined): number {
    const initial = this.policy?.initialBackoffMs ?? DEFAULT_INITIAL_BACKOFF_MS;
    const max = this.policy?.maxBackoffMs ?? Math.max(DEFAULT_MAX_BACKOFF_MS, initial);
    if (retryAfterMs !== undefined) return Math.min(retryAfterMs, max);
    return this.random() * Math.min(max, initial * 2 ** (this.tried - 2));
  }
}
