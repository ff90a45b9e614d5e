import { EPOCH_US } from './copy-format.js';

const FIRST_BYTES = 16 * 1024;
const TWO_32 = 4_294_967_296;
const HYPHEN = 0x2d;
/** Stands before the text. */
const JSONB_VERSION = 1;
/** Up to here a loop over ASCII is faster than a call into the runtime. */
const SHORT_TEXT = 80;
/** Width of a number its column cannot hold; no column of numbers has it. */
export const UNFIT_BYTES = 9;

/** Columns as PostgreSQL's binary COPY takes them, each with its length before it, in memory that is used again. */
export class ColumnWriter {
  private bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  private view = viewOf(this.bytes);
  private length = 0;

  begin(): void {
    this.length = 0;
  }

  /** What has been written since `begin`: a view, valid until the next one. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  copied(): Buffer {
    const copy = Buffer.allocUnsafe(this.length);
    this.bytes.copy(copy, 0, 0, this.length);
    return copy;
  }

  /** Bytes as they are, without a length. */
  raw(from: Buffer, bytes: number): void {
    this.room(bytes);
    from.copy(this.bytes, this.length, 0, bytes);
    this.length += bytes;
  }

  /** Little-endian and without a length. */
  rawUint32(value: number): void {
    this.room(4);
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }

  /** NUL, which PostgreSQL cannot store, becomes the replacement character. */
  text(value: string | null): void {
    if (value === null) this.null();
    else if (value.length > SHORT_TEXT || !this.ascii(value)) this.unicode(value);
  }

  /** @param value JSON text that PostgreSQL takes: without `\u0000` and halves of surrogate pairs. */
  jsonb(value: string | null): void {
    if (value === null) return this.null();
    this.room(5 + value.length * 3);
    const bytes = this.bytes.write(value, this.length + 5, 'utf8');
    this.bytes[this.head(bytes + 1)] = JSONB_VERSION;
    this.length += 5 + bytes;
  }

  /** @throws RangeError for what is no UUID. */
  uuid(value: string | null): void {
    if (value === null) return this.null();
    this.room(20);
    let at = this.head(16);
    // By hand: taking the hyphens out for `write(…, 'hex')` costs five times as much.
    for (let index = 0; index < value.length;) {
      if (value.charCodeAt(index) === HYPHEN) index++;
      else this.bytes[at++] = (hexDigit(value, index++) << 4) | hexDigit(value, index++);
    }
    if (at - this.length !== 20) throw new RangeError(`"${value}" is not a UUID.`);
    this.length = at;
  }

  /** @throws RangeError for what is no time. */
  time(epochMs: number): void {
    const microseconds = epochMs * 1000 - EPOCH_US;
    if (!Number.isSafeInteger(microseconds)) throw new RangeError(`${epochMs} is not a time.`);
    this.wide(microseconds);
  }

  int8(value: number | null): void {
    if (value === null) this.null();
    else if (Number.isSafeInteger(value)) this.wide(value);
    else this.unfit(value);
  }

  int4(value: number | null): void {
    if (value === null) return this.null();
    if (value !== (value | 0)) return this.unfit(value);
    this.room(8);
    this.view.setInt32(this.head(4), value);
    this.length += 8;
  }

  int2(value: number): void {
    if (value !== (value << 16) >> 16) return this.unfit(value);
    this.room(6);
    this.view.setInt16(this.head(2), value);
    this.length += 6;
  }

  float8(value: number | null): void {
    if (value === null) return this.null();
    this.room(12);
    this.view.setFloat64(this.head(8), value);
    this.length += 12;
  }

  bool(value: boolean | null): void {
    if (value === null) return this.null();
    this.room(5);
    this.bytes[this.head(1)] = value ? 1 : 0;
    this.length += 5;
  }

  private null(): void {
    this.room(4);
    this.view.setInt32(this.length, -1);
    this.length += 4;
  }

  /** @returns whether it was nothing but ASCII without NUL; else nothing is written. */
  private ascii(value: string): boolean {
    this.room(4 + value.length);
    const { bytes } = this;
    let at = this.head(value.length);
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code === 0 || code > 0x7f) return false;
      bytes[at++] = code;
    }
    this.length = at;
    return true;
  }

  private unicode(value: string): void {
    const text = value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value;
    this.room(4 + text.length * 3);
    const bytes = this.bytes.write(text, this.length + 4, 'utf8');
    this.length = this.head(bytes) + bytes;
  }

  /**
   * A number its column cannot hold goes out in a width no column has: PostgreSQL refuses the row, and it ends in
   * quarantine like all that it refuses, with the number in it.
   */
  private unfit(value: number): void {
    this.room(4 + UNFIT_BYTES);
    const at = this.head(UNFIT_BYTES);
    this.bytes[at] = 0;
    this.view.setFloat64(at + 1, value);
    this.length = at + UNFIT_BYTES;
  }

  private wide(value: number): void {
    this.room(12);
    const at = this.head(8);
    this.view.setInt32(at, Math.floor(value / TWO_32));
    this.view.setUint32(at + 4, value); // modulo 2³², of negative numbers too
    this.length = at + 8;
  }

  /** Writes a column's length. @returns where its value goes. */
  private head(bytes: number): number {
    this.view.setInt32(this.length, bytes);
    return this.length + 4;
  }

  private room(bytes: number): void {
    if (this.length + bytes <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow((this.length + bytes) * 2);
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
    this.view = viewOf(larger);
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function hexDigit(text: string, index: number): number {
  const code = text.charCodeAt(index);
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  if (letter >= 0x61 && letter <= 0x66) return letter - 0x57;
  throw new RangeError(`"${text}" is not a UUID.`);
}
