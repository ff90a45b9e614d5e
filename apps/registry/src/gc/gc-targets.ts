import type { DataSource } from 'typeorm';
import type { GcScope } from './gc-scope.js';

/** @throws Error that names what cannot be removed: asked for by id, but not there, not deleted, or not long enough. */
export async function assertDeleted(database: DataSource, scope: GcScope): Promise<void> {
  const { runIds = [], experimentNumbers = [], workspaceId, before } = scope;
  const bad: { what: string; id: string; problem: string }[] = await database.query(
    `SELECT 'run' AS what, replace(g.id::text, '-', '') AS id,
            CASE WHEN r.id IS NULL THEN 'is not there' WHEN r.deleted_at IS NULL THEN 'is not deleted'
                 ELSE 'was deleted only at ' || r.deleted_at END AS problem
       FROM unnest($1::uuid[]) AS g (id) LEFT JOIN run r ON r.id = g.id AND r.workspace_id = $3
      WHERE r.deleted_at IS NULL OR r.deleted_at >= $4
     UNION ALL
     SELECT 'experiment', g.number::text,
            CASE WHEN e.id IS NULL THEN 'is not there' WHEN e.deleted_at IS NULL THEN 'is not deleted'
                 ELSE 'was deleted only at ' || e.deleted_at END
       FROM unnest($2::integer[]) AS g (number) LEFT JOIN experiment e ON e.number = g.number AND e.workspace_id = $3
      WHERE e.deleted_at IS NULL OR e.deleted_at >= $4`,
    [runIds, experimentNumbers, workspaceId ?? null, before],
  );
  if (bad.length === 0) return;
  const lines = bad.map(({ what, id, problem }) => `  ${what} ${id} ${problem}`);
  throw new Error(
    `Nothing was removed:\n${lines.join('\n')}\nDelete it first, wait, or give a shorter --older-than.`,
  );
}
