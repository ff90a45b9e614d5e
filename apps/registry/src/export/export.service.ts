import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { INFERENCES, METADATA_COLUMNS, PAYLOAD_COLUMNS } from '../archive/archive-tables.js';
import { DuckDb } from '../archive/duck.js';
import { csvRows, writeParquet, type CsvFile } from '../archive/parquet.js';
import type { Caller } from '../http/caller.js';
import { timeRange } from '../inferences/time-range.js';
import type { ExportFormat, ExportQuery } from './export.dto.js';
import { copyRecord, csvRecord, jsonLine } from './export-formats.js';
import { ExportRows, type ExportedRow } from './export-rows.js';

export interface Export {
  readonly fileName: string;
  readonly contentType: string;
  /** Destroy it to end the work. */
  readonly body: Readable;
}

const CONTENT_TYPES: Record<ExportFormat, string> = {
  jsonl: 'application/x-ndjson',
  csv: 'text/csv; charset=utf-8; header=present',
  parquet: 'application/vnd.apache.parquet',
};

/** Exports as Parquet at a time, and what each may have before compression: they are made on the disk. */
const MAX_MAKING = 2;
const MAX_PARQUET_BYTES = 16 * 1024 ** 3;

type Pages = AsyncIterable<readonly ExportedRow[]>;

/** Exports what a list would list, with everything there is of it. */
@Injectable()
export class ExportService {
  maxParquetBytes = MAX_PARQUET_BYTES;
  private making = 0;

  constructor(
    private readonly rows: ExportRows,
    private readonly duck: DuckDb,
  ) {}

  /**
   * What can fail, fails before this returns, but for stores that go away in between.
   * @param signal ends the work before there is a body to destroy.
   * @throws DomainError VALIDATION_FAILED (the time range), OBJECT_STORE_UNAVAILABLE, SEARCH_TOO_SLOW.
   */
  async export(caller: Caller, query: ExportQuery, signal: AbortSignal): Promise<Export> {
    const range = timeRange(query);
    const pages = this.rows.pages(caller.workspaceId, range, query, signal);
    const first = await pages.next();
    const all = rejoined(first, pages, signal);
    const days = [range.from, range.to].map((time) => time.toISOString().slice(0, 10)).join('-');
    return {
      fileName: `inferences-${days}.${query.format}`,
      contentType: CONTENT_TYPES[query.format],
      body:
        query.format === 'parquet' ? await this.parquet(all, columnsOf(query), signal) : textOf(all, query),
    };
  }

  /** Parquet has its directory at its end: it is made on the disk. */
  private async parquet(pages: Pages, columns: readonly string[], signal: AbortSignal): Promise<Readable> {
    if (this.making >= MAX_MAKING)
      throw new DomainError(
        'SEARCH_TOO_SLOW',
        `${MAX_MAKING} exports as Parquet are being made; try again later, or ask for jsonl.`,
      );
    this.making++;
    try {
      return await this.made(pages, columns, signal);
    } finally {
      this.making--;
    }
  }

  private async made(pages: Pages, columns: readonly string[], signal: AbortSignal): Promise<Readable> {
    const path = await this.duck.newPath('parquet');
    const csvPath = await this.duck.newPath('csv');
    const types = Object.fromEntries(
      columns.map((name) => [name, INFERENCES.columns[name] ?? ('VARCHAR' as const)]),
    );
    try {
      const csv = await writeCsv(pages, columns, csvPath, this.maxParquetBytes);
      await this.duck.work((duck) => writeParquet(duck, csvRows(csv, types), csv, path), signal);
      const body = createReadStream(path);
      await once(body, 'open');
      return body;
    } finally {
      // The open file stays until it is closed.
      await Promise.all([rm(csvPath, { force: true }), rm(path, { force: true })]);
    }
  }
}

function columnsOf({ payloads, feedback }: ExportQuery): string[] {
  return [...METADATA_COLUMNS, ...(payloads ? PAYLOAD_COLUMNS : []), ...(feedback ? ['feedback'] : [])];
}

async function* rejoined(
  first: IteratorResult<ExportedRow[], void>,
  rest: AsyncGenerator<ExportedRow[]>,
  signal: AbortSignal,
): AsyncGenerator<ExportedRow[]> {
  if (first.done) return;
  yield first.value;
  for await (const rows of rest) {
    signal.throwIfAborted();
    yield rows;
  }
}

function textOf(pages: Pages, query: ExportQuery): Readable {
  const columns = columnsOf(query);
  async function* text(): AsyncGenerator<string> {
    if (query.format === 'csv') yield csvRecord(columns).replaceAll('"', '');
    for await (const rows of pages)
      yield rows
        .map((row) => (query.format === 'csv' ? csvRecord(columns.map((name) => row[name])) : jsonLine(row)))
        .join('');
  }
  return Readable.from(text());
}

async function writeCsv(
  pages: Pages,
  columns: readonly string[],
  path: string,
  maxBytes: number,
): Promise<CsvFile> {
  const file = createWriteStream(path, { mode: 0o600 });
  const written = { path, rows: 0, sizeBytes: 0, longestRowBytes: 0 };
  const failed = once(file, 'close'); // rejects with the file's error
  failed.catch(() => undefined);
  try {
    for await (const rows of pages)
      for (const row of rows) {
        const record = Buffer.from(copyRecord(columns.map((name) => row[name])));
        written.rows++;
        written.sizeBytes += record.length;
        if (written.sizeBytes > maxBytes)
          throw new DomainError(
            'SEARCH_TOO_SLOW',
            `The export would have more than ${maxBytes} bytes as Parquet is made; ask for a shorter range, or for jsonl.`,
          );
        written.longestRowBytes = Math.max(written.longestRowBytes, record.length);
        if (!file.write(record)) await Promise.race([once(file, 'drain'), failed]);
      }
  } finally {
    file.end();
  }
  await failed;
  return written;
}
