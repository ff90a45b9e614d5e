import { randomUUID } from 'node:crypto';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importMlflow } from '../apps/registry/src/import/import-mlflow.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { getContent, putContent } from './support/artifacts.js';
import { registryEnvironment, startTestRegistry, type TestRegistry } from './support/registry.js';

const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'import' };
const uuid = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/** Speaks MLflow's protocol, as its clients do. */
function clientOf(registry: TestRegistry) {
  return async (
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    message: object = {},
  ): Promise<any> => {
    const query = method === 'GET' ? `?${new URLSearchParams(message as Record<string, string>)}` : '';
    const response = await fetch(`${registry.url}/api/2.0/mlflow${path}${query}`, {
      method,
      ...(method !== 'GET' && {
        body: JSON.stringify(message),
        headers: { 'content-type': 'application/json' },
      }),
    });
    const answer = await response.json();
    if (response.status !== 200) throw new Error(JSON.stringify(answer));
    return answer;
  };
}

const bring = (into: TestRegistry, from: string, more: object = {}) =>
  importMlflow(into.app, caller, { from, artifacts: true, ...more }, () => undefined);

/** Everything that an import may add, by table. */
async function rowsOf(registry: TestRegistry): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of [
    'experiment',
    'run',
    'param',
    'metric',
    'latest_metric',
    'run_tag',
    'dataset',
    'logged_model',
    'entry',
    'version',
    'alias',
    'alias_move',
    'artifact',
    'blob',
    'import_record',
  ])
    counts[table] = (
      await registry.database.client.query(`SELECT count(*)::int FROM ${table}`)
    ).rows[0].count;
  return counts;
}

describe('importing from a server that speaks MLflow', () => {
  let source: TestRegistry;
  let target: TestRegistry;
  let runId: string;
  let deletedId: string;
  let modelId: string;
  const points = Array.from({ length: 1_200 }, (_, step) => ({
    key: 'loss',
    value: 1 / (step + 1),
    timestamp: step,
    step,
  }));

  beforeAll(async () => {
    [source, target] = [await startTestRegistry(), await startTestRegistry()];
    const ask = clientOf(source);
    await ask('POST', '/experiments/create', { name: 'skipped number' });
    const { experiment_id } = await ask('POST', '/experiments/create', {
      name: 'churn',
      tags: [{ key: 'team', value: 'ü' }],
    });
    const create = async (name: string): Promise<string> =>
      (
        await ask('POST', '/runs/create', {
          experiment_id,
          run_name: name,
          start_time: 1_700_000_000_123,
          user_id: 'ana',
        })
      ).run.info.run_id;
    runId = await create('first');
    for (const part of [points.slice(0, 900), points.slice(900)])
      await ask('POST', '/runs/log-batch', { run_id: runId, metrics: part });
    await ask('POST', '/runs/log-batch', {
      run_id: runId,
      params: [{ key: 'lr', value: '0.1' }],
      tags: [{ key: 'note', value: 'a "quoted" tag' }],
      metrics: [NaN, Infinity, -Infinity].map((value, index) => ({
        key: 'odd',
        value: String(value),
        timestamp: index,
        step: -index,
      })),
    });
    const dataset = { name: 'd', digest: 'abc', source_type: 'http', source: '{}' };
    await ask('POST', '/runs/log-inputs', {
      run_id: runId,
      datasets: [{ dataset, tags: [{ key: 'mlflow.data.context', value: 'training' }] }],
    });
    await ask('POST', '/runs/update', { run_id: runId, status: 'FINISHED', end_time: 1_700_000_009_000 });
    deletedId = await create('deleted');
    await ask('POST', '/runs/delete', { run_id: deletedId });
    for (const [path, text] of [
      ['model/MLmodel', 'flavors: {}'],
      ['ü %20/empty', ''],
    ] as const)
      await putContent(source, `/runs/${uuid(runId)}/artifacts`, path, text);
    const logged = await ask('POST', '/logged-models', {
      experiment_id,
      name: 'm',
      source_run_id: runId,
      params: [{ key: 'p', value: '1' }],
    });
    modelId = logged.model.info.model_id;
    await putContent(source, `/logged-models/${uuid(modelId.slice(2))}/artifacts`, 'MLmodel', 'logged');
    await ask('PATCH', `/logged-models/${modelId}`, { model_id: modelId, status: 'LOGGED_MODEL_READY' });
    await ask('POST', '/runs/outputs', { run_id: runId, models: [{ model_id: modelId, step: 0 }] });
    await ask('POST', '/registered-models/create', {
      name: 'churn model',
      description: 'd',
      tags: [{ key: 'k', value: 'v' }],
    });
    for (let number = 0; number < 3; number++)
      await ask('POST', '/model-versions/create', {
        name: 'churn model',
        source: `runs:/${runId}/model`,
        run_id: runId,
        description: `v${number}`,
      });
    await ask('DELETE', '/model-versions/delete', { name: 'churn model', version: '2' });
    await ask('POST', '/registered-models/alias', { name: 'churn model', alias: 'champion', version: '3' });
    await ask('POST', '/model-versions/transition-stage', {
      name: 'churn model',
      version: '1',
      stage: 'Production',
      archive_existing_versions: false,
    });
    const isPrompt = { key: 'mlflow.prompt.is_prompt', value: 'true' };
    await ask('POST', '/registered-models/create', { name: 'greet', tags: [isPrompt] });
    await ask('POST', '/model-versions/create', {
      name: 'greet',
      source: 'dummy-source',
      tags: [isPrompt, { key: 'mlflow.prompt.text', value: 'Hi {{name}}' }],
    });
  });
  afterAll(async () => {
    await source.close();
    await target.close();
  });

  it('brings everything, with ids, numbers and times, and finds it the same', async () => {
    const { counts, problems } = await bring(target, source.url);
    expect(problems).toEqual([]);
    expect(counts).toMatchObject({
      runs: { source: 2, here: 2 },
      'metric points': { source: 1_203, here: 1_203 },
      'registered models': { source: 2, here: 2 },
      versions: { source: 3, here: 3 },
      aliases: { source: 1, here: 1 },
      'artifacts seen': { source: 3, here: 3 },
    });
    const [was, is] = [clientOf(source), clientOf(target)];
    const same = async (path: string, query: object, without: readonly string[] = []): Promise<any> => {
      const [a, b] = [await was('GET', path, query), await is('GET', path, query)];
      const cut = (value: unknown) =>
        JSON.parse(JSON.stringify(value, (key, inner) => (without.includes(key) ? undefined : inner)));
      expect(cut(b)).toEqual(cut(a));
      return b;
    };
    const { run } = await same('/runs/get', { run_id: runId });
    expect(run.info).toMatchObject({
      user_id: 'ana',
      start_time: 1_700_000_000_123,
      end_time: 1_700_000_009_000,
    });
    await same('/runs/get', { run_id: deletedId });
    await same('/metrics/get-history', { run_id: runId, metric_key: 'odd' });
    await same('/metrics/get-history', { run_id: runId, metric_key: 'loss' });
    await same('/experiments/get-by-name', { experiment_name: 'churn' }, ['last_update_time']);
    await same(`/logged-models/${modelId}`, {}, ['user_id', 'creator_id']);
    await same('/registered-models/get', { name: 'churn model' }, ['user_id', 'last_updated_timestamp']);
    await same('/registered-models/alias', { name: 'churn model', alias: 'champion' }, [
      'user_id',
      'last_updated_timestamp',
    ]);
    await same('/model-versions/get', { name: 'greet', version: '1' }, ['user_id', 'last_updated_timestamp']);
    const file = await getContent(target, `/runs/${uuid(runId)}/artifacts`, 'ü %20/empty');
    expect([file.status, await file.text()]).toEqual([200, '']);
    const version = await getContent(target, '/models/churn%20model/versions/3/artifacts', 'MLmodel');
    expect(await version.text()).toBe('flavors: {}');
  });

  it('adds nothing when it is run again, and keeps what was changed here', async () => {
    await clientOf(target)('POST', '/runs/restore', { run_id: deletedId });
    const before = await rowsOf(target);
    const { problems } = await bring(target, source.url);
    expect(problems).toEqual([]);
    expect(await rowsOf(target)).toEqual(before);
    expect((await clientOf(target)('GET', '/runs/get', { run_id: deletedId })).run.info.lifecycle_stage).toBe(
      'active',
    );
  });

  it('brings what is new, and finishes what a killed one began', async () => {
    // Killed in the middle of a run: its row is there, a part of its points, and no fingerprint.
    await target.database.client.query(`UPDATE import_record SET fingerprint = NULL WHERE source_id = $1`, [
      runId,
    ]);
    await target.database.client.query(
      `DELETE FROM metric WHERE step > 500 AND run = (SELECT serial FROM run WHERE id = $1)`,
      [uuid(runId)],
    );
    await clientOf(source)('POST', '/registered-models/create', { name: 'later' });
    const { problems, counts } = await bring(target, source.url);
    expect(problems).toEqual([]);
    expect(counts).toMatchObject({
      'registered models': { source: 3, here: 3 },
      'metric points': { here: 1_203 },
    });
  });

  it('says what is not the same, and what it cannot bring, and exits with an error', async () => {
    await target.database.client.query(
      `DELETE FROM metric WHERE step = 7 AND run = (SELECT serial FROM run WHERE id = $1)`,
      [uuid(runId)],
    );
    await clientOf(source)('POST', '/registered-models/create', { name: 'taken' });
    await target.call('POST', '/models', { name: 'taken' });
    const main = join(import.meta.dirname, '../dist/apps/registry/src/import/main.js');
    const env = { PATH: process.env['PATH']!, ...registryEnvironment(target.database) };
    const failed = await promisify(execFile)(process.execPath, [main, 'mlflow', '--from', source.url], {
      env,
    }).then(
      () => undefined,
      (error: { code: number; stdout: string }) => error,
    );
    expect(failed!.code).toBe(1);
    expect(failed!.stdout).toMatch(
      new RegExp(`! run ${runId} differs: .*"metric points":1203.*"metric points":1202`),
    );
    expect(failed!.stdout).toContain('! model "taken": there is already a model or prompt of that name here');
    expect(failed!.stdout).toContain('2 problems.');
  });

  it('gives a run a new id where its own is taken, and an experiment a new number', async () => {
    const other = await startTestRegistry();
    await clientOf(other)('POST', '/experiments/create', { name: 'mine' });
    await clientOf(other)('POST', '/experiments/create', { name: 'mine too' });
    await other.database.client.query(
      `INSERT INTO run (id, workspace_id, name, created_at, created_by, experiment_serial, status, updated_at)
       SELECT $1, workspace_id, 'mine', now(), 'me', serial, 'FINISHED', now() FROM experiment WHERE number = 0`,
      [uuid(runId)],
    );
    expect((await bring(other, source.url)).problems).toEqual([]);
    expect((await clientOf(other)('GET', '/runs/get', { run_id: runId })).run.info.run_name).toBe('mine');
    const { experiment } = await clientOf(other)('GET', '/experiments/get-by-name', {
      experiment_name: 'churn',
    });
    expect(Number(experiment.experiment_id)).toBeGreaterThan(2);
    await other.close();
  });
});

describe('importing from the database of an MLflow server', () => {
  let target: TestRegistry;
  let directory: string;
  beforeAll(async () => {
    target = await startTestRegistry();
    directory = await mkdtemp(join(tmpdir(), 'catena-import-'));
  });
  afterAll(async () => {
    await target.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('brings runs, metrics and files of an old one, which has no logged models yet', async () => {
    const run = randomUUID().replaceAll('-', '');
    const database = new DatabaseSync(join(directory, 'mlflow.db'));
    database.exec(`
      CREATE TABLE experiments (experiment_id INTEGER, name TEXT, lifecycle_stage TEXT, creation_time BIGINT, last_update_time BIGINT);
      CREATE TABLE experiment_tags (key TEXT, value TEXT, experiment_id INTEGER);
      CREATE TABLE runs (run_uuid TEXT, name TEXT, user_id TEXT, status TEXT, start_time BIGINT, end_time BIGINT, lifecycle_stage TEXT, artifact_uri TEXT, experiment_id INTEGER);
      CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
      CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
      CREATE TABLE latest_metrics (key TEXT, run_uuid TEXT);
      CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN);
      CREATE TABLE registered_models (name TEXT, creation_time BIGINT, last_updated_time BIGINT, description TEXT);
      INSERT INTO experiments VALUES (5, 'old', 'active', 1600000000000, NULL);
      INSERT INTO runs VALUES ('${run}', 'r', 'me', 'KILLED', 1600000000001, NULL, 'active', 'mlflow-artifacts:/5/${run}/artifacts', 5);
      INSERT INTO params VALUES ('a', 'b', '${run}');
      INSERT INTO latest_metrics VALUES ('m', '${run}');
      INSERT INTO metrics VALUES ('m', 0, 1, '${run}', 0, 1), ('m', 0, 1, '${run}', 0, 0), ('m', 1e300, 2, '${run}', 1, 0);
    `);
    database.close();
    await mkdir(join(directory, 'files/5', run, 'artifacts/sub'), { recursive: true });
    await writeFile(join(directory, 'files/5', run, 'artifacts/sub/x.txt'), 'kept');
    const from = `sqlite:///${join(directory, 'mlflow.db')}`;
    const { problems, counts } = await bring(target, from, { artifactsFrom: join(directory, 'files') });
    expect(problems).toEqual([]);
    expect(counts).toMatchObject({
      'metric points': { source: 3, here: 3 },
      'artifacts seen': { source: 1 },
    });
    const file = await getContent(target, `/runs/${uuid(run)}/artifacts`, 'sub/x.txt');
    expect(await file.text()).toBe('kept');
    const { run: here } = await clientOf(target)('GET', '/runs/get', { run_id: run });
    expect(here.info).toMatchObject({ experiment_id: '5', status: 'KILLED' });
    expect(here.data.metrics).toEqual([expect.objectContaining({ key: 'm', value: 1e300 })]);
  });

  it('says where artifacts are that it cannot reach', async () => {
    const from = `sqlite:///${join(directory, 'mlflow.db')}`;
    const other = await startTestRegistry();
    const { problems } = await bring(other, from);
    expect(problems).toEqual([expect.stringMatching(/^run .*--artifacts-from/)]);
    await other.close();
  });
});
