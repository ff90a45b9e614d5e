import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** Bytes as their digest names them. */
export interface Bytes {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Bytes that are in the store. */
export interface Blob extends Bytes {
  readonly objectKey: string;
}

/**
 * The tables `blob`, whose rows stand for bytes that were verified and are in the store, and `stray_object`, whose
 * rows stand for objects that no blob names. An object moves from one to the other in one transaction, so that
 * whatever is killed when, nothing is lost and nothing stays behind.
 */
@Injectable()
export class BlobRows {
  constructor(private readonly database: DataSource) {}

  async find(workspaceId: string, sha256: string): Promise<Blob | undefined> {
    const rows: Blob[] = await this.database.query(
      `SELECT sha256, size_bytes AS "sizeBytes", object_key AS "objectKey" FROM blob
        WHERE workspace_id = $1 AND sha256 = $2`,
      [workspaceId, sha256],
    );
    return rows[0];
  }

  /** Before an object is written: without a blob it will be removed at `removeAt`. */
  async addStray(workspaceId: string, key: string, removeAt: Date): Promise<void> {
    await this.database.query(`INSERT INTO stray_object (key, workspace_id, remove_at) VALUES ($1, $2, $3)`, [
      key,
      workspaceId,
      removeAt,
    ]);
  }

  /** Has the object removed, unless it has become a blob's: a commit may succeed although its answer is lost. */
  async removeStray(key: string, remove: (key: string) => Promise<void>): Promise<void> {
    await this.database.transaction(async (tx) => {
      const [, count]: [unknown, number] = await tx.query(`DELETE FROM stray_object WHERE key = $1`, [key]);
      if (count > 0) await remove(key);
    });
  }

  /**
   * Sees to it that there is a blob of these bytes, and that it stays until the transaction ends.
   * @param key an object that holds them. @param lost key of the blob's object, when the store no longer has it.
   * @returns 'taken' when the object has become the blob's, 'known' when the blob has one already, 'missing' when
   * there is no blob and no key was given.
   */
  async hold(
    tx: EntityManager,
    workspaceId: string,
    bytes: Bytes,
    key?: string,
    lost?: string,
  ): Promise<'taken' | 'known' | 'missing'> {
    const { sha256, sizeBytes } = bytes;
    for (;;) {
      if (key !== undefined) {
        const inserted: unknown[] = await tx.query(
          `INSERT INTO blob (workspace_id, sha256, size_bytes, object_key, created_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING RETURNING 1`,
          [workspaceId, sha256, sizeBytes, key, new Date()],
        );
        if (inserted.length > 0) return this.take(tx, key);
      }
      // `dropUnreferenced` waits for this lock, or has been here before.
      const held: { objectKey: string }[] = await tx.query(
        `SELECT object_key AS "objectKey" FROM blob WHERE workspace_id = $1 AND sha256 = $2 FOR KEY SHARE`,
        [workspaceId, sha256],
      );
      if (held[0] && (key === undefined || held[0].objectKey !== lost)) return 'known';
      if (held[0]) {
        const [, mended]: [unknown, number] = await tx.query(
          `UPDATE blob SET object_key = $4 WHERE workspace_id = $1 AND sha256 = $2 AND object_key = $3`,
          [workspaceId, sha256, lost, key],
        );
        return mended > 0 ? this.take(tx, key!) : 'known';
      }
      if (key === undefined) return 'missing';
    }
  }

  private async take(tx: EntityManager, key: string): Promise<'taken'> {
    const [, count]: [unknown, number] = await tx.query(`DELETE FROM stray_object WHERE key = $1`, [key]);
    if (count === 0)
      throw new DomainError(
        'REQUEST_TIMEOUT',
        'The upload took so long that its bytes were removed as abandoned; send it again.',
      );
    return 'taken';
  }

  /**
   * Drops blobs made before `before` that no artifact refers to; their objects become strays, to be removed at
   * `removeAt`. A blob that an upload is about to refer to is locked by it (`hold`) and skipped.
   * @returns how many.
   */
  async dropUnreferenced(before: Date, removeAt: Date, limit: number): Promise<number> {
    return this.database.transaction(async (tx) => {
      const found: { workspaceId: string; sha256: string }[] = await tx.query(
        `SELECT workspace_id AS "workspaceId", sha256 FROM blob b
          WHERE created_at < $1
            AND NOT EXISTS (SELECT FROM artifact a WHERE a.workspace_id = b.workspace_id AND a.sha256 = b.sha256)
          LIMIT $2 FOR UPDATE SKIP LOCKED`,
        [before, limit],
      );
      // Looked at again under the lock: what was committed between the statement's start and the lock shows now.
      const dropped: unknown[] = await tx.query(
        `WITH dropped AS (
           DELETE FROM blob b USING unnest($1::uuid[], $2::text[]) AS c (workspace_id, sha256)
            WHERE b.workspace_id = c.workspace_id AND b.sha256 = c.sha256
              AND NOT EXISTS (SELECT FROM artifact a WHERE a.workspace_id = b.workspace_id AND a.sha256 = b.sha256)
           RETURNING b.workspace_id, b.object_key)
         INSERT INTO stray_object (key, workspace_id, remove_at) SELECT object_key, workspace_id, $3 FROM dropped
         RETURNING key`,
        [found.map((blob) => blob.workspaceId), found.map((blob) => blob.sha256), removeAt],
      );
      return dropped.length;
    });
  }

  /**
   * Has strays removed whose time has come. Their rows are locked meanwhile: an upload that ends just now waits,
   * and learns that it came too late.
   * @returns how many.
   */
  async sweepStrays(now: Date, limit: number, remove: (key: string) => Promise<void>): Promise<number> {
    return this.database.transaction(async (tx) => {
      const strays: { key: string }[] = await tx.query(
        `SELECT key FROM stray_object WHERE remove_at <= $1 ORDER BY remove_at LIMIT $2 FOR UPDATE SKIP LOCKED`,
        [now, limit],
      );
      for (const { key } of strays) await remove(key);
      await tx.query(`DELETE FROM stray_object WHERE key = ANY($1)`, [strays.map(({ key }) => key)]);
      return strays.length;
    });
  }
}
