import type { LimitRecord, LimitWindow } from './limit-record.js';
import type { Meter, Told } from './meter.js';

/** A month or a day is no bucket's. */
const WINDOW_MS: Readonly<Record<LimitWindow, number>> = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: Infinity,
  month: Infinity,
};

/** What is missing by rounding alone is there. */
const EPSILON = 1e-6;

/** A rate: a bucket that holds `amount` and fills up in one window. */
export class TokenBucket implements Meter {
  private level: number;
  /** Used without the store that gateways share, which does not know of it. */
  private isAlone = false;

  constructor(
    public limit: LimitRecord,
    private filledAtMs: number,
  ) {
    this.level = limit.amount;
  }

  change(limit: LimitRecord): void {
    this.level += limit.amount - this.limit.amount;
    this.limit = limit;
  }

  waitMs(amount: number, nowMs: number): number {
    this.fill(nowMs);
    if (this.level + EPSILON >= amount) return 0;
    if (amount > this.limit.amount) return Infinity;
    return (amount - this.level) / this.ratePerMs;
  }

  reserve(amount: number, nowMs: number): void {
    this.fill(nowMs);
    this.level -= amount;
  }

  settle(reserved: number, used: number, nowMs: number): void {
    this.fill(nowMs);
    this.level = Math.min(this.limit.amount, this.level + reserved - used);
  }

  left(nowMs: number): number {
    this.fill(nowMs);
    return Math.max(0, Math.floor(this.level + EPSILON));
  }

  resetMs(nowMs: number): number {
    this.fill(nowMs);
    return this.limit.amount === 0 ? 0 : (this.limit.amount - this.level) / this.ratePerMs;
  }

  told(nowMs: number): Told {
    this.fill(nowMs);
    const { amount, window } = this.limit;
    return [
      'r',
      String(amount),
      String(WINDOW_MS[window]),
      // What went beyond it without the store is not held against those who come after.
      String(Math.max(0, this.level)),
      this.isAlone ? '1' : '0',
    ];
  }

  adopt([, level]: readonly string[], _reserved: number, nowMs: number): void {
    this.level = Number(level);
    this.filledAtMs = nowMs;
    this.isAlone = false;
  }

  standAlone(): void {
    this.isAlone = true;
  }

  private get ratePerMs(): number {
    return this.limit.amount / WINDOW_MS[this.limit.window];
  }

  /** A clock that was set back fills nothing. */
  private fill(nowMs: number): void {
    const elapsedMs = nowMs - this.filledAtMs;
    this.filledAtMs = nowMs;
    if (elapsedMs > 0) this.level = Math.min(this.limit.amount, this.level + elapsedMs * this.ratePerMs);
  }
}
