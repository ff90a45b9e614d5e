const SLAB_BYTES = 256 * 1024;
/** Kept for the next rows: 8 MiB, a second of rows on a busy gateway. */
const MAX_FREE_SLABS = 32;

/** Memory that rows share. */
export interface Slab {
  readonly bytes: Buffer;
  /** Rows in it that are still wanted. */
  rows: number;
}

/** A row as PostgreSQL's binary COPY takes it. */
export interface EncodedRow {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
}

/**
 * Rows of one table as COPY takes them, one after the other, in slabs. A row waits for its batch as bytes, and not
 * as the objects of its request, which the garbage collector would have to carry along until the batch is stored.
 * Slabs are used again: memory outside the heap makes V8 collect all of it the sooner, the more of it is allocated.
 */
export class RowSlabs {
  private readonly free: Slab[] = [];
  private slab: Slab = { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES), rows: 0 };
  private length = 0;

  /** Room for the bytes of a row, for the caller to fill; to be given back with `release`. */
  add(bytes: number): EncodedRow {
    this.room(bytes);
    const { slab, length: start } = this;
    this.length += bytes;
    slab.rows++;
    return { slab, start, end: this.length };
  }

  /** A row is not wanted any more; its bytes may be overwritten. To be called once per row. */
  release({ slab }: EncodedRow): void {
    if (--slab.rows > 0) return;
    if (slab === this.slab) this.length = 0;
    else this.keep(slab);
  }

  /** The bytes of a row stay together: one that does not fit into the rest of a slab goes into another. */
  private room(bytes: number): void {
    if (this.length + bytes <= this.slab.bytes.length) return;
    const full = this.slab;
    this.slab = (bytes <= SLAB_BYTES ? this.free.pop() : undefined) ?? {
      bytes: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes)),
      rows: 0,
    };
    this.length = 0;
    if (full.rows === 0) this.keep(full);
  }

  private keep(slab: Slab): void {
    if (slab.bytes.length === SLAB_BYTES && this.free.length < MAX_FREE_SLABS) this.free.push(slab);
  }
}
