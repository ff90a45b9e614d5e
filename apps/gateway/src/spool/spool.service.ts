import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { join } from 'node:path';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { ClockSkew } from './clock-skew.js';
import { InferenceSink } from './inference-sink.js';
import { Shipper } from './shipper.js';
import { SpoolMetrics } from './spool.metrics.js';
import type { Fsync } from './segment-writer.js';
import { Spool } from './spool.js';

/** Longest the rows of the last requests may take to reach PostgreSQL when the gateway stops. */
const LAST_ROWS_MS = 5_000;

/** The spool and its shipper, for the life of the gateway. */
@Injectable()
export class SpoolService implements OnApplicationShutdown {
  readonly spool: Spool;
  private readonly shipper: Shipper;

  constructor(
    metrics: Metrics,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER_TOKEN) logger: Logger,
  ) {
    const directory = join(settings.CATENA_DATA_DIR, 'gateway', 'spool');
    const spoolMetrics = new SpoolMetrics(metrics.registry);
    this.spool = new Spool(
      {
        directory,
        maxBytes: settings.CATENA_SPOOL_MAX_BYTES,
        whenFull: settings.CATENA_SPOOL_FULL as 'refuse' | 'drop',
        fsync: settings.CATENA_SPOOL_FSYNC as Fsync,
      },
      spoolMetrics,
      logger,
    );
    const sink = new InferenceSink(
      settings.DATABASE_URL!,
      (error) => logger.debug({ err: error }, 'idle connection of the shipper was lost'),
      new ClockSkew(spoolMetrics.clockSkew, logger),
    );
    this.shipper = new Shipper(this.spool, sink, join(directory, 'quarantine.jsonl'), spoolMetrics, logger);
    this.shipper.start();
  }

  /** The server has stopped before: beforeApplicationShutdown. */
  async onApplicationShutdown(): Promise<void> {
    await this.shipper.stop(LAST_ROWS_MS);
    this.spool.shutdown();
  }
}
