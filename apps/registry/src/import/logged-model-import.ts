import type { DataSource, EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import type { Caller } from '../http/caller.js';
import { parseLoggedModelId } from '../logged-models/logged-model-id.js';
import type { TrackingKeys } from '../metrics/tracking-keys.js';
import type { TargetExperiment } from './experiment-import.js';
import { Fingerprint } from './fingerprint.js';
import type { ImportRecords } from './import-records.js';
import type { SourceLoggedModel, SourceModelUse } from './mlflow-source.js';
import { sorted } from './run-import.js';

/** Brings logged models, what was measured of them, and which runs they went into and came out of. */
export class LoggedModelImport {
  constructor(
    private readonly database: DataSource,
    private readonly keys: TrackingKeys,
    private readonly records: ImportRecords,
    private readonly caller: Caller,
  ) {}

  async bring(
    model: SourceLoggedModel,
    experiment: TargetExperiment,
  ): Promise<{ id: string; isNew: boolean }> {
    const known = await this.records.find('logged model', model.id);
    if (known?.fingerprint) return { id: known.targetId, isNew: false };
    const id = known?.targetId ?? (await this.create(model, experiment));
    const print = new Fingerprint();
    print.add(
      'logged models',
      model.name,
      model.status,
      model.createdMs,
      sorted(model.params),
      sorted(model.tags),
    );
    await this.bringMetrics(model, id, print);
    await this.records.finish('logged model', model.id, print.toString());
    return { id, isNew: true };
  }

  private async create(model: SourceLoggedModel, experiment: TargetExperiment): Promise<string> {
    const run = model.runId === null ? undefined : await this.records.find('run', model.runId);
    return this.database.transaction(async (tx) => {
      const wanted = parseLoggedModelId(model.id);
      const taken: unknown[] = await tx.query('SELECT FROM logged_model WHERE id = $1', [wanted ?? null]);
      const id = wanted === undefined || taken.length > 0 ? v7() : wanted;
      await tx.query(
        `INSERT INTO logged_model (id, workspace_id, experiment, name, status, status_message, model_type, source_run_id,
                                   foreign_run, params, tags, created_at, created_by, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
        [
          id,
          this.caller.workspaceId,
          experiment.serial,
          model.name,
          model.status,
          model.statusMessage,
          model.modelType,
          run?.targetId ?? null,
          run === undefined ? model.runId : null,
          JSON.stringify(model.params),
          JSON.stringify(model.tags),
          new Date(model.createdMs),
          this.caller.actor,
          new Date(model.updatedMs),
        ],
      );
      await this.records.add(tx, 'logged model', model.id, id);
      return id;
    });
  }

  private async bringMetrics(model: SourceLoggedModel, id: string, print: Fingerprint): Promise<void> {
    const keys = await this.keys.resolve(
      this.caller.workspaceId,
      model.metrics.map(({ key }) => key),
    );
    for (const metric of model.metrics) {
      const run = await this.records.find('run', metric.runId);
      if (!run)
        throw new Error(`its metric "${metric.key}" is of run ${metric.runId}, which was not brought`);
      await this.database.query(
        `INSERT INTO logged_model_metric (logged_model_id, key, run, step, time_ms, value, dataset_name, dataset_digest)
         SELECT $1, $2, serial, $4, $5, $6, $7, $8 FROM run WHERE id = $3 ON CONFLICT DO NOTHING`,
        [
          id,
          keys.get(metric.key),
          run.targetId,
          metric.step,
          metric.timeMs,
          String(metric.value),
          metric.datasetName,
          metric.datasetDigest,
        ],
      );
      print.add('logged model metrics', metric.key, run.targetId, metric.step, metric.timeMs, metric.value);
    }
  }

  /** @returns false when the model is not here. */
  async bringUse(runId: string, use: SourceModelUse): Promise<boolean> {
    const model = await this.records.find('logged model', use.modelId);
    if (!model) return false;
    await this.database.query(
      `INSERT INTO run_model (run, logged_model_id, direction, step)
       SELECT serial, $2, $3, $4 FROM run WHERE id = $1 ON CONFLICT DO NOTHING`,
      [runId, model.targetId, use.direction, use.step],
    );
    return true;
  }
}

/** The same of a logged model that is here; undefined when it is gone. */
export async function fingerprintOfLoggedModel(
  manager: EntityManager,
  id: string,
): Promise<string | undefined> {
  const [model]: {
    name: string;
    status: string;
    createdAt: Date;
    params: Record<string, string>;
    tags: Record<string, string>;
  }[] = await manager.query(
    `SELECT name, status, created_at AS "createdAt", params, tags FROM logged_model WHERE id = $1`,
    [id],
  );
  if (!model) return undefined;
  const print = new Fingerprint();
  print.add(
    'logged models',
    model.name,
    model.status,
    model.createdAt.getTime(),
    sorted(model.params),
    sorted(model.tags),
  );
  const metrics: { name: string; run: string; step: number; timeMs: number; value: number }[] =
    await manager.query(
      `SELECT k.name, r.id AS run, m.step, m.time_ms AS "timeMs", m.value
       FROM logged_model_metric m JOIN tracking_key k ON k.id = m.key JOIN run r ON r.serial = m.run
      WHERE m.logged_model_id = $1`,
      [id],
    );
  for (const { name, run, step, timeMs, value } of metrics)
    print.add('logged model metrics', name, run, step, timeMs, value);
  return print.toString();
}
