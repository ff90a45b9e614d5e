import type { ClosingMeta, OpeningMeta } from './record.js';
import type { Segment } from './segment-catalog.js';

/** A closed inference on its way to PostgreSQL. */
export interface ShippableRow {
  readonly opening: OpeningMeta;
  readonly closing: ClosingMeta;
  /** Body of the last attempt. */
  readonly request: Buffer;
  readonly response: Buffer | undefined;
  readonly openedIn: Segment | undefined;
  /** Undefined where the closing could not be written: the row is in memory only. */
  readonly closedIn: Segment | undefined;
}

/** Memory a row holds, roughly. */
export function rowBytes(row: ShippableRow): number {
  return 1024 + row.request.length + (row.response?.length ?? 0);
}
