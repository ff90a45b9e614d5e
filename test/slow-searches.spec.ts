import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mlflowCalls, type MlflowCalls } from './support/mlflow.js';
import { eventually } from './support/gateway.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let calls: MlflowCalls;
let experiment: string;
beforeAll(async () => {
  registry = await startTestRegistry({ CATENA_STATEMENT_TIMEOUT_MS: '200' });
  calls = mlflowCalls(registry);
  experiment = await calls.experiment();
});
afterAll(() => registry.close());

/** While it lasts, whatever reads the table takes long. */
async function whileSlow<T>(table: string, work: () => Promise<T>): Promise<T> {
  const { client } = registry.database;
  await client.query('BEGIN');
  try {
    await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    return await work();
  } finally {
    await client.query('ROLLBACK');
  }
}

describe('a search that takes the database too long', () => {
  it.each([
    ['issue', `/issues?filter=${encodeURIComponent("status = 'pending'")}`],
    ['run', '/runs?experimentId=0'],
    ['trace', '/traces?experimentId=0'],
  ])('over %s is refused, and tells what to do', async (table, path) => {
    const answer = await whileSlow(table, () => registry.call('GET', path));
    expect(answer).toMatchObject({ status: 422, body: { code: 'SEARCH_TOO_SLOW' } });
    expect(answer.body.message).toContain('CATENA_STATEMENT_TIMEOUT_MS');
    expect((await registry.call('GET', path)).status).toBe(200);
  });

  it.each([
    ['span', '/api/3.0/mlflow/traces/search', (id: string) => traces(id)],
    ['run', '/api/2.0/mlflow/runs/search', (id: string) => ({ experiment_ids: [id] })],
    ['entry', '/api/2.0/mlflow/model-versions/search', undefined],
  ] as const)('is an error of MLflow that its clients do not try again (%s)', async (table, path, body) => {
    const search = () =>
      body === undefined
        ? calls.raw('GET', path)
        : calls.raw('POST', path, JSON.stringify(body(experiment)), { 'content-type': 'application/json' });
    expect(await whileSlow(table, search)).toMatchObject({
      status: 400,
      body: { error_code: 'INVALID_PARAMETER_VALUE' },
    });
    expect((await search()).status).toBe(200);
  });
});

it('a write that waits too long may be tried again', async () => {
  const run_id = await calls.run(experiment);
  const write = () =>
    calls.post('/runs/log-batch', { run_id, metrics: [{ key: 'm', value: 1, timestamp: 1, step: 0 }] });
  expect(await whileSlow('metric', write)).toMatchObject({
    status: 503,
    body: { error_code: 'TEMPORARILY_UNAVAILABLE' },
  });
  expect((await write()).status).toBe(200);
});

function traces(id: string): object {
  return {
    locations: [{ type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: id } }],
    filter: "span.content LIKE '%a%'",
  };
}

it('a write that gives way in a deadlock may be tried again', async () => {
  const patient = await startTestRegistry();
  try {
    const theirs = mlflowCalls(patient);
    const run_id = await theirs.run(await theirs.experiment());
    const write = () =>
      theirs.post('/runs/log-batch', { run_id, metrics: [{ key: 'm', value: 1, timestamp: 1, step: 0 }] });
    const { client } = patient.database;
    await client.query('BEGIN');
    await client.query('LOCK TABLE metric IN ACCESS EXCLUSIVE MODE');
    const waiting = write();
    await eventually(async () => {
      const { rows } = await client.query(`SELECT 1 FROM pg_locks WHERE NOT granted`);
      return rows.length > 0;
    });
    // What the write holds; it has waited for longer, so that it is the one PostgreSQL ends.
    await client.query('LOCK TABLE run IN ACCESS EXCLUSIVE MODE');
    await client.query('ROLLBACK');
    expect(await waiting).toMatchObject({ status: 503 });
    expect((await write()).status).toBe(200);
  } finally {
    await patient.close();
  }
});
