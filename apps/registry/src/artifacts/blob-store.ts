import { createHash } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ObjectStore, type StoredObject } from '#libs/platform/object-store/object-store.js';
import { streamed } from './buffer-pressure.js';

/** Where bytes lie until their digest is verified. Nothing refers to them, so nobody can see them. */
export const STAGING_PREFIX = 'staging/';

export function stagingKey(workspaceId: string, uploadId: string): string {
  return `${STAGING_PREFIX}${workspaceId}/${uploadId}`;
}

/** Where verified bytes lie. Per workspace, so that no tenant learns what another one stores. */
export function blobKey(workspaceId: string, sha256: string): string {
  return `workspaces/${workspaceId}/blobs/sha256/${sha256.slice(0, 2)}/${sha256}`;
}

export interface ExpectedBytes {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Moves bytes from staging to their content address, and only bytes whose digest is known to be right. */
@Injectable()
export class BlobStore {
  private readonly logger = new Logger(BlobStore.name);

  constructor(private readonly store: ObjectStore) {}

  async has(workspaceId: string, expected: ExpectedBytes): Promise<boolean> {
    const found = await this.store.find(blobKey(workspaceId, expected.sha256));
    return found?.sizeBytes === expected.sizeBytes;
  }

  /**
   * Reads staged bytes back, in constant memory: whatever the client or the store did to them on the way, these
   * are the bytes that will be served.
   * @returns the object that was read, which `promote` insists on; undefined when nothing is staged.
   * @throws DomainError DIGEST_MISMATCH.
   */
  async verify(staged: string, expected: ExpectedBytes): Promise<StoredObject | undefined> {
    const object = await this.store.read(staged);
    if (object === undefined) return undefined;
    const { body, sizeBytes, etag } = object;
    if (sizeBytes !== expected.sizeBytes) {
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
    if (sha256 !== expected.sha256) throw mismatch(expected, { sha256, sizeBytes });
    return { sizeBytes, etag };
  }

  /**
   * Copies verified bytes to their content address, unless they are there already.
   * @throws DomainError UPLOAD_INCOMPLETE when they were replaced after they had been verified.
   */
  async promote(
    workspaceId: string,
    staged: string,
    object: StoredObject,
    expected: ExpectedBytes,
  ): Promise<void> {
    if (await this.has(workspaceId, expected)) return;
    if (!(await this.store.copy(staged, blobKey(workspaceId, expected.sha256), object)))
      throw new DomainError(
        'UPLOAD_INCOMPLETE',
        'The uploaded bytes were replaced while they were verified; complete the upload again.',
      );
  }

  /** Removes staged bytes whose fate is decided. What fails here is left to the sweep. */
  async discard(staged: string): Promise<void> {
    try {
      await this.store.remove(staged);
    } catch (error) {
      this.logger.warn(`Staged bytes ${staged} are left to the sweep: ${String(error)}`);
    }
  }
}

function mismatch(expected: ExpectedBytes, actual: Partial<ExpectedBytes>): DomainError {
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
