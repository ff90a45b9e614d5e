import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { isPlace, type Place } from '../http/newest-first.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import type { ItemStatus, ReviewItem } from './review-queue.js';
import { checkedTraceIds, checkedUser, refuse } from './review-queue.rules.js';
import { lockTraces } from './lock-traces.js';
import { ReviewQueueService } from './review-queue.service.js';

export interface ItemQuery {
  readonly status?: ItemStatus | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Ids of traces are as their clients made them. */
const IS_PLACE = isPlace((id) => id.length <= 250 && !id.includes('\0'));

const SELECT = `
  SELECT queue_id AS "queueId", trace_id AS "traceId", status, completed_by AS "completedBy", completed_at AS "completedAt",
         created_at AS "createdAt", updated_at AS "updatedAt"
    FROM review_queue_item`;

/** The traces of review queues, and how far their review is. */
@Injectable()
export class ReviewItemService {
  constructor(
    private readonly database: DataSource,
    private readonly queues: ReviewQueueService,
  ) {}

  /**
   * Adds traces of the queue's experiment; those that are there stay as they are.
   * @returns the items, in the order given.
   * @throws DomainError NOT_FOUND (the queue; or traces, with details `{ missing }`), VALIDATION_FAILED.
   */
  async add(caller: Caller, queueId: string, traceIds: readonly string[]): Promise<ReviewItem[]> {
    const ids = checkedTraceIds(traceIds);
    return this.database.transaction(async (tx) => {
      const experiment = await this.queues.lock(caller, queueId, tx);
      const traces: { traceId: string; serial: number }[] = await tx.query(
        `SELECT trace_id AS "traceId", serial FROM trace
          WHERE workspace_id = $1 AND experiment = $2 AND trace_id = ANY($3) ORDER BY trace_id FOR KEY SHARE`,
        [caller.workspaceId, experiment, ids],
      );
      const found = new Set(traces.map(({ traceId }) => traceId));
      const missing = ids.filter((id) => !found.has(id));
      if (missing.length > 0)
        throw new DomainError(
          'NOT_FOUND',
          `The experiment of the queue has no trace "${missing[0]!.slice(0, 250)}"${missing.length > 1 ? ` (and ${missing.length - 1} more)` : ''}.`,
          { missing },
        );
      await tx.query(
        `INSERT INTO review_queue_item (queue_id, trace_id, trace, status, created_at, updated_at)
         SELECT $1, trace_id, trace, 'pending', $4, $4 FROM unnest($2::text[], $3::bigint[]) AS given (trace_id, trace)
         ON CONFLICT DO NOTHING`,
        [queueId, traces.map(({ traceId }) => traceId), traces.map(({ serial }) => serial), new Date()],
      );
      return tx.query(
        `${SELECT} WHERE queue_id = $1 AND trace_id = ANY($2) ORDER BY array_position($2::text[], trace_id)`,
        [queueId, ids],
      );
    });
  }

  /** Those that are not there are as good as removed. @throws DomainError NOT_FOUND (the queue), VALIDATION_FAILED. */
  async remove(caller: Caller, queueId: string, traceIds: readonly string[]): Promise<void> {
    const ids = checkedTraceIds(traceIds);
    await this.queues.get(caller, queueId);
    await this.database.transaction(async (tx) => {
      await lockTraces(tx, queueId, ids);
      await tx.query(`DELETE FROM review_queue_item WHERE queue_id = $1 AND trace_id = ANY($2)`, [
        queueId,
        ids,
      ]);
    });
  }

  /** Last added first. @throws DomainError NOT_FOUND (the queue), INVALID_CURSOR. */
  async list(caller: Caller, queueId: string, query: ItemQuery): Promise<Page<ReviewItem>> {
    const after = decodeCursor(query.cursor, IS_PLACE);
    await this.queues.get(caller, queueId);
    const rows: ReviewItem[] = await this.database.query(
      `${SELECT} WHERE queue_id = $1 AND ($2::text IS NULL OR status = $2)
          AND ($3::timestamptz IS NULL OR (created_at <= $3 AND (created_at < $3 OR trace_id > $4)))
        ORDER BY created_at DESC, trace_id LIMIT $5`,
      [queueId, query.status ?? null, after ? new Date(after[0]) : null, after?.[1] ?? null, query.limit + 1],
    );
    return pageOf(
      rows,
      query.limit,
      (row): Place => [row.createdAt.getTime(), row.traceId],
      (row) => row,
    );
  }

  /**
   * The same status again changes nothing: who completed it first, did.
   * @param by who completed or declined it; undefined for `pending`.
   * @throws DomainError NOT_FOUND (the queue; or the item, with details `{ traceId }`), VALIDATION_FAILED.
   */
  async setStatus(
    caller: Caller,
    queueId: string,
    traceId: string,
    status: ItemStatus,
    by: string | undefined,
  ): Promise<ReviewItem> {
    if (status === 'pending' && by !== undefined)
      refuse('/completedBy', 'must be absent where the item is pending again');
    if (status !== 'pending' && by === undefined)
      refuse('/completedBy', `is needed where the item is ${status}`);
    const completedBy = by === undefined ? null : checkedUser('/completedBy', by);
    const id = traceId.trim();
    await this.queues.get(caller, queueId);
    await this.database.query(
      `UPDATE review_queue_item
          SET status = $3, completed_by = $4, completed_at = CASE WHEN $4::text IS NULL THEN NULL ELSE $5::timestamptz END,
              updated_at = $5
        WHERE queue_id = $1 AND trace_id = $2 AND status <> $3`,
      [queueId, id, status, completedBy, new Date()],
    );
    const [item]: ReviewItem[] = await this.database.query(
      `${SELECT} WHERE queue_id = $1 AND trace_id = $2`,
      [queueId, id],
    );
    if (item === undefined)
      throw new DomainError('NOT_FOUND', `The queue does not hold the trace "${id.slice(0, 250)}".`, {
        traceId: id,
      });
    return item;
  }
}
