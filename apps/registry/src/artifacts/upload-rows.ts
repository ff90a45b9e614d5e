import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../http/caller.js';
import type { Owner } from './artifact-owner.js';
import { isOwnedBy, OWNER_COLUMNS, ownerValues } from './owner-columns.js';

/** A presigned upload under way. */
export interface PendingUpload {
  readonly id: string;
  readonly workspaceId: string;
  readonly path: string;
  readonly contentType: string;
  /** What the bytes must turn out to be; both null where they are taken as they come. */
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
  /** Of every part but the last; null for a single PUT, and where the client decides. */
  readonly partSizeBytes: number | null;
  /** Set for a multipart upload. */
  readonly s3UploadId: string | null;
  readonly expiresAt: Date;
}

const COLUMNS = `id, workspace_id AS "workspaceId", path, sha256, size_bytes AS "sizeBytes",
                 content_type AS "contentType", part_size_bytes AS "partSizeBytes",
                 s3_upload_id AS "s3UploadId", expires_at AS "expiresAt"`;

/** The table `artifact_upload`. */
@Injectable()
export class UploadRows {
  constructor(private readonly database: DataSource) {}

  async insert(caller: Caller, owner: Owner, upload: PendingUpload): Promise<void> {
    await this.database.query(
      `INSERT INTO artifact_upload (id, workspace_id, path, sha256, size_bytes, content_type, part_size_bytes,
                                    s3_upload_id, created_at, created_by, expires_at, ${OWNER_COLUMNS.join(', ')})
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
      [
        upload.id,
        caller.workspaceId,
        upload.path,
        upload.sha256,
        upload.sizeBytes,
        upload.contentType,
        upload.partSizeBytes,
        upload.s3UploadId,
        new Date(),
        caller.actor,
        upload.expiresAt,
        ...ownerValues(owner),
      ],
    );
  }

  /** One that has not expired. */
  async find(caller: Caller, owner: Owner, id: string): Promise<PendingUpload | undefined> {
    const rows: PendingUpload[] = await this.database.query(
      `SELECT ${COLUMNS} FROM artifact_upload
        WHERE id = $3 AND ${isOwnedBy(owner, '$1', '$2')} AND expires_at > $4`,
      [caller.workspaceId, owner.id, id, new Date()],
    );
    return rows[0];
  }

  /** Of every workspace, longest expired first. */
  async listExpired(now: Date, limit: number): Promise<PendingUpload[]> {
    return this.database.query(
      `SELECT ${COLUMNS} FROM artifact_upload WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`,
      [now, limit],
    );
  }

  async delete(upload: Pick<PendingUpload, 'id' | 'workspaceId'>): Promise<void> {
    await this.database.query(`DELETE FROM artifact_upload WHERE id = $1 AND workspace_id = $2`, [
      upload.id,
      upload.workspaceId,
    ]);
  }
}
