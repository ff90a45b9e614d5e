import type { LimitRecord } from './limit-record.js';

export type Told = readonly [kind: string, amount: string, scope: string, known: string, flag: string];

/**
 * Counts the use under one limit. A request reserves the most it may use, so that requests at the same time cannot
 * go beyond the limit together, and settles on what it did use. Times are milliseconds since 1970.
 */
export interface Meter {
  readonly limit: LimitRecord;
  /** The limit has changed; what was used stays used. */
  change(limit: LimitRecord): void;
  /** How long until so much can be reserved: 0 is now, Infinity is never. Reserves nothing. */
  waitMs(amount: number, nowMs: number): number;
  reserve(amount: number, nowMs: number): void;
  /** @param used takes the place of what was reserved. */
  settle(reserved: number, used: number, nowMs: number): void;
  /** How much can still be reserved, a whole number. */
  left(nowMs: number): number;
  /** How long until all of it is there again. */
  resetMs(nowMs: number): number;
  /** What a store that gateways share is told of it: kind, amount, window or start of the period, level or spent, flag. See `LIMIT_SCRIPT`. */
  told(nowMs: number): Told;
  /**
   * What that store says of it, in the form it is kept there.
   * @param reserved what a request of this gateway has just reserved of it.
   */
  adopt(state: readonly string[], reserved: number, nowMs: number): void;
  /** That store is away: from here on only what is known here counts. */
  standAlone(): void;
}
