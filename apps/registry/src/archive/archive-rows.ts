import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { ArchiveTable } from './archive-tables.js';

/** A Parquet object of the archive, as the manifest has it. */
export interface ArchiveFile {
  readonly objectKey: string;
  readonly workspaceId: string;
  /** UTC, YYYY-MM-DD. */
  readonly day: string;
  readonly tableName: ArchiveTable['name'];
  readonly part: number;
  readonly rowCount: number;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly minStartedAt: Date;
  readonly maxStartedAt: Date;
  readonly schemaVersion: number;
}

/** A day whose rows, those with `from <= arrived < to`, are to be written to the archive. */
export interface Closing {
  readonly day: string;
  readonly from: number;
  readonly to: number;
  /** Id of the attempt to write them. */
  readonly attempt: string;
}

const FILE_COLUMNS = `
  object_key AS "objectKey", workspace_id AS "workspaceId", day::text, table_name AS "tableName", part,
  row_count AS "rowCount", size_bytes AS "sizeBytes", sha256, min_started_at AS "minStartedAt",
  max_started_at AS "maxStartedAt", schema_version AS "schemaVersion"`;

/** The manifest in PostgreSQL. */
@Injectable()
export class ArchiveRows {
  constructor(private readonly database: DataSource) {}

  /**
   * Days before `before` whose partition has rows that are in no file, oldest first: not archived yet, or with rows
   * that came after they were.
   */
  async listDue(before: string): Promise<string[]> {
    const days = await this.database.query<{ day: string; arrivedTo: number | null }[]>(
      `SELECT p.day::text, d.arrived_to AS "arrivedTo"
         FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
        CROSS JOIN LATERAL (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day) p
         LEFT JOIN archive_day d ON d.day = p.day
        WHERE h.inhparent = 'inference'::regclass AND c.relname ~ '^inference_[0-9]{8}$' AND p.day < $1::date
        ORDER BY p.day`,
      [before],
    );
    const due: string[] = [];
    for (const { day, arrivedTo } of days) if (!arrivedTo || !(await this.isComplete(day))) due.push(day);
    return due;
  }

  private async isComplete(day: string): Promise<boolean> {
    const [answer] = await this.database.query<{ complete: boolean }[]>(
      `SELECT catena_day_is_archived($1::date) AS complete`,
      [day],
    );
    return answer!.complete;
  }

  /**
   * Settles which rows of a day are written, and makes this attempt the current one. An attempt that did not end is taken
   * up with the rows it had.
   * @returns undefined while a transaction still runs that may yet bring rows before those there are.
   */
  async plan(day: string): Promise<Closing | undefined> {
    const [closing] = await this.database.query<Closing[]>(
      `INSERT INTO archive_day AS d (day, closing_to, partition, attempt)
       SELECT $1::date, s.settled, to_regclass('inference_' || to_char($1::date, 'YYYYMMDD')), $2::uuid
         FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + catena_arrival_offset() AS settled) s
        WHERE NOT EXISTS (SELECT FROM inference i
                           WHERE i.started_at >= $1::date::timestamp AT TIME ZONE 'UTC'
                             AND i.started_at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC' AND i.arrived >= s.settled)
       ON CONFLICT (day) DO UPDATE SET closing_to = coalesce(d.closing_to, excluded.closing_to), attempt = excluded.attempt
       RETURNING day::text, arrived_to AS "from", closing_to AS "to", attempt`,
      [day, randomUUID()],
    );
    return closing;
  }

  /** Makes the files part of the archive, all of them or none. @throws Error where another registry has been faster. */
  async commit({ day, from, to, attempt }: Closing, files: readonly ArchiveFile[]): Promise<void> {
    await this.database.transaction(async (tx) => {
      const [, changed] = await tx.query<[unknown, number]>(
        `UPDATE archive_day SET arrived_to = $3, closing_to = NULL, attempt = NULL, archived_at = now()
          WHERE day = $1 AND arrived_to = $2 AND closing_to = $3 AND attempt = $4`,
        [day, from, to, attempt],
      );
      if (changed !== 1) throw superseded(day);
      for (const file of files) await insert(tx, file);
    });
  }

  /** @throws Error where another attempt has begun since, or it has ended: this one may not be committed any more. */
  async requireCurrent({ day, attempt }: Closing): Promise<void> {
    const found = await this.database.query<unknown[]>(
      'SELECT FROM archive_day WHERE day = $1 AND attempt = $2',
      [day, attempt],
    );
    if (found.length === 0) throw superseded(day);
  }

  /** Workspaces that have rows of a closing. */
  async listWorkspaces({ day, from, to }: Closing): Promise<string[]> {
    const rows = await this.database.query<{ id: string }[]>(
      `SELECT w.id FROM workspace w
        WHERE EXISTS (SELECT FROM inference i WHERE i.workspace_id = w.id AND ${arrivedInDay(day, from, to)})
        ORDER BY w.id`,
    );
    return rows.map(({ id }) => id);
  }

  /** Files of one day and workspace, in order. */
  async listDay(table: ArchiveTable['name'], workspaceId: string, day: string): Promise<ArchiveFile[]> {
    return this.database.query(
      `SELECT ${FILE_COLUMNS} FROM archive_file
        WHERE workspace_id = $1 AND day = $2 AND table_name = $3 ORDER BY part`,
      [workspaceId, day, table],
    );
  }

  /** Files that may have rows of a moment. */
  async listAt(table: ArchiveTable['name'], workspaceId: string, at: Date): Promise<ArchiveFile[]> {
    return this.database.query(
      `SELECT ${FILE_COLUMNS} FROM archive_file
        WHERE workspace_id = $1 AND day = ($2::timestamptz AT TIME ZONE 'UTC')::date AND table_name = $3
          AND $2 BETWEEN min_started_at AND max_started_at`,
      [workspaceId, at, table],
    );
  }

  /**
   * Files with inferences of a time range of which PostgreSQL no longer has all, the latest first.
   * Ask it after PostgreSQL was asked for its rows: a day that is dropped in between is found twice, not nowhere.
   */
  async listArchivedOnly(
    workspaceId: string,
    { from, to }: { from: Date; to: Date },
  ): Promise<ArchiveFile[]> {
    return this.database.query(
      `SELECT ${FILE_COLUMNS} FROM archive_file
        WHERE table_name = 'inferences' AND workspace_id = $1 AND min_started_at < $3 AND max_started_at >= $2
          AND day IN (SELECT catena_days_in_archive_only(($2::timestamptz AT TIME ZONE 'UTC')::date,
                                                         ($3::timestamptz AT TIME ZONE 'UTC')::date))
        ORDER BY max_started_at DESC, object_key DESC`,
      [workspaceId, from, to],
    );
  }
}

/**
 * Condition on `inference i`, in literals: COPY takes no parameters. All three come from the manifest.
 */
export function arrivedInDay(day: string, from: number, to: number): string {
  const start = Date.parse(`${day}T00:00:00Z`);
  const at = (ms: number) => `'${new Date(ms).toISOString()}'::timestamptz`;
  return `i.started_at >= ${at(start)} AND i.started_at < ${at(start + 86_400_000)}
          AND i.arrived >= ${from} AND i.arrived < ${to}`;
}

function superseded(day: string): Error {
  return new Error(`Day ${day} is being archived by another registry meanwhile, or was.`);
}

async function insert(tx: EntityManager, file: ArchiveFile): Promise<void> {
  await tx.query(
    `INSERT INTO archive_file (object_key, workspace_id, day, table_name, part, row_count, size_bytes, sha256,
       min_started_at, max_started_at, schema_version, archived_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())`,
    [
      file.objectKey,
      file.workspaceId,
      file.day,
      file.tableName,
      file.part,
      file.rowCount,
      file.sizeBytes,
      file.sha256,
      file.minStartedAt,
      file.maxStartedAt,
      file.schemaVersion,
    ],
  );
}
