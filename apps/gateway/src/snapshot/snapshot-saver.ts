import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Counter } from 'prom-client';
import type { Logger } from '#libs/platform/log/logger.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN } from '../settings.module.js';
import type { LoadedSnapshot } from './loaded-snapshot.js';
import { SnapshotFile } from './snapshot-file.js';
import { SnapshotStore } from './snapshot.store.js';

/** Changes within this time are saved together. */
const GATHER_MS = 500;
/** Wait after a save that failed. */
const RETRY_MS = 10_000;
/** Saving takes at most this share of the time, however fast changes arrive. */
const BUSY_SHARE = 0.1;

/** Saves each snapshot in force that is not on the disk yet; many swaps in a row make one save. */
@Injectable()
export class SnapshotSaver implements OnApplicationShutdown {
  private savedEtag: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private saving: Promise<void> | undefined;
  private stopped = false;
  private readonly failures: Counter;

  constructor(
    private readonly store: SnapshotStore,
    private readonly file: SnapshotFile,
    metrics: Metrics,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.failures = new Counter({
      name: 'catena_snapshot_save_failures_total',
      help: 'Snapshots that could not be written to the disk.',
      registers: [metrics.registry],
    });
    store.onSwap(() => this.schedule(GATHER_MS));
  }

  /** Says that this snapshot is what the disk holds. */
  markSaved(snapshot: LoadedSnapshot): void {
    this.savedEtag = snapshot.etag;
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.saving;
    await this.save();
  }

  private schedule(delayMs: number): void {
    if (this.timer !== undefined || this.saving !== undefined || this.stopped) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.saving = this.saveAndSchedule();
    }, delayMs);
    this.timer.unref();
  }

  private async saveAndSchedule(): Promise<void> {
    const startedAt = performance.now();
    const done = await this.save();
    this.saving = undefined;
    const restMs = done ? Math.max(GATHER_MS, (performance.now() - startedAt) / BUSY_SHARE) : RETRY_MS;
    if (this.store.find()?.etag !== this.savedEtag) this.schedule(restMs);
  }

  /** @returns whether the disk now holds what it should. */
  private async save(): Promise<boolean> {
    const snapshot = this.store.find();
    if (!snapshot || snapshot.etag === this.savedEtag) return true;
    try {
      await this.file.save(snapshot);
      this.savedEtag = snapshot.etag;
      return true;
    } catch (error) {
      this.failures.inc();
      this.logger.warn(
        { err: error, path: this.file.path },
        'snapshot could not be saved; a restart without database would serve an older one',
      );
      return false;
    }
  }
}
