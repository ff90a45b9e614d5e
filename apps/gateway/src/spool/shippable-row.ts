import type { ClosingMeta, OpeningMeta } from './record.js';
import { RowEncoder, type EncodedRow } from './row-encoder.js';
import type { Segment } from './segment-catalog.js';

/** A closed inference on its way to PostgreSQL. */
export interface ShippableRow {
  /** As COPY takes it, or why that is impossible: then it can never be stored. */
  readonly encoded: EncodedRow | UnfitRow;
  /** UTC day of its partition, for instance `2026-11-22`. */
  readonly day: string;
  readonly openedIn: Segment | undefined;
  /** Undefined where the closing could not be written: the row is in memory only. */
  readonly closedIn: Segment | undefined;
}

export interface UnfitRow {
  readonly error: RangeError;
  readonly fields: Readonly<Record<string, unknown>>;
}

const encoder = new RowEncoder();
let lastDay = '';

/** @param request body of the last attempt. */
export function shippableRow(
  opening: OpeningMeta,
  closing: ClosingMeta,
  request: Buffer,
  response: Buffer | undefined,
  openedIn: Segment | undefined,
  closedIn: Segment | undefined,
): ShippableRow {
  // One string for all rows of a day.
  if (!opening.startedAt.startsWith(lastDay) || lastDay === '') lastDay = opening.startedAt.slice(0, 10);
  return {
    encoded: encode(opening, closing, request, response),
    day: lastDay,
    openedIn,
    closedIn,
  };
}

/** A row is stored, or not wanted for another reason. To be called once. */
export function releaseRow({ encoded }: ShippableRow): void {
  if ('slab' in encoded) encoder.release(encoded);
}

/** Memory a row holds, roughly. */
export function rowBytes({ encoded }: ShippableRow): number {
  return 'slab' in encoded ? 256 + encoded.end - encoded.start : 4096;
}

function encode(
  opening: OpeningMeta,
  closing: ClosingMeta,
  request: Buffer,
  response: Buffer | undefined,
): EncodedRow | UnfitRow {
  try {
    return encoder.encode(opening, closing, request, response);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const bodies = { request: request.toString('utf8'), response: response?.toString('utf8') ?? null };
    return { error, fields: { ...opening, ...closing, ...bodies } };
  }
}
