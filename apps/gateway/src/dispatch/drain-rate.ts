/** How much of what was seen before is kept at each departure: about the last forty count. */
const KEPT = 0.975;
/** Departures seen before anything is said. */
const LEAST_SEEN = 5;
/** After a pause of this length what was seen before tells nothing any more. */
const STALE_MS = 60_000;

/** How fast a queue empties, seen from those who leave it for a replica. */
export class DrainRate {
  /** Both fade alike, so that their quotient is the mean time between departures. */
  private departures = 0;
  private elapsedMs = 0;
  private seen = 0;
  private lastMs = 0;

  /** @param now a monotonic clock, in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Somebody waits in a queue that was empty. */
  begin(): void {
    const nowMs = this.now();
    if (nowMs - this.lastMs > STALE_MS) this.departures = this.elapsedMs = this.seen = 0;
    this.lastMs = nowMs;
  }

  /** One of those who waited got a replica. */
  departed(): void {
    const nowMs = this.now();
    this.departures = this.departures * KEPT + 1;
    this.elapsedMs = this.elapsedMs * KEPT + (nowMs - this.lastMs);
    this.lastMs = nowMs;
    this.seen++;
  }

  /** How long one waits who comes after so many, in milliseconds; undefined while that is not known. */
  waitMs(ahead: number): number | undefined {
    if (this.seen < LEAST_SEEN) return undefined;
    return ((ahead + 1) * this.elapsedMs) / this.departures;
  }
}

/** Longest `Retry-After` that a rate can lead to, in milliseconds: beyond it a rate says nothing. */
const MAX_RETRY_AFTER_MS = 60_000;

/** When it is worth coming back to a queue that takes no more: once those who wait now are through. */
export function retryAfterOf(drain: DrainRate, queued: number): number {
  return Math.min(MAX_RETRY_AFTER_MS, Math.max(1000, drain.waitMs(queued) ?? 1000));
}
