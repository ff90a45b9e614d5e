import { open, type FileHandle } from 'node:fs/promises';
import {
  isOfFormerFormat,
  mayBeginRecord,
  readRecord,
  RECORD_HEAD_BYTES,
  recordLength,
  type ClosingRecord,
  type OpeningRecord,
} from './record.js';

const CHUNK_BYTES = 1024 * 1024;
/** Most bytes of which checksums are made in search of one intact record: about 0.1 s of CPU. */
const SEARCH_BYTES = 256 * 1024 * 1024;

/** Bytes that are no intact record. */
export interface Gap {
  /**
   * `torn`: nothing intact follows, and the record is not whole; a process was killed while it wrote.
   * `damaged`: the bytes have changed since they were written.
   */
  readonly kind: 'torn' | 'damaged';
  /** Up to the next intact record, or to the end. */
  readonly bytes: number;
}

/** Reads the records of one segment in order, in bounded memory. */
export class SegmentReader {
  private buffer = Buffer.alloc(0);
  /** Where `buffer` begins in the file. */
  private base: number;
  private cursor = 0;

  private constructor(
    private readonly file: FileHandle,
    offset: number,
  ) {
    this.base = offset;
  }

  static async open(path: string, offset: number): Promise<SegmentReader> {
    return new SegmentReader(await open(path, 'r'), offset);
  }

  /** Where the next record begins. */
  get offset(): number {
    return this.base + this.cursor;
  }

  /**
   * @param end offset up to which whole records are written.
   * @returns undefined at the end, or where no intact record begins: `offset` is then before `end`.
   */
  async next(end: number): Promise<OpeningRecord | ClosingRecord | undefined> {
    let length = recordLength(this.buffer, this.cursor);
    if (length === undefined || this.cursor + length > this.buffer.length) {
      if (this.offset + (length ?? 0) > end || !(await this.fill(length ?? 0, end))) return undefined;
      length = recordLength(this.buffer, this.cursor);
      if (length !== undefined && this.cursor + length > this.buffer.length) {
        if (this.offset + length > end || !(await this.fill(length, end))) return undefined;
      }
    }
    const record = readRecord(this.buffer, this.cursor);
    if (record) this.cursor += length!;
    return record;
  }

  /** Goes on from where `next` found no intact record to the next one there is, or else to `end`. */
  async skipGap(end: number): Promise<Gap> {
    const start = this.offset;
    const isWhole = await this.isWholeByItsHead(end);
    // Its length may be what has changed, so the search begins behind its first byte.
    this.cursor++;
    const found = await this.search(end);
    const isTorn = !isWhole && found === 'nothing';
    return { kind: isTorn ? 'torn' : 'damaged', bytes: this.offset - start };
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** Moves to the first intact record at or after `offset`, or to `end`. */
  private async search(end: number): Promise<'intact' | 'nothing' | 'gave up'> {
    let budget = SEARCH_BYTES;
    while (this.offset + RECORD_HEAD_BYTES <= end && budget > 0) {
      const last = this.buffer.length - RECORD_HEAD_BYTES;
      while (this.cursor <= last && !mayBeginRecord(this.buffer, this.cursor)) this.cursor++;
      if (this.cursor > last) {
        if (!(await this.fill(RECORD_HEAD_BYTES, end))) break;
        continue;
      }
      const length = recordLength(this.buffer, this.cursor)!;
      if (this.offset + length <= end) {
        budget -= length;
        const isLoaded = this.cursor + length <= this.buffer.length || (await this.fill(length, end));
        if (isLoaded && readRecord(this.buffer, this.cursor)) return 'intact';
      }
      this.cursor++;
    }
    this.moveTo(end);
    return budget > 0 ? 'nothing' : 'gave up';
  }

  private async isWholeByItsHead(end: number): Promise<boolean> {
    const isHeadLoaded = () => this.cursor + RECORD_HEAD_BYTES <= this.buffer.length;
    if (!isHeadLoaded()) await this.fill(RECORD_HEAD_BYTES, end);
    if (!isHeadLoaded()) return false;
    if (!mayBeginRecord(this.buffer, this.cursor) && !isOfFormerFormat(this.buffer, this.cursor))
      return false;
    return this.offset + recordLength(this.buffer, this.cursor)! <= end;
  }

  private moveTo(offset: number): void {
    this.base = offset;
    this.cursor = 0;
    this.buffer = Buffer.alloc(0);
  }

  /** A new buffer each time: records handed out are views into the old one. */
  private async fill(needed: number, end: number): Promise<boolean> {
    const rest = this.buffer.subarray(this.cursor);
    const start = this.offset + rest.length;
    const wanted = Math.min(Math.max(CHUNK_BYTES, needed) - rest.length, end - start);
    if (wanted <= 0) return false;
    const buffer = Buffer.allocUnsafe(rest.length + wanted);
    rest.copy(buffer);
    let filled = rest.length;
    while (filled < buffer.length) {
      const { bytesRead } = await this.file.read(
        buffer,
        filled,
        buffer.length - filled,
        start + filled - rest.length,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    this.base = this.offset;
    this.cursor = 0;
    this.buffer = buffer.subarray(0, filled);
    return filled > rest.length;
  }
}

/** Reads one record at a known place. @returns undefined where it is damaged. */
export async function readAt(
  path: string,
  offset: number,
  end: number,
): Promise<OpeningRecord | ClosingRecord | undefined> {
  const reader = await SegmentReader.open(path, offset);
  try {
    return await reader.next(end);
  } finally {
    await reader.close();
  }
}
