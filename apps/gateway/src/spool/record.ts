import { crc32 } from 'node:zlib';
import type { InferenceClosing, InferenceOpening } from '#libs/core/inference/inference-row.js';

/** An opening without its request body, which is kept as the bytes that were sent. */
export type OpeningMeta = Omit<InferenceOpening, 'request'>;
/** A closing without its response body, which is kept as bytes. */
export type ClosingMeta = Omit<InferenceClosing, 'response'>;

/** Where a record begins. */
export interface Position {
  readonly segment: number;
  readonly offset: number;
}

export interface OpeningRecord {
  readonly kind: 'opening';
  readonly meta: OpeningMeta;
  readonly request: Buffer;
}

export interface ClosingRecord {
  readonly kind: 'closing';
  readonly id: string;
  readonly opening: Position;
  readonly meta: ClosingMeta;
  /** The body of the last attempt, where it differs from the opening's: a fallback ran. */
  readonly request: Buffer | undefined;
  readonly response: Buffer | undefined;
}

/*
 * On disk: crc32 of all that follows (u32) · kind (u8) · lengths of meta, request and response (u32 each, ABSENT
 * where there is none) · meta as JSON · request · response. Little-endian. The checksum tells a record that was
 * being written when the process died from one that was finished.
 */
const HEADER_BYTES = 17;
/** With its first byte of meta: what `mayBeginRecord` looks at. */
export const RECORD_HEAD_BYTES = HEADER_BYTES + 1;
const BRACE = 0x7b;
const OPENING = 1;
const CLOSING = 2;
const ABSENT = 0xffff_ffff;

/** Upper bound of the bytes `writeRecord` needs. */
export function recordBound(meta: string, request: Buffer | undefined, response: Buffer | undefined): number {
  return HEADER_BYTES + meta.length * 3 + (request?.length ?? 0) + (response?.length ?? 0);
}

export function openingText(meta: OpeningMeta): string {
  return JSON.stringify(meta);
}

export function closingText(id: string, opening: Position, meta: ClosingMeta): string {
  return JSON.stringify({ id, opening, meta });
}

/** Writes a record at `offset`. @returns its length in bytes. */
export function writeRecord(
  into: Buffer,
  offset: number,
  kind: 'opening' | 'closing',
  meta: string,
  request: Buffer | undefined,
  response: Buffer | undefined,
): number {
  let cursor = offset + HEADER_BYTES;
  const metaBytes = into.write(meta, cursor, 'utf8');
  cursor += metaBytes;
  if (request) cursor += request.copy(into, cursor);
  if (response) cursor += response.copy(into, cursor);
  into[offset + 4] = kind === 'opening' ? OPENING : CLOSING;
  into.writeUInt32LE(metaBytes, offset + 5);
  into.writeUInt32LE(request ? request.length : ABSENT, offset + 9);
  into.writeUInt32LE(response ? response.length : ABSENT, offset + 13);
  into.writeUInt32LE(crc32(into.subarray(offset + 4, cursor)), offset);
  return cursor - offset;
}

/** Length of the record at `offset` by its header; undefined where not even the header is complete. */
export function recordLength(from: Buffer, offset: number): number | undefined {
  if (from.length - offset < HEADER_BYTES) return undefined;
  const request = from.readUInt32LE(offset + 9);
  const response = from.readUInt32LE(offset + 13);
  return (
    HEADER_BYTES +
    from.readUInt32LE(offset + 5) +
    (request === ABSENT ? 0 : request) +
    (response === ABSENT ? 0 : response)
  );
}

/** Whether the head at `offset`, RECORD_HEAD_BYTES long, is one that `writeRecord` can have written. */
export function mayBeginRecord(from: Buffer, offset: number): boolean {
  const kind = from[offset + 4];
  if (from[offset + HEADER_BYTES] !== BRACE || from.readUInt32LE(offset + 5) < 2) return false;
  if (kind === CLOSING) return true;
  return (
    kind === OPENING && from.readUInt32LE(offset + 9) !== ABSENT && from.readUInt32LE(offset + 13) === ABSENT
  );
}

/**
 * Reads the record at `offset`. Its bodies are views into `from`.
 * @returns undefined for a record that is incomplete or damaged.
 */
export function readRecord(from: Buffer, offset: number): OpeningRecord | ClosingRecord | undefined {
  const length = recordLength(from, offset);
  if (length === undefined || offset + length > from.length) return undefined;
  if (crc32(from.subarray(offset + 4, offset + length)) !== from.readUInt32LE(offset)) return undefined;
  const kind = from[offset + 4];
  const metaStart = offset + HEADER_BYTES;
  const metaEnd = metaStart + from.readUInt32LE(offset + 5);
  const requestLength = from.readUInt32LE(offset + 9);
  const requestEnd = metaEnd + (requestLength === ABSENT ? 0 : requestLength);
  const request = requestLength === ABSENT ? undefined : from.subarray(metaEnd, requestEnd);
  const meta: unknown = JSON.parse(from.toString('utf8', metaStart, metaEnd));
  if (kind === OPENING) return { kind: 'opening', meta: meta as OpeningMeta, request: request! };
  if (kind !== CLOSING) return undefined;
  const closing = meta as { id: string; opening: Position; meta: ClosingMeta };
  const hasResponse = from.readUInt32LE(offset + 13) !== ABSENT;
  return {
    kind: 'closing',
    ...closing,
    request,
    response: hasResponse ? from.subarray(requestEnd, offset + length) : undefined,
  };
}
