import type { EntityManager } from 'typeorm';
import { validate } from 'uuid';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import { lifecycleSql, type Lifecycle } from '../search/run-query.js';
import { SELECT_RUN, type RunRecord } from './run-record.js';

export interface RunListQuery {
  readonly limit: number;
  readonly cursor?: string;
  readonly lifecycle: Lifecycle;
}

/** All runs of the workspace, newest first: ids are UUIDv7, so they sort by time of creation. */
export async function listRuns(
  caller: Caller,
  query: RunListQuery,
  manager: EntityManager,
): Promise<Page<RunRecord>> {
  const before = decodeCursor(query.cursor, isUuidKey);
  const rows: RunRecord[] = await manager.query(
    `${SELECT_RUN}
      WHERE r.workspace_id = $1 AND ${lifecycleSql(query.lifecycle, 'r')} ${before === undefined ? '' : 'AND r.id < $3'}
      ORDER BY r.id DESC LIMIT $2`,
    [caller.workspaceId, query.limit + 1, ...(before === undefined ? [] : [before])],
  );
  return pageOf(
    rows,
    query.limit,
    (run) => run.id,
    (run) => run,
  );
}

const isUuidKey = (key: unknown): key is string => isStringKey(key) && validate(key);
