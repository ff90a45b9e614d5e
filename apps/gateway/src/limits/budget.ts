import type { LimitRecord } from './limit-record.js';
import type { Meter, Told } from './meter.js';

/** A budget: an amount per day or month of the UTC calendar. */
export class Budget implements Meter {
  /** Of the period. */
  private startMs = 0;
  private endMs = 0;
  private spent = 0;
  /** What this gateway counted of it, which is what rows that are read meanwhile may not have yet. */
  private counted = 0;
  private reserved = 0;
  /** By other gateways, where they share their limits. */
  private reservedElsewhere = 0;
  private hasAlerted = false;

  constructor(
    public limit: LimitRecord,
    /** Told once per period when `alertPercent` of it is spent. */
    private readonly onAlert: (budget: Budget) => void,
  ) {}

  change(limit: LimitRecord): void {
    this.limit = limit;
    this.hasAlerted = false;
    this.alert();
  }

  waitMs(amount: number, nowMs: number): number {
    this.roll(nowMs);
    if (!this.limit.hardStop || this.inUse + amount <= this.limit.amount) return 0;
    return this.endMs - nowMs;
  }

  reserve(amount: number, nowMs: number): void {
    this.roll(nowMs);
    this.reserved += amount;
  }

  /** In the period it ends in, whenever it began. */
  settle(reserved: number, used: number, nowMs: number): void {
    this.roll(nowMs);
    this.reserved -= reserved;
    this.spent += used;
    this.counted += used;
    this.alert();
  }

  left(nowMs: number): number {
    this.roll(nowMs);
    return Math.max(0, this.limit.amount - this.inUse);
  }

  resetMs(nowMs: number): number {
    this.roll(nowMs);
    return this.endMs - nowMs;
  }

  /** The period, to read what the rows say of it, and what was counted in it so far. */
  period(nowMs: number): { readonly startMs: number; readonly endMs: number; readonly counted: number } {
    this.roll(nowMs);
    const { startMs, endMs, counted } = this;
    return { startMs, endMs, counted };
  }

  /**
   * What the rows say: of this gateway from before it was started, and of others.
   * @param asked the period as it was before the rows were asked; what was counted since is not among them.
   */
  learn(inRows: number, asked: { readonly startMs: number; readonly counted: number }): void {
    if (asked.startMs !== this.startMs) return;
    this.spent = Math.max(this.spent, inRows + this.counted - asked.counted);
    this.alert();
  }

  told(nowMs: number): Told {
    this.roll(nowMs);
    const { amount, window, hardStop } = this.limit;
    return [
      window === 'day' ? 'd' : 'm',
      String(amount),
      String(this.startMs),
      String(this.spent),
      hardStop ? '1' : '0',
    ];
  }

  /** In a period it only grows: whoever has seen the most of it is right. */
  adopt([, start, , spent, reservedByAll]: readonly string[], reserved: number, nowMs: number): void {
    this.roll(nowMs);
    this.reserved += reserved;
    this.reservedElsewhere = Math.max(0, Number(reservedByAll) - this.reserved);
    if (Number(start) !== this.startMs) return;
    this.spent = Math.max(this.spent, Number(spent));
    this.alert();
  }

  standAlone(): void {
    this.reservedElsewhere = 0;
  }

  /** Share that is spent, in percent, while it is one to be told; else undefined. */
  get alertedPercent(): number | undefined {
    return this.hasAlerted ? Math.floor((100 * this.spent) / Math.max(1, this.limit.amount)) : undefined;
  }

  private get inUse(): number {
    return this.spent + this.reserved + this.reservedElsewhere;
  }

  private alert(): void {
    const { alertPercent, amount } = this.limit;
    if (this.hasAlerted || alertPercent === null || this.spent < (amount * alertPercent) / 100) return;
    this.hasAlerted = true;
    this.onAlert(this);
  }

  private roll(nowMs: number): void {
    if (nowMs < this.endMs && nowMs >= this.startMs) return;
    const now = new Date(nowMs);
    const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
    const isMonth = this.limit.window === 'month';
    this.startMs = Date.UTC(year, month, isMonth ? 1 : day);
    this.endMs = isMonth ? Date.UTC(year, month + 1, 1) : Date.UTC(year, month, day + 1);
    this.spent = 0;
    this.counted = 0;
    this.hasAlerted = false;
  }
}
