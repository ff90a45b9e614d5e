import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { canonical } from '#libs/core/canonical/canonical.js';
import type { Kind } from '#libs/core/content/schemas.js';
import { validateContent } from '#libs/core/content/validate.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { Entry } from './entry.entity.js';
import { EntryService } from './entry.service.js';
import { Pinning } from './pinning.js';
import type { RegisterVersionDto, VersionDto } from './version.dto.js';
import { Version } from './version.entity.js';
import { VersionReader } from './version.reader.js';
import { VersionReference } from './version-reference.entity.js';

export interface Registered {
  /** False when identical content was a version already; that version is the answer. */
  readonly created: boolean;
  readonly version: VersionDto;
}

/** Registers and archives versions. Nothing else about a version ever changes. */
@Injectable()
export class VersionService {
  constructor(
    private readonly database: DataSource,
    private readonly entries: EntryService,
    private readonly reader: VersionReader,
    private readonly pinning: Pinning,
  ) {}

  /**
   * Registers content as the next version, or finds the version that holds it already (archived or not).
   * @throws DomainError VALIDATION_FAILED, NOT_FOUND, ARCHIVED, REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED, DIGEST_MISMATCH.
   */
  async register(caller: Caller, kind: Kind, name: string, dto: RegisterVersionDto): Promise<Registered> {
    validateContent(kind, dto.content);
    const { created, number } = await this.database.transaction(async (tx) => {
      const entry = await this.entries.lockInUse(caller, kind, name, tx);
      const { content, pins } = await this.pinning.pin(caller, kind, dto.content, tx);
      const { text, digest } = canonical(content);
      const same = await tx.getRepository(Version).findOneBy({ entryId: entry.id, digest });
      if (same) return { created: false, number: same.number };
      const version: Version = {
        id: v7(),
        workspaceId: caller.workspaceId,
        entryId: entry.id,
        number: entry.latestVersion + 1,
        digest,
        content: text,
        message: dto.message ?? null,
        createdAt: new Date(),
        createdBy: caller.actor,
        archivedAt: null,
      };
      await tx.getRepository(Version).insert(version);
      await tx.getRepository(VersionReference).insert(
        pins.map(({ path, versionId }) => ({
          workspaceId: caller.workspaceId,
          versionId: version.id,
          path,
          toVersionId: versionId,
        })),
      );
      await tx
        .getRepository(Entry)
        .update({ id: entry.id }, { latestVersion: version.number, updatedAt: version.createdAt });
      return { created: true, number: version.number };
    });
    return { created, version: await this.reader.get(caller, kind, name, number) };
  }

  /**
   * Idempotent: what is archived already keeps its time.
   * @throws DomainError NOT_FOUND; IN_USE while an alias points at it.
   */
  async archive(caller: Caller, kind: Kind, name: string, number: number): Promise<VersionDto> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      const aliases: { name: string }[] = await tx.query(
        `SELECT a.name FROM alias a JOIN version v ON v.id = a.version_id
          WHERE a.entry_id = $1 AND v.number = $2 ORDER BY a.name`,
        [entry.id, number],
      );
      if (aliases.length > 0) {
        const names = aliases.map((alias) => alias.name);
        throw new DomainError(
          'IN_USE',
          `Version ${number} of the ${kind} "${name}" cannot be archived, because ${names.map((alias) => `"${alias}"`).join(', ')} ${names.length === 1 ? 'points' : 'point'} at it; move or remove the alias first.`,
          { aliases: names },
        );
      }
      await setArchivedAt(entry.id, number, new Date(), tx);
    });
    return this.reader.get(caller, kind, name, number);
  }

  /** Idempotent. @throws DomainError NOT_FOUND. */
  async restore(caller: Caller, kind: Kind, name: string, number: number): Promise<VersionDto> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      await setArchivedAt(entry.id, number, null, tx);
    });
    return this.reader.get(caller, kind, name, number);
  }
}

/** Leaves a version alone that is as it should be; one that does not exist is found missing by the read that follows. */
async function setArchivedAt(
  entryId: string,
  number: number,
  at: Date | null,
  tx: EntityManager,
): Promise<void> {
  await tx.query(
    `UPDATE version SET archived_at = $3::timestamptz
      WHERE entry_id = $1 AND number = $2 AND (archived_at IS NULL) = ($3::timestamptz IS NOT NULL)`,
    [entryId, number, at],
  );
}
