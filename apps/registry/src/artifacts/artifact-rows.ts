import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { isImmutable, type Owner } from './artifact-owner.js';
import { isOwnedBy, OWNER_COLUMNS, ownerValues, pathKeyOf } from './owner-columns.js';

export interface Artifact {
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly createdAt: Date;
  readonly createdBy: string;
  /** Where the bytes are in the store. */
  readonly objectKey: string;
}

/** What is to become an artifact. */
export type NewArtifact = Pick<Artifact, 'path' | 'sha256' | 'sizeBytes' | 'contentType'>;

const COLUMNS = `path, sha256, size_bytes AS "sizeBytes", content_type AS "contentType",
                 a.created_at AS "createdAt", created_by AS "createdBy", object_key AS "objectKey"`;

/** The table `artifact`. */
@Injectable()
export class ArtifactRows {
  constructor(private readonly database: DataSource) {}

  async find(
    caller: Caller,
    owner: Owner,
    path: string,
    manager: EntityManager = this.database.manager,
  ): Promise<Artifact | undefined> {
    const rows: Artifact[] = await manager.query(
      `SELECT ${COLUMNS} FROM (SELECT * FROM artifact WHERE ${isOwnedBy(owner, '$1', '$2')} AND path = $3) a
         JOIN blob USING (workspace_id, sha256)`,
      [caller.workspaceId, owner.id, path],
    );
    return rows[0];
  }

  /** In order of path, behind `after`. */
  async list(caller: Caller, owner: Owner, after: string | undefined, limit: number): Promise<Artifact[]> {
    return this.database.query(
      `SELECT ${COLUMNS}
         FROM (SELECT * FROM artifact
                WHERE ${isOwnedBy(owner, '$1', '$2')} AND ($3::text IS NULL OR path > $3) ORDER BY path LIMIT $4) a
         JOIN blob USING (workspace_id, sha256)
        ORDER BY path`,
      [caller.workspaceId, owner.id, after ?? null, limit],
    );
  }

  /**
   * Makes the bytes of a blob an artifact. In a working directory they replace what is under the path.
   * @returns true when there was nothing under the path.
   * @throws DomainError IMMUTABLE when the path of a version holds other bytes.
   */
  async put(tx: EntityManager, caller: Caller, owner: Owner, given: NewArtifact): Promise<boolean> {
    const immutable = isImmutable(owner);
    const written: { created: boolean }[] = await tx.query(
      `INSERT INTO artifact (id, workspace_id, path, sha256, content_type, created_at, created_by, ${OWNER_COLUMNS.join(', ')})
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
       ON CONFLICT ${pathKeyOf(owner)} ${immutable ? 'DO NOTHING' : REPLACE}
       RETURNING xmax = 0 AS created`,
      [
        v7(),
        caller.workspaceId,
        given.path,
        given.sha256,
        given.contentType,
        new Date(),
        caller.actor,
        ...ownerValues(owner),
      ],
    );
    if (immutable && written.length === 0)
      refuseOtherBytes(owner, await this.find(caller, owner, given.path, tx), given.sha256);
    return written[0]?.created ?? false;
  }

  /**
   * Deletes the artifact under the path and all below it; everything of the owner where the path is empty.
   * @returns how many artifacts that were.
   */
  async delete(caller: Caller, owner: Owner, path: string): Promise<number> {
    const [, count]: [unknown, number] = await this.database.query(
      `DELETE FROM artifact
        WHERE ${isOwnedBy(owner, '$1', '$2')}
          ${path === '' ? '' : `AND (path = $3 OR (path > $3 || '/' AND path < $3 || '0'))`}`,
      [caller.workspaceId, owner.id, ...(path === '' ? [] : [path])],
    );
    return count;
  }
}

const REPLACE = `DO UPDATE SET sha256 = excluded.sha256, content_type = excluded.content_type,
                               created_at = excluded.created_at, created_by = excluded.created_by`;

/** @throws DomainError IMMUTABLE for a version whose path holds other bytes. */
export function refuseOtherBytes(owner: Owner, existing: Artifact | undefined, sha256: string): void {
  if (isImmutable(owner) && existing !== undefined && existing.sha256 !== sha256)
    throw new DomainError(
      'IMMUTABLE',
      `"${existing.path}" is already there with other bytes, and artifacts of versions never change; choose another path.`,
      { path: existing.path, existing: existing.sha256, given: sha256 },
    );
}
