import { setTimeout as sleep } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';

const HOUR_MS = 3_600_000;

/** Drops months of sums once they are over for longer than they are kept, by the database's clock. */
@Injectable()
export class SumsRetention implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(SumsRetention.name);
  private readonly stop = new AbortController();
  private readonly days: number | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: DataSource,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.days = settings.CATENA_SERIES_RETENTION_DAYS;
  }

  onApplicationBootstrap(): void {
    if (this.days !== undefined) this.running = this.run(this.days);
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await this.running;
  }

  private async run(days: number): Promise<void> {
    while (!this.stop.signal.aborted) {
      await this.drop(days).catch((error: unknown) =>
        this.logger.warn(`Old sums were not dropped; trying again in an hour: ${String(error)}`),
      );
      await sleep(HOUR_MS, undefined, { signal: this.stop.signal, ref: false }).catch(() => undefined);
    }
  }

  /** @returns names of the partitions that were dropped. */
  async drop(days: number): Promise<string[]> {
    const old = await this.database.query<{ name: string }[]>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('inference_minute'::regclass, 'inference_hour'::regclass)
          AND right(c.relname, 6) < to_char(now() AT TIME ZONE 'UTC' - $1 * interval '1 day', 'YYYYMM') ORDER BY 1`,
      [days],
    );
    for (const { name } of old)
      await this.database.transaction(async (tx) => {
        // Whoever waits for a lock on the table makes all others wait behind.
        await tx.query(`SET LOCAL lock_timeout = '2s'`);
        await tx.query(`DROP TABLE IF EXISTS ${name}`);
      });
    const names = old.map(({ name }) => name);
    if (names.length > 0) this.logger.log(`Dropped ${names.join(', ')}: they were older than they are kept.`);
    return names;
  }
}
