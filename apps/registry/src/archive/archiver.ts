import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Inject, Injectable } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { ArchiveCache, digestOf, digestOfFile } from './archive-cache.js';
import { ArchiveRows, arrivedInDay, type ArchiveFile, type Closing } from './archive-rows.js';
import { ARCHIVE_TABLES, SCHEMA_VERSION, dayPrefix, partKey, type ArchiveTable } from './archive-tables.js';
import { copiedRows } from './copied-rows.js';
import type { CsvPart } from './csv-parts.js';
import { DuckDb } from './duck.js';
import { csvRows, parquetRows, writeParquet } from './parquet.js';

/**
 * About what a part has as CSV, a quarter to a twentieth of it compressed. Twice so much of the disk is used: while one
 * is compressed the next is copied.
 */
const PART_BYTES = 256 * 1024 * 1024;
const MAX_PARTS = 100_000;

/** What an attempt to archive a day has done, in this order; those of a part are done once per part. */
export type ArchiveStep =
  | 'planned'
  | 'leftovers removed'
  | 'rows copied'
  | 'part written'
  | 'part uploaded'
  | 'part verified'
  | 'all uploaded'
  | 'committed';

/** Files of one workspace, day and table. */
interface Place {
  readonly table: ArchiveTable;
  readonly workspaceId: string;
  readonly closing: Closing;
  readonly prefix: string;
  /** What lies there already, from before. */
  readonly present: readonly ArchiveFile[];
}

/**
 * Writes days to the archive. Each attempt first settles, in PostgreSQL, which rows it takes, writes all of them as
 * objects no reader of the manifest sees, and then makes them part of it in one transaction: whenever it dies, the
 * next attempt writes the same rows again.
 * Its caller sees to it that there is one at a time. One that goes on all the same, because it does not know yet that it
 * has lost its lock, does no harm: keys have the attempt's own id, and PostgreSQL knows whose turn it is.
 */
@Injectable()
export class Archiver {
  /** Told of every step; for tests, which end the process here or there. */
  onStep: (step: ArchiveStep) => void | Promise<void> = () => undefined;
  partBytes = PART_BYTES;
  private readonly databaseUrl: string;

  constructor(
    private readonly rows: ArchiveRows,
    private readonly store: ObjectStore,
    private readonly cache: ArchiveCache,
    private readonly duck: DuckDb,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.databaseUrl = settings.DATABASE_URL!;
  }

  /**
   * Writes what is not yet in the archive of a UTC day.
   * @returns how many rows were added to table `inferences`; undefined where they are still on their way.
   * @throws DomainError OBJECT_STORE_UNAVAILABLE; the day is as it was.
   */
  async archive(day: string, signal: AbortSignal): Promise<number | undefined> {
    const closing = await this.rows.plan(day);
    if (!closing) return undefined;
    await this.onStep('planned');
    const files: ArchiveFile[] = [];
    for (const workspaceId of await this.rows.listWorkspaces(closing))
      for (const table of ARCHIVE_TABLES)
        files.push(...(await this.fill(table, workspaceId, closing, signal)));
    await this.onStep('all uploaded');
    signal.throwIfAborted();
    await this.rows.commit(closing, files);
    await this.onStep('committed');
    return files.reduce((sum, file) => sum + (file.tableName === 'inferences' ? file.rowCount : 0), 0);
  }

  private async fill(
    table: ArchiveTable,
    workspaceId: string,
    closing: Closing,
    signal: AbortSignal,
  ): Promise<ArchiveFile[]> {
    const prefix = dayPrefix(table.name, workspaceId, closing.day);
    const present = await this.rows.listDay(table.name, workspaceId, closing.day);
    const place: Place = { table, workspaceId, closing, prefix, present };
    await this.removeLeftovers(place, signal);
    await this.onStep('leftovers removed');
    const files: ArchiveFile[] = [];
    const { day, from, to } = closing;
    const condition = `i.workspace_id = '${workspaceId}' AND ${arrivedInDay(day, from, to)}`;
    const copied = copiedRows(table.select(condition), {
      databaseUrl: this.databaseUrl,
      timeoutMs: 0,
      planner: table.planner,
      partBytes: this.partBytes,
      newPath: () => this.duck.newPath('csv'),
    });
    // One part is turned into Parquet while the next is being copied.
    let writing: Promise<ArchiveFile | undefined> = Promise.resolve(undefined);
    const written = async () => {
      const file = await writing;
      writing = Promise.resolve(undefined);
      if (file) files.push(file);
    };
    try {
      for await (const csv of copied) {
        try {
          await written();
          await this.onStep('rows copied');
        } catch (error) {
          await rm(csv.path, { force: true });
          throw error;
        }
        writing = this.writePart(place, csv, present.length + files.length, signal);
        writing.catch(() => undefined); // thrown where it is awaited
      }
    } finally {
      await written();
    }
    return files;
  }

  /**
   * An attempt that died may have left parts; those of the manifest stay. What was there before this attempt was seen to
   * be the current one belongs to none that comes after it, and none before it can be committed any more.
   */
  private async removeLeftovers({ prefix, present, closing }: Place, signal: AbortSignal): Promise<void> {
    const known = new Set(present.map(({ objectKey }) => objectKey));
    const listed = await this.store.listDirectory(prefix, MAX_PARTS);
    const leftovers = listed.map(({ name }) => prefix + name).filter((key) => !known.has(key));
    if (leftovers.length === 0) return;
    await this.rows.requireCurrent(closing);
    for (const key of leftovers) {
      signal.throwIfAborted();
      await this.store.remove(key);
    }
  }

  /** @returns undefined where all of its rows were archived before. */
  private async writePart(
    place: Place,
    csv: CsvPart,
    part: number,
    signal: AbortSignal,
  ): Promise<ArchiveFile | undefined> {
    const { workspaceId, closing, table } = place;
    const path = `${csv.path}.parquet`;
    try {
      const written = await this.convert(place, csv, path, signal);
      await rm(csv.path);
      await this.onStep('part written');
      // CSV is nobody's format: what DuckDB made of it is counted.
      if (place.present.length === 0 && written.rows !== csv.rows)
        throw new Error(`A part of ${place.prefix} has ${written.rows} rows in the place of ${csv.rows}.`);
      if (written.rows === 0) return undefined;
      const sha256 = await digestOfFile(path);
      const { size: sizeBytes } = await stat(path);
      const objectKey = partKey(place.prefix, part, closing.attempt);
      await this.upload(closing, objectKey, path, sizeBytes, signal);
      await this.onStep('part uploaded');
      await this.verify(objectKey, sha256);
      await this.onStep('part verified');
      return {
        objectKey,
        workspaceId,
        day: closing.day,
        tableName: table.name,
        part,
        rowCount: written.rows,
        sizeBytes,
        sha256,
        minStartedAt: written.minStartedAt,
        maxStartedAt: written.maxStartedAt,
        schemaVersion: SCHEMA_VERSION,
      };
    } finally {
      await rm(csv.path, { force: true });
      await rm(path, { force: true });
    }
  }

  private async convert({ table, present }: Place, csv: CsvPart, path: string, signal: AbortSignal) {
    const rows = csvRows(csv, table.columns);
    return this.duck.work(
      (duck) =>
        this.withPaths(present, [], (paths) =>
          writeParquet(
            duck,
            paths.length === 0 ? rows : `(FROM ${rows} ANTI JOIN ${parquetRows(paths)} USING (${table.id}))`,
            csv,
            path,
          ),
        ),
      signal,
    );
  }

  /** Leaves nothing of an attempt whose turn was over meanwhile: nobody would look for it any more. */
  private async upload(
    closing: Closing,
    objectKey: string,
    path: string,
    sizeBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    await this.rows.requireCurrent(closing);
    await this.store.write(objectKey, createReadStream(path), sizeBytes);
    try {
      await this.rows.requireCurrent(closing);
    } catch (error) {
      await this.store.remove(objectKey);
      throw error;
    }
  }

  /** The files on the local disk, for as long as `work` runs. */
  private async withPaths<T>(
    files: readonly ArchiveFile[],
    paths: readonly string[],
    work: (paths: readonly string[]) => Promise<T>,
  ): Promise<T> {
    const [file, ...others] = files;
    if (!file) return work(paths);
    return this.cache.use(file, (path) => this.withPaths(others, [...paths, path], work));
  }

  /** A store may lose or change bytes and answer 200 all the same: PostgreSQL's copy goes only when they are seen there. */
  private async verify(objectKey: string, sha256: string): Promise<void> {
    const found = await this.store.read(objectKey);
    const seen = found && (await digestOf(found.body));
    if (seen === sha256) return;
    throw new DomainError(
      'OBJECT_STORE_UNAVAILABLE',
      `The object store has ${found ? 'other bytes than were written' : 'nothing'} under ${objectKey}; the day stays in PostgreSQL.`,
    );
  }
}
