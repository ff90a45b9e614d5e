import { crc32 } from 'node:zlib';
import type { InferenceClosing, InferenceOpening } from '#libs/core/inference/inference-row.js';

/** What answers a request: the same for all requests of an arm. */
export type Served = Pick<
  InferenceOpening,
  'workspaceId' | 'endpoint' | 'splitRevision' | 'arm' | 'chain' | 'chainVersion' | 'chainDigest'
>;
/** An opening without its bodies, which are kept as bytes. */
export interface OpeningMeta extends Omit<
  InferenceOpening,
  'metadata' | 'request' | 'startedAt' | keyof Served
> {
  /** Since the Unix epoch. */
  readonly startedAtMs: number;
  /** Columns of what answers it, see `servedColumns`. */
  readonly served: Buffer;
}
/** A closing without its response body, which is kept as bytes. */
export type ClosingMeta = Omit<InferenceClosing, 'response'>;

/** Where a record begins. */
export interface Position {
  readonly segment: number;
  readonly offset: number;
}

export interface OpeningRecord {
  readonly kind: 'opening';
  /** Of the inference, in hex. */
  readonly id: string;
  /** See `openingColumns`. */
  readonly columns: Buffer;
  readonly request: Buffer;
  /** The caller's, as JSON text. */
  readonly metadata: Buffer | undefined;
}

export interface ClosingRecord {
  readonly kind: 'closing';
  readonly id: string;
  readonly opening: Position;
  /** See `closingMeta`. */
  readonly meta: Buffer;
  /** The body of the last attempt, where it differs from the opening's: a fallback ran. */
  readonly request: Buffer | undefined;
  readonly response: Buffer | undefined;
}

/*
 * On disk: crc32 of all that follows (u32) · kind (u8) · lengths of meta, request and other (u32 each, ABSENT
 * where there is none) · meta · request · other. Little-endian. The checksum tells a record that was being
 * written when the process died from one that was finished. Other: of an opening the caller's metadata, of a closing
 * the response.
 *
 * Meta of an opening: its columns as COPY takes them, the first of which is the id. Meta of a closing: the id as a
 * column too, segment and offset of the opening (u32 each), its columns. So the row for COPY is put together from
 * the two by copying bytes. Kinds 1 and 2 had JSON for meta and were never released; a segment of them is set aside.
 * Earlier kinds lack the last columns of the opening and of the closing, which they get as nulls when they are read:
 * see ADDED. Openings of kinds 3 to 7 had the metadata among their columns.
 */
const HEADER_BYTES = 17;
export const ID_COLUMN_BYTES = 20;
/** What stands before the columns in the meta of a closing. */
export const CLOSING_HEAD_BYTES = ID_COLUMN_BYTES + 8;
/** With the length of the id, with which every meta begins: what `mayBeginRecord` looks at. */
export const RECORD_HEAD_BYTES = HEADER_BYTES + 4;
const ID_BYTES = 16;
const BRACE = 0x7b;
/** Openings are odd, closings even. */
const OPENING = 9;
const CLOSING = 10;
const FIRST_READABLE = 3;
const FIRST_WITH_METADATA_APART = 9;
/** Columns before the metadata, in openings that have it among them. */
const COLUMNS_BEFORE_METADATA = 14;
/**
 * Columns that came after the kinds that may still lie in a spool. Openings of kind 3 lack data_class, api_key and team,
 * those of kinds 3 and 5 shadow_of and cache_hit, those of kinds 3, 5 and 7 client_request_id. Closings of kind 4 lack
 * cached_input_tokens, cache_write_input_tokens and reasoning_tokens, those of kinds 4 and 6 contract_outcome and
 * contract_rungs, those of kinds 4, 6 and 8 dispatched_ms and model_calls.
 */
const ADDED: Readonly<Record<number, Buffer>> = {
  3: nulls(3 + 2 + 1),
  4: nulls(3 + 2 + 2),
  5: nulls(2 + 1),
  6: nulls(2 + 2),
  7: nulls(1),
  8: nulls(2),
};
const ABSENT = 0xffff_ffff;

/** Bytes of a record. */
export function recordBytes(meta: Buffer, request: Buffer | undefined, other: Buffer | undefined): number {
  return HEADER_BYTES + meta.length + (request?.length ?? 0) + (other?.length ?? 0);
}

/** Writes a record at `offset`. @returns its length in bytes. */
export function writeRecord(
  into: Buffer,
  offset: number,
  kind: 'opening' | 'closing',
  meta: Buffer,
  request: Buffer | undefined,
  other: Buffer | undefined,
): number {
  let cursor = offset + HEADER_BYTES;
  cursor += meta.copy(into, cursor);
  if (request) cursor += request.copy(into, cursor);
  if (other) cursor += other.copy(into, cursor);
  into[offset + 4] = kind === 'opening' ? OPENING : CLOSING;
  into.writeUInt32LE(meta.length, offset + 5);
  into.writeUInt32LE(request ? request.length : ABSENT, offset + 9);
  into.writeUInt32LE(other ? other.length : ABSENT, offset + 13);
  into.writeUInt32LE(crc32(into.subarray(offset + 4, cursor)), offset);
  return cursor - offset;
}

/** Length of the record at `offset` by its header; undefined where not even the header is complete. */
export function recordLength(from: Buffer, offset: number): number | undefined {
  if (from.length - offset < HEADER_BYTES) return undefined;
  const request = from.readUInt32LE(offset + 9);
  const other = from.readUInt32LE(offset + 13);
  return (
    HEADER_BYTES +
    from.readUInt32LE(offset + 5) +
    (request === ABSENT ? 0 : request) +
    (other === ABSENT ? 0 : other)
  );
}

/** Whether the head at `offset`, RECORD_HEAD_BYTES long, is one that `writeRecord` can have written. */
export function mayBeginRecord(from: Buffer, offset: number): boolean {
  const kind = from[offset + 4]!;
  if (kind < FIRST_READABLE || kind > CLOSING) return false;
  if (from.readInt32BE(offset + HEADER_BYTES) !== ID_BYTES) return false;
  const metaBytes = from.readUInt32LE(offset + 5);
  if (kind % 2 === 0) return metaBytes >= CLOSING_HEAD_BYTES;
  return (
    metaBytes >= ID_COLUMN_BYTES &&
    from.readUInt32LE(offset + 9) !== ABSENT &&
    (kind >= FIRST_WITH_METADATA_APART || from.readUInt32LE(offset + 13) === ABSENT)
  );
}

/** Whether the head at `offset` is one of kinds 1 and 2: not torn, but nothing this version can read. */
export function isOfFormerFormat(from: Buffer, offset: number): boolean {
  const kind = from[offset + 4];
  return (kind === 1 || kind === 2) && from[offset + HEADER_BYTES] === BRACE;
}

/**
 * Reads the record at `offset`. Its columns and bodies are views into `from`, columns of a former format a copy.
 * @returns undefined for a record that is incomplete or damaged.
 */
export function readRecord(from: Buffer, offset: number): OpeningRecord | ClosingRecord | undefined {
  const length = recordLength(from, offset);
  if (length === undefined || offset + length > from.length) return undefined;
  if (crc32(from.subarray(offset + 4, offset + length)) !== from.readUInt32LE(offset)) return undefined;
  if (length < RECORD_HEAD_BYTES || !mayBeginRecord(from, offset)) return undefined;
  const metaStart = offset + HEADER_BYTES;
  const metaEnd = metaStart + from.readUInt32LE(offset + 5);
  const requestLength = from.readUInt32LE(offset + 9);
  const requestEnd = metaEnd + (requestLength === ABSENT ? 0 : requestLength);
  const request = requestLength === ABSENT ? undefined : from.subarray(metaEnd, requestEnd);
  const id = from.toString('hex', metaStart + ID_COLUMN_BYTES - ID_BYTES, metaStart + ID_COLUMN_BYTES);
  const kind = from[offset + 4]!;
  const stored = from.subarray(metaStart, metaEnd);
  const added = ADDED[kind];
  const meta = added ? Buffer.concat([stored, added]) : stored;
  const hasOther = from.readUInt32LE(offset + 13) !== ABSENT;
  const other = hasOther ? from.subarray(requestEnd, offset + length) : undefined;
  if (kind % 2 === 1) {
    const apart = kind < FIRST_WITH_METADATA_APART ? takeMetadata(meta) : { columns: meta, metadata: other };
    return { kind: 'opening', id, request: request!, ...apart };
  }
  const position = metaStart + ID_COLUMN_BYTES;
  return {
    kind: 'closing',
    id,
    opening: { segment: from.readUInt32LE(position), offset: from.readUInt32LE(position + 4) },
    meta,
    request,
    response: other,
  };
}

/** Takes the metadata out of the columns of a former kind. */
function takeMetadata(columns: Buffer): Pick<OpeningRecord, 'columns' | 'metadata'> {
  let start = 0;
  for (let column = 0; column < COLUMNS_BEFORE_METADATA; column++)
    start += 4 + Math.max(0, columns.readInt32BE(start));
  const length = columns.readInt32BE(start);
  const end = start + 4 + Math.max(0, length);
  return {
    columns: Buffer.concat([columns.subarray(0, start), columns.subarray(end)]),
    metadata: length === -1 ? undefined : columns.subarray(start + 4, end),
  };
}

function nulls(columns: number): Buffer {
  return Buffer.alloc(columns * 4, 0xff);
}
