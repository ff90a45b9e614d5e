import {
  close,
  closeSync,
  fdatasync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { recordBytes, writeRecord, type Position } from './record.js';
import type { Segment, SegmentCatalog } from './segment-catalog.js';

export type Fsync = 'off' | 'interval' | 'always';

/** One record on its way to the disk. Told once: with its place, or with why it could not be written. */
export interface PendingRecord {
  written(segment: Segment, position: Position): void;
  failed(error: Error): void;
}

const SCRATCH_BYTES = 1024 * 1024;
/** Longest that records wait for others; under load a turn takes some 100 µs. */
const MAX_TURNS = 4;
/** As Redis' `appendfsync everysec`. */
const FSYNC_INTERVAL_MS = 1000;
/** One that throws must take neither the other records of its turn with it nor the process. */
const LISTENER_FAILED = 'a request failed when its record was written';

/**
 * Appends records to the active segment. Everything that arrives in one turn of the event loop goes out in one
 * write, or in a few while each brings more: a write costs almost the same for ten records as for one. The
 * write is synchronous, because a trip through the thread pool costs six times as much (docs/benchmarks.md);
 * a record written is one that survives the death of this process.
 */
export class SegmentWriter {
  private fd: number | undefined;
  private scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  private used = 0;
  private full: Buffer[] = [];
  private pending: PendingRecord[] = [];
  private lengths: number[] = [];
  private scheduled = false;
  private syncing = false;
  private dirty = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly flushSoon = () => this.gather();
  /** Full segments that are being forced to the disk. */
  private readonly leaving = new Set<number>();
  /** Turns of the event loop that have passed since the first pending record, and how many were pending then. */
  private turns = 0;
  private gathered = 0;
  /** How many records can be pending at once: of each inference between its opening and its closing, one. */
  expected = 0;

  constructor(
    private readonly catalog: SegmentCatalog,
    private readonly fsync: Fsync,
    private readonly segmentBytes: number,
    private readonly onError: (error: Error, what: string) => void,
  ) {
    if (fsync !== 'interval') return;
    this.timer = setInterval(() => this.sync(() => undefined), FSYNC_INTERVAL_MS);
    this.timer.unref();
  }

  append(
    kind: 'opening' | 'closing',
    meta: Buffer,
    request: Buffer | undefined,
    other: Buffer | undefined,
    record: PendingRecord,
  ): void {
    const bytes = recordBytes(meta, request, other);
    if (bytes > this.scratch.length - this.used) {
      this.full.push(this.scratch.subarray(0, this.used));
      this.scratch = Buffer.allocUnsafeSlow(Math.max(SCRATCH_BYTES, bytes));
      this.used = 0;
    }
    this.used += writeRecord(this.scratch, this.used, kind, meta, request, other);
    this.pending.push(record);
    this.lengths.push(bytes);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.flushSoon);
  }

  /** Writes what is pending and forces it to the disk, unless that is switched off. */
  close(): void {
    clearInterval(this.timer);
    this.flush();
    // Closed by whoever is at it.
    for (const fd of this.leaving) fdatasyncSync(fd);
    if (this.fd === undefined) return;
    if (this.fsync !== 'off') fdatasyncSync(this.fd);
    closeSync(this.fd);
    this.fd = undefined;
  }

  /** Waits for no more than there is to come, and not for what does not come. */
  private gather(): void {
    const count = this.pending.length;
    if (count > this.gathered && count < this.expected && this.turns < MAX_TURNS) {
      this.gathered = count;
      this.turns++;
      setImmediate(this.flushSoon);
    } else this.flush();
  }

  private flush(): void {
    this.scheduled = false;
    this.gathered = 0;
    this.turns = 0;
    // With `always`, what arrives during a sync waits for the next one: a group commit.
    if (this.pending.length === 0 || (this.syncing && this.fsync === 'always')) return;
    const { pending, lengths, full } = this;
    full.push(this.scratch.subarray(0, this.used));
    this.pending = [];
    this.lengths = [];
    this.full = [];
    this.used = 0;

    let segment: Segment;
    let offset: number;
    try {
      segment = this.segment();
      offset = segment.size;
      this.write(segment, full);
    } catch (error) {
      this.tellFailed(pending, error as Error);
      return;
    }
    if (this.fsync === 'always')
      this.sync((error) => {
        if (error) this.tellFailed(pending, error);
        else this.tellWritten(pending, lengths, segment, offset);
        this.flush();
      });
    else this.tellWritten(pending, lengths, segment, offset);
  }

  private tellWritten(
    pending: readonly PendingRecord[],
    lengths: readonly number[],
    segment: Segment,
    start: number,
  ): void {
    let offset = start;
    for (let i = 0; i < pending.length; i++) {
      try {
        pending[i]!.written(segment, { segment: segment.number, offset });
      } catch (error) {
        this.onError(error as Error, LISTENER_FAILED);
      }
      offset += lengths[i]!;
    }
  }

  private tellFailed(pending: readonly PendingRecord[], cause: Error): void {
    for (const record of pending)
      try {
        record.failed(cause);
      } catch (error) {
        this.onError(error as Error, LISTENER_FAILED);
      }
  }

  private segment(): Segment {
    const active = this.catalog.active;
    if (this.fd !== undefined && active && active.size < this.segmentBytes) return active;
    const wasAbandoned = this.fd === undefined;
    if (this.fd !== undefined) this.leave(this.fd);
    this.fd = undefined;
    const next = this.catalog.activate(wasAbandoned);
    this.fd = openSync(next.path, 'ax', 0o600);
    if (this.fsync !== 'off') syncDirectory(dirname(next.path));
    return next;
  }

  /** Forces a full segment to the disk in the background: nobody waits for more of it than has been waited for. */
  private leave(fd: number): void {
    if (this.fsync === 'off') {
      closeSync(fd);
      return;
    }
    this.leaving.add(fd);
    fdatasync(fd, (error) => {
      this.leaving.delete(fd);
      if (error) this.onError(error, 'the spool could not be forced to the disk');
      close(fd);
    });
  }

  private write(segment: Segment, blocks: readonly Buffer[]): void {
    const total = blocks.reduce((sum, block) => sum + block.length, 0);
    let left: readonly Buffer[] = blocks;
    let written = 0;
    try {
      while (written < total) {
        const count = left.length === 1 ? writeSync(this.fd!, left[0]!) : writevSync(this.fd!, left);
        if (count === 0) throw new Error('The spool file takes no more bytes.');
        written += count;
        if (written < total) left = skip(left, count);
      }
    } catch (error) {
      this.undo(segment, written);
      this.abandon(segment);
      throw error;
    }
    this.catalog.grow(segment, total);
    this.dirty = true;
  }

  /** A record that is half written must not stand before a whole one. */
  private undo(segment: Segment, written: number): void {
    if (written === 0) return;
    try {
      ftruncateSync(this.fd!, segment.size);
    } catch {
      // The tail stays torn; replay stops there, so nothing may follow it in this file.
      closeSync(this.fd!);
      this.fd = undefined;
    }
  }

  /**
   * After a failed write the next one goes to a file of its own. The active file is never deleted: on a full disk it
   * would keep the room that it takes, also when all in it is in PostgreSQL.
   */
  private abandon(segment: Segment): void {
    if (segment.size === 0 || this.fd === undefined) return;
    const { fd } = this;
    this.fd = undefined;
    try {
      if (this.fsync !== 'off') fdatasyncSync(fd);
    } catch (error) {
      this.onError(error as Error, 'the spool could not be forced to the disk');
    }
    closeSync(fd);
  }

  private sync(done: (error: Error | undefined) => void): void {
    if (!this.dirty || this.syncing || this.fd === undefined) return;
    this.syncing = true;
    this.dirty = false;
    fdatasync(this.fd, (error) => {
      this.syncing = false;
      // EBADF: the segment was full and closed meanwhile, after a sync of its own.
      const real = error && error.code !== 'EBADF' ? error : undefined;
      if (real) this.onError(real, 'the spool could not be forced to the disk');
      done(real);
    });
  }
}

function skip(blocks: readonly Buffer[], bytes: number): Buffer[] {
  const left: Buffer[] = [];
  for (const block of blocks) {
    if (bytes >= block.length) bytes -= block.length;
    else {
      left.push(block.subarray(bytes));
      bytes = 0;
    }
  }
  return left;
}

/** A new file's name is safe on the disk only after its directory is. */
function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
