import type { Logger } from '#libs/platform/log/logger.js';
import { readAt, SegmentReader } from './segment-reader.js';
import type { ClosingRecord, OpeningRecord, Position } from './record.js';
import type { Segment, SegmentCatalog } from './segment-catalog.js';
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
  private reader: SegmentReader | undefined;
  private number: number;
  private offset: number;
  private readonly carried = new Map<string, Carried>();
  private carriedBytes = 0;

  constructor(
    private readonly catalog: SegmentCatalog,
    private readonly logger: Logger,
    from: Position,
  ) {
    this.number = from.segment;
    this.offset = from.offset;
  }

  /**
   * The next closed inference. Between the look that finds the end and the return of undefined nothing is awaited,
   * so that no closing slips through while the caller goes back to taking rows from memory.
   * @returns undefined when caught up.
   */
  async next(): Promise<ShippableRow | undefined> {
    for (;;) {
      const segment = this.catalog.find(this.number);
      if (segment) {
        const end = segment.size;
        if (this.offset < end) {
          const row = await this.step(segment, end);
          if (row) return row;
          continue;
        }
        if (segment === this.catalog.active) return undefined;
        await this.leave(segment);
      }
      const next = this.catalog.after(this.number);
      if (!next) return undefined;
      this.number = next.number;
      this.offset = 0;
    }
  }

  /** Whether everything of earlier processes has been read. */
  get isPastOld(): boolean {
    const segment = this.catalog.find(this.number);
    return !segment?.unread && !this.catalog.after(this.number)?.unread;
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
    await this.reader?.close();
    this.reader = undefined;
  }

  private async step(segment: Segment, end: number): Promise<ShippableRow | undefined> {
    this.reader ??= await SegmentReader.open(segment.path, this.offset);
    const position = { segment: segment.number, offset: this.offset };
    const record = await this.reader.next(end);
    if (!record) {
      await this.skipGap(this.reader, segment, end);
      return undefined;
    }
    this.offset = this.reader.offset;
    if (record.kind === 'closing') return this.complete(segment, position, record);
    this.carry(segment, position, record);
    return undefined;
  }

  private async skipGap(reader: SegmentReader, segment: Segment, end: number): Promise<void> {
    const { offset } = this;
    const gap = await reader.skipGap(end);
    // Of a segment of this process, what ends before `end` was written as a whole.
    if (gap.kind === 'torn' && segment.inherited)
      this.logger.warn(
        { segment: segment.path, offset, bytes: gap.bytes },
        'a spool segment ends in a record that an earlier process did not finish; it is skipped',
      );
    else this.catalog.damage(segment, offset);
    this.offset = reader.offset;
  }

  private async leave(segment: Segment): Promise<void> {
    await this.close();
    segment.unread = false;
    this.catalog.deleteIfDone(segment);
  }

  private carry(segment: Segment, position: Position, record: OpeningRecord): void {
    if (segment.unread) segment.live++;
    const keep = this.carriedBytes + record.request.length <= CARRIED_BYTES;
    if (keep) this.carriedBytes += record.request.length;
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
    const request = closing.request ?? opening.request;
    const row = shippableRow(opening.columns, closing.meta, request, closing.response, openedIn);
    row.closedIn = closedIn;
    return row;
  }

  private forget(id: string): void {
    const carried = this.carried.get(id);
    if (!carried) return;
    this.carriedBytes -= carried.record?.request.length ?? 0;
    this.carried.delete(id);
  }
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
