import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';

/** Separates fields: bytes that no text of people and programs has, so that hardly a field needs quotes. */
export const DELIMITER = 0x02;
export const QUOTE = 0x01;
const NEWLINE = 0x0a;
const WRITE_BYTES = 4 * 1024 * 1024;

/** Rows longer than this are hardly compressed by the page, and DuckDB holds 2048 of them at a time. */
const LONG_ROW_BYTES = 256 * 1024;
const LONG_PART_SHARE = 8;

/** A file of whole rows. */
export interface CsvPart {
  readonly path: string;
  readonly rows: number;
  readonly sizeBytes: number;
  readonly longestRowBytes: number;
}

/**
 * Cuts CSV, as COPY writes it with the two bytes above, into files of about `maxBytes`, an eighth of that where rows
 * are long. A file ends at the end of a row; newlines and quotes inside of fields are no ends.
 * The next file is being written while the consumer works on the one before. Files are the consumer's to remove; one
 * that it was not given is gone in the end.
 */
export async function* csvParts(
  source: AsyncIterable<Buffer>,
  newPath: () => Promise<string>,
  maxBytes: number,
): AsyncGenerator<CsvPart> {
  let part: PartWriter | undefined;
  try {
    for await (const chunk of source) {
      for (let start = 0; start < chunk.length;) {
        part ??= new PartWriter(await newPath(), maxBytes);
        const end = part.take(chunk, start);
        await part.write(chunk.subarray(start, end));
        start = end;
        if (part.isFull) {
          const full = await part.close();
          part = undefined;
          yield full;
        }
      }
    }
    if (part) {
      const last = await part.close();
      part = undefined;
      yield last;
    }
  } finally {
    await part?.discard();
  }
}

class PartWriter {
  isFull = false;
  private rows = 0;
  private sizeBytes = 0;
  private rowBytes = 0;
  private longestRowBytes = 0;
  private isQuoted = false;

  private readonly file: WriteStream;
  private readonly closed: Promise<unknown>;

  constructor(
    private readonly path: string,
    private readonly maxBytes: number,
  ) {
    this.file = createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: WRITE_BYTES });
    this.closed = once(this.file, 'close');
    this.closed.catch(() => undefined); // thrown where it is awaited
  }

  /** @returns up to where of the chunk, from `start`, belongs to this part. */
  take(chunk: Buffer, start: number): number {
    let at = start;
    let quote = chunk.indexOf(QUOTE, at);
    while (at < chunk.length) {
      if (this.isQuoted) {
        if (quote === -1) return this.unfinished(chunk.length, at);
        at = this.unfinished(quote + 1, at);
        this.isQuoted = false;
        quote = chunk.indexOf(QUOTE, at);
        continue;
      }
      const newline = chunk.indexOf(NEWLINE, at);
      if (quote !== -1 && (newline === -1 || quote < newline)) {
        at = this.unfinished(quote + 1, at);
        this.isQuoted = true;
        quote = chunk.indexOf(QUOTE, at);
        continue;
      }
      if (newline === -1) return this.unfinished(chunk.length, at);
      at = this.unfinished(newline + 1, at);
      this.endRow();
      if (this.isFull) return at;
    }
    return at;
  }

  /** Waits only while much is waiting for the disk. @throws what the disk does. */
  async write(bytes: Buffer): Promise<void> {
    if (!this.file.write(bytes)) await Promise.race([once(this.file, 'drain'), this.closed]);
  }

  async close(): Promise<CsvPart> {
    this.file.end();
    await this.closed;
    const { path, rows, sizeBytes, longestRowBytes } = this;
    return { path, rows, sizeBytes, longestRowBytes };
  }

  async discard(): Promise<void> {
    this.file.destroy();
    await this.closed.catch(() => undefined); // what failed is known already
    await rm(this.path, { force: true });
  }

  private unfinished(end: number, start: number): number {
    this.rowBytes += end - start;
    return end;
  }

  private endRow(): void {
    this.rows++;
    this.sizeBytes += this.rowBytes;
    this.longestRowBytes = Math.max(this.longestRowBytes, this.rowBytes);
    this.rowBytes = 0;
    const share = this.longestRowBytes > LONG_ROW_BYTES ? LONG_PART_SHARE : 1;
    this.isFull = this.sizeBytes >= this.maxBytes / share;
  }
}
