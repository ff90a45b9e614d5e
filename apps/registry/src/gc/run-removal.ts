import type { DataSource, EntityManager } from 'typeorm';
import { inScope, type GcScope } from './gc-scope.js';
import type { Tally } from './tally.js';

/** Runs of one transaction: its locks last milliseconds. */
const RUNS = 100;
/** Rows of volume removed by one statement. */
const ROWS = 20_000;

/**
 * SQL: a version needs this run (alias `r`). Either the run evaluated it, or the version was made from it, or from a
 * logged model of it. Clients write run ids with and without hyphens.
 */
export const NEEDED_BY_VERSION = `(
  EXISTS (SELECT FROM run_version u WHERE u.run = r.serial)
  OR EXISTS (SELECT FROM version_source s WHERE s.workspace_id = r.workspace_id
              AND s.run_id IN (r.id::text, replace(r.id::text, '-', '')))
  OR EXISTS (SELECT FROM logged_model m JOIN version_source s ON s.workspace_id = m.workspace_id
              AND s.model_id = 'm-' || replace(m.id::text, '-', '') WHERE m.source_run_id = r.id))`;

const FROM = `FROM run r JOIN experiment e ON e.serial = r.experiment_serial WHERE r.deleted_at < $4`;

interface RemovedRun {
  readonly id: string;
  readonly serial: number;
}

/** Removes runs that were deleted long enough ago. */
export class RunRemoval {
  constructor(
    private readonly database: DataSource,
    private readonly tally: Tally,
  ) {}

  /** What `remove` would. */
  async count(scope: GcScope): Promise<void> {
    const { where, parameters } = inScope(scope, true);
    const [row]: { gone: number; kept: number; metrics: number; artifacts: number }[] =
      await this.database.query(
        `SELECT count(*) FILTER (WHERE NOT kept) AS gone, count(*) FILTER (WHERE kept) AS kept,
              COALESCE(sum(metrics) FILTER (WHERE NOT kept), 0)::bigint AS metrics,
              COALESCE(sum(artifacts) FILTER (WHERE NOT kept), 0)::bigint AS artifacts
         FROM (SELECT ${NEEDED_BY_VERSION} AS kept, (SELECT count(*) FROM metric m WHERE m.run = r.serial) AS metrics,
                      (SELECT count(*) FROM artifact a WHERE a.run_id = r.id) AS artifacts
                 ${FROM} AND ${where}) runs`,
        [...parameters, scope.before],
      );
    this.tally.add('runs', row!.gone);
    this.tally.add('runs kept, because a version refers to them', row!.kept);
    this.tally.add('metric points', row!.metrics);
    this.tally.add('artifacts', row!.artifacts);
  }

  async remove(scope: GcScope): Promise<void> {
    await this.purge(); // what an earlier gc did not finish
    let after = 0;
    for (;;) {
      const last = await this.removeBatch(scope, after);
      if (last === undefined) break;
      after = last;
      await this.purge();
    }
    const { where, parameters } = inScope(scope, true);
    const [row]: { kept: number }[] = await this.database.query(
      `SELECT count(*) AS kept ${FROM} AND ${where} AND ${NEEDED_BY_VERSION}`,
      [...parameters, scope.before],
    );
    this.tally.add('runs kept, because a version refers to them', row!.kept);
  }

  /**
   * From this commit on the runs do not exist. A run that is being restored or written to is locked by that, and
   * skipped; one that this transaction locks cannot be restored any more.
   * @returns the serial to go on behind; undefined when there was nothing.
   */
  private async removeBatch(scope: GcScope, after: number): Promise<number | undefined> {
    const { where, parameters } = inScope(scope, true);
    return this.database.transaction(async (tx) => {
      const runs: RemovedRun[] = await tx.query(
        `SELECT r.id, r.serial ${FROM} AND ${where} AND NOT ${NEEDED_BY_VERSION} AND r.serial > $5
          ORDER BY r.serial LIMIT ${RUNS} FOR UPDATE OF r SKIP LOCKED`,
        [...parameters, scope.before, after],
      );
      if (runs.length === 0) return undefined;
      await this.take(tx, runs);
      return runs.at(-1)!.serial;
    });
  }

  private async take(tx: EntityManager, locked: readonly RemovedRun[]): Promise<void> {
    // Looked at again under the lock: a version may have begun to refer to a run in between.
    const runs: RemovedRun[] = await tx.query(
      `SELECT r.id, r.serial FROM run r WHERE r.serial = ANY ($1::integer[]) AND NOT ${NEEDED_BY_VERSION}`,
      [locked.map(({ serial }) => serial)],
    );
    const ids = runs.map(({ id }) => id);
    const serials = runs.map(({ serial }) => serial);
    await tx.query(
      `DELETE FROM logged_model_metric x USING run_model m
        WHERE m.run = ANY ($1::integer[]) AND x.logged_model_id = m.logged_model_id AND x.run = m.run`,
      [serials],
    );
    await tx.query(
      `DELETE FROM logged_model_metric x USING logged_model m
        WHERE m.source_run_id = ANY ($1::uuid[]) AND x.logged_model_id = m.id AND x.run = ANY ($2::integer[])`,
      [ids, serials],
    );
    await tx.query(`UPDATE logged_model SET source_run_id = NULL WHERE source_run_id = ANY ($1::uuid[])`, [
      ids,
    ]);
    for (const table of ['run_model', 'trace_run', 'run_dataset'])
      await tx.query(`DELETE FROM ${table} WHERE run = ANY ($1::integer[])`, [serials]);
    this.tally.add(
      'artifacts',
      await deleted(tx, `DELETE FROM artifact WHERE run_id = ANY ($1::uuid[])`, [ids]),
    );
    await tx.query(`DELETE FROM artifact_upload WHERE run_id = ANY ($1::uuid[])`, [ids]);
    await tx.query(
      `INSERT INTO removed_run (serial, workspace_id, removed_at)
       SELECT serial, workspace_id, now() FROM run WHERE id = ANY ($1::uuid[])`,
      [ids],
    );
    this.tally.add('runs', await deleted(tx, `DELETE FROM run WHERE id = ANY ($1::uuid[])`, [ids]));
  }

  /** Removes the rows of volume of removed runs, a bounded number at a time. Serials are never given again. */
  private async purge(): Promise<void> {
    for (;;) {
      const rows: { serial: number }[] = await this.database.query(
        `SELECT serial FROM removed_run ORDER BY serial LIMIT ${RUNS}`,
      );
      if (rows.length === 0) return;
      const serials = rows.map(({ serial }) => serial);
      for (const [table, label] of VOLUME) await this.purgeTable(table, label, serials);
      await this.database.query(`DELETE FROM removed_run WHERE serial = ANY ($1::integer[])`, [serials]);
    }
  }

  private async purgeTable(table: string, label: string, serials: readonly number[]): Promise<void> {
    for (;;) {
      const count = await deleted(
        this.database.manager,
        `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM ${table} WHERE run = ANY ($1::integer[]) LIMIT ${ROWS}))`,
        [serials],
      );
      this.tally.add(label, count);
      if (count < ROWS) return;
    }
  }
}

const VOLUME = [
  ['metric', 'metric points'],
  ['latest_metric', 'latest metrics'],
  ['param', 'params'],
  ['run_tag', 'run tags'],
] as const;

/** Runs a DELETE. @returns how many rows it removed. */
export async function deleted(manager: EntityManager, sql: string, parameters: unknown[]): Promise<number> {
  const [, count]: [unknown, number] = await manager.query(sql, parameters);
  return count;
}
