import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { Owner } from './artifact-owner.js';

export interface Artifact {
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly createdAt: Date;
  readonly createdBy: string;
}

/** What is to become an artifact. */
export type NewArtifact = Pick<Artifact, 'path' | 'sha256' | 'sizeBytes' | 'contentType'>;

const SELECT = `SELECT a.path, a.sha256, b.size_bytes AS "sizeBytes", a.content_type AS "contentType",
                       a.created_at AS "createdAt", a.created_by AS "createdBy"
                  FROM artifact a
                  JOIN blob b USING (workspace_id, sha256)
                 WHERE a.workspace_id = $1 AND (a.version_id = $2 OR a.run_id = $3)`;

/** The tables `artifact` and `blob`. Each row of `blob` stands for bytes that were verified and are in the store. */
@Injectable()
export class ArtifactRows {
  constructor(private readonly database: DataSource) {}

  async find(
    caller: Caller,
    owner: Owner,
    path: string,
    manager: EntityManager = this.database.manager,
  ): Promise<Artifact | undefined> {
    const rows: Artifact[] = await manager.query(`${SELECT} AND a.path = $4`, [
      caller.workspaceId,
      owner.versionId,
      owner.runId,
      path,
    ]);
    return rows[0];
  }

  /** In order of path, behind `after`. */
  async list(caller: Caller, owner: Owner, after: string | undefined, limit: number): Promise<Artifact[]> {
    return this.database.query(`${SELECT} AND ($4::text IS NULL OR a.path > $4) ORDER BY a.path LIMIT $5`, [
      caller.workspaceId,
      owner.versionId,
      owner.runId,
      after ?? null,
      limit,
    ]);
  }

  /** Size of verified bytes with this digest; undefined when the workspace has none. */
  async findBlobSize(caller: Caller, sha256: string): Promise<number | undefined> {
    const rows: { sizeBytes: number }[] = await this.database.query(
      `SELECT size_bytes AS "sizeBytes" FROM blob WHERE workspace_id = $1 AND sha256 = $2`,
      [caller.workspaceId, sha256],
    );
    return rows[0]?.sizeBytes;
  }

  /**
   * Makes verified bytes an artifact, and ends the upload they came by. The same bytes under the same path again
   * give the artifact that is there.
   * @throws DomainError IMMUTABLE when the path holds other bytes.
   */
  async add(
    caller: Caller,
    owner: Owner,
    given: NewArtifact,
    uploadId?: string,
  ): Promise<{ created: boolean; artifact: Artifact }> {
    return this.database.transaction(async (tx) => {
      const createdAt = new Date();
      await tx.query(
        `INSERT INTO blob (workspace_id, sha256, size_bytes, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING`,
        [caller.workspaceId, given.sha256, given.sizeBytes, createdAt],
      );
      const inserted: unknown[] = await tx.query(
        `INSERT INTO artifact (id, workspace_id, version_id, run_id, path, sha256, content_type, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT DO NOTHING RETURNING id`,
        [
          v7(),
          caller.workspaceId,
          owner.versionId,
          owner.runId,
          given.path,
          given.sha256,
          given.contentType,
          createdAt,
          caller.actor,
        ],
      );
      const artifact = (await this.find(caller, owner, given.path, tx))!;
      refuseOtherBytes(artifact, given.sha256);
      if (uploadId !== undefined) await tx.query(`DELETE FROM artifact_upload WHERE id = $1`, [uploadId]);
      return { created: inserted.length > 0, artifact };
    });
  }
}

/** @throws DomainError IMMUTABLE. */
export function refuseOtherBytes(existing: Artifact | undefined, sha256: string): void {
  if (existing !== undefined && existing.sha256 !== sha256)
    throw new DomainError(
      'IMMUTABLE',
      `"${existing.path}" is already there with other bytes, and artifacts never change; choose another path.`,
      { path: existing.path, existing: existing.sha256, given: sha256 },
    );
}
