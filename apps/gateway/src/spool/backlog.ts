import type { Logger } from '#libs/platform/log/logger.js';
import type { Position } from './record.js';
import type { SegmentCatalog } from './segment-catalog.js';
import { releaseRow, rowBytes, type ShippableRow } from './shippable-row.js';
import { SpoolReader, type Unclosed } from './spool-reader.js';

/**
 * Closed inferences not yet in PostgreSQL, oldest first. New ones are handed over in memory; when they exceed its
 * bound, or when an earlier process left some behind, they are read from the segments, in order, until the reader
 * has caught up with the writer. Memory is bounded either way.
 */
export class Backlog {
  private rows: ShippableRow[] = [];
  private head = 0;
  private bytes = 0;
  /** Set while rows are to be read from the disk; what is closed meanwhile is not kept in memory. */
  private reader: SpoolReader | undefined;
  private recovered = false;

  /** @param onUnclosed told once what earlier processes left open. */
  constructor(
    private readonly catalog: SegmentCatalog,
    private readonly memoryBytes: number,
    private readonly logger: Logger,
    private readonly onUnclosed: (unclosed: readonly Unclosed[]) => void,
  ) {
    const oldest = catalog.after(0);
    if (oldest) this.reader = new SpoolReader(catalog, logger, { segment: oldest.number, offset: 0 });
  }

  /** Rows in memory. */
  get waiting(): number {
    return this.rows.length - this.head;
  }

  /** Whether rows are to be read from the disk. */
  get isOnDisk(): boolean {
    return this.reader !== undefined;
  }

  /**
   * Takes a row over.
   * @param at where its closing is in the spool; undefined where it could not be written.
   */
  push(row: ShippableRow, at: Position | undefined): void {
    if (this.reader && at) {
      releaseRow(row);
      return;
    }
    const bytes = rowBytes(row);
    if (at && this.waiting > 0 && this.bytes + bytes > this.memoryBytes) {
      this.reader = new SpoolReader(this.catalog, this.logger, at);
      releaseRow(row);
      return;
    }
    this.rows.push(row);
    this.bytes += bytes;
  }

  /** The next rows: up to `maxRows`, and no further one once `maxBytes` are reached. None: there are none now. */
  async take(maxRows: number, maxBytes: number): Promise<ShippableRow[]> {
    const taken: ShippableRow[] = [];
    let bytes = 0;
    while (this.waiting > 0 && taken.length < maxRows && bytes < maxBytes) {
      const row = this.rows[this.head++]!;
      taken.push(row);
      bytes += rowBytes(row);
    }
    this.bytes -= bytes;
    if (this.head * 2 >= this.rows.length) {
      this.rows = this.rows.slice(this.head);
      this.head = 0;
    }
    while (this.reader && this.waiting === 0 && taken.length < maxRows && bytes < maxBytes) {
      const row = await this.reader.next();
      if (row) {
        taken.push(row);
        bytes += rowBytes(row);
      }
      if (!this.recovered && this.reader.isPastOld) {
        this.recovered = true;
        this.onUnclosed(await this.reader.takeUnclosed());
        continue; // Something was awaited: whether the end is reached must be asked again.
      }
      if (row) continue;
      const { reader } = this;
      this.reader = undefined;
      await reader.close();
    }
    return taken;
  }

  async close(): Promise<void> {
    await this.reader?.close();
  }
}
