import { appendFile } from 'node:fs/promises';
import type { Logger } from '#libs/platform/log/logger.js';
import type { InferenceSink } from './inference-sink.js';
import type { Refused } from './refused.js';
import { decodeRow } from './row-decoder.js';
import type { ShippableRow } from './shippable-row.js';
import type { Spool } from './spool.js';
import type { SpoolMetrics } from './spool.metrics.js';

const BATCH_ROWS = 2000;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Longest a row waits for others before it is sent. */
const BATCH_DELAY_MS = 200;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;

/** Carries closed inferences from the spool to PostgreSQL, in batches, for as long as it takes. */
export class Shipper {
  private stopping = false;
  private wake: (() => void) | undefined;
  private cancelSleep: (() => void) | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private failing = false;
  /** Taken from the backlog when the loop ended. */
  private unsent: ShippableRow[] = [];

  constructor(
    private readonly spool: Spool,
    private readonly sink: InferenceSink,
    private readonly quarantineFile: string,
    private readonly metrics: SpoolMetrics,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.running = this.run();
    this.spool.notify(() => this.rowArrived());
  }

  /** Ships what is there, for at most `graceMs`; what is left stays in the spool for the next start. */
  async stop(graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    this.stopping = true;
    this.wake?.();
    this.cancelSleep?.();
    await this.running;
    await this.drain(deadline);
    await this.spool.backlog.close();
    await this.sink.close();
  }

  private async run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    let unsent: ShippableRow[] = [];
    while (!this.stopping) {
      if (unsent.length === 0) {
        if (!this.isWorthIt()) await this.untilWorthIt();
        unsent = await this.take();
      }
      if (unsent.length === 0) continue;
      if (await this.ship(unsent)) {
        unsent = [];
        retryMs = FIRST_RETRY_MS;
      } else if (!this.stopping) {
        await this.sleep(retryMs);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
    this.unsent = unsent;
  }

  private async drain(deadline: number): Promise<void> {
    for (;;) {
      const rows = this.unsent.length > 0 ? this.unsent : await this.take();
      if (rows.length === 0 || performance.now() > deadline) return;
      this.unsent = [];
      if (!(await this.ship(rows))) return;
    }
  }

  private async take(): Promise<ShippableRow[]> {
    try {
      return await this.spool.backlog.take(BATCH_ROWS, BATCH_BYTES);
    } catch (error) {
      this.logger.error({ err: error }, 'the spool could not be read; trying again');
      await this.sleep(LAST_RETRY_MS);
      return [];
    }
  }

  /** @returns whether the rows are settled. */
  private async ship(rows: readonly ShippableRow[]): Promise<boolean> {
    try {
      const refused = await this.sink.store(rows);
      if (refused.length > 0) await this.quarantine(refused);
      this.spool.settle(rows);
      this.metrics.shipped.inc(rows.length - refused.length);
      if (this.failing) this.logger.info('inference rows are stored again');
      this.failing = false;
      return true;
    } catch (error) {
      this.metrics.batchFailures.inc();
      if (!this.failing)
        this.logger.warn(
          { err: error },
          'inference rows cannot be stored; they stay in the spool until they can',
        );
      this.failing = true;
      return false;
    }
  }

  private async quarantine(refused: readonly Refused<ShippableRow>[]): Promise<void> {
    const entries = refused.map(({ row, error }) => ({ error, fields: decodeRow(row) }));
    const lines = entries.map(({ error, fields }) => JSON.stringify({ error: error.message, ...fields }));
    await appendFile(this.quarantineFile, `${lines.join('\n')}\n`, { mode: 0o600 });
    this.metrics.quarantined.inc(refused.length);
    for (const { error, fields } of entries)
      this.logger.error(
        { id: fields['id'], err: error, file: this.quarantineFile },
        'PostgreSQL refuses an inference row; it is in the quarantine file',
      );
  }

  private isWorthIt(): boolean {
    const { backlog } = this.spool;
    return backlog.isOnDisk || backlog.waiting >= BATCH_ROWS;
  }

  private rowArrived(): void {
    if (!this.wake) return;
    if (this.isWorthIt()) this.wake();
    else this.timer ??= setTimeout(this.wake, BATCH_DELAY_MS);
  }

  private async untilWorthIt(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      if (this.stopping) resolve();
      else if (this.spool.backlog.waiting > 0) this.timer = setTimeout(resolve, BATCH_DELAY_MS);
    });
    clearTimeout(this.timer);
    this.timer = undefined;
    this.wake = undefined;
  }

  private async sleep(ms: number): Promise<void> {
    if (this.stopping) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.cancelSleep = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.cancelSleep = undefined;
  }
}
