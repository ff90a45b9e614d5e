import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../http/caller.js';
import type { Owner } from './artifact-owner.js';
import { ArtifactRows, type Artifact, type NewArtifact } from './artifact-rows.js';
import { BlobRows } from './blob-rows.js';
import { BlobStore } from './blob-store.js';

export interface Written {
  /** False when there was something under the path already. */
  readonly created: boolean;
  readonly artifact: Artifact;
}

/** Makes bytes in the store artifacts: blob and artifact appear together, or not at all. */
@Injectable()
export class ArtifactWriter {
  constructor(
    private readonly database: DataSource,
    private readonly rows: ArtifactRows,
    private readonly blobRows: BlobRows,
    private readonly blobs: BlobStore,
  ) {}

  /**
   * @param objectKey an object with these bytes; it becomes the blob's, or is discarded.
   * @param uploadId of the presigned upload that ends with this.
   * @throws DomainError IMMUTABLE.
   */
  async add(
    caller: Caller,
    owner: Owner,
    given: NewArtifact,
    objectKey: string,
    uploadId?: string,
  ): Promise<Written> {
    try {
      const lost = await this.lostKey(caller, given.sha256);
      const { taken, ...written } = (await this.write(caller, owner, given, { objectKey, lost, uploadId }))!;
      if (!taken) await this.blobs.discard(objectKey);
      return written;
    } catch (error) {
      await this.blobs.discard(objectKey);
      throw error;
    }
  }

  /** As `add`, of bytes the workspace holds. @returns undefined when it no longer does. */
  async addKnown(
    caller: Caller,
    owner: Owner,
    given: NewArtifact,
    uploadId?: string,
  ): Promise<Written | undefined> {
    return this.write(caller, owner, given, { uploadId });
  }

  private async write(
    caller: Caller,
    owner: Owner,
    given: NewArtifact,
    by: { objectKey?: string; lost?: string | undefined; uploadId?: string | undefined },
  ): Promise<(Written & { taken: boolean }) | undefined> {
    return this.database.transaction(async (tx) => {
      const held = await this.blobRows.hold(tx, caller.workspaceId, given, by.objectKey, by.lost);
      if (held === 'missing') return undefined;
      const created = await this.rows.put(tx, caller, owner, given);
      if (by.uploadId !== undefined)
        await tx.query(`DELETE FROM artifact_upload WHERE id = $1`, [by.uploadId]);
      const artifact = (await this.rows.find(caller, owner, given.path, tx))!;
      return { created, artifact, taken: held === 'taken' };
    });
  }

  /** Bytes that were lost from the store are mended by uploading them again. */
  private async lostKey(caller: Caller, sha256: string): Promise<string | undefined> {
    const known = await this.blobs.find(caller.workspaceId, sha256);
    return known === undefined || (await this.blobs.isThere(known)) ? undefined : known.objectKey;
  }
}
