import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { parseReference } from '#libs/core/content/reference.js';
import type { Kind } from '#libs/core/content/schemas.js';
import type { Reference } from '#libs/core/content/types.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { MAX_VERSION_NUMBER } from './version-number.js';

export interface FoundVersion {
  readonly versionId: string;
  readonly entryId: string;
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  /** Canonical JSON, as registered. */
  readonly content: string;
}

/** Finds the one version a reference means at this moment: what is stored afterwards is the pin, never the reference. */
@Injectable()
export class VersionLookup {
  constructor(private readonly database: DataSource) {}

  /**
   * @param path JSON Pointer of the reference in the caller's document, for the error message.
   * @param manager of a transaction that pins what is found: until it ends, the entry cannot be renamed.
   * @param isHeld whether what asks names this version already: an archived one goes on working there.
   * @throws DomainError REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED (the version or its entry), DIGEST_MISMATCH.
   */
  async get(
    caller: Caller,
    kind: Kind,
    reference: Reference,
    path: string,
    manager: EntityManager = this.database.manager,
    isHeld = false,
  ): Promise<FoundVersion> {
    const parsed = parseReference(reference);
    const said =
      typeof reference === 'string' ? `"${reference}"` : `"${reference.name}@${reference.version}"`;
    const number = parsed.by === 'alias' ? null : parsed.version;
    const rows: (FoundVersion & { archived: boolean })[] = await manager.query(
      `SELECT v.id AS "versionId", e.id AS "entryId", e.name, v.number AS version, v.digest, v.content,
              (v.archived_at IS NOT NULL OR e.archived_at IS NOT NULL) AS archived
         FROM entry e
         JOIN version v ON v.entry_id = e.id
        WHERE e.workspace_id = $1 AND e.kind = $2 AND e.name = $3
          AND v.id = CASE WHEN $4::text IS NULL
                          THEN (SELECT id FROM version WHERE entry_id = e.id AND number = $5::integer)
                          ELSE (SELECT version_id FROM alias WHERE entry_id = e.id AND name = $4::text) END
        ${manager === this.database.manager ? '' : 'FOR KEY SHARE OF e'}`,
      [
        caller.workspaceId,
        kind,
        parsed.name,
        parsed.by === 'alias' ? parsed.alias : null,
        // Beyond the column's type there is no version; 0 never is one.
        number !== null && number > MAX_VERSION_NUMBER ? 0 : number,
      ],
    );
    const found = rows[0];
    if (!found)
      throw new DomainError(
        'REFERENCE_NOT_FOUND',
        `${path}: there is no ${kind} version ${said}; register it first, or correct the name, number or alias.`,
        { path, reference },
      );
    if (found.archived && !isHeld)
      throw new DomainError(
        'REFERENCE_ARCHIVED',
        `${path}: the ${kind} version ${said} is archived; name another one, or restore it.`,
        {
          path,
          reference,
        },
      );
    if (parsed.by === 'pin' && parsed.digest !== found.digest)
      throw new DomainError(
        'DIGEST_MISMATCH',
        `${path}: ${said} has digest ${found.digest}, not ${parsed.digest}.`,
        {
          path,
          expected: parsed.digest,
          actual: found.digest,
        },
      );
    const { archived: _, ...version } = found;
    return version;
  }
}
