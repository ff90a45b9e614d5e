import type { Logger } from '#libs/platform/log/logger.js';
import { readAt } from './segment-reader.js';
import type { ClosingRecord, OpeningRecord, Position } from './record.js';
import type { Segment, SegmentCatalog } from './segment-catalog.js';
import { SegmentWalk } from './segment-walk.js';
import { shippableRow, type ShippableRow } from './shippable-row.js';

/** An inference that an earlier process opened and never closed. */
export interface Unclosed {
  readonly opening: OpeningRecord;
  readonly segment: Segment;
  readonly position: Position;
}

interface Carried {
  readonly position: Position;
  /** Whether an earlier process wrote it. */
  readonly old: boolean;
  /** Undefined where too many are carried already: it is read again when needed. */
  readonly record: OpeningRecord | undefined;
}

/** Openings kept while their closing is looked for, in bytes of their bodies. */
const CARRIED_BYTES = 32 * 1024 * 1024;

/** Reads closed inferences out of the segments, from a position on until it has caught up with the writer. */
export class SpoolReader {
  private readonly walk: SegmentWalk;
  private readonly carried = new Map<string, Carried>();
  private carriedBytes = 0;

  constructor(
    private readonly catalog: SegmentCatalog,
    logger: Logger,
    from: Position,
  ) {
    this.walk = new SegmentWalk(catalog, logger, from);
  }

  /**
   * The next closed inference. Between the look that finds the end and the return of undefined nothing happens but
   * the return, so that no closing slips through while the caller goes back to taking rows from memory.
   * @returns undefined when caught up.
   */
  async next(): Promise<ShippableRow | undefined> {
    for (;;) {
      const walked = await this.walk.next();
      if (!walked) return undefined;
      const { segment, position, record } = walked;
      if (record.kind === 'opening') this.carry(segment, position, record);
      else {
        const row = await this.complete(segment, position, record);
        if (row) return row;
      }
    }
  }

  /** Whether everything of earlier processes has been read. */
  get isPastOld(): boolean {
    return this.walk.isPastOld;
  }

  /** Openings of earlier processes that no closing followed. To be asked when `isPastOld`; each is told once. */
  async takeUnclosed(): Promise<Unclosed[]> {
    const unclosed: Unclosed[] = [];
    for (const [id, { position, old, record }] of this.carried) {
      if (!old) continue;
      this.forget(id);
      const segment = this.catalog.find(position.segment)!;
      const opening = record ?? (await readOpening(segment, position.offset, id));
      if (opening) unclosed.push({ opening, segment, position });
      else {
        this.catalog.damage(segment, position.offset);
        this.catalog.settle(segment);
      }
    }
    return unclosed;
  }

  async close(): Promise<void> {
    await this.walk.close();
  }

  private carry(segment: Segment, position: Position, record: OpeningRecord): void {
    if (segment.unread) segment.live++;
    const bytes = bodyBytes(record);
    const keep = this.carriedBytes + bytes <= CARRIED_BYTES;
    if (keep) this.carriedBytes += bytes;
    this.carried.set(record.id, { position, old: segment.unread, record: keep ? record : undefined });
  }

  private async complete(
    closedIn: Segment,
    position: Position,
    closing: ClosingRecord,
  ): Promise<ShippableRow | undefined> {
    const openedIn = this.catalog.find(closing.opening.segment);
    const source = openedIn ?? this.catalog.findSetAside(closing.opening.segment);
    // A segment is deleted only when all in it is shipped: this inference is in PostgreSQL already.
    if (!source) return undefined;
    const carried = this.carried.get(closing.id);
    this.forget(closing.id);
    const opening = carried?.record ?? (await readOpening(source, closing.opening.offset, closing.id));
    if (!opening) {
      this.catalog.damage(closedIn, position.offset);
      return undefined;
    }
    if (closedIn.unread) closedIn.live++;
    const { metadata } = opening;
    const bodies = { metadata, request: closing.request ?? opening.request, response: closing.response };
    const row = shippableRow(opening.columns, closing.meta, bodies, openedIn);
    row.closedIn = closedIn;
    return row;
  }

  private forget(id: string): void {
    const carried = this.carried.get(id);
    if (!carried) return;
    if (carried.record) this.carriedBytes -= bodyBytes(carried.record);
    this.carried.delete(id);
  }
}

function bodyBytes({ request, metadata }: OpeningRecord): number {
  return request.length + (metadata?.length ?? 0);
}

/** @returns undefined where it is not, or no longer, the opening of that inference. */
async function readOpening(
  file: { readonly path: string; readonly size: number },
  offset: number,
  id: string,
): Promise<OpeningRecord | undefined> {
  const record = await readAt(file.path, offset, file.size);
  return record?.kind === 'opening' && record.id === id ? record : undefined;
}
