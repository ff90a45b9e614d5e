import type { EntityManager } from 'typeorm';

/**
 * Keeps the traces of a queue from being deleted meanwhile. Who deletes traces locks them in this order, and then their
 * items: who deletes items must not meet it half way.
 * @param traceIds only these; null: all that the queue holds.
 */
export async function lockTraces(
  tx: EntityManager,
  queueId: string,
  traceIds: readonly string[] | null,
): Promise<void> {
  await tx.query(
    `SELECT FROM trace WHERE serial IN (
       SELECT trace FROM review_queue_item WHERE queue_id = $1 AND ($2::text[] IS NULL OR trace_id = ANY($2)))
      ORDER BY trace_id FOR KEY SHARE`,
    [queueId, traceIds],
  );
}
