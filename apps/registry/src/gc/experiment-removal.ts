import type { DataSource, EntityManager } from 'typeorm';
import { unlinkFromRuns, type LinkedTrace } from '../traces/trace-run-links.js';
import { inScope, type GcScope } from './gc-scope.js';
import { deleted } from './run-removal.js';
import type { Tally } from './tally.js';

const BATCH = 100;

/** SQL: a version was made from this logged model (alias `m`). */
const NAMED_BY_VERSION = `EXISTS (
  SELECT FROM version_source s WHERE s.workspace_id = m.workspace_id
     AND s.model_id IN ('m-' || replace(m.id::text, '-', ''), m.id::text))`;

const MODELS = `FROM logged_model m JOIN experiment e ON e.serial = m.experiment
               WHERE (m.deleted_at < $4 OR e.deleted_at < $4)`;
const TRACES = `FROM trace t JOIN experiment e ON e.serial = t.experiment WHERE e.deleted_at < $4`;
/** Number 0, "Default", always exists. */
const EXPERIMENTS = `FROM experiment e WHERE e.deleted_at < $4 AND e.number <> 0`;

/** Removes deleted experiments and logged models, and what is in these experiments beside runs. */
export class ExperimentRemoval {
  constructor(
    private readonly database: DataSource,
    private readonly tally: Tally,
  ) {}

  /** What `remove` would. */
  async count(scope: GcScope): Promise<void> {
    const { where, parameters } = inScope(scope, false);
    const count = async (label: string, from: string): Promise<void> => {
      const [row]: { count: number }[] = await this.database.query(
        `SELECT count(*) AS count ${from} AND ${where}`,
        [...parameters, scope.before],
      );
      this.tally.add(label, row!.count);
    };
    await count('logged models', `${MODELS} AND NOT ${NAMED_BY_VERSION}`);
    await count('logged models kept, because a version refers to them', `${MODELS} AND ${NAMED_BY_VERSION}`);
    await count('traces', TRACES);
    await count('experiments, at most', EXPERIMENTS);
  }

  async remove(scope: GcScope): Promise<void> {
    await this.inBatches((tx) => this.removeModels(tx, scope));
    await this.inBatches((tx) => this.removeTraces(tx, scope));
    await this.inBatches((tx) => this.removeDatasets(tx, scope));
    await this.inBatches((tx) => this.removeExperiments(tx, scope));
  }

  /** Repeats a step until it finds nothing, each time in a transaction of its own. */
  private async inBatches(step: (tx: EntityManager) => Promise<number>): Promise<void> {
    while ((await this.database.transaction(step)) > 0);
  }

  private async removeModels(tx: EntityManager, scope: GcScope): Promise<number> {
    const { where, parameters } = inScope(scope, false);
    const found: { id: string }[] = await tx.query(
      `SELECT m.id ${MODELS} AND ${where} AND NOT ${NAMED_BY_VERSION} LIMIT ${BATCH} FOR UPDATE OF m SKIP LOCKED`,
      [...parameters, scope.before],
    );
    // Looked at again under the lock, as runs are.
    const still: { id: string }[] = await tx.query(
      `SELECT m.id FROM logged_model m WHERE m.id = ANY ($1::uuid[]) AND NOT ${NAMED_BY_VERSION}`,
      [found.map(({ id }) => id)],
    );
    const ids = [still.map(({ id }) => id)];
    await tx.query(`DELETE FROM logged_model_metric WHERE logged_model_id = ANY ($1::uuid[])`, ids);
    await tx.query(`DELETE FROM run_model WHERE logged_model_id = ANY ($1::uuid[])`, ids);
    const artifacts = `DELETE FROM artifact WHERE logged_model_id = ANY ($1::uuid[])`;
    this.tally.add('artifacts', await deleted(tx, artifacts, ids));
    await tx.query(`DELETE FROM artifact_upload WHERE logged_model_id = ANY ($1::uuid[])`, ids);
    this.tally.add(
      'logged models',
      await deleted(tx, `DELETE FROM logged_model WHERE id = ANY ($1::uuid[])`, ids),
    );
    return found.length;
  }

  private async removeTraces(tx: EntityManager, scope: GcScope): Promise<number> {
    const { where, parameters } = inScope(scope, false);
    const found: LinkedTrace[] = await tx.query(
      `SELECT t.id, t.serial, t.workspace_id AS "workspaceId", t.trace_id AS "traceId" ${TRACES} AND ${where} LIMIT ${BATCH} FOR UPDATE OF t SKIP LOCKED`,
      [...parameters, scope.before],
    );
    const serials = [found.map(({ serial }) => serial)];
    const ids = [found.map(({ id }) => id)];
    this.tally.add('spans', await deleted(tx, `DELETE FROM span WHERE trace = ANY ($1::bigint[])`, serials));
    await unlinkFromRuns(tx, found);
    for (const table of ['assessment', 'trace_prompt'])
      await tx.query(`DELETE FROM ${table} WHERE trace = ANY ($1::bigint[])`, serials);
    const artifacts = `DELETE FROM artifact WHERE trace_id = ANY ($1::uuid[])`;
    this.tally.add('artifacts', await deleted(tx, artifacts, ids));
    await tx.query(`DELETE FROM artifact_upload WHERE trace_id = ANY ($1::uuid[])`, ids);
    this.tally.add('traces', await deleted(tx, `DELETE FROM trace WHERE id = ANY ($1::uuid[])`, ids));
    return found.length;
  }

  /** Datasets that no run uses any more. One that a run is about to use is locked by that, and skipped. */
  private async removeDatasets(tx: EntityManager, scope: GcScope): Promise<number> {
    const { where, parameters } = inScope(scope, false);
    const unused = `NOT EXISTS (SELECT FROM run_dataset u WHERE u.dataset_id = d.id)`;
    const found: { id: string }[] = await tx.query(
      `SELECT d.id FROM dataset d JOIN experiment e ON e.serial = d.experiment
        WHERE d.created_at < $4 AND ${unused} AND ${where} LIMIT ${BATCH} FOR UPDATE OF d SKIP LOCKED`,
      [...parameters, scope.before],
    );
    const ids = [found.map(({ id }) => id)];
    const count = await deleted(tx, `DELETE FROM dataset d WHERE d.id = ANY ($1::uuid[]) AND ${unused}`, ids);
    this.tally.add('datasets', count);
    return count;
  }

  /** Experiments with nothing left in them. What a version still needs keeps its experiment, too. */
  private async removeExperiments(tx: EntityManager, scope: GcScope): Promise<number> {
    const { where, parameters } = inScope(scope, false);
    const empty = [
      'run r WHERE r.experiment_serial',
      'logged_model m WHERE m.experiment',
      'trace t WHERE t.experiment',
    ]
      .map((rows) => `NOT EXISTS (SELECT FROM ${rows} = e.serial)`)
      .join(' AND ');
    const found: { serial: number }[] = await tx.query(
      `SELECT e.serial ${EXPERIMENTS} AND ${where} AND ${empty} LIMIT ${BATCH} FOR UPDATE OF e SKIP LOCKED`,
      [...parameters, scope.before],
    );
    const locked = [found.map(({ serial }) => serial)];
    // Looked at again under the lock, against which a run that is created now checks its foreign key.
    const still: { serial: number }[] = await tx.query(
      `SELECT e.serial FROM experiment e WHERE e.serial = ANY ($1::integer[]) AND ${empty}`,
      locked,
    );
    const serials = [still.map(({ serial }) => serial)];
    for (const table of ['dataset', 'evaluation_dataset_experiment', 'scorer'])
      await tx.query(`DELETE FROM ${table} WHERE experiment = ANY ($1::integer[])`, serials);
    const count = await deleted(tx, `DELETE FROM experiment WHERE serial = ANY ($1::integer[])`, serials);
    this.tally.add('experiments', count);
    return count;
  }
}
