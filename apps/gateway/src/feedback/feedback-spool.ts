import { v7, parse as uuidBytes } from 'uuid';
import type { ReceivedFeedback } from '#libs/core/feedback/feedback-event.js';
import { DirectoryLock } from '#libs/platform/lock/directory-lock.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { ID_COLUMN_BYTES } from '../spool/record.js';
import { SegmentCatalog, type Segment } from '../spool/segment-catalog.js';
import { SegmentWalk } from '../spool/segment-walk.js';
import { SegmentWriter, type Fsync } from '../spool/segment-writer.js';

const SEGMENT_BYTES = 32 * 1024 * 1024;

export interface FeedbackSpoolOptions {
  readonly directory: string;
  readonly maxBytes: number;
  readonly fsync: Fsync;
  /** For tests. */
  readonly segmentBytes?: number;
}

/** Feedback that one request brought, read back. */
export interface SpooledFeedback {
  readonly events: readonly ReceivedFeedback[];
  readonly segment: Segment;
}

/** It holds as much as it may. */
export class FeedbackSpoolFullError extends Error {
  override readonly name = 'FeedbackSpoolFullError';
}

/**
 * The gateway's append-only file of feedback that is not in PostgreSQL yet. A record is what one request brought: in the
 * format of the spool of rows an opening, with an id that means nothing and the events as its request.
 */
export class FeedbackSpool {
  private readonly lock: DirectoryLock;
  private readonly catalog: SegmentCatalog;
  private readonly writer: SegmentWriter;
  private readonly walk: SegmentWalk;
  private onWritten: () => void = () => undefined;

  /** @throws DirectoryLockedError when another gateway uses the directory. */
  constructor(
    private readonly options: FeedbackSpoolOptions,
    logger: Logger,
  ) {
    this.lock = DirectoryLock.acquire(
      options.directory,
      'lock',
      `${options.directory} belongs to another running gateway; give each gateway a CATENA_DATA_DIR of its own.`,
    );
    this.catalog = new SegmentCatalog(options.directory, logger);
    this.writer = new SegmentWriter(
      this.catalog,
      options.fsync,
      options.segmentBytes ?? Math.min(SEGMENT_BYTES, options.maxBytes / 8),
      (error, what) => logger.error({ err: error }, what),
    );
    this.walk = new SegmentWalk(this.catalog, logger, { segment: 0, offset: 0 });
  }

  get bytes(): number {
    return this.catalog.bytes;
  }

  get damageCount(): number {
    return this.catalog.damageCount;
  }

  /** Called whenever there is something to read. */
  notify(listener: () => void): void {
    this.onWritten = listener;
  }

  /**
   * Appends what a request brought.
   * @returns when it is in the file: it then outlives this process.
   * @throws FeedbackSpoolFullError; Error where the file takes nothing. Nothing of it is kept then.
   */
  async append(events: readonly ReceivedFeedback[]): Promise<void> {
    if (this.catalog.heldBytes >= this.options.maxBytes)
      throw new FeedbackSpoolFullError(`The spool of feedback holds ${this.options.maxBytes} bytes.`);
    const body = Buffer.from(JSON.stringify(events));
    await new Promise<void>((resolve, reject) =>
      this.writer.append('opening', idColumn(), body, undefined, {
        written: (segment) => {
          segment.live++;
          resolve();
        },
        failed: reject,
      }),
    );
    this.onWritten();
  }

  /**
   * The next records, until these are `maxEvents` or `maxBytes` or a little more. None: there are none now. One caller at a time.
   * @throws where none can be read although there are some; asked again, it tries again.
   */
  async read(maxEvents: number, maxBytes: number): Promise<SpooledFeedback[]> {
    const read: SpooledFeedback[] = [];
    for (let events = 0, bytes = 0; events < maxEvents && bytes < maxBytes;) {
      const walked = await this.walk.next().catch((error: unknown) => {
        // The walk is beyond those that were read: nobody would read them again before the next start.
        if (read.length === 0) throw error;
      });
      if (!walked) break;
      const { segment, record } = walked;
      if (segment.unread) segment.live++;
      const batch = { segment, events: JSON.parse(record.request!.toString()) as ReceivedFeedback[] };
      read.push(batch);
      events += batch.events.length;
      bytes += record.request!.length;
    }
    return read;
  }

  /** Records are in PostgreSQL, or in quarantine. */
  settle(records: readonly SpooledFeedback[]): void {
    for (const { segment } of records) this.catalog.settle(segment);
  }

  /** Writes what is pending and gives the directory free. */
  async shutdown(): Promise<void> {
    this.writer.close();
    await this.walk.close();
    this.catalog.close();
    this.lock.release();
  }
}

/** An id as COPY takes it, with which every record begins. */
function idColumn(): Buffer {
  const column = Buffer.alloc(ID_COLUMN_BYTES);
  const id = uuidBytes(v7());
  column.writeInt32BE(id.length, 0);
  column.set(id, 4);
  return column;
}
