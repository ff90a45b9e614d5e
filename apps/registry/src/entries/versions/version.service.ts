import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { canonical } from '#libs/core/canonical/canonical.js';
import type { Kind } from '#libs/core/content/schemas.js';
import { validateContent } from '#libs/core/content/validate.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { copyArtifacts, type ArtifactSource } from './copy-artifacts.js';
import { EntryService } from '../entry.service.js';
import { Pinning } from './pinning.js';
import type { Tags } from '../tags.js';
import type { RegisterVersionDto, VersionDto } from './version.dto.js';
import { VersionReader } from './version.reader.js';
import { VersionWriter } from './version-writer.js';

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
    private readonly writer: VersionWriter,
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
      const same = await findIdentical(entry.id, digest, tx);
      if (same !== undefined) return { created: false, number: same };
      const message = dto.message ?? null;
      const version = await this.writer.insert(caller, entry, { content, pins, text, digest, message }, tx);
      return { created: true, number: version.number };
    });
    return { created, version: await this.reader.get(caller, kind, name, number) };
  }

  /**
   * Registers content as a version of its own, even if another version holds the same: so does MLflow's protocol.
   * @param files whose present content becomes the artifacts of the version.
   * @throws DomainError VALIDATION_FAILED, NOT_FOUND, ARCHIVED.
   */
  async registerAnew(
    caller: Caller,
    kind: 'prompt' | 'model',
    name: string,
    given: { content: unknown; description: string | null; tags: Tags; files?: ArtifactSource | undefined },
  ): Promise<{ readonly number: number }> {
    validateContent(kind, given.content);
    return this.database.transaction(async (tx) => {
      const entry = await this.entries.lockInUse(caller, kind, name, tx);
      const { content, pins } = await this.pinning.pin(caller, kind, given.content, tx);
      const note = { description: given.description, tags: given.tags };
      const version = { content, pins, ...canonical(content), message: null, note };
      const { id, number } = await this.writer.insert(caller, entry, version, tx);
      if (given.files) await copyArtifacts(caller, given.files, id, tx);
      return { number };
    });
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

/**
 * The number of a version that holds the same; of several, which only MLflow's protocol makes, the newest in use. The
 * entry is locked, so that two registrations of the same cannot both find none.
 */
async function findIdentical(
  entryId: string,
  digest: string,
  tx: EntityManager,
): Promise<number | undefined> {
  const rows: { number: number }[] = await tx.query(
    `SELECT number FROM version WHERE entry_id = $1 AND digest = $2
      ORDER BY archived_at IS NOT NULL, number DESC LIMIT 1`,
    [entryId, digest],
  );
  return rows[0]?.number;
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
