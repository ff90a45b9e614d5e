import type { EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import type { Caller } from '../http/caller.js';
import { decodeCursor, pageOf, type Page, type PageQuery } from '../http/page.js';
import type { AccessEventDto } from './access-event.dto.js';

/** What the log is about. */
export type AccessNoun = 'api_key' | 'usage_limit';

export type AccessAction = 'created' | 'changed' | 'rotated' | 'revoked' | 'deleted';

export interface AccessEvent {
  readonly noun: AccessNoun;
  readonly nounId: string;
  readonly action: AccessAction;
  readonly reason: string | undefined;
  /** What is new, never a secret. */
  readonly detail: object;
}

/** Writes down who changed who may call. Call it in the transaction that does. */
export async function recordAccessEvent(
  tx: EntityManager,
  caller: Caller,
  { noun, nounId, action, reason, detail }: AccessEvent,
): Promise<void> {
  await tx.query(
    `INSERT INTO access_event (id, workspace_id, noun, noun_id, action, actor, reason, detail, at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      v7(),
      caller.workspaceId,
      noun,
      nounId,
      action,
      caller.actor,
      reason ?? null,
      JSON.stringify(detail),
      new Date(),
    ],
  );
}

/** The events of a key or a limit, newest first. @throws DomainError INVALID_CURSOR. */
export async function listAccessEvents(
  manager: EntityManager,
  caller: Caller,
  nounId: string,
  query: PageQuery,
): Promise<Page<AccessEventDto>> {
  const before = decodeCursor(query.cursor, (key): key is string => typeof key === 'string' && validate(key));
  const rows: AccessEventDto[] = await manager.query(
    `SELECT id, action, actor, reason, detail, at FROM access_event
      WHERE workspace_id = $1 AND noun_id = $2 AND ($3::uuid IS NULL OR id < $3)
      ORDER BY id DESC LIMIT $4`,
    [caller.workspaceId, nounId, before ?? null, query.limit + 1],
  );
  return pageOf(
    rows,
    query.limit,
    (row) => row.id,
    (row) => row,
  );
}
