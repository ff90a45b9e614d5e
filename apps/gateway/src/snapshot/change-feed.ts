import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { SecretBox } from '#libs/platform/secrets/secret-box.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { SnapshotBuilder } from './snapshot-builder.js';
import { SnapshotFile } from './snapshot-file.js';
import { SnapshotSaver } from './snapshot-saver.js';
import { loadAll, loadChanges } from './snapshot-loader.js';
import { readHead } from './snapshot-reader.js';
import { addSnapshotGauges } from './snapshot-gauges.js';
import { SnapshotStore } from './snapshot.store.js';

const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 2_000;
/** A query without answer for this long means that the connection is dead, whatever TCP says. */
const QUERY_TIMEOUT_MS = 15_000;

/**
 * Keeps the snapshot in step with the database, over one connection of its own. A notification is a hint to look
 * at once; looking every CATENA_POLL_INTERVAL_MS is what it rests on.
 */
@Injectable()
export class ChangeFeed implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly builder: SnapshotBuilder;
  private running: Promise<void> | undefined;
  private stopped = false;
  private readonly stopping = Promise.withResolvers<void>();
  private hinted = false;
  private wake: (() => void) | undefined;
  private client: pg.Client | undefined;
  private connected = false;
  /** When the snapshot was last known to be the database's state, in ms since 1970. */
  private confirmedAt: number | undefined;

  constructor(
    private readonly store: SnapshotStore,
    private readonly file: SnapshotFile,
    private readonly saver: SnapshotSaver,
    metrics: Metrics,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.builder = new SnapshotBuilder(new SecretBox(settings.CATENA_ENCRYPTION_KEYS!), logger);
    addSnapshotGauges(metrics, () => ({
      snapshot: this.store.find(),
      confirmedAt: this.confirmedAt,
      connected: this.connected,
    }));
  }

  async onApplicationBootstrap(): Promise<void> {
    const saved = await this.file.load(this.builder);
    if (saved) {
      this.confirmedAt = saved.savedAt;
      this.saver.markSaved(saved.snapshot);
      this.store.swap(saved.snapshot);
      this.logger.info({ seq: saved.snapshot.seq }, 'snapshot loaded from disk');
    }
    this.running = this.run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    this.stopping.resolve();
    this.wake?.();
    // A query that hangs is not waited for.
    void this.client?.end().catch(() => undefined);
    await this.running;
  }

  private async run(): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    let toldAway = false;
    while (!this.stopped) {
      const startedAt = Date.now();
      try {
        await this.follow(() => {
          if (toldAway) this.logger.info('database is back');
          toldAway = false;
          backoffMs = FIRST_BACKOFF_MS;
        });
      } catch (error) {
        this.connected = false;
        if (this.stopped) return;
        // One line per outage: it is degraded and handled, and the metrics say how long it lasts.
        const level = toldAway ? 'debug' : 'warn';
        toldAway = true;
        this.logger[level]({ err: error, servingSnapshot: this.store.find()?.seq }, 'database is not ready');
        const waitedMs = Date.now() - startedAt;
        await this.pause(Math.max(0, backoffMs * (0.5 + Math.random() / 2) - waitedMs));
        backoffMs = Math.min(LAST_BACKOFF_MS, backoffMs * 2);
      }
    }
  }

  /** Follows the feed over one connection until it breaks (throws) or the gateway stops (returns). */
  private async follow(onReady: () => void): Promise<void> {
    const client = new pg.Client({
      connectionString: this.settings.DATABASE_URL!,
      application_name: 'catena-gateway-feed',
      connectionTimeoutMillis: 5_000,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    });
    let broken: Error | undefined;
    const onBroken = (error?: Error) => {
      broken ??= error ?? new Error('The connection was closed.');
      this.wake?.();
    };
    client.on('error', onBroken);
    client.on('end', () => onBroken());
    client.on('notification', () => {
      this.hinted = true;
      this.wake?.();
    });
    try {
      // pg's connect() never settles when end() is called meanwhile, so it is left alone when the gateway stops.
      const connecting = client.connect();
      await Promise.race([connecting, this.stopping.promise]);
      if (this.stopped) {
        connecting.catch(() => undefined);
        return;
      }
      this.client = client;
      await client.query('LISTEN catena_change');
      while (!this.stopped) {
        this.hinted = false;
        const busyMs = await this.catchUp(client);
        this.connected = true;
        onReady();
        // Under a storm of changes, requests keep the larger part of the processor; the changes wait together.
        if (busyMs > 1) await this.pause(Math.min(50, 2 * busyMs), false);
        if (!this.hinted && broken === undefined) await this.pause(this.settings.CATENA_POLL_INTERVAL_MS);
        if (broken !== undefined) throw broken;
      }
    } finally {
      this.client = undefined;
      client.removeAllListeners('end').removeAllListeners('notification');
      client.end().catch((error: unknown) => this.logger.debug({ err: error }, 'connection did not end'));
    }
  }

  /** @returns milliseconds it took, 0 when there was nothing to do. */
  private async catchUp(client: pg.Client): Promise<number> {
    const head = await readHead(client);
    const held = this.store.find();
    const checkedAt = Date.now();
    if (held?.epoch === head.epoch && held.seq === head.seq && held.stamp === head.stamp) {
      this.confirmedAt = checkedAt;
      return 0;
    }
    const startedAt = performance.now();
    const changed = held && (await loadChanges(client, this.builder, held));
    const snapshot = changed ?? (await loadAll(client, this.builder));
    this.store.swap(snapshot);
    this.confirmedAt = checkedAt;
    const tookMs = performance.now() - startedAt;
    this.logger[changed ? 'debug' : 'info'](
      { seq: snapshot.seq, endpoints: snapshot.endpoints.size, tookMs: Math.round(tookMs) },
      changed ? 'snapshot changed' : 'snapshot loaded from the database',
    );
    return tookMs;
  }

  /** Waits, at most until something happens: a notification (unless `forHints` is false), a break, the end. */
  private async pause(ms: number, forHints = true): Promise<void> {
    if (this.stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        if (!forHints && !this.stopped) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}
