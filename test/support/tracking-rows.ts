import type pg from 'pg';
import { v7 } from 'uuid';
import { DEFAULT_WORKSPACE_ID } from '../../libs/platform/database/default-workspace.js';

export interface ExperimentRow {
  readonly id: string;
  readonly serial: number;
  readonly number: number;
}

export interface RunGiven {
  readonly id?: string;
  readonly name?: string;
  readonly status?: string;
  /** Milliseconds; null: not started. */
  readonly startedAt?: number | null;
  readonly endedAt?: number | null;
  readonly createdBy?: string;
  readonly deleted?: boolean;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly params?: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly datasets?: readonly { name: string; digest: string; context?: string }[];
}

export interface RunRow {
  readonly id: string;
  readonly serial: number;
}

/** Writes what search reads, straight into the tables: for tests of search alone. */
export class TrackingRows {
  private readonly keys = new Map<string, number>();

  constructor(
    private readonly client: pg.ClientBase,
    private readonly workspaceId: string = DEFAULT_WORKSPACE_ID,
  ) {}

  async addExperiment(
    name: string,
    given: { tags?: Record<string, string>; createdAt?: Date; updatedAt?: Date; deleted?: boolean } = {},
  ): Promise<ExperimentRow> {
    const id = v7();
    const { rows } = await this.client.query<{ serial: number; number: number }>(
      `WITH next AS (UPDATE workspace SET last_experiment = last_experiment + 1 WHERE id = $2 RETURNING last_experiment)
       INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at, deleted_at)
       SELECT $1, $2, last_experiment, $3, $4, $5, 'test', $6, $7 FROM next RETURNING serial, number`,
      [
        id,
        this.workspaceId,
        name,
        JSON.stringify(given.tags ?? {}),
        given.createdAt ?? new Date(),
        given.updatedAt ?? given.createdAt ?? new Date(),
        given.deleted ? new Date() : null,
      ],
    );
    return { id, ...rows[0]! };
  }

  async addRun(experiment: ExperimentRow, given: RunGiven = {}): Promise<RunRow> {
    const id = given.id ?? v7();
    const at = (time: number | null | undefined) =>
      time === null || time === undefined ? null : new Date(time);
    const { rows } = await this.client.query<{ serial: number }>(
      `INSERT INTO run (id, workspace_id, experiment_serial, name, status, started_at, ended_at, created_at, created_by,
                        updated_at, deleted_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, now(), $8, now(), $9) RETURNING serial`,
      [
        id,
        this.workspaceId,
        experiment.serial,
        given.name ?? 'run',
        given.status ?? 'RUNNING',
        given.startedAt === undefined ? new Date() : at(given.startedAt),
        at(given.endedAt),
        given.createdBy ?? 'test',
        given.deleted ? new Date() : null,
      ],
    );
    const { serial } = rows[0]!;
    for (const [name, value] of Object.entries(given.metrics ?? {}))
      await this.setMetric(experiment, serial, name, value);
    for (const [table, entries] of [
      ['param', given.params],
      ['run_tag', given.tags],
    ] as const)
      for (const [name, value] of Object.entries(entries ?? {}))
        await this.client.query(
          `INSERT INTO ${table} (run, key, experiment, value) VALUES ($1, $2, $3, $4)`,
          [serial, await this.key(name), experiment.serial, value],
        );
    for (const dataset of given.datasets ?? []) await this.addDataset(experiment, serial, dataset);
    return { id, serial };
  }

  /** Sets the latest value of a metric. */
  async setMetric(experiment: ExperimentRow, run: number, name: string, value: number): Promise<void> {
    await this.client.query(
      `INSERT INTO latest_metric (run, key, experiment, step, time_ms, value) VALUES ($1, $2, $3, 0, 0, $4)
       ON CONFLICT (run, key) DO UPDATE SET value = excluded.value`,
      [run, await this.key(name), experiment.serial, value],
    );
  }

  /** The id of a key of this workspace, which is made where it is not there. */
  async key(name: string): Promise<number> {
    const known = this.keys.get(name);
    if (known !== undefined) return known;
    const { rows } = await this.client.query<{ id: number }>(
      `WITH made AS (INSERT INTO tracking_key (workspace_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id)
       SELECT id FROM made UNION ALL SELECT id FROM tracking_key WHERE workspace_id = $1 AND name = $2`,
      [this.workspaceId, name],
    );
    this.keys.set(name, rows[0]!.id);
    return rows[0]!.id;
  }

  private async addDataset(
    experiment: ExperimentRow,
    run: number,
    { name, digest, context }: { name: string; digest: string; context?: string },
  ): Promise<void> {
    await this.client.query(
      `INSERT INTO dataset (id, experiment, name, digest, source_type, source, created_at)
       VALUES ($1, $2, $3, $4, 'local', '{}', now()) ON CONFLICT DO NOTHING`,
      [v7(), experiment.serial, name, digest],
    );
    await this.client.query(
      `INSERT INTO run_dataset (run, dataset_id, tags)
       SELECT $1, id, $5 FROM dataset WHERE experiment = $2 AND name = $3 AND digest = $4`,
      [
        run,
        experiment.serial,
        name,
        digest,
        JSON.stringify(context === undefined ? {} : { 'mlflow.data.context': context }),
      ],
    );
  }

  /**
   * `count` runs, started a second apart, each with metrics `m0` (pseudo-random in [0, 1)), `m1` … , params `p0` (100
   * values), `p1` (10 000 values), tags `t0` (10 values), `t1` (unique), and one of
   * the datasets `d0` … `d99`.
   */
  async addManyRuns(experiment: ExperimentRow, count: number, metrics = 3): Promise<void> {
    const first = await this.client.query<{ serial: number }>(
      `SELECT coalesce(max(serial), 0) AS serial FROM run`,
    );
    await this.client.query(
      `INSERT INTO run (id, workspace_id, experiment_serial, name, status, started_at, created_at, created_by, updated_at)
       SELECT gen_random_uuid(), $1, $2, 'run-' || n, 'FINISHED', to_timestamp(1.7e9 + n), now(), 'test', now()
         FROM generate_series(1, $3::int) n`,
      [this.workspaceId, experiment.serial, count],
    );
    const { serial } = first.rows[0]!;
    // Values that look random and are the same in every run of a test.
    const spread = (salt: number) => `(hashint8extended(n, ${salt}) & 4294967295)`;
    const runs = `FROM run r CROSS JOIN LATERAL (SELECT r.serial - ${serial} AS n) s
                  WHERE r.experiment_serial = $1 AND r.serial > ${serial}`;
    for (let index = 0; index < metrics; index++)
      await this.client.query(
        `INSERT INTO latest_metric (run, key, experiment, step, time_ms, value)
         SELECT r.serial, $2, $1, 100, 1.7e12, ${spread(index)} / 4294967296.0 ${runs}`,
        [experiment.serial, await this.key(`m${index}`)],
      );
    for (const [table, name, value] of [
      ['param', 'p0', `'v' || ${spread(7)} % 100`],
      ['param', 'p1', `'v' || ${spread(8)} / 429497`],
      ['run_tag', 't0', `'v' || n % 10`],
      ['run_tag', 't1', `'v' || n`],
    ] as const)
      await this.client.query(
        `INSERT INTO ${table} (run, key, experiment, value) SELECT r.serial, $2, $1, ${value} ${runs}`,
        [experiment.serial, await this.key(name)],
      );
    await this.client.query(
      `INSERT INTO dataset (id, experiment, name, digest, source_type, source, created_at)
       SELECT gen_random_uuid(), $1, 'd' || n, 'd' || n, 'local', '{}', now() FROM generate_series(0, 99) n
       ON CONFLICT DO NOTHING`,
      [experiment.serial],
    );
    await this.client.query(
      `INSERT INTO run_dataset (run, dataset_id, tags)
       SELECT r.serial, d.id, '{"mlflow.data.context": "training"}' ${runs.replace('WHERE', `JOIN dataset d ON d.experiment = r.experiment_serial AND d.name = 'd' || n % 100 WHERE`)}`,
      [experiment.serial],
    );
    for (const table of ['run', 'latest_metric', 'param', 'run_tag', 'run_dataset'])
      await this.client.query(`ANALYZE ${table}`);
  }
}
