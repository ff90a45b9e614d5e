import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import type { CreateEntryDto, EntryDto, ListEntriesQuery, UpdateEntryDto } from './entry.dto.js';
import { RegistryEvents } from '../webhooks/registry-events.js';
import { Entry } from './entry.entity.js';
import { nameTaken, renameEntry } from './entry-rename.js';
import { refuseBadName } from './entry-name.js';
import { PLURAL } from './kind.js';
import { mergeTags } from './tags.js';

type EntryRow = Omit<EntryDto, 'createdAt' | 'updatedAt' | 'archivedAt'> & {
  createdAt: Date;
  updatedAt: Date;
  archivedAt: Date | null;
};

const SELECT_ENTRY = `
  SELECT e.id, e.kind, e.name, e.description, e.tags, NULLIF(e.latest_version, 0) AS "latestVersion",
         COALESCE((SELECT jsonb_object_agg(a.name, v.number)
                     FROM alias a JOIN version v ON v.id = a.version_id
                    WHERE a.entry_id = e.id), '{}') AS aliases,
         e.created_at AS "createdAt", e.created_by AS "createdBy", e.updated_at AS "updatedAt",
         e.archived_at AS "archivedAt"
    FROM entry e
   WHERE e.workspace_id = $1 AND e.kind = $2`;

/** Named prompts, models and chains: everything about them but their versions and aliases. */
@Injectable()
export class EntryService {
  constructor(
    private readonly database: DataSource,
    private readonly events: RegistryEvents,
  ) {}

  /** @throws DomainError VALIDATION_FAILED (a bad name); ALREADY_EXISTS, also when the one of that name is archived. */
  async create(caller: Caller, kind: Kind, dto: CreateEntryDto): Promise<EntryDto> {
    refuseBadName(kind, dto.name);
    await this.database.transaction((tx) => this.insert(caller, kind, dto, tx));
    return this.get(caller, kind, dto.name);
  }

  /** A new entry; its name is checked. @throws DomainError ALREADY_EXISTS. */
  async insert(caller: Caller, kind: Kind, dto: CreateEntryDto, tx: EntityManager): Promise<void> {
    const now = new Date();
    try {
      await tx.getRepository(Entry).insert({
        id: v7(),
        workspaceId: caller.workspaceId,
        kind,
        name: dto.name,
        description: dto.description ?? null,
        tags: dto.tags ?? {},
        latestVersion: 0,
        createdAt: now,
        createdBy: caller.actor,
        updatedAt: now,
        archivedAt: null,
      });
    } catch (error) {
      if (isUniqueViolation(error, 'entry_name_key')) throw nameTaken(kind, dto.name);
      throw error;
    }
    await this.recordCreated(caller, kind, dto, tx);
  }

  /** Takes a locked entry that was archived into use again, as if it were new. */
  async renew(caller: Caller, entry: Entry, dto: CreateEntryDto, tx: EntityManager): Promise<void> {
    const now = new Date();
    await tx.getRepository(Entry).update(
      { id: entry.id },
      {
        description: dto.description ?? null,
        tags: dto.tags ?? {},
        createdAt: now,
        createdBy: caller.actor,
        updatedAt: now,
        archivedAt: null,
      },
    );
    await this.recordCreated(caller, entry.kind, dto, tx);
  }

  private async recordCreated(
    caller: Caller,
    kind: Kind,
    { name, tags = {}, description = null }: CreateEntryDto,
    tx: EntityManager,
  ): Promise<void> {
    await this.events.record(tx, caller, { kind, name, happened: 'created', tags, description });
  }

  /** In order of names (by code unit). */
  async list(caller: Caller, kind: Kind, query: ListEntriesQuery): Promise<Page<EntryDto>> {
    const after = decodeCursor(query.cursor, isStringKey);
    const tags = (query.tag ?? []).map(tagFilter);
    const rows: EntryRow[] = await this.database.query(
      `${SELECT_ENTRY}
          AND ($3::text IS NULL OR e.name > $3)
          AND starts_with(e.name, $4)
          AND ($5 OR e.archived_at IS NULL)
          AND e.tags @> ALL ($6::jsonb[])
          AND e.tags @? ALL ($7::jsonpath[])
          AND ($8::text IS NULL OR EXISTS (SELECT FROM alias a
                WHERE a.entry_id = e.id AND a.name = $8 AND a.version_id IS NOT NULL))
        ORDER BY e.name
        LIMIT $9`,
      [
        caller.workspaceId,
        kind,
        after ?? null,
        query.prefix ?? '',
        query.includeArchived,
        tags.flatMap((tag) => ('value' in tag ? [JSON.stringify({ [tag.key]: tag.value })] : [])),
        tags.map((tag) => `$.${JSON.stringify(tag.key)}`),
        query.alias ?? null,
        query.limit + 1,
      ],
    );
    return pageOf(rows, query.limit, (row) => row.name, toDto);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, kind: Kind, name: string): Promise<EntryDto> {
    const rows: EntryRow[] = await this.database.query(`${SELECT_ENTRY} AND e.name = $3`, [
      caller.workspaceId,
      kind,
      name,
    ]);
    const row = rows[0];
    if (!row) throw noSuchEntry(kind, name);
    return toDto(row);
  }

  /**
   * @throws DomainError NOT_FOUND; VALIDATION_FAILED when the merged tags are too many or the new name is bad;
   * ALREADY_EXISTS, IN_USE and IMMUTABLE when it cannot be renamed.
   */
  async update(caller: Caller, kind: Kind, name: string, dto: UpdateEntryDto): Promise<EntryDto> {
    await this.database.transaction(async (tx) => {
      const entry = await this.lock(caller, kind, name, tx);
      const tags = mergeTags(entry.tags, dto.tags);
      const description = dto.description === undefined ? entry.description : dto.description;
      await tx.getRepository(Entry).update({ id: entry.id }, { description, tags, updatedAt: new Date() });
      if (dto.name !== undefined) await renameEntry(entry, dto.name, tx);
      await this.events.recordTags(tx, caller, { kind, name: dto.name ?? name }, entry.tags, dto.tags);
    });
    return this.get(caller, kind, dto.name ?? name);
  }

  /** Idempotent: what is archived already keeps its time. @throws DomainError NOT_FOUND. */
  async archive(caller: Caller, kind: Kind, name: string): Promise<EntryDto> {
    return this.setArchived(caller, kind, name, true);
  }

  /** Idempotent. @throws DomainError NOT_FOUND. */
  async restore(caller: Caller, kind: Kind, name: string): Promise<EntryDto> {
    return this.setArchived(caller, kind, name, false);
  }

  private async setArchived(caller: Caller, kind: Kind, name: string, archived: boolean): Promise<EntryDto> {
    await this.database.transaction(async (tx) => {
      const entry = await this.lock(caller, kind, name, tx);
      if ((entry.archivedAt !== null) === archived) return;
      const now = new Date();
      await tx
        .getRepository(Entry)
        .update({ id: entry.id }, { archivedAt: archived ? now : null, updatedAt: now });
    });
    return this.get(caller, kind, name);
  }

  /**
   * The entry, locked to the end of the transaction. Everything that numbers versions, moves aliases or archives
   * takes this lock first, so these take turns per entry and see each other's results.
   * @throws DomainError NOT_FOUND.
   */
  async lock(caller: Caller, kind: Kind, name: string, tx: EntityManager): Promise<Entry> {
    const entry = await tx.getRepository(Entry).findOne({
      where: { workspaceId: caller.workspaceId, kind, name },
      lock: { mode: 'for_no_key_update' },
    });
    if (!entry) throw noSuchEntry(kind, name);
    return entry;
  }

  /** As `lock`, for changes that an archived entry refuses. @throws DomainError NOT_FOUND, ARCHIVED. */
  async lockInUse(caller: Caller, kind: Kind, name: string, tx: EntityManager): Promise<Entry> {
    const entry = await this.lock(caller, kind, name, tx);
    if (entry.archivedAt !== null)
      throw new DomainError(
        'ARCHIVED',
        `The ${kind} "${name}" is archived; restore it first (POST /api/v1/${PLURAL[kind]}/${encodeURIComponent(name)}/restore).`,
        { kind, name },
      );
    return entry;
  }
}

export function noSuchEntry(kind: Kind, name: string): DomainError {
  return new DomainError(
    'NOT_FOUND',
    `There is no ${kind} named "${name.slice(0, 256)}"; correct the name, or create it with POST /api/v1/${PLURAL[kind]}.`,
  );
}

function tagFilter(text: string): { key: string } | { key: string; value: string } {
  const colon = text.indexOf(':');
  return colon === -1 ? { key: text } : { key: text.slice(0, colon), value: text.slice(colon + 1) };
}

function toDto(row: EntryRow): EntryDto {
  return {
    ...row,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    archivedAt: row.archivedAt?.toISOString() ?? null,
  };
}
