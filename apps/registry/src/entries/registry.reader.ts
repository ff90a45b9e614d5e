import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Filter, OrderTerm } from '#libs/core/search/ast.js';
import { Coalescer } from '#libs/platform/database/coalescer.js';
import { runPrepared, type Statement } from '#libs/platform/database/prepared.js';
import type { Caller } from '../http/caller.js';
import {
  byAttribute,
  compileFilter,
  compileOrder,
  decodePosition,
  encodePosition,
  ENTRY_COLUMNS,
  kindAskedFor,
  orderOf,
  VERSION_COLUMNS,
  type Columns,
} from './registry-filter.js';
import { Parameters } from '../search/parameters.js';
import type { SharedKind } from './shared-names.js';
import type { Stage } from './versions/version-note.entity.js';

/** A version of a prompt or model in use. Times are milliseconds since 1970. */
export interface RegisteredVersion {
  readonly id: string;
  readonly kind: SharedKind;
  readonly name: string;
  readonly version: number;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly createdBy: string;
  readonly stage: Stage;
  readonly description: string | null;
  /** Canonical JSON. */
  readonly content: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly aliases: readonly string[];
  readonly hasArtifacts: boolean;
}

export interface RegisteredEntry {
  readonly id: string;
  readonly kind: SharedKind;
  readonly name: string;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly createdBy: string;
  readonly description: string | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly aliases: readonly { readonly alias: string; readonly version: number }[];
  /** The newest version in use of each stage. */
  readonly latest: readonly RegisteredVersion[];
}

export interface Search {
  readonly filter: Filter | null;
  readonly order: readonly OrderTerm[];
  readonly limit: number;
  readonly token?: string | undefined;
}

export interface Found<T> {
  readonly items: readonly T[];
  readonly nextToken: string | undefined;
}

const ms = (sql: string): string => `round(date_part('epoch', ${sql}) * 1000)::bigint`;

const VERSION = `
  v.id, e.kind, e.name, v.number AS version, ${ms('v.created_at')} AS "createdMs",
  ${ms('COALESCE(n.updated_at, v.created_at)')} AS "updatedMs", v.created_by AS "createdBy",
  COALESCE(n.stage, 'None') AS stage, COALESCE(n.description, v.message) AS description, v.content,
  COALESCE(n.tags, '{}') AS tags,
  ARRAY(SELECT o.name FROM alias o WHERE o.version_id = v.id ORDER BY o.name) AS aliases,
  EXISTS (SELECT FROM artifact f WHERE f.version_id = v.id) AS "hasArtifacts"`;

/** A query of dozens of look-ups costs little more than one of a single. */
const MOST_LOOKUPS = { mostAtOnce: 2, maxWeight: 100 };

/** What a version is asked for by: the name of its entry, and an alias, a number or nothing (the highest number). */
interface VersionKey {
  readonly workspaceId: string;
  readonly name: string;
  readonly by: string | number | null;
}

/** Of a prompt and a model of one name, the older one (see `SharedNames`). */
const byKeys = (type: 'text' | 'integer', version: string): string => `
  SELECT q.at, ${VERSION}
    FROM unnest($1::uuid[], $2::text[], $3::${type}[]) WITH ORDINALITY AS q (workspace_id, name, by, at)
   CROSS JOIN LATERAL (
     SELECT id, kind, name FROM entry
      WHERE workspace_id = q.workspace_id AND kind IN ('model', 'prompt') AND name = q.name AND archived_at IS NULL
      ORDER BY created_at, id LIMIT 1) e
   CROSS JOIN LATERAL (${version}) v
    LEFT JOIN version_note n ON n.version_id = v.id`;

const BY_ALIAS: Statement = {
  name: 'registry-versions-by-alias',
  text: byKeys(
    'text',
    `SELECT w.* FROM alias a JOIN version w ON w.id = a.version_id
      WHERE a.entry_id = e.id AND a.name = q.by AND w.archived_at IS NULL`,
  ),
};
const BY_NUMBER: Statement = {
  name: 'registry-versions-by-number',
  text: byKeys(
    'integer',
    `SELECT * FROM version WHERE entry_id = e.id AND number = q.by AND archived_at IS NULL`,
  ),
};
const LATEST: Statement = {
  name: 'registry-versions-latest',
  text: byKeys(
    'integer',
    `SELECT * FROM version WHERE entry_id = e.id AND archived_at IS NULL ORDER BY number DESC LIMIT 1`,
  ),
};

const ENTRY = `
  e.id, e.kind, e.name, ${ms('e.created_at')} AS "createdMs", ${ms('e.updated_at')} AS "updatedMs",
  e.created_by AS "createdBy", e.description, e.tags,
  (SELECT COALESCE(json_agg(json_build_object('alias', a.name, 'version', v.number) ORDER BY a.name), '[]')
     FROM alias a JOIN version v ON v.id = a.version_id WHERE a.entry_id = e.id) AS aliases,
  (SELECT COALESCE(json_agg(l ORDER BY l.version), '[]') FROM (
     SELECT DISTINCT ON (COALESCE(n.stage, 'None')) ${VERSION}
       FROM version v LEFT JOIN version_note n ON n.version_id = v.id
      WHERE v.entry_id = e.id AND v.archived_at IS NULL
      ORDER BY COALESCE(n.stage, 'None'), v.number DESC) l) AS latest`;

/** Reads prompts and models as clients see them that know both under one name (see `SharedNames`). */
@Injectable()
export class RegistryReader {
  private readonly byAlias = this.lookups(BY_ALIAS);
  private readonly byNumber = this.lookups(BY_NUMBER);
  private readonly latest = this.lookups(LATEST);

  constructor(private readonly database: DataSource) {}

  async findEntry(caller: Caller, name: string): Promise<RegisteredEntry | undefined> {
    const rows: RegisteredEntry[] = await this.database.query(
      `SELECT ${ENTRY} FROM entry e
        WHERE e.workspace_id = $1 AND e.kind IN ('model', 'prompt') AND e.name = $2 AND e.archived_at IS NULL
        ORDER BY e.created_at, e.id LIMIT 1`,
      [caller.workspaceId, name],
    );
    return rows[0];
  }

  findVersion({ workspaceId }: Caller, name: string, number: number): Promise<RegisteredVersion | undefined> {
    return this.byNumber.add({ workspaceId, name, by: number });
  }

  /** Asked for before every use of a model or prompt: as cheap as can be. */
  findVersionByAlias(
    { workspaceId }: Caller,
    name: string,
    alias: string,
  ): Promise<RegisteredVersion | undefined> {
    return this.byAlias.add({ workspaceId, name, by: alias });
  }

  /** The highest number in use. */
  findLatestVersion({ workspaceId }: Caller, name: string): Promise<RegisteredVersion | undefined> {
    return this.latest.add({ workspaceId, name, by: null });
  }

  /** @throws DomainError INVALID_CURSOR. */
  async searchEntries(caller: Caller, search: Search): Promise<Found<RegisteredEntry>> {
    return this.search(caller, search, {
      columns: ENTRY_COLUMNS,
      ties: [byAttribute('name', 'asc')],
      select: ENTRY,
      from: 'entry e',
    });
  }

  /** @throws DomainError INVALID_CURSOR. */
  async searchVersions(caller: Caller, search: Search): Promise<Found<RegisteredVersion>> {
    const order =
      search.order.length > 0
        ? search.order
        : [byAttribute('last_updated_timestamp', 'desc'), byAttribute('name', 'asc')];
    return this.search(
      caller,
      { ...search, order },
      {
        columns: VERSION_COLUMNS,
        ties: [byAttribute('name', 'asc'), byAttribute('version_number', 'desc')],
        select: VERSION,
        from: `entry e JOIN version v ON v.entry_id = e.id AND v.archived_at IS NULL
               JOIN version_note n ON n.version_id = v.id AND n.workspace_id = e.workspace_id AND n.kind = e.kind
               LEFT JOIN version_source s ON s.version_id = v.id`,
      },
    );
  }

  /** Whoever asks for the same at the same time gets one answer: a fleet asks for one champion all at once. */
  private lookups(statement: Statement): Coalescer<VersionKey, RegisteredVersion | undefined> {
    return new Coalescer(async (keys) => {
      const distinct = new Map<string, VersionKey>();
      const ids = keys.map((key) => {
        const id = `${key.workspaceId}\0${key.by}\0${key.name}`;
        distinct.set(id, key);
        return id;
      });
      const asked = [...distinct.values()];
      const rows = await runPrepared<RegisteredVersion & { at: number }>(this.database, statement, [
        asked.map(({ workspaceId }) => workspaceId),
        asked.map(({ name }) => name),
        asked.map(({ by }) => by),
      ]);
      const order = [...distinct.keys()];
      const found = new Map<string | undefined, RegisteredVersion>(
        rows.map((row) => [order[row.at - 1], row]),
      );
      return ids.map((id) => found.get(id));
    }, MOST_LOOKUPS);
  }

  private async search<T extends object>(
    caller: Caller,
    search: Search,
    of: {
      readonly columns: Columns;
      readonly ties: readonly OrderTerm[];
      readonly select: string;
      readonly from: string;
    },
  ): Promise<Found<T>> {
    const order = orderOf(search.order, of.ties, of.columns);
    const values = new Parameters();
    const workspace = values.add(caller.workspaceId, 'uuid');
    const { orderBy, position, behind } = compileOrder(order, decodePosition(order, search.token), values);
    const filter = search.filter ? compileFilter(search.filter, of.columns, values) : 'true';
    const rows: (T & { position: string[] })[] = await this.database.query(
      `SELECT ${of.select}, ${position} FROM ${of.from}
        WHERE e.workspace_id = ${workspace} AND e.kind = '${kindAskedFor(search.filter)}' AND e.archived_at IS NULL AND ${filter} AND ${behind}
        ORDER BY ${orderBy} LIMIT ${search.limit + 1}`,
      values.values,
    );
    const last = rows.length > search.limit ? rows[search.limit - 1] : undefined;
    return {
      items: rows.slice(0, search.limit),
      nextToken: last && encodePosition(order, last.position),
    };
  }
}
