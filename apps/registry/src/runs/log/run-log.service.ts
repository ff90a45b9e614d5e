import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { Coalescer } from '#libs/platform/database/coalescer.js';
import { validate } from 'uuid';
import type { Caller } from '../../http/caller.js';
import { isUniqueViolation } from '../../http/conflict.js';
import { TrackingKeys } from '../../metrics/tracking-keys.js';
import { insertNew, upsertRows, type LogRows } from './log-rows.js';
import { writeModelMetrics } from './model-metrics.js';
import { insertParams } from './param-rows.js';
import { checkLog, type CheckedLog, type LogInput } from './run-log.rules.js';
import { assertActive, lockActiveRun, noSuchRun, readRun, type RunRecord } from '../run-record.js';
import { isSpecialTag, RUN_NAME_TAG, VERSION_TAGS } from '../run-tags.js';
import { RunVersions } from '../versions/run-versions.js';
import { assertRunName } from '../run.rules.js';

/** Rows of one statement, when many calls are written together. */
const MAX_GROUP_ROWS = 1_000;
/** More would only contend for the same rows and pages. */
const MAX_GROUPS = 4;

/** `apart`: not written, because something of it is there already; to be written in a transaction of its own. */
type Outcome = 'written' | 'no run' | 'apart';

/** What runs log: metrics, params and tags. Every call is all or nothing, never deadlocks, and may be repeated. */
@Injectable()
export class RunLog {
  private readonly groups: Coalescer<LogRows, Outcome>;

  constructor(
    private readonly database: DataSource,
    private readonly keys: TrackingKeys,
    private readonly versions: RunVersions,
  ) {
    this.groups = new Coalescer((batch) => this.writeGroup(batch), {
      mostAtOnce: MAX_GROUPS,
      maxWeight: MAX_GROUP_ROWS,
      weigh: ({ points, params, tags }) => points.length + params.size + tags.size,
    });
  }

  /**
   * Writes a batch. Points already there, params with the value they have, and tags with the value they have change
   * nothing, so a call whose answer was lost may be sent again. A tag mlflow.runName renames the run; the tags
   * catena.chain, catena.prompt and catena.model say which versions it evaluated.
   * @param runId a UUID.
   * @throws DomainError NOT_FOUND; DELETED; IMMUTABLE when a param has another value, with details
   * `{ params: [{ key, value, given }] }`; VALIDATION_FAILED; REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED.
   */
  async log(caller: Caller, runId: string, input: LogInput): Promise<void> {
    if (!validate(runId)) throw noSuchRun(runId);
    const checked = checkLog(input, Date.now());
    const keys = await this.keys.resolve(caller.workspaceId, namesOf(checked));
    const rows: LogRows = {
      workspaceId: caller.workspaceId,
      runId: runId.toLowerCase(),
      points: checked.metrics.map(({ key, step, timeMs, value }) => ({
        key: keys.get(key)!,
        step,
        timeMs,
        value,
      })),
      params: new Map([...checked.params].map(([key, value]) => [keys.get(key)!, value])),
      tags: new Map([...checked.tags].map(([key, value]) => [keys.get(key)!, value])),
    };
    const isPlain =
      ![...checked.tags.keys()].some(isSpecialTag) && !checked.metrics.some((point) => point.about);
    const outcome = isPlain ? await this.groups.add(rows) : 'apart';
    if (outcome === 'apart') return this.logApart(caller, checked, rows, keys);
    if (outcome === 'no run') assertActive(await readRun(caller, runId, this.database.manager));
  }

  /** @throws DomainError as `log`. */
  async setTag(caller: Caller, runId: string, key: string, value: string): Promise<void> {
    await this.log(caller, runId, { tags: [{ key, value }] });
  }

  /**
   * The run keeps its name without the tag mlflow.runName; without catena.chain it evaluated no chain version.
   * @throws DomainError NOT_FOUND (the run; or the tag, with details `{ key }`); DELETED.
   */
  async deleteTag(caller: Caller, runId: string, key: string): Promise<void> {
    if (!validate(runId)) throw noSuchRun(runId);
    const keys = await this.keys.find(caller.workspaceId, [key]);
    await this.database.transaction(async (tx) => {
      const run = await lockActiveRun(caller, runId, tx);
      const [, removed]: [unknown[], number] = await tx.query(
        'DELETE FROM run_tag WHERE run = $1 AND key = $2',
        [run.serial, keys.get(key) ?? null],
      );
      if (removed === 0)
        throw new DomainError('NOT_FOUND', `Run ${run.id} has no tag "${key.slice(0, 250)}".`, { key });
      const kind = VERSION_TAGS.get(key);
      if (kind) await this.versions.replace(run.serial, new Map([[kind, []]]), tx);
    });
  }

  /** Inside a transaction that holds the lock of the run: sets `tags`, removes `gone`. */
  async writeTags(
    run: RunRecord,
    tags: ReadonlyMap<string, string>,
    gone: readonly string[],
    keys: ReadonlyMap<string, number>,
    tx: EntityManager,
  ): Promise<void> {
    if (gone.length > 0)
      await tx.query('DELETE FROM run_tag WHERE run = $1 AND key = ANY ($2::integer[])', [
        run.serial,
        gone.map((name) => keys.get(name)!),
      ]);
    if (tags.size === 0) return;
    await tx.query(
      `INSERT INTO run_tag (run, key, experiment, value)
       SELECT $1, key, $2, value FROM unnest($3::integer[], $4::text[]) t (key, value) ORDER BY key
       ON CONFLICT ON CONSTRAINT run_tag_pk DO UPDATE SET value = excluded.value`,
      [run.serial, run.experimentSerial, [...tags.keys()].map((name) => keys.get(name)!), [...tags.values()]],
    );
  }

  /**
   * Many calls in one statement. First as if nothing of them were there, which is nearly always so; where something is,
   * that statement has written nothing, and those that cannot fail are written again together, the others apart: no
   * call fails because of another.
   */
  private async writeGroup(batch: readonly LogRows[]): Promise<Outcome[]> {
    const { manager } = this.database;
    const outcomes = (written: readonly boolean[]): Outcome[] =>
      written.map((isWritten) => (isWritten ? 'written' : 'no run'));
    try {
      return outcomes(await insertNew(batch, manager));
    } catch (error) {
      if (!isUniqueViolation(error, 'metric_pk') && !isUniqueViolation(error, 'param_pk')) throw error;
    }
    const safe = batch.filter(({ params }) => params.size === 0);
    const written = safe.length === 0 ? [] : outcomes(await upsertRows(safe, manager));
    return batch.map((rows) => (rows.params.size === 0 ? written.shift()! : 'apart'));
  }

  /** In a transaction of its own, which a param that must not change rolls back. */
  private async logApart(
    caller: Caller,
    checked: CheckedLog,
    rows: LogRows,
    keys: ReadonlyMap<string, number>,
  ): Promise<void> {
    const name = checked.tags.get(RUN_NAME_TAG);
    if (name !== undefined) assertRunName(name, `/tags/${RUN_NAME_TAG}`);
    await this.database.transaction(async (tx) => {
      const evaluated = await this.versions.fromTags(caller, checked.tags, tx);
      const run = await lockActiveRun(caller, rows.runId, tx);
      if (name !== undefined)
        await tx.query('UPDATE run SET name = $2, updated_at = $3 WHERE serial = $1', [
          run.serial,
          name,
          new Date(),
        ]);
      await insertParams(run, checked.params, keys, tx);
      if (rows.points.length + rows.tags.size > 0) await upsertRows([rows], tx);
      await writeModelMetrics(caller, run, checked.metrics, keys, tx);
      await this.versions.replace(run.serial, evaluated, tx);
    });
  }
}

function* namesOf({ metrics, params, tags }: CheckedLog): Generator<string> {
  for (const { key } of metrics) yield key;
  yield* params.keys();
  yield* tags.keys();
}
