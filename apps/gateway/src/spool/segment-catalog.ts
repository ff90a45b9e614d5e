import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const FILE = /^(\d{12})\.seg$/;

/** One file of the spool. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  /** Bytes of whole records written. */
  size: number;
  /** Inferences with a record in here that are not in PostgreSQL yet. One with both records here counts twice. */
  live: number;
  /** Written by an earlier process and not read to its end yet: `live` is not known. */
  unread: boolean;
  /** Written by an earlier process. */
  readonly inherited: boolean;
}

/** The spool's files, oldest first. */
export class SegmentCatalog {
  private readonly segments = new Map<number, Segment>();
  private total = 0;
  private last = 0;
  private writing: Segment | undefined;

  constructor(private readonly directory: string) {
    const numbers = readdirSync(directory)
      .map((name) => FILE.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
    for (const number of numbers) {
      const path = this.path(number);
      const size = statSync(path).size;
      this.segments.set(number, { number, path, size, live: 0, unread: true, inherited: true });
      this.total += size;
      this.last = number;
    }
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.total;
  }

  get count(): number {
    return this.segments.size;
  }

  /** The segment being written; never deleted. */
  get active(): Segment | undefined {
    return this.writing;
  }

  find(number: number): Segment | undefined {
    return this.segments.get(number);
  }

  /** The oldest segment whose number is greater. */
  after(number: number): Segment | undefined {
    for (const segment of this.segments.values()) if (segment.number > number) return segment;
    return undefined;
  }

  /** Registers the next segment as the active one. */
  activate(): Segment {
    const number = ++this.last;
    const segment: Segment = {
      number,
      path: this.path(number),
      size: 0,
      live: 0,
      unread: false,
      inherited: false,
    };
    this.segments.set(number, segment);
    const previous = this.writing;
    this.writing = segment;
    if (previous) this.deleteIfDone(previous);
    return segment;
  }

  grow(segment: Segment, bytes: number): void {
    segment.size += bytes;
    this.total += bytes;
  }

  /** An inference with a record in the segment has been shipped. */
  settle(segment: Segment | undefined): void {
    if (!segment) return;
    segment.live--;
    this.deleteIfDone(segment);
  }

  deleteIfDone(segment: Segment): void {
    if (segment.live > 0 || segment.unread || segment === this.writing) return;
    if (!this.segments.delete(segment.number)) return;
    this.total -= segment.size;
    rmSync(segment.path, { force: true });
  }

  private path(number: number): string {
    return join(this.directory, `${String(number).padStart(12, '0')}.seg`);
  }
}
