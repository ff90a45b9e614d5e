import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import type { Kind } from '#libs/core/content/schemas.js';
import type { Caller } from '../http/caller.js';
import { eventBody } from './event-body.js';
import { typed, type RegistryEvent } from './registry-event.js';

/** The outbox: what webhooks are told is written down with the change itself, or not at all. */
@Injectable()
export class RegistryEvents {
  /**
   * Writes an event, and one delivery for each webhook that wants it. Call it inside the transaction of the change,
   * while the entry is locked, so that the events of an entry are in the order of its changes.
   */
  async record(tx: EntityManager, caller: Pick<Caller, 'workspaceId'>, event: RegistryEvent): Promise<void> {
    const { workspaceId } = caller;
    const told = typed(event);
    const { type } = told;
    // A webhook that is being removed is waited for: its delivery would refer to nothing.
    const wanted: { id: string; workspace: string }[] = await tx.query(
      `SELECT h.id, w.name AS workspace FROM webhook h JOIN workspace w ON w.id = h.workspace_id
        WHERE h.workspace_id = $1 AND h.status = 'ACTIVE' AND $2 = ANY (h.events)
        ORDER BY h.id FOR KEY SHARE OF h`,
      [workspaceId, type],
    );
    if (wanted.length === 0) return;
    const at = new Date();
    const eventId = v7();
    await tx.query(
      `INSERT INTO webhook_event (id, workspace_id, type, body, at) VALUES ($1, $2, $3, $4, $5)`,
      [eventId, workspaceId, type, eventBody(told, at, wanted[0]!.workspace), at],
    );
    await tx.query(
      `INSERT INTO webhook_delivery
         (id, workspace_id, webhook_id, event_id, status, attempts, round_attempts, next_attempt_at, created_at)
       SELECT d.id, $1, d.webhook_id, $2, 'PENDING', 0, 0, $3, $3
         FROM unnest($4::uuid[], $5::uuid[]) AS d (id, webhook_id)`,
      [workspaceId, eventId, at, wanted.map(() => v7()), wanted.map(({ id }) => id)],
    );
  }

  /**
   * One event per tag that a patch sets or takes away. Setting a tag to the value it has is an event, too.
   * @param patch null takes all away.
   */
  async recordTags(
    tx: EntityManager,
    caller: Pick<Caller, 'workspaceId'>,
    of: { readonly kind: Kind; readonly name: string; readonly version?: number },
    before: Readonly<Record<string, string>>,
    patch: Readonly<Record<string, string | null>> | null | undefined,
  ): Promise<void> {
    if (patch === undefined) return;
    const changes = patch ?? Object.fromEntries(Object.keys(before).map((key) => [key, null]));
    for (const [key, value] of Object.entries(changes)) {
      if (value !== null) await this.record(tx, caller, { ...of, happened: 'tag set', key, value });
      else if (Object.hasOwn(before, key))
        await this.record(tx, caller, { ...of, happened: 'tag deleted', key });
    }
  }
}
