import { INFERENCE_COLUMNS, PAYLOAD_COLUMNS, ROW_KEY_BYTES } from './copy-format.js';
import { CLOSING_HEAD_BYTES } from './record.js';
import { RowSlabs, type EncodedRow } from './row-slabs.js';

/** The number of columns, with which a row begins. */
const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;

/** What an inference has of bodies, as PostgreSQL can store them: see `storableBody`. */
export interface Bodies {
  readonly metadata: Buffer | undefined;
  readonly request: Buffer;
  readonly response: Buffer | undefined;
}

/** A row of table `inference`. @param closing meta of the closing's record. */
export function inferenceRow(slabs: RowSlabs, opened: Buffer, closing: Buffer): EncodedRow {
  const row = slabs.add(COUNT_BYTES + opened.length + closing.length - CLOSING_HEAD_BYTES);
  const { bytes } = row.slab;
  let at = bytes.writeInt16BE(INFERENCE_COLUMNS.length, row.start);
  at += opened.copy(bytes, at);
  closing.copy(bytes, at, CLOSING_HEAD_BYTES);
  return row;
}

/** A row of table `inference_payload`. */
export function payloadRow(slabs: RowSlabs, opened: Buffer, bodies: Bodies): EncodedRow {
  const { metadata, request, response } = bodies;
  const lengths = (metadata?.length ?? 0) + request.length + (response?.length ?? 0);
  const row = slabs.add(COUNT_BYTES + ROW_KEY_BYTES + 3 * LENGTH_BYTES + lengths);
  const { bytes } = row.slab;
  let at = bytes.writeInt16BE(PAYLOAD_COLUMNS.length, row.start);
  at += opened.copy(bytes, at, 0, ROW_KEY_BYTES);
  at = writeBody(bytes, at, metadata);
  at = writeBody(bytes, at, request);
  writeBody(bytes, at, response);
  return row;
}

function writeBody(into: Buffer, at: number, body: Buffer | undefined): number {
  const start = into.writeInt32BE(body ? body.length : -1, at);
  return body ? start + body.copy(into, start) : start;
}
