import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { RegistryEvents } from '../../webhooks/registry-events.js';
import { Entry } from '../entry.entity.js';
import { EntryService } from '../entry.service.js';
import { mergeTags, type TagPatch, type Tags } from '../tags.js';
import type { VersionDto } from './version.dto.js';
import { Version } from './version.entity.js';
import { VersionNote, type Stage } from './version-note.entity.js';
import { VersionReader } from './version.reader.js';

export interface NoteChange {
  readonly description?: string | null;
  readonly tags?: TagPatch;
  readonly stage?: Stage;
}

/** What is said about versions: description, tags and stage. The row of the version is never touched. */
@Injectable()
export class VersionNoteService {
  constructor(
    private readonly database: DataSource,
    private readonly entries: EntryService,
    private readonly reader: VersionReader,
    private readonly events: RegistryEvents,
  ) {}

  /** @throws DomainError NOT_FOUND; VALIDATION_FAILED when the merged tags are too many. */
  async update(
    caller: Caller,
    kind: Kind,
    name: string,
    number: number,
    change: NoteChange,
  ): Promise<VersionDto> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      const before = await this.write(entry, await versionOf(entry, number, tx), change, tx);
      await this.events.recordTags(tx, caller, { kind, name, version: number }, before.tags, change.tags);
    });
    return this.reader.get(caller, kind, name, number);
  }

  /**
   * Moves a version to a stage.
   * @param archiveOthers moves all other versions of that stage to `Archived`.
   * @throws DomainError NOT_FOUND.
   */
  async transition(
    caller: Caller,
    kind: Kind,
    name: string,
    number: number,
    stage: Stage,
    archiveOthers: boolean,
  ): Promise<void> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      const version = await versionOf(entry, number, tx);
      const { at: now } = await this.write(entry, version, { stage }, tx);
      if (archiveOthers)
        await tx.query(
          `UPDATE version_note n SET stage = 'Archived', updated_at = $4
             FROM version v
            WHERE v.id = n.version_id AND v.entry_id = $1 AND v.id <> $2 AND n.stage = $3`,
          [entry.id, version.id, stage, now],
        );
      await tx.getRepository(Entry).update({ id: entry.id }, { updatedAt: now });
    });
  }

  /**
   * The change itself. The entry is locked, so that changes of its versions take turns.
   * @returns when, and the tags before.
   */
  private async write(
    entry: Entry,
    version: Version,
    change: NoteChange,
    tx: EntityManager,
  ): Promise<{ at: Date; tags: Tags }> {
    const notes = tx.getRepository(VersionNote);
    const before = await notes.findOneBy({ versionId: version.id });
    const updatedAt = new Date();
    await notes.upsert(
      {
        versionId: version.id,
        workspaceId: entry.workspaceId,
        kind: entry.kind,
        description: change.description === undefined ? (before?.description ?? null) : change.description,
        tags: mergeTags(before?.tags ?? {}, change.tags),
        stage: change.stage ?? before?.stage ?? 'None',
        updatedAt,
      },
      ['versionId'],
    );
    return { at: updatedAt, tags: before?.tags ?? {} };
  }
}

/** A version in use or archived. @throws DomainError NOT_FOUND. */
async function versionOf(entry: Entry, number: number, tx: EntityManager): Promise<Version> {
  const version = await tx.getRepository(Version).findOneBy({ entryId: entry.id, number });
  if (version) return version;
  throw new DomainError('NOT_FOUND', `The ${entry.kind} "${entry.name}" has no version ${number}.`);
}
