import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../http/caller.js';
import type { Owner } from './artifact-owner.js';
import { isOwnedBy } from './owner-columns.js';

/** One file, or one directory, directly inside a directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  /** Of a file. */
  readonly sizeBytes: number | null;
}

/** Reads one level of the tree of paths. */
@Injectable()
export class DirectoryRows {
  constructor(private readonly database: DataSource) {}

  /**
   * Jumps along the index over paths: behind a directory it goes on after everything inside, so that the cost is one
   * look-up per entry shown, however much lies deeper. ('0' is the character after '/'; paths hold no controls.)
   * @param directory '' for the root.
   * @param after name of the last entry before. @returns in order of path.
   */
  async list(
    caller: Caller,
    owner: Owner,
    directory: string,
    after: Pick<DirectoryEntry, 'name' | 'isDirectory'> | undefined,
    limit: number,
  ): Promise<DirectoryEntry[]> {
    const prefix = directory === '' ? '' : `${directory}/`;
    const from = after === undefined ? prefix : `${prefix}${after.name}${after.isDirectory ? '0' : '\u0001'}`;
    const parameters: unknown[] = [caller.workspaceId, owner.id, lengthInSql(prefix), from, limit];
    if (prefix !== '') parameters.push(`${directory}0`);
    const first = `SELECT path, sha256, strpos(substr(path, $3::integer + 1), '/') AS slash
                     FROM artifact
                    WHERE ${isOwnedBy(owner, '$1', '$2')} ${prefix === '' ? '' : 'AND path < $6'}`;
    return this.database.query(
      `WITH RECURSIVE level AS (
         (${first} AND path >= $4 ORDER BY path LIMIT 1)
         UNION ALL
         SELECT next.* FROM level CROSS JOIN LATERAL (
           ${first} AND path >= CASE WHEN level.slash = 0 THEN level.path || chr(1)
                                     ELSE left(level.path, $3 + level.slash - 1) || '0' END
           ORDER BY path LIMIT 1) next
       ), page AS (SELECT * FROM level LIMIT $5)
       SELECT CASE WHEN slash = 0 THEN substr(path, $3 + 1) ELSE substr(path, $3 + 1, slash - 1) END AS name,
              slash > 0 AS "isDirectory",
              CASE WHEN slash = 0 THEN (SELECT size_bytes FROM blob
                                         WHERE workspace_id = $1 AND sha256 = page.sha256) END AS "sizeBytes"
         FROM page`,
      parameters,
    );
  }
}

/** PostgreSQL counts code points. */
function lengthInSql(text: string): number {
  return Array.from(text).length;
}
