import { rm } from 'node:fs/promises';
import { Inject, Injectable } from '@nestjs/common';
import { escapeLiteral } from 'pg';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { ArchiveCache } from './archive-cache.js';
import { ArchiveRows, type ArchiveFile } from './archive-rows.js';
import { INFERENCES } from './archive-tables.js';
import { copiedRows } from './copied-rows.js';
import type { CsvPart } from './csv-parts.js';
import { DuckDb, type Duck } from './duck.js';
import { csvRows, parquetRows } from './parquet.js';

/** With placeholders `$1`, `$2`…, which are bound. */
export interface ArchiveStatement {
  readonly text: string;
  readonly values: readonly unknown[];
}

export type Ask = <R>(statement: ArchiveStatement) => Promise<R[]>;

interface Range {
  readonly from: Date;
  readonly to: Date;
}

/**
 * Answers from the archive what PostgreSQL no longer has. Statements are those PostgreSQL gets: in the archive too the
 * tables are called `inference` (with the columns of its payload) and `model_call`. Each names its workspace; files of
 * others are not opened.
 */
@Injectable()
export class ArchiveReader {
  private readonly databaseUrl: string;
  private readonly timeoutMs: number;

  constructor(
    private readonly rows: ArchiveRows,
    private readonly cache: ArchiveCache,
    private readonly duck: DuckDb,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.databaseUrl = settings.DATABASE_URL!;
    this.timeoutMs = settings.CATENA_STATEMENT_TIMEOUT_MS;
  }

  /**
   * The first `limit` rows of a time range, newest first: those of PostgreSQL, and those of days that only the
   * archive has whole. A row that both have is given once.
   * @param fromPostgres the first `limit` there, read before.
   * @param read asks for the first `limit` rows of `inference`, newest first.
   * @param gone ends the work; all files together have the time of one question.
   */
  async newest<Row extends { id: string }>(
    workspaceId: string,
    range: Range,
    limit: number,
    fromPostgres: readonly Row[],
    read: (query: Ask) => Promise<Row[]>,
    gone?: AbortSignal,
  ): Promise<Row[]> {
    return this.duck.limited(async (until) => {
      let found = [...fromPostgres];
      for (const file of await this.rows.listArchivedOnly(workspaceId, range)) {
        // Files come latest first: what is left is older than all that there is room for.
        if (found.length >= limit && timeOf(found.at(-1)!.id) > file.maxStartedAt.getTime()) break;
        const known = new Set(found.map(({ id }) => id));
        const archived = await this.over(file, read, until);
        found = [...found, ...archived.filter(({ id }) => !known.has(id))]
          .toSorted((a, b) => (a.id < b.id ? 1 : -1))
          .slice(0, limit);
      }
      return found;
    }, gone);
  }

  /** Rows of a statement over what the archive has of the inference with this id, whether PostgreSQL has it or not. */
  async of<Row>(
    id: string,
    table: ArchiveFile['tableName'],
    workspaceId: string,
    statement: ArchiveStatement,
  ): Promise<Row[]> {
    return this.duck.limited(async (until) => {
      for (const file of await this.rows.listAt(table, workspaceId, new Date(timeOf(id)))) {
        const found = await this.over(file, (query) => query<Row>(statement), until);
        if (found.length > 0) return found;
      }
      return [];
    });
  }

  /**
   * Runs a statement over all rows of a time range as one table `inference`.
   * @param columns what of it the statement needs; `id` is among them.
   * @param condition on `inference`, what rows it needs.
   * @returns undefined where PostgreSQL has them all.
   */
  async whole<Row>(
    workspaceId: string,
    range: Range,
    columns: readonly (keyof typeof INFERENCES.columns)[],
    condition: ArchiveStatement,
    statement: ArchiveStatement,
  ): Promise<Row[] | undefined> {
    if ((await this.rows.listArchivedOnly(workspaceId, range)).length === 0) return undefined;
    return this.duck.ask(async (duck) => {
      const types = Object.fromEntries(columns.map((name) => [name, INFERENCES.columns[name]!]));
      const defined = Object.entries(types).map(([name, type]) => `${name} ${type}`);
      const names = columns.join(', ');
      const copied = await this.copied(`SELECT ${names} FROM inference WHERE ${inLiterals(condition)}`);
      try {
        await duck.query(`CREATE TEMP TABLE inference (${defined.join(', ')})`);
        for (const file of await this.rows.listArchivedOnly(workspaceId, range))
          await this.cache.use(file, (path) =>
            duck.query(
              `INSERT INTO inference SELECT ${names} FROM ${parquetRows([path])} WHERE ${condition.text}`,
              condition.values,
            ),
          );
        for (const csv of copied)
          await duck.query(
            `INSERT INTO inference FROM ${csvRows(csv, types)} ANTI JOIN inference USING (id)`,
          );
      } finally {
        await Promise.all(copied.map(({ path }) => rm(path, { force: true })));
      }
      await duck.query(POSTGRES_FUNCTIONS);
      return duck.query<Row>(statement.text, statement.values);
    });
  }

  private async copied(select: string): Promise<CsvPart[]> {
    const parts = copiedRows(select, {
      databaseUrl: this.databaseUrl,
      timeoutMs: this.timeoutMs,
      partBytes: Infinity,
      newPath: () => this.duck.newPath('csv'),
    });
    const copied: CsvPart[] = [];
    try {
      for await (const part of parts) copied.push(part);
      return copied;
    } catch (error) {
      await Promise.all(copied.map(({ path }) => rm(path, { force: true })));
      throw error;
    }
  }

  private over<Row>(
    file: ArchiveFile,
    read: (query: Ask) => Promise<Row[]>,
    until: AbortSignal,
  ): Promise<Row[]> {
    return this.duck.ask(
      (duck) =>
        this.cache.use(file, async (path) => {
          await duck.query(POSTGRES_FUNCTIONS);
          await nameTable(duck, file.tableName, path);
          return read(({ text, values }) => duck.query(text, values));
        }),
      until,
    );
  }
}

/** What the statements use of PostgreSQL's functions and DuckDB calls otherwise. A merge patch leaves nulls out (RFC 7396). */
const POSTGRES_FUNCTIONS = `
  CREATE OR REPLACE TEMP MACRO json_build_object
    ${[4, 14, 28].map((count) => `(${argumentsOf(count)}) AS json_object(${argumentsOf(count, '::VARCHAR')})`).join(', ')};
  CREATE OR REPLACE TEMP MACRO json_strip_nulls(object) AS json_merge_patch('{}'::JSON, object)`;

/** Names of macro arguments, which are in turn a key and a value. */
function argumentsOf(count: number, keyType = ''): string {
  return Array.from({ length: count }, (_, at) => `a${at}${at % 2 === 0 ? keyType : ''}`).join(', ');
}

async function nameTable(duck: Duck, table: ArchiveFile['tableName'], path: string): Promise<void> {
  const rows = parquetRows([path]);
  await duck.query(
    table === 'inferences'
      ? `CREATE TEMP VIEW inference AS SELECT * REPLACE (contract_rungs::JSON AS contract_rungs) FROM ${rows}`
      : `CREATE TEMP VIEW model_call AS FROM ${rows}`,
  );
}

/** COPY takes no parameters: values as literals, as PostgreSQL's own library quotes them. */
function inLiterals({ text, values }: ArchiveStatement): string {
  return text.replaceAll(/\$(\d+)/g, (_, number: string) => {
    const value = values[Number(number) - 1];
    return escapeLiteral(value instanceof Date ? value.toISOString() : String(value));
  });
}

/** The time inside a UUIDv7, in milliseconds. */
function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
