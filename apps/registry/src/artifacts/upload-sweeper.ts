import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { BLOB_PREFIX, BlobStore, STAGING_PREFIX } from './blob-store.js';
import { UPLOAD_TTL_MS, UploadService } from './upload.service.js';
import { UploadRows } from './upload-rows.js';

const HOUR_MS = 3_600_000;
const START_MS = 2_000;
const RETRY_MS = 5_000;
const STOP_MS = 2_000;
/** Most uploads, and most staged objects, removed in one sweep. */
const SWEEP_LIMIT = 1_000;

/**
 * Sees to it that the bucket exists, and removes what uploads left behind: expired ones, staged bytes that no
 * row knows, of a URL used after its upload had ended, objects and parts that a registry was writing when it was
 * killed, and objects of dropped blobs.
 */
@Injectable()
export class UploadSweeper implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(UploadSweeper.name);
  private readonly stop = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: ObjectStore,
    private readonly uploads: UploadService,
    private readonly rows: UploadRows,
    private readonly blobs: BlobStore,
  ) {}

  /** Waits a moment for the bucket, but no longer: the registry serves everything else while the store is away. */
  async onApplicationBootstrap(): Promise<void> {
    const firstTry = this.ensureBucket();
    this.running = firstTry.then((isThere) => this.run(isThere));
    await Promise.race([firstTry, sleep(START_MS, undefined, { ref: false })]);
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    // A store that hangs must not hold up the end.
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  private async run(bucketIsThere: boolean): Promise<void> {
    while (!this.stop.signal.aborted) {
      bucketIsThere ||= await this.ensureBucket();
      if (bucketIsThere)
        await this.sweep().catch((error: unknown) =>
          this.logger.warn(`Abandoned uploads were not swept: ${String(error)}`),
        );
      const pause = bucketIsThere ? HOUR_MS : RETRY_MS;
      await sleep(pause, undefined, { signal: this.stop.signal, ref: false }).catch(() => undefined);
    }
  }

  private async ensureBucket(): Promise<boolean> {
    try {
      if (await this.store.ensureBucket()) this.logger.warn('The bucket was missing; created it.');
      return true;
    } catch (error) {
      this.logger.warn(`The bucket cannot be reached; trying again: ${String(error)}`);
      return false;
    }
  }

  /** @returns how many uploads and staged objects were removed. */
  async sweep(now: Date = new Date()): Promise<number> {
    const expired = await this.rows.listExpired(now, SWEEP_LIMIT);
    for (const upload of expired) await this.uploads.remove(upload);
    // No upload lives longer than its URLs; an hour more for a PUT that began in the last second.
    const before = new Date(now.getTime() - UPLOAD_TTL_MS - HOUR_MS);
    const stale = await this.store.listStale(STAGING_PREFIX, before, SWEEP_LIMIT);
    for (const item of stale)
      await (item.s3UploadId === undefined
        ? this.store.remove(item.key)
        : this.store.abortMultipart(item.key, item.s3UploadId));
    const parts = await this.store.listStaleMultipart(BLOB_PREFIX, before, SWEEP_LIMIT);
    for (const item of parts) await this.store.abortMultipart(item.key, item.s3UploadId);
    const strays = await this.blobs.sweep(now, SWEEP_LIMIT);
    const removed = expired.length + stale.length + parts.length + strays;
    if (removed > 0) this.logger.log(`Removed ${removed} abandoned uploads and dropped blobs.`);
    return removed;
  }
}
