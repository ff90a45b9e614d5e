import { open, type FileHandle } from 'node:fs/promises';
import { readRecord, recordLength, type ClosingRecord, type OpeningRecord, type Position } from './record.js';

const CHUNK_BYTES = 1024 * 1024;

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
   * @returns undefined at the end, or where the rest is torn: `offset` is then before `end`.
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

  async close(): Promise<void> {
    await this.file.close();
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
  position: Position,
  end: number,
): Promise<OpeningRecord | ClosingRecord | undefined> {
  const reader = await SegmentReader.open(path, position.offset);
  try {
    return await reader.next(end);
  } finally {
    await reader.close();
  }
}
