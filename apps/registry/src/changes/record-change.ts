import type { EntityManager } from 'typeorm';

/** What gateways follow; `nounId` is the id of its row. */
export type ChangedNoun = 'endpoint' | 'model_endpoint' | 'api_key' | 'usage_limit';

/**
 * Tells every gateway that a row changed. Call as the last statement of the transaction that changes it: the head
 * of the feed is locked from here to the commit, so that sequence order is commit order.
 */
export async function recordChange(
  tx: EntityManager,
  workspaceId: string,
  noun: ChangedNoun,
  nounId: string,
): Promise<void> {
  await tx.query('SELECT catena_record_change($1, $2, $3)', [workspaceId, noun, nounId]);
}
