import type { EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import type { Weight } from '#libs/core/ab-test/ramp.js';
import type { Caller } from '../../http/caller.js';
import { decodeCursor, pageOf, type Page, type PageQuery } from '../../http/page.js';
import type { SteeringMoveDto } from './steering.dto.js';
import { Steering } from './steering.entity.js';

export type MoveAction = 'set' | 'split' | 'pause' | 'resume' | 'advance' | 'roll_back' | 'kill' | 'stop';

export interface Change {
  readonly action: MoveAction;
  readonly reason: string;
  /** What becomes of the row. */
  readonly set: Partial<
    Pick<
      Steering,
      'mode' | 'settings' | 'state' | 'step' | 'since' | 'revision' | 'dropped' | 'alarms' | 'acknowledged'
    >
  >;
  /** Of the split it made. */
  readonly weights?: readonly Weight[];
}

/** Changes how a test is steered, and writes it down. Under the lock of the endpoint's row. */
export async function change(
  tx: EntityManager,
  caller: Caller,
  row: Steering,
  { action, reason, set, weights }: Change,
  now: Date,
): Promise<void> {
  Object.assign(row, set, {
    note: reason,
    version: row.version + 1,
    updatedAt: now,
    updatedBy: caller.actor,
  });
  const { lookedAt: _, ...fields } = row;
  await tx.upsert(Steering, fields, ['abTestId']);
  await tx.query(
    `INSERT INTO ab_test_move (id, workspace_id, ab_test_id, at, action, step, revision, weights, reason, actor)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      v7(),
      row.workspaceId,
      row.abTestId,
      now,
      action,
      row.step,
      weights ? row.revision : null,
      weights ? JSON.stringify(weights) : null,
      reason,
      caller.actor,
    ],
  );
}

/** Newest first. @throws DomainError INVALID_CURSOR. */
export async function listMoves(
  manager: EntityManager,
  caller: Caller,
  abTestId: string,
  query: PageQuery,
): Promise<Page<SteeringMoveDto>> {
  const before = decodeCursor(query.cursor, (key): key is string => typeof key === 'string' && validate(key));
  const rows: SteeringMoveDto[] = await manager.query(
    `SELECT id, at, action, step, revision, weights, reason, actor FROM ab_test_move
      WHERE workspace_id = $1 AND ab_test_id = $2 AND ($3::uuid IS NULL OR id < $3)
      ORDER BY id DESC LIMIT $4`,
    [caller.workspaceId, abTestId, before ?? null, query.limit + 1],
  );
  return pageOf(
    rows,
    query.limit,
    (row) => row.id,
    (row) => row,
  );
}

/** Tests to be looked at, each by one registry: those not looked at for so long. */
export async function claimLooks(manager: EntityManager, everyMs: number, limit: number): Promise<string[]> {
  const [rows]: [{ id: string }[], number] = await manager.query(
    `UPDATE ab_test_steering SET looked_at = now() WHERE ab_test_id IN (
       SELECT s.ab_test_id FROM ab_test_steering s JOIN ab_test t ON t.id = s.ab_test_id
        WHERE s.state <> 'ended' AND t.status <> 'draft'
          AND (s.looked_at IS NULL OR s.looked_at <= now() - $1 * interval '1 millisecond')
        ORDER BY s.looked_at NULLS FIRST LIMIT $2 FOR UPDATE OF s SKIP LOCKED)
     RETURNING ab_test_id AS id`,
    [everyMs, limit],
  );
  return rows.map(({ id }) => id);
}
