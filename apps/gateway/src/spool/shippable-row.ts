import { dayOf } from './columns.js';
import { RowSlabs, type EncodedRow } from './row-slabs.js';
import type { Segment } from './segment-catalog.js';

/** A closed inference on its way to PostgreSQL. */
export interface ShippableRow extends EncodedRow {
  /** UTC day of its partition, for instance `2026-11-22`. */
  readonly day: string;
  readonly openedIn: Segment | undefined;
  /** Undefined until the closing is written, and where it could not be: the row is in memory only. */
  closedIn: Segment | undefined;
}

const slabs = new RowSlabs();

/** Takes what `RowSlabs.add` takes, and where the opening is. */
export function shippableRow(
  opened: Buffer,
  closing: Buffer,
  request: Buffer,
  response: Buffer | undefined,
  openedIn: Segment | undefined,
): ShippableRow {
  const { slab, start, end } = slabs.add(opened, closing, request, response);
  return { slab, start, end, day: dayOf(opened), openedIn, closedIn: undefined };
}

/** A row is stored, or not wanted for another reason. To be called once. */
export function releaseRow(row: ShippableRow): void {
  slabs.release(row);
}

/** Memory a row holds, roughly. */
export function rowBytes({ start, end }: ShippableRow): number {
  return 256 + end - start;
}
