import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { decodeCursor, isNumberKey, pageOf, type Page, type PageQuery } from '../../http/page.js';
import { EntryService } from '../entry.service.js';
import { MAX_VERSION_NUMBER } from './version-number.js';
import type { ListVersionsQuery, VersionDto, VersionSummaryDto, VersionUseDto } from './version.dto.js';

type Dated<T extends { createdAt: string; archivedAt: string | null }> = Omit<
  T,
  'createdAt' | 'archivedAt'
> & { createdAt: Date; archivedAt: Date | null };
type SummaryRow = Omit<Dated<VersionSummaryDto>, 'updatedAt'> & { updatedAt: Date };

/** The canonical text of a version and its digest. */
export interface StoredContent {
  readonly content: string;
  readonly digest: string;
}

const SUMMARY = `
  v.id, e.kind, e.name, v.number AS version, v.digest, v.message,
  v.created_at AS "createdAt", v.created_by AS "createdBy", v.archived_at AS "archivedAt",
  ARRAY(SELECT a.name FROM alias a WHERE a.version_id = v.id ORDER BY a.name) AS aliases,
  n.description, COALESCE(n.tags, '{}') AS tags, COALESCE(n.stage, 'None') AS stage,
  COALESCE(n.updated_at, v.created_at) AS "updatedAt"`;
const FROM = `FROM version v JOIN entry e ON e.id = v.entry_id LEFT JOIN version_note n ON n.version_id = v.id
  WHERE e.workspace_id = $1 AND e.kind = $2 AND e.name = $3`;

/** Reads versions. */
@Injectable()
export class VersionReader {
  constructor(
    private readonly database: DataSource,
    private readonly entries: EntryService,
  ) {}

  /** Newest first, without contents. @throws DomainError NOT_FOUND when there is no such entry. */
  async list(
    caller: Caller,
    kind: Kind,
    name: string,
    query: ListVersionsQuery,
  ): Promise<Page<VersionSummaryDto>> {
    const before = decodeCursor(query.cursor, isNumberKey);
    await this.entries.get(caller, kind, name);
    const rows: SummaryRow[] = await this.database.query(
      `SELECT ${SUMMARY} ${FROM}
          AND ($4::bigint IS NULL OR v.number < $4)
          AND ($5 OR v.archived_at IS NULL)
        ORDER BY v.number DESC
        LIMIT $6`,
      [caller.workspaceId, kind, name, before ?? null, query.includeArchived, query.limit + 1],
    );
    return pageOf(rows, query.limit, (row) => row.version, toSummary);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, kind: Kind, name: string, number: number): Promise<VersionDto> {
    const rows: (SummaryRow & { content: string })[] = await this.database.query(
      `SELECT ${SUMMARY}, v.content ${FROM} AND v.number = $4`,
      [caller.workspaceId, kind, name, number],
    );
    const row = rows[0];
    if (!row) throw await this.missing(caller, kind, name, `version ${number}`);
    const { content, ...summary } = row;
    return Object.assign(toSummary(summary), { content: JSON.parse(content) as unknown });
  }

  /** The bytes the digest is over. @throws DomainError NOT_FOUND. */
  async getContent(caller: Caller, kind: Kind, name: string, number: number): Promise<StoredContent> {
    const rows: StoredContent[] = await this.database.query(
      `SELECT v.content, v.digest ${FROM} AND v.number = $4`,
      [caller.workspaceId, kind, name, number],
    );
    const row = rows[0];
    if (!row) throw await this.missing(caller, kind, name, `version ${number}`);
    return row;
  }

  /**
   * The version a number or an alias in a query means.
   * @throws DomainError NOT_FOUND.
   */
  async find(
    caller: Caller,
    kind: Kind,
    name: string,
    numberOrAlias: string,
  ): Promise<StoredContent & { version: number }> {
    const isNumber = /^[0-9]+$/.test(numberOrAlias);
    // Beyond the column's type there is no version; 0 never is one.
    const number = isNumber && Number(numberOrAlias) <= MAX_VERSION_NUMBER ? Number(numberOrAlias) : 0;
    const rows: (StoredContent & { version: number })[] = await this.database.query(
      `SELECT v.number AS version, v.content, v.digest ${FROM}
          AND v.id = CASE WHEN $4 THEN (SELECT id FROM version WHERE entry_id = e.id AND number = $5)
                          ELSE (SELECT version_id FROM alias WHERE entry_id = e.id AND name = $6) END`,
      [caller.workspaceId, kind, name, isNumber, number, numberOrAlias],
    );
    const row = rows[0];
    if (!row)
      throw await this.missing(
        caller,
        kind,
        name,
        isNumber ? `version ${numberOrAlias}` : `alias "${numberOrAlias}"`,
      );
    return row;
  }

  /** Versions that refer to this one, newest first. @throws DomainError NOT_FOUND. */
  async listUses(
    caller: Caller,
    kind: Kind,
    name: string,
    number: number,
    query: PageQuery,
  ): Promise<Page<VersionUseDto>> {
    const after = decodeCursor(query.cursor, isUseKey);
    const { id } = await this.get(caller, kind, name, number);
    const rows: Dated<VersionUseDto>[] = await this.database.query(
      `SELECT v.id, e.kind, e.name, v.number AS version, v.digest, r.path,
              v.created_at AS "createdAt", v.archived_at AS "archivedAt"
         FROM version_reference r
         JOIN version v ON v.id = r.version_id
         JOIN entry e ON e.id = v.entry_id
        WHERE r.workspace_id = $1 AND r.to_version_id = $2
          AND ($3::uuid IS NULL OR (v.id, r.path) < ($3, $4))
        ORDER BY v.id DESC, r.path DESC
        LIMIT $5`,
      [caller.workspaceId, id, after?.[0] ?? null, after?.[1] ?? null, query.limit + 1],
    );
    return pageOf(rows, query.limit, (row) => [row.id, row.path], withTexts);
  }

  private async missing(caller: Caller, kind: Kind, name: string, what: string): Promise<DomainError> {
    await this.entries.get(caller, kind, name); // says so when it is the entry that is missing
    return new DomainError('NOT_FOUND', `The ${kind} "${name}" has no ${what.slice(0, 140)}.`);
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const isUseKey = (key: unknown): key is [string, string] =>
  Array.isArray(key) &&
  key.length === 2 &&
  typeof key[0] === 'string' &&
  UUID.test(key[0]) &&
  typeof key[1] === 'string' &&
  !key[1].includes('\0');

function toSummary({ updatedAt, ...row }: SummaryRow): VersionSummaryDto {
  return { ...withTexts(row), updatedAt: updatedAt.toISOString() };
}

function withTexts<T extends { createdAt: Date; archivedAt: Date | null }>(
  row: T,
): Omit<T, 'createdAt' | 'archivedAt'> & { createdAt: string; archivedAt: string | null } {
  return {
    ...row,
    createdAt: row.createdAt.toISOString(),
    archivedAt: row.archivedAt?.toISOString() ?? null,
  };
}
