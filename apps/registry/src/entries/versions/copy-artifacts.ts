import type { EntityManager } from 'typeorm';
import type { Caller } from '../../http/caller.js';

/** Files that a run, a logged model or another version holds. */
export interface ArtifactSource {
  readonly owner: 'run' | 'loggedModel' | 'version';
  readonly id: string;
  /** A directory or a file among them, without slashes at its ends; empty for all. */
  readonly path: string;
}

const COLUMNS = { run: 'run_id', loggedModel: 'logged_model_id', version: 'version_id' } as const;

/**
 * Gives a version its own rows of what another owner holds at this moment, the paths relative to `source.path`. The
 * bytes are the same blobs, so nothing is moved; what happens to the other owner's files later does not reach the version.
 * @returns how many there are.
 */
export async function copyArtifacts(
  caller: Caller,
  source: ArtifactSource,
  versionId: string,
  tx: EntityManager,
): Promise<number> {
  const [copied]: { count: number }[] = await tx.query(
    `WITH copied AS (
       INSERT INTO artifact (id, workspace_id, version_id, path, sha256, content_type, created_at, created_by)
       SELECT gen_random_uuid(), a.workspace_id, $2,
              CASE WHEN $4 = '' THEN a.path
                   WHEN a.path = $4 THEN regexp_replace(a.path, '^.*/', '')
                   ELSE substr(a.path, length($4) + 2) END,
              a.sha256, a.content_type, now(), $5
         FROM artifact a
        WHERE a.workspace_id = $1 AND a.${COLUMNS[source.owner]} = $3
          AND ($4 = '' OR a.path = $4 OR starts_with(a.path, $4 || '/'))
       RETURNING 1)
     SELECT count(*) FROM copied`,
    [caller.workspaceId, versionId, source.id, source.path, caller.actor],
  );
  return copied!.count;
}
