import type { Subject } from './servers.js';

/** Names of metrics, params and tags of the seeded runs. */
export const METRICS = 10;
export const PARAMS = 5;
export const TAGS = 3;

/*
 * The same runs in both: 10 latest metrics each, 5 params, 3 tags, values by the same formulas of the run's number.
 * Written by SQL, for MLflow would take an hour over its own protocol.
 */
const METRIC_VALUE = `((n::bigint * 7919 + k * 104729) % 100003) / 100003.0`;
const PARAM_VALUE = `'value-' || ((n + k) % 20)`;
// Of the runs with one value of a param, each value of a tag has a tenth: the search of the benchmark finds runs.
const TAG_VALUE = `'tag-' || ((n / 20 + k) % 10)`;
const START = 1_760_000_000_000;

export async function seedCatena(
  { database }: Subject,
  experiment: string,
  from: number,
  to: number,
): Promise<void> {
  const { rows } = await database.query<{ serial: number; workspace_id: string }>(
    'SELECT serial, workspace_id FROM experiment WHERE number = $1',
    [Number(experiment)],
  );
  const { serial, workspace_id } = rows[0]!;
  const names = [
    ...Array.from({ length: METRICS }, (_, k) => `metric_${k}`),
    ...Array.from({ length: PARAMS }, (_, k) => `param_${k}`),
    ...Array.from({ length: TAGS }, (_, k) => `tag_${k}`),
  ];
  await database.query(
    'INSERT INTO tracking_key (workspace_id, name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING',
    [workspace_id, names],
  );
  const each = (kind: string, count: number) =>
    `seeded JOIN generate_series(0, ${count - 1}) k ON true JOIN tracking_key t ON t.workspace_id = '${workspace_id}' AND t.name = '${kind}_' || k`;
  await database.query(`
    BEGIN;
    CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS
      SELECT n, nextval(pg_get_serial_sequence('run', 'serial'))::integer AS serial
        FROM generate_series(${from}, ${to - 1}) n;
    INSERT INTO run (id, serial, workspace_id, experiment_serial, name, status, started_at, ended_at, created_at, created_by, updated_at)
    OVERRIDING SYSTEM VALUE
    SELECT md5('run' || n)::uuid, serial, '${workspace_id}', ${serial}, 'run-' || n, 'FINISHED', at, at, at, 'bench', at
      FROM seeded, LATERAL (SELECT to_timestamp((${START} + n * 1000) / 1000.0) AS at);
    INSERT INTO latest_metric (run, key, experiment, step, time_ms, value)
    SELECT serial, t.id, ${serial}, 10, ${START}, ${METRIC_VALUE} FROM ${each('metric', METRICS)};
    INSERT INTO param (run, key, experiment, value) SELECT serial, t.id, ${serial}, ${PARAM_VALUE} FROM ${each('param', PARAMS)};
    INSERT INTO run_tag (run, key, experiment, value) SELECT serial, t.id, ${serial}, ${TAG_VALUE} FROM ${each('tag', TAGS)};
    COMMIT;
  `);
  await database.query('VACUUM ANALYZE');
}

export async function seedMlflow(
  { database }: Subject,
  experiment: string,
  from: number,
  to: number,
): Promise<void> {
  const id = `md5('run' || n)`;
  const each = (count: number) => `generate_series(${from}, ${to - 1}) n, generate_series(0, ${count - 1}) k`;
  await database.query(`
    INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
    SELECT ${id}, 'run-' || n, 'UNKNOWN', 'bench', 'FINISHED', ${START} + n * 1000, ${START} + n * 1000, 'active', 'mlflow-artifacts:/x', ${experiment}
      FROM generate_series(${from}, ${to - 1}) n;
    INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'metric_' || k, ${METRIC_VALUE}, ${START}, 10, false, ${id} FROM ${each(METRICS)};
    INSERT INTO params (key, value, run_uuid) SELECT 'param_' || k, ${PARAM_VALUE}, ${id} FROM ${each(PARAMS)};
    INSERT INTO tags (key, value, run_uuid) SELECT 'tag_' || k, ${TAG_VALUE}, ${id} FROM ${each(TAGS)};
  `);
  await database.query('VACUUM ANALYZE');
}
