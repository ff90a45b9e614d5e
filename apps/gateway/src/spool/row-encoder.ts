import { isUtf8 } from 'node:buffer';
import { COPY_COLUMNS, EPOCH_US } from './copy-format.js';
import type { ClosingMeta, OpeningMeta } from './record.js';

const SLAB_BYTES = 256 * 1024;
/** Kept for the next rows: 8 MiB, a second of rows on a busy gateway. */
const MAX_FREE_SLABS = 32;
const TWO_32 = 4_294_967_296;
const HYPHEN = 0x2d;

/** Memory that rows share. */
export interface Slab {
  readonly bytes: Buffer;
  /** Rows in it that are still wanted. */
  rows: number;
}

/** A row as PostgreSQL's binary COPY takes it. */
export interface EncodedRow {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
}

/**
 * Writes rows as COPY takes them, one after the other into slabs. A row waits for its batch as bytes, and not as the
 * objects of its request, which the garbage collector would have to carry along until the batch is stored. Slabs are
 * used again: memory outside the heap makes V8 collect all of it the sooner, the more of it is allocated.
 */
export class RowEncoder {
  private readonly free: Slab[] = [];
  private slab: Slab = { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES), rows: 0 };
  private bytes = this.slab.bytes;
  private start = 0;
  private length = 0;

  /**
   * Bodies go over as the bytes they are, nothing is escaped. Text PostgreSQL cannot store (NUL, bytes that are not
   * UTF-8) gets U+FFFD in its place.
   * @returns the row; to be given back with `release`.
   * @throws RangeError for a number its column cannot hold.
   */
  encode(
    opening: OpeningMeta,
    closing: ClosingMeta,
    request: Buffer,
    response: Buffer | undefined,
  ): EncodedRow {
    this.start = this.length;
    try {
      this.write(opening, closing, request, response);
    } catch (error) {
      this.length = this.start;
      throw error;
    }
    this.slab.rows++;
    return { slab: this.slab, start: this.start, end: this.length };
  }

  /** A row is not wanted any more; its bytes may be overwritten. To be called once per row. */
  release({ slab }: EncodedRow): void {
    if (--slab.rows > 0) return;
    if (slab === this.slab) this.length = 0;
    else this.keep(slab);
  }

  private write(
    opening: OpeningMeta,
    closing: ClosingMeta,
    request: Buffer,
    response: Buffer | undefined,
  ): void {
    this.room(2);
    this.length = this.bytes.writeInt16BE(COPY_COLUMNS.length, this.length);
    this.uuid(opening.id);
    this.time(opening.startedAt);
    this.uuid(opening.workspaceId);
    this.text(opening.endpoint);
    this.int4(opening.splitRevision);
    this.text(opening.arm);
    this.text(opening.chain);
    this.int4(opening.chainVersion);
    this.text(opening.chainDigest);
    this.text(opening.unit);
    this.int2(opening.bucket);
    this.bool(opening.sticky);
    this.text(opening.assignment);
    this.bool(opening.streamed);
    this.text(opening.metadata);
    this.text(closing.status);
    this.text(closing.errorCode);
    this.text(closing.errorMessage);
    this.text(closing.modelEndpoint);
    this.text(closing.model);
    this.text(closing.replica);
    this.int2(closing.attempts);
    this.text(closing.finishReason);
    this.bool(closing.schemaValid);
    this.int4(closing.inputTokens);
    this.int4(closing.outputTokens);
    this.int8(closing.costMicroUsd);
    this.float8(closing.latencyMs);
    this.float8(closing.ttftMs);
    this.body(request);
    this.body(response ?? null);
  }

  private text(value: string | null): void {
    if (value === null) return this.null();
    const text = value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value;
    this.room(4 + text.length * 3);
    const bytes = this.bytes.write(text, this.length + 4, 'utf8');
    this.length = this.bytes.writeInt32BE(bytes, this.length) + bytes;
  }

  private body(value: Buffer | null): void {
    if (value === null) return this.null();
    if (!isUtf8(value) || value.includes(0)) return this.text(value.toString('utf8'));
    this.room(4 + value.length);
    this.bytes.writeInt32BE(value.length, this.length);
    this.length += 4 + value.copy(this.bytes, this.length + 4);
  }

  private uuid(value: string): void {
    this.room(20);
    let at = this.bytes.writeInt32BE(16, this.length);
    // By hand: taking the hyphens out for `write(…, 'hex')` costs five times as much.
    for (let index = 0; index < value.length;) {
      if (value.charCodeAt(index) === HYPHEN) index++;
      else this.bytes[at++] = (hexDigit(value, index++) << 4) | hexDigit(value, index++);
    }
    if (at - this.length !== 20) throw new RangeError(`"${value}" is not a UUID.`);
    this.length = at;
  }

  private time(value: string): void {
    const microseconds = Date.parse(value) * 1000 - EPOCH_US;
    if (!Number.isSafeInteger(microseconds)) throw new RangeError(`"${value}" is not a time.`);
    this.wide(microseconds);
  }

  private int8(value: number | null): void {
    if (value === null) return this.null();
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a whole number.`);
    this.wide(value);
  }

  private int4(value: number | null): void {
    if (value === null) return this.null();
    this.room(8);
    this.length = this.bytes.writeInt32BE(4, this.length);
    this.length = this.bytes.writeInt32BE(value, this.length);
  }

  private int2(value: number): void {
    this.room(6);
    this.length = this.bytes.writeInt32BE(2, this.length);
    this.length = this.bytes.writeInt16BE(value, this.length);
  }

  private float8(value: number | null): void {
    if (value === null) return this.null();
    this.room(12);
    this.length = this.bytes.writeInt32BE(8, this.length);
    this.length = this.bytes.writeDoubleBE(value, this.length);
  }

  private bool(value: boolean | null): void {
    if (value === null) return this.null();
    this.room(5);
    this.length = this.bytes.writeInt32BE(1, this.length);
    this.length = this.bytes.writeUInt8(value ? 1 : 0, this.length);
  }

  private null(): void {
    this.room(4);
    this.length = this.bytes.writeInt32BE(-1, this.length);
  }

  private wide(value: number): void {
    this.room(12);
    this.length = this.bytes.writeInt32BE(8, this.length);
    this.length = this.bytes.writeInt32BE(Math.floor(value / TWO_32), this.length);
    this.length = this.bytes.writeUInt32BE(((value % TWO_32) + TWO_32) % TWO_32, this.length);
  }

  /** A row that does not fit into the rest of a slab moves to another: its bytes stay together. */
  private room(bytes: number): void {
    if (this.length + bytes <= this.bytes.length) return;
    const begun = this.bytes.subarray(this.start, this.length);
    const wanted = begun.length + bytes;
    const full = this.slab;
    this.slab = (wanted * 2 <= SLAB_BYTES ? this.free.pop() : undefined) ?? {
      bytes: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, wanted * 2)),
      rows: 0,
    };
    this.bytes = this.slab.bytes;
    this.length = begun.copy(this.bytes);
    this.start = 0;
    if (full.rows === 0) this.keep(full);
  }

  private keep(slab: Slab): void {
    if (slab.bytes.length === SLAB_BYTES && this.free.length < MAX_FREE_SLABS) this.free.push(slab);
  }
}

function hexDigit(text: string, index: number): number {
  const code = text.charCodeAt(index);
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  if (letter >= 0x61 && letter <= 0x66) return letter - 0x57;
  throw new RangeError(`"${text}" is not a UUID.`);
}
