import type { Logger } from '#libs/platform/log/logger.js';
import type { ClosingRecord, OpeningRecord, Position } from './record.js';
import type { Segment, SegmentCatalog } from './segment-catalog.js';
import { SegmentReader } from './segment-reader.js';

/** A record, and where it stands. */
export interface Walked {
  readonly segment: Segment;
  readonly position: Position;
  readonly record: OpeningRecord | ClosingRecord;
}

/** Reads the records of all segments in order, from a position on until it has caught up with the writer. */
export class SegmentWalk {
  private reader: SegmentReader | undefined;
  private number: number;
  private offset: number;

  constructor(
    private readonly catalog: SegmentCatalog,
    private readonly logger: Logger,
    from: Position,
  ) {
    this.number = from.segment;
    this.offset = from.offset;
  }

  /**
   * The next intact record. Between the look that finds the end and the return of undefined nothing is awaited.
   * @returns undefined when caught up.
   */
  async next(): Promise<Walked | undefined> {
    for (;;) {
      const segment = this.catalog.find(this.number);
      if (segment) {
        const end = segment.size;
        if (this.offset < end) {
          const walked = await this.step(segment, end);
          if (walked) return walked;
          continue;
        }
        if (segment === this.catalog.active) return undefined;
        await this.leave(segment);
      }
      // Gone while it was being read: all in it is stored.
      else if (this.reader) await this.close();
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

  async close(): Promise<void> {
    await this.reader?.close();
    this.reader = undefined;
  }

  private async step(segment: Segment, end: number): Promise<Walked | undefined> {
    this.reader ??= await SegmentReader.open(segment.path, this.offset);
    const position = { segment: segment.number, offset: this.offset };
    const record = await this.reader.next(end);
    if (!record) {
      await this.skipGap(this.reader, segment, end);
      return undefined;
    }
    this.offset = this.reader.offset;
    return { segment, position, record };
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
}
