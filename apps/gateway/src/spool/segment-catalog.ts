import { readdirSync, renameSync, rmSync, statSync, unlink } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '#libs/platform/log/logger.js';

const FILE = /^(\d{12})\.seg(\.damaged)?$/;
const DAMAGED = '.damaged';

/** A file that was found damaged, after everything intact in it was stored. */
export interface SetAside {
  readonly path: string;
  readonly size: number;
}

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
  /** Something in it cannot be read: the file is set aside instead of deleted. */
  damaged: boolean;
  /** Written by an earlier process. */
  readonly inherited: boolean;
}

/** The spool's files, oldest first. */
export class SegmentCatalog {
  private readonly segments = new Map<number, Segment>();
  private total = 0;
  private last = 0;
  private writing: Segment | undefined;

  /** Gone from the spool, and from its size; a closing of a later segment may still point into one. */
  private readonly aside = new Map<number, SetAside>();
  private damages = 0;
  /** Files that are being deleted. */
  private readonly leaving = new Set<string>();

  constructor(
    private readonly directory: string,
    private readonly logger: Logger,
  ) {
    const names = readdirSync(directory).filter((name) => FILE.test(name));
    for (const name of names.sort()) {
      const number = Number(name.slice(0, 12));
      const path = join(directory, name);
      const size = statSync(path).size;
      this.last = number;
      if (name.endsWith(DAMAGED)) {
        this.aside.set(number, { path, size });
        continue;
      }
      this.segments.set(number, {
        number,
        path,
        size,
        live: 0,
        unread: true,
        damaged: false,
        inherited: true,
      });
      this.total += size;
    }
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.total;
  }

  /**
   * Bytes that hold something not in PostgreSQL yet. Without the active segment once all in it is: it cannot be
   * deleted, and a spool that it alone fills would take nothing more, for ever.
   */
  get heldBytes(): number {
    return this.writing?.live === 0 ? this.total - this.writing.size : this.total;
  }

  /** How often this process found bytes that it could not read. */
  get damageCount(): number {
    return this.damages;
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

  findSetAside(number: number): SetAside | undefined {
    return this.aside.get(number);
  }

  /** The oldest segment whose number is greater. */
  after(number: number): Segment | undefined {
    for (const segment of this.segments.values()) if (segment.number > number) return segment;
    return undefined;
  }

  /**
   * Registers the next segment as the active one.
   * @param needsRoom whether the one before could not be written to, so that the next needs what it takes on the disk.
   */
  activate(needsRoom: boolean): Segment {
    const number = ++this.last;
    const segment: Segment = {
      number,
      path: this.path(number),
      size: 0,
      live: 0,
      unread: false,
      damaged: false,
      inherited: false,
    };
    this.segments.set(number, segment);
    const previous = this.writing;
    this.writing = segment;
    if (previous) this.deleteIfDone(previous, needsRoom);
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

  /** Notes that something in the segment cannot be used. The log is told once a segment. */
  damage(segment: Segment, offset: number): void {
    this.damages++;
    if (segment.damaged) return;
    segment.damaged = true;
    this.logger.error(
      { segment: segment.path, offset, kept: segment.path + DAMAGED },
      'a spool segment is damaged; what is intact in it is stored, and the file is kept',
    );
  }

  /** @param atOnce before this returns. */
  deleteIfDone(segment: Segment, atOnce = false): void {
    if (segment.live > 0 || segment.unread || segment === this.writing) return;
    if (!this.segments.delete(segment.number)) return;
    this.total -= segment.size;
    if (!segment.damaged) {
      if (atOnce) this.removeNow(segment.path);
      else this.remove(segment.path);
      return;
    }
    try {
      this.setAside(segment);
    } catch (error) {
      this.notRemoved(segment.path, error);
    }
  }

  /** Deletes at once what is being deleted: from now on the directory may be another process's. */
  close(): void {
    for (const path of this.leaving) this.removeNow(path);
  }

  private removeNow(path: string): void {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      this.notRemoved(path, error);
    }
  }

  /** In the background: a file system takes tens of milliseconds to give back a segment's pages, and every request would wait. */
  private remove(path: string): void {
    this.leaving.add(path);
    unlink(path, (error) => {
      this.leaving.delete(path);
      if (error && error.code !== 'ENOENT') this.notRemoved(path, error);
    });
  }

  /** Its rows are stored. Thrown, it would make the caller store and settle them again. */
  private notRemoved(segment: string, error: unknown): void {
    this.logger.error(
      { err: error, segment },
      'a spool segment could not be removed; it is read again at the next start',
    );
  }

  private setAside(segment: Segment): void {
    const path = segment.path + DAMAGED;
    renameSync(segment.path, path);
    this.aside.set(segment.number, { path, size: segment.size });
  }

  private path(number: number): string {
    return join(this.directory, `${String(number).padStart(12, '0')}.seg`);
  }
}
