import { appendFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReceivedFeedback } from '#libs/core/feedback/feedback-event.js';
import { STORE_FEEDBACK, storeFeedbackValues } from '#libs/core/feedback/store-feedback.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { storeOrDivide, type Refused } from '../spool/refused.js';
import type { FeedbackMetrics } from './feedback.metrics.js';
import type { FeedbackSpool, SpooledFeedback } from './feedback-spool.js';

const BATCH_EVENTS = 2000;
/** Of one statement. On its way to PostgreSQL a judgement takes several times its size in memory. */
const BATCH_BYTES = 8 * 1024 * 1024;
/** Longest an event waits for others before it is sent. */
const BATCH_DELAY_MS = 200;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;

/** What of a pool of PostgreSQL's driver it takes to store feedback. */
export interface FeedbackDatabase {
  query(statement: { name: string; text: string; values: unknown[] }): Promise<unknown>;
}

/** Carries feedback from the spool to PostgreSQL, in batches, for as long as it takes. Storing it again changes nothing. */
export class FeedbackShipper {
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private wake: () => void = () => undefined;
  private failing = false;
  private unsent: SpooledFeedback[] = [];

  constructor(
    private readonly spool: FeedbackSpool,
    private readonly database: FeedbackDatabase,
    private readonly quarantineFile: string,
    private readonly metrics: FeedbackMetrics,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.running = this.run();
    this.spool.notify(() => this.wake());
  }

  /** Ships what is there, for at most `graceMs`; what is left stays in the spool for the next start. */
  async stop(graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    this.stopping.abort();
    this.wake();
    await this.running;
    while ((await this.ship()) === 'shipped' && performance.now() < deadline);
  }

  private async run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.stopping.signal.aborted) {
      const arrives = new Promise<void>((resolve) => (this.wake = resolve));
      const outcome = await this.ship();
      if (outcome === 'failed') {
        await this.pause(retryMs);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
        continue;
      }
      retryMs = FIRST_RETRY_MS;
      if (outcome === 'shipped') continue;
      await arrives;
      await this.pause(BATCH_DELAY_MS);
    }
  }

  private async ship(): Promise<'nothing' | 'shipped' | 'failed'> {
    try {
      if (this.unsent.length === 0) this.unsent = await this.spool.read(BATCH_EVENTS, BATCH_BYTES);
      if (this.unsent.length === 0) return 'nothing';
      const events = this.unsent.flatMap((record) => record.events);
      const refused: Refused<ReceivedFeedback>[] = [];
      for (const batch of cut(events)) refused.push(...(await storeOrDivide(batch, this.store)));
      if (refused.length > 0) await this.quarantine(refused);
      this.metrics.shipped.inc(events.length - refused.length);
      this.spool.settle(this.unsent);
      this.unsent = [];
      if (this.failing) this.logger.info('feedback is stored again');
      this.failing = false;
      return 'shipped';
    } catch (error) {
      this.metrics.failures.inc();
      if (!this.failing)
        this.logger.warn({ err: error }, 'feedback cannot be stored; it stays in the spool until it can');
      this.failing = true;
      return 'failed';
    }
  }

  private readonly store = (events: readonly ReceivedFeedback[]) =>
    this.database.query({ ...STORE_FEEDBACK, values: storeFeedbackValues(events) });

  private async quarantine(refused: readonly Refused<ReceivedFeedback>[]): Promise<void> {
    const lines = refused.map(({ row, error }) => JSON.stringify({ error: error.message, ...row }));
    await appendFile(this.quarantineFile, `${lines.join('\n')}\n`, { mode: 0o600 });
    this.metrics.quarantined.inc(refused.length);
    for (const { row, error } of refused)
      this.logger.error(
        { eventId: row.eventId, err: error, file: this.quarantineFile },
        'PostgreSQL refuses a judgement; it is in the quarantine file',
      );
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}

/** Into what one statement takes: a single request may bring more. */
function* cut(events: readonly ReceivedFeedback[]): Generator<ReceivedFeedback[]> {
  let batch: ReceivedFeedback[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = sizeOf(event);
    if (batch.length > 0 && bytes + size > BATCH_BYTES) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(event);
    bytes += size;
  }
  yield batch;
}

/** Of what can be long in it, in bytes. */
function sizeOf({ textValue, comment, metadata }: ReceivedFeedback): number {
  return [textValue, comment, metadata].reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), 0);
}
