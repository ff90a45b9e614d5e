import { dayOf } from './columns.js';
import { inferenceRow, payloadRow, type Bodies } from './encoded-rows.js';
import { RowSlabs, type EncodedRow } from './row-slabs.js';
import type { Segment } from './segment-catalog.js';

/** A closed inference on its way to PostgreSQL. */
export interface ShippableRow {
  /** Of table `inference`. */
  readonly inference: EncodedRow;
  /** Of table `inference_payload`. */
  readonly payload: EncodedRow;
  /** UTC day of its partitions, for instance `2026-11-22`. */
  readonly day: string;
  readonly openedIn: Segment | undefined;
  /** Undefined until the closing is written, and where it could not be: the row is in memory only. */
  closedIn: Segment | undefined;
}

// Each table has its own, so that the rows of a COPY lie side by side.
const inferences = new RowSlabs();
const payloads = new RowSlabs();

/**
 * @param opened columns of the opening.
 * @param closing meta of the closing's record.
 * @param openedIn where the opening is.
 */
export function shippableRow(
  opened: Buffer,
  closing: Buffer,
  bodies: Bodies,
  openedIn: Segment | undefined,
): ShippableRow {
  return {
    inference: inferenceRow(inferences, opened, closing),
    payload: payloadRow(payloads, opened, bodies),
    day: dayOf(opened),
    openedIn,
    closedIn: undefined,
  };
}

/** A row is stored, or not wanted for another reason. To be called once. */
export function releaseRow({ inference, payload }: ShippableRow): void {
  inferences.release(inference);
  payloads.release(payload);
}

/** Memory a row holds, roughly. */
export function rowBytes({ inference, payload }: ShippableRow): number {
  return 256 + inference.end - inference.start + payload.end - payload.start;
}
