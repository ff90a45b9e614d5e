import { setTimeout as sleep } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { DataSource } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { exclusively } from '#libs/platform/database/exclusive.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { Telemetry } from '../telemetry/telemetry.js';
import { ArchiveRows } from './archive-rows.js';
import { Archiver } from './archiver.js';

const DAY_MS = 86_400_000;
/** How long a day under way may go on at the end of the process: it is taken up again by whoever is there. */
const STOP_MS = 5_000;

/** Archives days once they are old enough, one registry at a time; later also the rows that come late. */
@Injectable()
export class ArchiveJob implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(ArchiveJob.name);
  private readonly stop = new AbortController();
  private readonly afterDays: number | undefined;
  private readonly archived: Counter;
  private readonly failures: Counter;
  private readonly due: Gauge;
  /** Between looks for days that are due. */
  intervalMs = 60_000;
  private isFailing = false;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: DataSource,
    private readonly rows: ArchiveRows,
    private readonly archiver: Archiver,
    { registry }: Telemetry,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.afterDays = settings.CATENA_ARCHIVE_AFTER_DAYS;
    const registers = [registry];
    this.archived = new Counter({
      name: 'catena_archived_rows_total',
      help: 'Inference rows written to the archive',
      registers,
    });
    this.failures = new Counter({
      name: 'catena_archive_failures_total',
      help: 'Attempts to archive a day that failed; it stays in PostgreSQL and is tried again',
      registers,
    });
    this.due = new Gauge({
      name: 'catena_archive_days_due',
      help: 'Days with rows that should be in the archive and are not',
      registers,
    });
  }

  onApplicationBootstrap(): void {
    if (this.afterDays !== undefined) this.running = this.run(this.afterDays);
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  private async run(afterDays: number): Promise<void> {
    const { signal } = this.stop;
    while (!signal.aborted) {
      try {
        await this.archiveDue(new Date(Date.now() - afterDays * DAY_MS));
        if (this.isFailing) this.logger.log('The archive is being written again.');
        this.isFailing = false;
      } catch (error) {
        if (signal.aborted) return;
        this.failures.inc();
        // Once per outage; how long it lasts is for the metrics to say.
        if (!this.isFailing)
          this.logger.warn(
            `A day could not be archived; it stays in PostgreSQL, and is tried every ${this.intervalMs / 1_000} s: ${String(error)}`,
          );
        this.isFailing = true;
      }
      await sleep(this.intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /**
   * Archives all days that ended before `before` and have rows that are not archived. Nothing, where another registry
   * is at it.
   * @returns how many days that were.
   */
  async archiveDue(before: Date): Promise<number> {
    const done = await exclusively(this.database, 'catena_archive', async (lost) => {
      const signal = AbortSignal.any([lost, this.stop.signal]);
      const days = await this.rows.listDue(before.toISOString().slice(0, 10));
      this.due.set(days.length);
      let archived = 0;
      for (const day of days) {
        signal.throwIfAborted();
        const rows = await this.archiver.archive(day, signal);
        if (rows === undefined) continue;
        this.archived.inc(rows);
        this.due.set(days.length - ++archived);
        this.logger.log(`Archived ${rows} inferences of ${day}.`);
      }
      return archived;
    });
    return done ?? 0;
  }
}
