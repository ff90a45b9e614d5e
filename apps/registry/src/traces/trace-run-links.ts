import type { EntityManager } from 'typeorm';

/** What names a trace to those who linked it. */
export interface LinkedTrace {
  readonly id: string;
  readonly serial: number;
  readonly workspaceId: string;
  readonly traceId: string;
}

/** Forgets which runs the traces were linked to. */
export async function unlinkFromRuns(tx: EntityManager, traces: readonly LinkedTrace[]): Promise<void> {
  await tx.query(
    `DELETE FROM trace_run l USING run r, unnest($1::uuid[], $2::text[]) AS gone (workspace_id, trace_id)
      WHERE l.trace_id = gone.trace_id AND r.serial = l.run AND r.workspace_id = gone.workspace_id`,
    [traces.map((trace) => trace.workspaceId), traces.map((trace) => trace.traceId)],
  );
}
