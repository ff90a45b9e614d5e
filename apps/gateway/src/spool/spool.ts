import { DirectoryLock } from '#libs/platform/lock/directory-lock.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { Backlog } from './backlog.js';
import { closingMeta, openingColumns, storableBody } from './columns.js';
import type { Bodies } from './encoded-rows.js';
import type { ClosingMeta, OpeningMeta, Position } from './record.js';
import { SegmentCatalog, type Segment } from './segment-catalog.js';
import { SegmentWriter, type Fsync, type PendingRecord } from './segment-writer.js';
import { releaseRow, shippableRow, type ShippableRow } from './shippable-row.js';
import type { SpoolMetrics } from './spool.metrics.js';
import type { Unclosed } from './spool-reader.js';

/** Rows in memory on their way to PostgreSQL, in bytes; beyond it they wait on the disk only. */
const MEMORY_BYTES = 32 * 1024 * 1024;
const SEGMENT_BYTES = 32 * 1024 * 1024;
/** A full disk fails every request; the log hears of it this often. */
const FAILURE_LOG_INTERVAL_MS = 10_000;

export interface SpoolOptions {
  readonly directory: string;
  readonly maxBytes: number;
  readonly whenFull: 'refuse' | 'drop';
  readonly fsync: Fsync;
  /** For tests. */
  readonly segmentBytes?: number;
  readonly memoryBytes?: number;
}

/** The spool takes no more inferences. */
export class SpoolFullError extends Error {
  override readonly name = 'SpoolFullError';
}

/** Who waits for a record. Called after `open` or `close` has returned; what it throws is logged. */
export interface SpoolListener {
  /** The opening is in the spool, or why it is not: the request must be refused then. */
  onOpened(error: Error | undefined): void;
  /** The closing is in the spool, or why it is not: the answer must not be completed then. */
  onClosed(error: Error | undefined): void;
}

/** An inference between its two records. */
export class SpooledInference implements PendingRecord {
  segment: Segment | undefined;
  position: Position | undefined;
  /** The spool was full and the policy is `drop`: it gets no row. */
  dropped = false;

  constructor(
    private readonly spool: Spool,
    /** As `openingColumns` makes them. */
    readonly columns: Buffer,
    /** See `Spool.open`. */
    readonly request: Buffer,
    readonly metadata: Buffer | undefined,
    readonly listener: SpoolListener,
  ) {}

  written(segment: Segment, position: Position): void {
    segment.live++;
    this.segment = segment;
    this.position = position;
    this.listener.onOpened(undefined);
  }

  failed(error: Error): void {
    this.spool.openingFailed(this, error);
  }
}

/** A closing on its way to the disk. */
class PendingClosing implements PendingRecord {
  constructor(
    private readonly spool: Spool,
    readonly row: ShippableRow,
    readonly inference: SpooledInference,
    readonly closing: ClosingMeta,
    /** As `Spool.close` takes it. */
    readonly request: Buffer | undefined,
    readonly response: Buffer | undefined,
  ) {}

  written(segment: Segment, position: Position): void {
    segment.live++;
    this.row.closedIn = segment;
    this.spool.closingWritten(this, position);
    this.inference.listener.onClosed(undefined);
  }

  failed(error: Error): void {
    this.inference.listener.onClosed(this.spool.closingFailed(this, error));
  }
}

/** The gateway's append-only file of inferences not yet in PostgreSQL. */
export class Spool {
  readonly backlog: Backlog;
  private readonly lock: DirectoryLock;
  private readonly catalog: SegmentCatalog;
  private readonly writer: SegmentWriter;
  /** By message, `performance.now()`. */
  private readonly lastLogs = new Map<string, number>();
  private onRow: () => void = () => undefined;

  /** @throws DirectoryLockedError when another gateway uses the directory. */
  constructor(
    private readonly options: SpoolOptions,
    private readonly metrics: SpoolMetrics,
    private readonly logger: Logger,
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
    this.backlog = new Backlog(this.catalog, options.memoryBytes ?? MEMORY_BYTES, logger, (unclosed) =>
      this.interrupt(unclosed),
    );
    metrics.watch(this.catalog);
  }

  /** Called whenever a row may be taken from the backlog. */
  notify(listener: () => void): void {
    this.onRow = listener;
    if (this.backlog.isOnDisk) listener();
  }

  /** Whether so much is free that what nobody waits for may take some of it. */
  get hasRoomToSpare(): boolean {
    return this.catalog.heldBytes < this.options.maxBytes / 2;
  }

  /**
   * Appends an opening; the listener hears when it is written.
   * @param request as PostgreSQL can store it: UTF-8 without NUL, as everything is that `JSON.stringify` writes.
   * @param metadata the caller's, likewise.
   * @throws SpoolFullError when full and the policy is `refuse`.
   */
  open(
    meta: OpeningMeta,
    request: Buffer,
    metadata: Buffer | undefined,
    listener: SpoolListener,
  ): SpooledInference {
    const inference = new SpooledInference(this, openingColumns(meta), request, metadata, listener);
    if (this.catalog.heldBytes >= this.options.maxBytes) {
      const full = new SpoolFullError('The spool has reached CATENA_SPOOL_MAX_BYTES.');
      if (this.options.whenFull === 'refuse') throw full;
      inference.dropped = true;
      this.logFailure(full, DROPPING);
      this.tellLater(() => listener.onOpened(undefined));
      return inference;
    }
    this.writer.expected++;
    this.writer.append('opening', inference.columns, request, metadata, inference);
    return inference;
  }

  /**
   * Appends a closing; the listener hears when it is written. Takes closings beyond the limit too: what was
   * admitted gets its row.
   * @param request body of the last attempt where it is not the opening's, like that one.
   * @param response any bytes.
   */
  close(
    inference: SpooledInference,
    closing: ClosingMeta,
    request: Buffer | undefined,
    response: Buffer | undefined,
  ): void {
    if (inference.dropped) {
      this.metrics.ended[closing.status]++;
      this.metrics.dropped.inc();
      this.tellLater(() => inference.listener.onClosed(undefined));
      return;
    }
    const answer = response && storableBody(response);
    const meta = closingMeta(inference.columns, inference.position!, closing);
    const row = rowOf(inference, meta, request, answer);
    const pending = new PendingClosing(this, row, inference, closing, request, answer);
    this.writer.append('closing', meta, request, answer, pending);
  }

  /** Rows are in PostgreSQL, or in quarantine. */
  settle(rows: readonly ShippableRow[]): void {
    for (const row of rows) {
      releaseRow(row);
      this.catalog.settle(row.openedIn);
      this.catalog.settle(row.closedIn);
      if (!row.closedIn?.inherited) this.metrics.pendingRows--;
    }
  }

  /** Writes what is pending and gives the directory free. */
  shutdown(): void {
    this.writer.close();
    this.catalog.close();
    this.lock.release();
  }

  openingFailed(inference: SpooledInference, error: Error): void {
    this.writer.expected--;
    if (this.options.whenFull === 'refuse') {
      this.logFailure(error, 'the spool takes no records; requests are refused');
      inference.listener.onOpened(error);
      return;
    }
    inference.dropped = true;
    this.logFailure(error, DROPPING);
    inference.listener.onOpened(undefined);
  }

  closingWritten({ row, closing }: PendingClosing, position: Position): void {
    this.writer.expected--;
    this.metrics.ended[closing.status]++;
    this.metrics.pendingRows++;
    this.backlog.push(row, position);
    this.onRow();
  }

  /**
   * The row still goes to PostgreSQL from memory; only a crash right now would leave it `interrupted`. An answer that
   * the caller is refused is no `ok`, though the row has it: nobody else got it.
   */
  closingFailed(pending: PendingClosing, error: Error): Error | undefined {
    this.writer.expected--;
    this.logFailure(error, 'closings cannot be spooled; their rows are in memory only');
    const refused = this.options.whenFull === 'refuse';
    const closing =
      refused && pending.closing.status === 'ok' ? notDelivered(pending.closing, error) : undefined;
    this.metrics.ended[(closing ?? pending.closing).status]++;
    this.metrics.pendingRows++;
    this.backlog.push(closing ? replacedRow(pending, closing) : pending.row, undefined);
    this.onRow();
    return refused ? error : undefined;
  }

  private interrupt(unclosed: readonly Unclosed[]): void {
    if (unclosed.length > 0)
      this.logger.warn({ inferences: unclosed.length }, 'requests were cut by the end of an earlier process');
    for (const { opening, segment, position } of unclosed) {
      const inference = new SpooledInference(
        this,
        opening.columns,
        opening.request,
        opening.metadata,
        SILENT,
      );
      inference.segment = segment;
      inference.position = position;
      this.writer.expected++;
      this.close(inference, INTERRUPTED, undefined, undefined);
    }
  }

  private tellLater(tell: () => void): void {
    queueMicrotask(() => {
      try {
        tell();
      } catch (error) {
        this.logger.error({ err: error }, 'a request without a row failed');
      }
    });
  }

  private logFailure(error: Error, what: string): void {
    const now = performance.now();
    if (now - (this.lastLogs.get(what) ?? -Infinity) < FAILURE_LOG_INTERVAL_MS) return;
    this.lastLogs.set(what, now);
    this.logger.error({ err: error }, what);
  }
}

function rowOf(
  inference: SpooledInference,
  meta: Buffer,
  request: Buffer | undefined,
  answer: Buffer | undefined,
): ShippableRow {
  const bodies: Bodies = {
    metadata: inference.metadata,
    request: request ?? inference.request,
    response: answer,
  };
  return shippableRow(inference.columns, meta, bodies, inference.segment);
}

function replacedRow(
  { row, inference, request, response }: PendingClosing,
  closing: ClosingMeta,
): ShippableRow {
  releaseRow(row);
  return rowOf(inference, closingMeta(inference.columns, inference.position!, closing), request, response);
}

function notDelivered(closing: ClosingMeta, error: Error): ClosingMeta {
  const errorMessage = `The caller was refused the answer, because it could not be recorded: ${error.message}`;
  return { ...closing, status: 'error', errorCode: 'spool_full', errorMessage };
}

const DROPPING = 'the spool takes no records; requests are answered without a row';

const SILENT: SpoolListener = { onOpened: () => undefined, onClosed: () => undefined };

const INTERRUPTED: ClosingMeta = {
  status: 'interrupted',
  errorCode: 'gateway_interrupted',
  errorMessage: 'The gateway ended before the answer was complete.',
  modelEndpoint: null,
  model: null,
  replica: null,
  attempts: 0,
  finishReason: null,
  schemaValid: null,
  inputTokens: null,
  outputTokens: null,
  cachedInputTokens: null,
  cacheWriteInputTokens: null,
  reasoningTokens: null,
  contractOutcome: null,
  contractRungs: null,
  costMicroUsd: null,
  latencyMs: null,
  ttftMs: null,
  dispatchedMs: null,
  modelCalls: null,
};
