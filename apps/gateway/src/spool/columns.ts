import { isUtf8 } from 'node:buffer';
import { ColumnWriter } from './column-writer.js';
import { EPOCH_US } from './copy-format.js';
import { ID_COLUMN_BYTES, type ClosingMeta, type OpeningMeta, type Position, type Served } from './record.js';

/*
 * The columns of a row, encoded once: the same bytes go into the spool and into COPY. INFERENCE_COLUMNS gives the
 * order: those of the opening, those of the closing.
 */

const DAY_US = 86_400_000_000;
const TWO_32 = 4_294_967_296;
/** Where the value of `started_at` lies, the second column. */
const STARTED_AT = ID_COLUMN_BYTES + 4;

const writer = new ColumnWriter();

/**
 * The columns that all openings of an arm share.
 * @throws RangeError for an id that is none.
 */
export function servedColumns(served: Served): Buffer {
  writer.begin();
  writer.uuid(served.workspaceId);
  writer.text(served.endpoint);
  writer.int4(served.splitRevision);
  writer.text(served.arm);
  writer.text(served.chain);
  writer.int4(served.chainVersion);
  writer.text(served.chainDigest);
  return Buffer.from(writer.written());
}

/**
 * The columns of an opening.
 * @throws RangeError for an id or a time that is none.
 */
export function openingColumns(opening: OpeningMeta): Buffer {
  writer.begin();
  writer.uuid(opening.id);
  writer.time(opening.startedAtMs);
  writer.raw(opening.served, opening.served.length);
  writer.text(opening.unit);
  writer.int2(opening.bucket);
  writer.bool(opening.sticky);
  writer.text(opening.assignment);
  writer.bool(opening.streamed);
  writer.text(opening.dataClass);
  writer.text(opening.apiKey);
  writer.text(opening.team);
  writer.uuid(opening.shadowOf);
  writer.bool(opening.cacheHit);
  writer.text(opening.clientRequestId);
  return writer.copied();
}

/**
 * The meta of a closing's record: what ties it to its opening, then its columns.
 * @param opened columns of the opening.
 * @returns a view, valid until the next call.
 */
export function closingMeta(opened: Buffer, opening: Position, closing: ClosingMeta): Buffer {
  writer.begin();
  writer.raw(opened, ID_COLUMN_BYTES);
  writer.rawUint32(opening.segment);
  writer.rawUint32(opening.offset);
  writer.text(closing.status);
  writer.text(closing.errorCode);
  writer.text(closing.errorMessage);
  writer.text(closing.modelEndpoint);
  writer.text(closing.model);
  writer.text(closing.replica);
  writer.int2(closing.attempts);
  writer.text(closing.finishReason);
  writer.bool(closing.schemaValid);
  writer.int4(closing.inputTokens);
  writer.int4(closing.outputTokens);
  writer.int8(closing.costMicroUsd);
  writer.float8(closing.latencyMs);
  writer.float8(closing.ttftMs);
  writer.int4(closing.cachedInputTokens);
  writer.int4(closing.cacheWriteInputTokens);
  writer.int4(closing.reasoningTokens);
  writer.text(closing.contractOutcome);
  writer.jsonb(closing.contractRungs);
  writer.float8(closing.dispatchedMs);
  writer.jsonb(closing.modelCalls);
  return writer.written();
}

/** A body as PostgreSQL can store it: what it cannot (NUL, bytes that are not UTF-8) becomes the replacement character. */
export function storableBody(body: Buffer): Buffer {
  if (isUtf8(body) && !body.includes(0)) return body;
  return Buffer.from(body.toString('utf8').replaceAll('\0', '\uFFFD'));
}

let lastDay = Number.NaN;
let lastDayText = '';

/** The UTC day an opening began on, for instance `2026-11-22`. One string for all rows of a day. */
export function dayOf(opened: Buffer): string {
  const us = opened.readInt32BE(STARTED_AT) * TWO_32 + opened.readUInt32BE(STARTED_AT + 4);
  const day = Math.floor((us + EPOCH_US) / DAY_US);
  if (day !== lastDay) {
    lastDay = day;
    lastDayText = new Date((day * DAY_US) / 1000).toISOString().slice(0, 10);
  }
  return lastDayText;
}
