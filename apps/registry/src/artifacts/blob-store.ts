import { createHash } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ObjectStore, type StoredObject } from '#libs/platform/object-store/object-store.js';
import { BlobRows, type Blob, type Bytes } from './blob-rows.js';
import { streamed } from '#libs/platform/streams/buffer-pressure.js';
import type { ReceivedBody } from './received-body.js';

/** Where presigned uploads put bytes until their digest is verified. Nothing refers to them, so nobody can see them. */
export const STAGING_PREFIX = 'staging/';
/** Per workspace. */
export const BLOB_PREFIX = 'workspaces/';

const HOUR_MS = 3_600_000;
/** After this an object without a blob is abandoned. No request takes longer (artifact.module.ts). */
export const WRITE_TTL_MS = 8 * HOUR_MS;
/** How long the bytes of a dropped blob stay: downloads under way and presigned URLs may still read them. */
const DROPPED_TTL_MS = 2 * HOUR_MS;

export function stagingKey(workspaceId: string, uploadId: string): string {
  return `${STAGING_PREFIX}${workspaceId}/${uploadId}`;
}

/** Bytes in the object store, and the way they get there: written under a key of their own, then taken by a blob. */
@Injectable()
export class BlobStore {
  private readonly logger = new Logger(BlobStore.name);

  constructor(
    private readonly store: ObjectStore,
    private readonly rows: BlobRows,
  ) {}

  /** The blob of these bytes. @returns undefined when the workspace has none. */
  find(workspaceId: string, sha256: string): Promise<Blob | undefined> {
    return this.rows.find(workspaceId, sha256);
  }

  /** Whether the store still holds the bytes of a blob. */
  async isThere(blob: Blob): Promise<boolean> {
    const found = await this.store.find(blob.objectKey);
    return found?.sizeBytes === blob.sizeBytes;
  }

  /** Streams a body into the store, in constant memory. @returns its key and what it turned out to be. */
  async write(workspaceId: string, body: ReceivedBody): Promise<Blob> {
    const objectKey = await this.reserve(workspaceId);
    try {
      await this.store.write(objectKey, body.stream, body.announcedBytes);
    } catch (error) {
      await this.discard(objectKey);
      throw body.failure ?? error;
    }
    return { objectKey, sha256: body.sha256(), sizeBytes: body.sizeBytes };
  }

  /** Copies verified bytes from staging, where their uploader could still replace them. @returns their key. */
  async copy(workspaceId: string, staged: string, object: StoredObject): Promise<string> {
    const objectKey = await this.reserve(workspaceId);
    try {
      if (await this.store.copy(staged, objectKey, object)) return objectKey;
    } catch (error) {
      await this.discard(objectKey);
      throw error;
    }
    await this.discard(objectKey);
    throw new DomainError(
      'UPLOAD_INCOMPLETE',
      'The uploaded bytes were replaced while they were verified; complete the upload again.',
    );
  }

  private async reserve(workspaceId: string): Promise<string> {
    const key = `${BLOB_PREFIX}${workspaceId}/blobs/${v7()}`;
    await this.rows.addStray(workspaceId, key, new Date(Date.now() + WRITE_TTL_MS));
    return key;
  }

  /**
   * Reads staged bytes back, in constant memory: whatever the client or the store did to them on the way, these
   * are the bytes that will be served.
   * @returns the object that was read, which `copy` insists on; undefined when nothing is staged.
   * @throws DomainError DIGEST_MISMATCH unless they are the expected ones.
   */
  async verify(staged: string, expected?: Bytes): Promise<(StoredObject & Bytes) | undefined> {
    const object = await this.store.read(staged);
    if (object === undefined) return undefined;
    const { body, sizeBytes, etag } = object;
    if (expected !== undefined && sizeBytes !== expected.sizeBytes) {
      body.destroy();
      throw mismatch(expected, { sizeBytes });
    }
    const hash = createHash('sha256');
    let read = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        hash.update(chunk);
        read += chunk.length;
        streamed(chunk.length);
      }
    } catch (error) {
      throw unreadable(error);
    }
    if (read !== sizeBytes) throw unreadable(new Error(`read ${read} of ${sizeBytes} bytes`));
    const sha256 = hash.digest('hex');
    if (expected !== undefined && sha256 !== expected.sha256) throw mismatch(expected, { sha256, sizeBytes });
    return { sha256, sizeBytes, etag };
  }

  /** Removes an object, unless it has become a blob's. What fails here is left to the sweep. */
  async discard(key: string): Promise<void> {
    await this.leaveToSweep(key, () => this.rows.removeStray(key, (stray) => this.store.remove(stray)));
  }

  async discardStaged(key: string): Promise<void> {
    await this.leaveToSweep(key, () => this.store.remove(key));
  }

  private async leaveToSweep(key: string, remove: () => Promise<void>): Promise<void> {
    try {
      await remove();
    } catch (error) {
      this.logger.warn(`The bytes under ${key} are left to the sweep: ${String(error)}`);
    }
  }

  /**
   * For `gc`: drops blobs that no artifact refers to, safely beside uploads of the same bytes. Their objects are
   * removed by the sweep, two hours later.
   * @param before blobs made later are left alone. @returns how many were dropped; fewer than `limit`: that was all.
   */
  removeUnreferenced(before: Date, limit: number, now: Date = new Date()): Promise<number> {
    return this.rows.dropUnreferenced(before, new Date(now.getTime() + DROPPED_TTL_MS), limit);
  }

  /** Removes objects whose time has come. @returns how many. */
  sweep(now: Date, limit: number): Promise<number> {
    return this.rows.sweepStrays(now, limit, (key) => this.store.remove(key));
  }
}

function mismatch(expected: Bytes, actual: Partial<Bytes>): DomainError {
  const said =
    actual.sha256 === undefined
      ? `${actual.sizeBytes} bytes, not ${expected.sizeBytes}`
      : `SHA-256 ${actual.sha256}, not ${expected.sha256}`;
  return new DomainError(
    'DIGEST_MISMATCH',
    `The uploaded bytes have ${said}; they were discarded. Upload the right bytes again.`,
    { expected: { sha256: expected.sha256, sizeBytes: expected.sizeBytes }, actual },
  );
}

function unreadable(cause: unknown): DomainError {
  return Object.assign(
    new DomainError(
      'OBJECT_STORE_UNAVAILABLE',
      'The object store stopped while the uploaded bytes were read back; nothing was changed. Complete the upload again.',
    ),
    { cause },
  );
}
