/** Share of the successful requests that may be retries, in percent. */
const PERCENT = 20;
/** A retry that is always allowed comes up so often, so that a model endpoint that is asked rarely can be retried at all. */
const FLOOR_EVERY_MS = 1000;
/** Most that is saved up in good times. */
const BURST = 20;

/** One retry; kept in thousandths, so that everything is a small integer. */
const RETRY = 1000;

/**
 * How many retries one model endpoint bears: a token bucket filled by its successes and, a little, by time. While
 * all is well nearly every retry is allowed; in an outage nothing succeeds, and what is left is the floor, so that
 * the outage is not multiplied by the attempts of every chain. As Finagle and gRPC do it:
 * https://twitter.github.io/finagle/guide/Clients.html#retries, https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs
 */
export class RetryBudget {
  private held = BURST * RETRY;
  private filledAtMs: number;

  /** @param now a monotonic clock, in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {
    this.filledAtMs = now();
  }

  /** A request has succeeded. */
  deposit(): void {
    this.add((RETRY * PERCENT) / 100);
  }

  /** Takes one retry. @returns whether there was one. */
  take(): boolean {
    const nowMs = this.now();
    const earned = Math.floor(((nowMs - this.filledAtMs) * RETRY) / FLOOR_EVERY_MS);
    this.add(earned);
    // Not to `nowMs`: the fraction would be lost.
    this.filledAtMs += (earned * FLOOR_EVERY_MS) / RETRY;
    if (this.held < RETRY) return false;
    this.held -= RETRY;
    return true;
  }

  private add(more: number): void {
    const held = this.held + more;
    this.held = held > BURST * RETRY ? BURST * RETRY : held;
  }
}
