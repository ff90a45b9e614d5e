import type {
  MlflowSource,
  Pairs,
  SourceDataset,
  SourceExperiment,
  SourceLoggedModel,
  SourceModel,
  SourceModelUse,
  SourcePoint,
  SourceRun,
  SourceVersion,
} from './mlflow-source.js';
import type {
  DatasetRow,
  ExperimentRow,
  LoggedModelMetricRow,
  LoggedModelRow,
  MetricRow,
  ModelRow,
  ModelUseRow,
  RunRow,
  VersionRow,
} from './database-rows.js';
import { openSourceDatabase, type SourceDatabase } from './source-database.js';

const RUNS = 200;
const POINTS = 5_000;
const MODEL_STATUS = { 1: 'PENDING', 2: 'READY', 3: 'FAILED' } as const;

/** The database of an MLflow server (its backend store), read directly. Only what this reads must be there. */
export class DatabaseSource implements MlflowSource {
  private constructor(
    readonly name: string,
    private readonly database: SourceDatabase,
    private readonly tables: ReadonlySet<string>,
  ) {}

  static async open(uri: string): Promise<DatabaseSource> {
    const database = await openSourceDatabase(uri);
    const tables = new Set<string>();
    for (const table of ['datasets', 'logged_models', 'registered_model_aliases'])
      if (
        await database.query(`SELECT 1 FROM ${table} LIMIT 1`).then(
          () => true,
          () => false,
        )
      )
        tables.add(table);
    return new DatabaseSource(uri.replace(/\/\/[^/@]*@/, '//'), database, tables);
  }

  async *experiments(): AsyncGenerator<SourceExperiment> {
    for (const row of await this.database.query<ExperimentRow>(
      `SELECT experiment_id, name, lifecycle_stage, creation_time, last_update_time FROM experiments ORDER BY experiment_id`,
    ))
      yield {
        id: String(row.experiment_id),
        name: row.name,
        deleted: row.lifecycle_stage === 'deleted',
        createdMs: row.creation_time,
        updatedMs: row.last_update_time,
        tags: await this.pairs(
          'SELECT key, value FROM experiment_tags WHERE experiment_id = $1',
          row.experiment_id,
        ),
      };
  }

  async *runs(experimentId: string): AsyncGenerator<SourceRun> {
    let after = '';
    for (;;) {
      const rows = await this.database.query<RunRow>(
        `SELECT run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri FROM runs
          WHERE experiment_id = $1 AND run_uuid > $2 ORDER BY run_uuid LIMIT ${RUNS}`,
        [Number(experimentId), after],
      );
      for (const row of rows) yield await this.run(row);
      if (rows.length < RUNS) return;
      after = rows.at(-1)!.run_uuid;
    }
  }

  private async run(row: RunRow): Promise<SourceRun> {
    const id = row.run_uuid;
    const keys = await this.database.query<{ key: string }>(
      'SELECT key FROM latest_metrics WHERE run_uuid = $1 ORDER BY key',
      [id],
    );
    const hasInputs = this.tables.has('datasets');
    return {
      id,
      name: row.name ?? '',
      user: row.user_id ?? '',
      status: row.status ?? 'FINISHED',
      startMs: row.start_time,
      endMs: row.end_time,
      deleted: row.lifecycle_stage === 'deleted',
      artifactUri: row.artifact_uri ?? '',
      params: await this.pairs('SELECT key, value FROM params WHERE run_uuid = $1', id),
      tags: await this.pairs('SELECT key, value FROM tags WHERE run_uuid = $1', id),
      metricKeys: keys.map(({ key }) => key),
      datasets: hasInputs ? await this.datasets(id) : [],
      models: hasInputs ? await this.modelUses(id) : [],
    };
  }

  private async datasets(runId: string): Promise<SourceDataset[]> {
    const rows = await this.database.query<DatasetRow>(
      `SELECT i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, d.dataset_profile
         FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
        WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id = $1 ORDER BY d.name, d.digest`,
      [runId],
    );
    return Promise.all(
      rows.map(async (row) => ({
        name: row.name,
        digest: row.digest,
        sourceType: row.dataset_source_type,
        source: row.dataset_source,
        schema: row.dataset_schema,
        profile: row.dataset_profile,
        tags: await this.pairs(
          'SELECT name AS key, value FROM input_tags WHERE input_uuid = $1',
          row.input_uuid,
        ),
      })),
    );
  }

  private async modelUses(runId: string): Promise<SourceModelUse[]> {
    const rows = await this.database.query<ModelUseRow>(
      `SELECT destination_id, destination_type, step FROM inputs
        WHERE source_id = $1 AND destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT') ORDER BY input_uuid`,
      [runId],
    );
    return rows.map((row) => ({
      modelId: row.destination_id,
      direction: row.destination_type === 'MODEL_INPUT' ? 'input' : 'output',
      step: row.step ?? 0,
    }));
  }

  async *points(run: SourceRun): AsyncGenerator<readonly SourcePoint[]> {
    const isNan = 'CASE WHEN is_nan THEN 1 ELSE 0 END';
    for (const key of run.metricKeys) {
      let after: readonly number[] | undefined;
      for (;;) {
        const rows = await this.database.query<MetricRow>(
          `SELECT timestamp, step, value, ${isNan} AS nan FROM metrics WHERE run_uuid = $1 AND key = $2
             ${after ? `AND (timestamp, step, value, ${isNan}) > ($3, $4, $5, $6)` : ''}
            ORDER BY timestamp, step, value, ${isNan} LIMIT ${POINTS}`,
          [run.id, key, ...(after ?? [])],
        );
        yield rows.map((row) => ({
          key,
          step: row.step,
          timeMs: row.timestamp,
          value: row.nan ? NaN : row.value,
        }));
        if (rows.length < POINTS) break;
        const last = rows.at(-1)!;
        after = [last.timestamp, last.step, last.value, last.nan];
      }
    }
  }

  async *loggedModels(experimentId: string): AsyncGenerator<SourceLoggedModel> {
    if (!this.tables.has('logged_models')) return;
    for (const row of await this.database.query<LoggedModelRow>(
      `SELECT * FROM logged_models WHERE experiment_id = $1 AND lifecycle_stage <> 'deleted' ORDER BY model_id`,
      [Number(experimentId)],
    )) {
      const id = row.model_id;
      const metrics = await this.database.query<LoggedModelMetricRow>(
        'SELECT * FROM logged_model_metrics WHERE model_id = $1',
        [id],
      );
      yield {
        id,
        experimentId,
        name: row.name,
        status: MODEL_STATUS[row.status as keyof typeof MODEL_STATUS] ?? 'PENDING',
        statusMessage: row.status_message || null,
        modelType: row.model_type || null,
        runId: row.source_run_id || null,
        createdMs: row.creation_timestamp_ms,
        updatedMs: row.last_updated_timestamp_ms,
        artifactUri: row.artifact_location ?? '',
        params: await this.pairs(
          'SELECT param_key AS key, param_value AS value FROM logged_model_params WHERE model_id = $1',
          id,
        ),
        tags: await this.pairs(
          'SELECT tag_key AS key, tag_value AS value FROM logged_model_tags WHERE model_id = $1',
          id,
        ),
        metrics: metrics.map((metric) => ({
          key: metric.metric_name,
          step: metric.metric_step,
          timeMs: metric.metric_timestamp_ms,
          value: metric.metric_value,
          runId: metric.run_id,
          datasetName: metric.dataset_name || null,
          datasetDigest: metric.dataset_digest || null,
        })),
      };
    }
  }

  async *models(): AsyncGenerator<SourceModel> {
    for (const row of await this.database.query<ModelRow>('SELECT * FROM registered_models ORDER BY name')) {
      const { name } = row;
      const aliases = this.tables.has('registered_model_aliases')
        ? await this.database.query<{ alias: string; version: number }>(
            'SELECT alias, version FROM registered_model_aliases WHERE name = $1',
            [name],
          )
        : [];
      yield {
        name,
        description: row.description || null,
        createdMs: row.creation_time,
        updatedMs: row.last_updated_time ?? row.creation_time,
        tags: await this.pairs('SELECT key, value FROM registered_model_tags WHERE name = $1', name),
        aliases: Object.fromEntries(aliases.map((alias) => [alias.alias, alias.version])),
      };
    }
  }

  async *versions({ name }: SourceModel): AsyncGenerator<SourceVersion> {
    for (const row of await this.database.query<VersionRow>(
      `SELECT * FROM model_versions WHERE name = $1 AND current_stage <> 'Deleted_Internal' ORDER BY version`,
      [name],
    ))
      yield {
        number: row.version,
        createdMs: row.creation_time,
        updatedMs: row.last_updated_time ?? row.creation_time,
        user: row.user_id || null,
        description: row.description || null,
        stage: row.current_stage || 'None',
        source: row.source ?? '',
        runId: row.run_id || null,
        runLink: row.run_link || null,
        tags: await this.pairs(
          'SELECT key, value FROM model_version_tags WHERE name = $1 AND version = $2',
          name,
          row.version,
        ),
      };
  }

  close(): Promise<void> {
    return this.database.close();
  }

  private async pairs(sql: string, ...parameters: (string | number)[]): Promise<Pairs> {
    const rows = await this.database.query<{ key: string; value: string | null }>(sql, parameters);
    return Object.fromEntries(rows.map(({ key, value }) => [key, value ?? '']));
  }
}
