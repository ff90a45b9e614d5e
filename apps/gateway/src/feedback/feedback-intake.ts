import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { join } from 'node:path';
import pg from 'pg';
import { v7 } from 'uuid';
import type { FeedbackEvent } from '#libs/core/feedback/feedback-event.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { GatewayError } from '../http/gateway-error.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import type { Fsync } from '../spool/segment-writer.js';
import { FeedbackMetrics } from './feedback.metrics.js';
import { FeedbackShipper } from './feedback-shipper.js';
import { FeedbackSpool, FeedbackSpoolFullError } from './feedback-spool.js';

/** Of CATENA_SPOOL_MAX_BYTES, beside the spool of rows: neither takes room from the other. */
const SHARE = 1 / 8;
/** As long as a batch of rows may take. */
const STATEMENT_MS = 30_000;
/** Longest the last feedback may take to reach PostgreSQL when the gateway stops. */
const LAST_FEEDBACK_MS = 5_000;
const FAILURE_LOG_INTERVAL_MS = 10_000;

/** Takes feedback, for the life of the gateway. */
@Injectable()
export class FeedbackIntake implements OnApplicationShutdown {
  private readonly spool: FeedbackSpool;
  private readonly shipper: FeedbackShipper;
  private readonly pool: pg.Pool;
  private readonly metrics: FeedbackMetrics;
  private lastLogMs = -Infinity;

  constructor(
    metrics: Metrics,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    const directory = join(settings.CATENA_DATA_DIR, 'gateway', 'feedback');
    this.spool = new FeedbackSpool(
      {
        directory,
        maxBytes: settings.CATENA_SPOOL_MAX_BYTES * SHARE,
        fsync: settings.CATENA_SPOOL_FSYNC as Fsync,
      },
      logger,
    );
    this.metrics = new FeedbackMetrics(metrics.registry, this.spool);
    this.pool = new pg.Pool({
      connectionString: settings.DATABASE_URL!,
      max: 1,
      application_name: 'catena-gateway-feedback',
      connectionTimeoutMillis: 5_000,
      query_timeout: STATEMENT_MS,
      keepAlive: true,
    });
    this.pool.on('error', (error) => logger.debug({ err: error }, 'idle connection for feedback was lost'));
    const quarantine = join(directory, 'quarantine.jsonl');
    this.shipper = new FeedbackShipper(this.spool, this.pool, quarantine, this.metrics, logger);
    this.shipper.start();
  }

  /**
   * Takes judgements of one workspace over: all or none.
   * @returns when they are in the spool.
   * @throws GatewayError 503 when they cannot be.
   */
  async take(workspaceId: string, events: readonly FeedbackEvent[], way: 'api' | 'link'): Promise<void> {
    const receivedAt = new Date().toISOString();
    try {
      await this.spool.append(events.map((event) => ({ ...event, id: v7(), workspaceId, receivedAt })));
    } catch (error) {
      this.logFailure(error as Error);
      throw error instanceof FeedbackSpoolFullError ? FULL : UNAVAILABLE;
    }
    this.metrics.accepted.inc({ way }, events.length);
  }

  /** The server has stopped before: beforeApplicationShutdown. */
  async onApplicationShutdown(): Promise<void> {
    await this.shipper.stop(LAST_FEEDBACK_MS);
    await this.spool.shutdown();
    await this.pool.end();
  }

  private logFailure(error: Error): void {
    const now = performance.now();
    if (now - this.lastLogMs < FAILURE_LOG_INTERVAL_MS) return;
    this.lastLogMs = now;
    this.logger.error({ err: error }, 'the spool takes no feedback; it is refused');
  }
}

const refusal = (code: string, message: string) =>
  new GatewayError(503, 'service_unavailable_error', code, message, undefined, { 'retry-after': '5' });
const FULL = refusal(
  'spool_full',
  'The gateway cannot record feedback now: its spool is full. Nothing was kept; send it again later.',
);
const UNAVAILABLE = refusal(
  'spool_unavailable',
  'The gateway cannot record feedback now: its disk takes nothing. Nothing was kept; send it again later.',
);
