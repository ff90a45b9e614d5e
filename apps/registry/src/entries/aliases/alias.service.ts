import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { ALIAS_PATTERN, type Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import {
  decodeCursor,
  isNumberKey,
  isStringKey,
  pageOf,
  type Page,
  type PageQuery,
} from '../../http/page.js';
import type { AliasDto, AliasMoveDto, MoveAliasDto } from './alias.dto.js';
import { Alias } from './alias.entity.js';
import { AliasMove } from './alias-move.entity.js';
import { RegistryEvents } from '../../webhooks/registry-events.js';
import { Entry } from '../entry.entity.js';
import { EntryService } from '../entry.service.js';
import { Version } from '../versions/version.entity.js';

/** What a change of an alias says about itself. */
interface Change {
  readonly expectedRevision?: number;
  readonly reason?: string | null;
}

type AliasRow = Omit<AliasDto, 'updatedAt'> & { updatedAt: Date };
type MoveRow = Omit<AliasMoveDto, 'movedAt'> & { movedAt: Date };

const SELECT_ALIAS = `
  SELECT a.name AS alias, v.number AS version, v.digest, a.revision,
         a.updated_at AS "updatedAt", a.updated_by AS "updatedBy"
    FROM alias a
    JOIN entry e ON e.id = a.entry_id
    LEFT JOIN version v ON v.id = a.version_id
   WHERE e.workspace_id = $1 AND e.kind = $2 AND e.name = $3`;

/** Movable names of versions. Every change is a compare-and-set with a line in an append-only log. */
@Injectable()
export class AliasService {
  constructor(
    private readonly database: DataSource,
    private readonly entries: EntryService,
    private readonly events: RegistryEvents,
  ) {}

  /** In order of names, without removed ones. @throws DomainError NOT_FOUND when there is no such entry. */
  async list(caller: Caller, kind: Kind, name: string, query: PageQuery): Promise<Page<AliasDto>> {
    const after = decodeCursor(query.cursor, isStringKey);
    await this.entries.get(caller, kind, name);
    const rows: AliasRow[] = await this.database.query(
      `${SELECT_ALIAS} AND a.version_id IS NOT NULL AND ($4::text IS NULL OR a.name > $4) ORDER BY a.name LIMIT $5`,
      [caller.workspaceId, kind, name, after ?? null, query.limit + 1],
    );
    return pageOf(rows, query.limit, (row) => row.alias, toDto);
  }

  /** @throws DomainError NOT_FOUND, also when it was removed. */
  async get(caller: Caller, kind: Kind, name: string, alias: string): Promise<AliasDto> {
    const row = await this.find(caller, kind, name, alias, this.database.manager);
    if (row && row.version !== null) return row;
    await this.entries.get(caller, kind, name);
    throw noSuchAlias(kind, name, alias);
  }

  /**
   * Points an alias at a version, creating it where needed. Moving it to where it is already is a move, too.
   * @throws DomainError VALIDATION_FAILED (a bad alias), NOT_FOUND, ARCHIVED, REFERENCE_NOT_FOUND,
   * REFERENCE_ARCHIVED, REVISION_CONFLICT.
   */
  async move(caller: Caller, kind: Kind, name: string, alias: string, dto: MoveAliasDto): Promise<AliasDto> {
    refuseBadAlias(alias);
    return this.database.transaction(async (tx) => {
      const entry = await this.entries.lockInUse(caller, kind, name, tx);
      const target = await tx.getRepository(Version).findOneBy({ entryId: entry.id, number: dto.version });
      if (!target)
        throw new DomainError(
          'REFERENCE_NOT_FOUND',
          `/version: the ${kind} "${name}" has no version ${dto.version}; ${entry.latestVersion ? `its latest is ${entry.latestVersion}` : 'register one first'}.`,
          { path: '/version', version: dto.version },
        );
      if (target.archivedAt !== null)
        throw new DomainError(
          'REFERENCE_ARCHIVED',
          `/version: version ${dto.version} of the ${kind} "${name}" is archived; name another one, or restore it.`,
          { path: '/version', version: dto.version },
        );
      await this.write(caller, entry, alias, target.id, dto, tx);
      return (await this.find(caller, kind, name, alias, tx))!;
    });
  }

  /**
   * Takes an alias away. Its revision and its log stay, and go on if it is set again.
   * @throws DomainError NOT_FOUND, REVISION_CONFLICT.
   */
  async remove(caller: Caller, kind: Kind, name: string, alias: string, change: Change): Promise<AliasDto> {
    return this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      const current = await tx.getRepository(Alias).findOneBy({ entryId: entry.id, name: alias });
      if (!current || current.versionId === null) throw noSuchAlias(kind, name, alias);
      await this.write(caller, entry, alias, null, change, tx);
      return (await this.find(caller, kind, name, alias, tx))!;
    });
  }

  /**
   * Takes all aliases of a locked entry away, or only those of one version; each is a move in its log.
   * @param versionId of the version; absent for all.
   */
  async removeAll(
    caller: Caller,
    entry: Entry,
    versionId: string | undefined,
    reason: string,
    tx: EntityManager,
  ): Promise<void> {
    const held: { name: string }[] = await tx.query(
      `SELECT name FROM alias
        WHERE entry_id = $1 AND version_id IS NOT NULL AND ($2::uuid IS NULL OR version_id = $2)
        ORDER BY name`,
      [entry.id, versionId ?? null],
    );
    for (const { name } of held) await this.write(caller, entry, name, null, { reason }, tx);
  }

  /** The log of an alias, newest first; it outlives the alias. @throws DomainError NOT_FOUND. */
  async listMoves(
    caller: Caller,
    kind: Kind,
    name: string,
    alias: string,
    query: PageQuery,
  ): Promise<Page<AliasMoveDto>> {
    const before = decodeCursor(query.cursor, isNumberKey);
    const { id } = await this.entries.get(caller, kind, name);
    const rows: MoveRow[] = await this.database.query(
      `SELECT m.alias, m.revision, f.number AS "fromVersion", t.number AS "toVersion",
              m.moved_at AS "movedAt", m.moved_by AS "movedBy", m.reason
         FROM alias_move m
         LEFT JOIN version f ON f.id = m.from_version_id
         LEFT JOIN version t ON t.id = m.to_version_id
        WHERE m.workspace_id = $1 AND m.entry_id = $2 AND m.alias = $3 AND ($4::bigint IS NULL OR m.revision < $4)
        ORDER BY m.revision DESC
        LIMIT $5`,
      [caller.workspaceId, id, alias, before ?? null, query.limit + 1],
    );
    if (rows.length === 0 && before === undefined) throw noSuchAlias(kind, name, alias);
    return pageOf(
      rows,
      query.limit,
      (row) => row.revision,
      (row) => ({ ...row, movedAt: row.movedAt.toISOString() }),
    );
  }

  private async find(
    caller: Caller,
    kind: Kind,
    name: string,
    alias: string,
    manager: EntityManager,
  ): Promise<AliasDto | undefined> {
    const rows: AliasRow[] = await manager.query(`${SELECT_ALIAS} AND a.name = $4`, [
      caller.workspaceId,
      kind,
      name,
      alias,
    ]);
    return rows[0] && toDto(rows[0]);
  }

  /** The move itself: the row and its line in the log. The entry is locked. */
  private async write(
    caller: Caller,
    entry: Entry,
    name: string,
    versionId: string | null,
    change: Change,
    tx: EntityManager,
  ): Promise<void> {
    const { id: entryId } = entry;
    const { workspaceId, actor } = caller;
    const current = await tx.getRepository(Alias).findOneBy({ entryId, name });
    await refuseConflict(entry, name, current, change.expectedRevision, tx);
    const now = new Date();
    const revision = (current?.revision ?? 0) + 1;
    await tx
      .getRepository(Alias)
      .upsert(
        { workspaceId, entryId, name, versionId, revision, updatedAt: now, updatedBy: actor },
        { conflictPaths: ['entryId', 'name'] },
      );
    await tx.getRepository(AliasMove).insert({
      workspaceId,
      entryId,
      alias: name,
      revision,
      fromVersionId: current?.versionId ?? null,
      toVersionId: versionId,
      movedAt: now,
      movedBy: actor,
      reason: change.reason ?? null,
    });
    const [version, previousVersion] = await numbersOf([versionId, current?.versionId ?? null], tx);
    const moved = { alias: name, version: version!, previousVersion: previousVersion!, revision };
    await this.events.record(tx, caller, {
      kind: entry.kind,
      name: entry.name,
      happened: 'alias moved',
      ...moved,
    });
  }
}

async function numbersOf(ids: readonly (string | null)[], tx: EntityManager): Promise<(number | null)[]> {
  const rows: { id: string; number: number }[] = await tx.query(
    'SELECT id, number FROM version WHERE id = ANY ($1::uuid[])',
    [ids.filter((id) => id !== null)],
  );
  return ids.map((id) => rows.find((row) => row.id === id)?.number ?? null);
}

/** A removed alias does not exist, so it is met by 0 as well as by its own revision. */
async function refuseConflict(
  entry: Entry,
  name: string,
  current: Alias | null,
  expected: number | undefined,
  tx: EntityManager,
): Promise<void> {
  const actual = current?.revision ?? 0;
  if (expected === undefined || expected === actual) return;
  if (expected === 0 && current?.versionId === null) return;
  const holder =
    typeof current?.versionId === 'string'
      ? await tx.getRepository(Version).findOneBy({ id: current.versionId })
      : null;
  throw new DomainError(
    'REVISION_CONFLICT',
    `The alias "${name}" of the ${entry.kind} "${entry.name}" is at revision ${actual} (${holder ? `version ${holder.number}` : 'no version'}), not at ${expected}; look at it again, then decide.`,
    { expectedRevision: expected, currentRevision: actual, currentVersion: holder?.number ?? null },
  );
}

const ALIAS = new RegExp(ALIAS_PATTERN, 'u');

function refuseBadAlias(alias: string): void {
  if (ALIAS.test(alias)) return;
  const said =
    'must be 1 to 255 letters, digits, ".", "_" or "-", and neither a bare number (name@3 is always a version) nor dots only';
  throw new DomainError('VALIDATION_FAILED', `The alias "${alias.slice(0, 255)}" ${said}.`, [
    { path: '/alias', message: said },
  ]);
}

function noSuchAlias(kind: Kind, name: string, alias: string): DomainError {
  return new DomainError('NOT_FOUND', `The ${kind} "${name}" has no alias "${alias.slice(0, 255)}".`);
}

function toDto(row: AliasRow): AliasDto {
  return { ...row, updatedAt: row.updatedAt.toISOString() };
}
