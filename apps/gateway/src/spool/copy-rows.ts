import { isUtf8 } from 'node:buffer';
import type { ShippableRow } from './shippable-row.js';

/** Columns in the order `encodeRows` writes them. */
export const COPY_COLUMNS = [
  'id',
  'started_at',
  'workspace_id',
  'endpoint',
  'split_revision',
  'arm',
  'chain',
  'chain_version',
  'chain_digest',
  'unit',
  'bucket',
  'sticky',
  'assignment',
  'streamed',
  'metadata',
  'status',
  'error_code',
  'error_message',
  'model_endpoint',
  'model',
  'replica',
  'attempts',
  'finish_reason',
  'schema_valid',
  'input_tokens',
  'output_tokens',
  'cost_micro_usd',
  'latency_ms',
  'ttft_ms',
  'request',
  'response',
] as const;

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01. */
const EPOCH_US = 946_684_800_000_000;
const TWO_32 = 4_294_967_296;

/**
 * Rows in PostgreSQL's binary COPY format: bodies go over as the bytes they are, nothing is escaped.
 * https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 * Text PostgreSQL cannot store (NUL, bytes that are not UTF-8) is stored with U+FFFD in its place.
 * @throws RangeError for a number its column cannot hold.
 */
export function encodeRows(rows: readonly ShippableRow[]): Buffer {
  const copy = new CopyBuffer(rows);
  for (const row of rows) writeRow(copy, row);
  return copy.end();
}

function writeRow(copy: CopyBuffer, row: ShippableRow): void {
  const { opening, closing } = row;
  copy.fields(COPY_COLUMNS.length);
  copy.uuid(opening.id);
  copy.time(opening.startedAt);
  copy.uuid(opening.workspaceId);
  copy.text(opening.endpoint);
  copy.int4(opening.splitRevision);
  copy.text(opening.arm);
  copy.text(opening.chain);
  copy.int4(opening.chainVersion);
  copy.text(opening.chainDigest);
  copy.text(opening.unit);
  copy.int2(opening.bucket);
  copy.bool(opening.sticky);
  copy.text(opening.assignment);
  copy.bool(opening.streamed);
  copy.text(opening.metadata);
  copy.text(closing.status);
  copy.text(closing.errorCode);
  copy.text(closing.errorMessage);
  copy.text(closing.modelEndpoint);
  copy.text(closing.model);
  copy.text(closing.replica);
  copy.int2(closing.attempts);
  copy.text(closing.finishReason);
  copy.bool(closing.schemaValid);
  copy.int4(closing.inputTokens);
  copy.int4(closing.outputTokens);
  copy.int8(closing.costMicroUsd);
  copy.float8(closing.latencyMs);
  copy.float8(closing.ttftMs);
  copy.bytes(row.request);
  copy.bytes(row.response ?? null);
}

class CopyBuffer {
  private buffer: Buffer;
  private length: number;

  constructor(rows: readonly ShippableRow[]) {
    let size = 64;
    for (const row of rows) size += 1024 + row.request.length + (row.response?.length ?? 0);
    this.buffer = Buffer.allocUnsafe(size);
    this.length = SIGNATURE.copy(this.buffer);
    this.buffer.fill(0, this.length, this.length + 8); // flags, no header extension
    this.length += 8;
  }

  end(): Buffer {
    this.fields(-1);
    return this.buffer.subarray(0, this.length);
  }

  fields(count: number): void {
    this.room(2);
    this.length = this.buffer.writeInt16BE(count, this.length);
  }

  text(value: string | null): void {
    if (value === null) return this.null();
    const text = value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value;
    this.room(4 + text.length * 3);
    const bytes = this.buffer.write(text, this.length + 4, 'utf8');
    this.buffer.writeInt32BE(bytes, this.length);
    this.length += 4 + bytes;
  }

  bytes(value: Buffer | null): void {
    if (value === null) return this.null();
    if (!isUtf8(value) || value.includes(0)) return this.text(value.toString('utf8'));
    this.room(4 + value.length);
    this.buffer.writeInt32BE(value.length, this.length);
    this.length += 4 + value.copy(this.buffer, this.length + 4);
  }

  uuid(value: string): void {
    this.room(20);
    const bytes = this.buffer.write(value.replaceAll('-', ''), this.length + 4, 16, 'hex');
    if (bytes !== 16) throw new RangeError(`"${value}" is not a UUID.`);
    this.length = this.buffer.writeInt32BE(16, this.length) + 16;
  }

  time(value: string): void {
    const microseconds = Date.parse(value) * 1000 - EPOCH_US;
    if (!Number.isSafeInteger(microseconds)) throw new RangeError(`"${value}" is not a time.`);
    this.wide(microseconds);
  }

  int8(value: number | null): void {
    if (value === null) return this.null();
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a whole number.`);
    this.wide(value);
  }

  int4(value: number | null): void {
    if (value === null) return this.null();
    this.room(8);
    this.length = this.buffer.writeInt32BE(4, this.length);
    this.length = this.buffer.writeInt32BE(value, this.length);
  }

  int2(value: number): void {
    this.room(6);
    this.length = this.buffer.writeInt32BE(2, this.length);
    this.length = this.buffer.writeInt16BE(value, this.length);
  }

  float8(value: number | null): void {
    if (value === null) return this.null();
    this.room(12);
    this.length = this.buffer.writeInt32BE(8, this.length);
    this.length = this.buffer.writeDoubleBE(value, this.length);
  }

  bool(value: boolean | null): void {
    if (value === null) return this.null();
    this.room(5);
    this.length = this.buffer.writeInt32BE(1, this.length);
    this.length = this.buffer.writeUInt8(value ? 1 : 0, this.length);
  }

  private null(): void {
    this.room(4);
    this.length = this.buffer.writeInt32BE(-1, this.length);
  }

  private wide(value: number): void {
    this.room(12);
    this.length = this.buffer.writeInt32BE(8, this.length);
    this.length = this.buffer.writeInt32BE(Math.floor(value / TWO_32), this.length);
    this.length = this.buffer.writeUInt32BE(((value % TWO_32) + TWO_32) % TWO_32, this.length);
  }

  private room(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + bytes));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}
