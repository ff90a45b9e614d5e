/** When a breaker opens, and for how long. */
export interface BreakerRules {
  /** Failures in a row that open it; 0: it never opens. */
  readonly failures: number;
  /** First pause, in milliseconds; each failed trial doubles it. */
  readonly openMs: number;
}

export type BreakerState = 'closed' | 'open' | 'half_open';

/** Failures are also counted against successes, over the last one to two of these. */
const WINDOW_MS = 10_000;
/** Fewest requests in the window that say something about a rate. */
const RATE_LEAST = 20;
/** Share of failures in the window that opens it. */
const RATE_OPENS = 0.5;
const MAX_OPEN_MS = 60_000;
/** Pauses are spread by this share, so that several gateways do not try together. */
const SPREAD = 0.2;

/**
 * Circuit breaker of one replica. Open, it gets no requests; after a pause one request is a trial (half open), and its
 * end decides. What was sent before it opened decides nothing any more. Times are of a monotonic clock, in milliseconds.
 */
export class Breaker {
  /** How often it has opened, for the metrics. */
  openings = 0;
  private isOpen = false;
  private trialRuns = false;
  private retryAtMs = 0;
  /** Openings without a success in between. */
  private openedInRow = 0;
  private failedInRow = 0;
  /** Closed by a trial, and nothing has succeeded completely since: one failure opens it again. */
  private onProbation = false;
  private windowStartMs = 0;
  private good = 0;
  private bad = 0;
  private goodBefore = 0;
  private badBefore = 0;

  constructor(
    private readonly rules: BreakerRules,
    private readonly random: () => number = Math.random,
  ) {}

  get isClosed(): boolean {
    return !this.isOpen;
  }

  get state(): BreakerState {
    if (!this.isOpen) return 'closed';
    return this.trialRuns ? 'half_open' : 'open';
  }

  /** Whether an open one takes a trial now. */
  takesTrial(nowMs: number): boolean {
    return !this.trialRuns && nowMs >= this.retryAtMs;
  }

  /** Until an open one takes a trial; while one runs, until its end can be hoped for. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.retryAtMs - nowMs);
  }

  beginTrial(): void {
    this.trialRuns = true;
  }

  /** The trial's request has left the replica. Without a verdict the next request is a trial. */
  endTrial(): void {
    this.trialRuns = false;
  }

  /** The trial's answer has begun: as good as a success, until its end says otherwise. */
  trialBegan(): void {
    if (!this.isOpen) return;
    this.close();
  }

  /** @param isTrial whether the request was the trial. */
  succeeded(isTrial: boolean): void {
    if (this.isOpen) {
      if (isTrial) this.close();
      return;
    }
    this.good++;
    this.failedInRow = 0;
    if (!this.onProbation) return;
    this.onProbation = false;
    this.openedInRow = 0;
  }

  /** @returns whether it has opened now. */
  failed(isTrial: boolean, nowMs: number): boolean {
    const { failures } = this.rules;
    if (failures === 0) return false;
    if (this.isOpen) {
      if (isTrial) this.open(nowMs);
      return isTrial;
    }
    this.turn(nowMs);
    this.bad++;
    this.failedInRow++;
    if (!this.onProbation && this.failedInRow < failures && !this.failsTooOften) return false;
    this.open(nowMs);
    return true;
  }

  private get failsTooOften(): boolean {
    const bad = this.bad + this.badBefore;
    const all = bad + this.good + this.goodBefore;
    return all >= RATE_LEAST && bad >= all * RATE_OPENS;
  }

  private open(nowMs: number): void {
    this.isOpen = true;
    this.trialRuns = false;
    this.onProbation = false;
    this.openings++;
    const pauseMs = Math.min(MAX_OPEN_MS, this.rules.openMs * 2 ** this.openedInRow);
    this.openedInRow = Math.min(this.openedInRow + 1, 30);
    this.retryAtMs = nowMs + pauseMs * (1 + SPREAD * (2 * this.random() - 1));
  }

  private close(): void {
    this.isOpen = false;
    this.trialRuns = false;
    this.onProbation = true;
    this.failedInRow = 0;
    this.good = this.bad = this.goodBefore = this.badBefore = 0;
  }

  /** Goes on to the next window when it is time. Only failures look at the clock: successes cost nothing that way. */
  private turn(nowMs: number): void {
    const elapsedMs = nowMs - this.windowStartMs;
    if (elapsedMs < WINDOW_MS) return;
    const isNext = elapsedMs < 2 * WINDOW_MS;
    this.goodBefore = isNext ? this.good : 0;
    this.badBefore = isNext ? this.bad : 0;
    this.good = this.bad = 0;
    this.windowStartMs = nowMs;
  }
}
