import { randomBytes, randomUUID } from 'node:crypto';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DataSource, type EntityManager } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { VersionService } from '../apps/registry/src/entries/versions/version.service.js';
import { BlobStore } from '../apps/registry/src/artifacts/blob-store.js';
import { Collector } from '../apps/registry/src/gc/collector.js';
import { ExperimentRemoval } from '../apps/registry/src/gc/experiment-removal.js';
import { RunRemoval } from '../apps/registry/src/gc/run-removal.js';
import { Tally } from '../apps/registry/src/gc/tally.js';
import { parseAge, type GcScope } from '../apps/registry/src/gc/gc-scope.js';
import { assertDeleted } from '../apps/registry/src/gc/gc-targets.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createVersion, getContent, keysIn, newBucketName, putContent, until } from './support/artifacts.js';
import { registryEnvironment, startTestRegistry, type TestRegistry } from './support/registry.js';

const DAY_MS = 86_400_000;
const bucket = newBucketName();
let registry: TestRegistry;
let collector: Collector;
let key: number;
const query = async (sql: string, parameters: unknown[] = []): Promise<any[]> =>
  (await registry.database.client.query(sql, parameters)).rows;

interface Run {
  readonly id: string;
  readonly serial: number;
  readonly base: string;
}

/** A run with a bit of everything, deleted so many days ago. */
async function givenRun(
  deletedDays?: number,
  experiment = 0,
  files: Record<string, string> = {},
): Promise<Run> {
  const id = randomUUID();
  const [{ serial, experiment_serial }] = await query(
    `INSERT INTO run (id, workspace_id, name, created_at, created_by, experiment_serial, status, updated_at)
     SELECT $1, workspace_id, 'r', now(), 'ana', serial, 'FINISHED', now() FROM experiment WHERE number = $2
     RETURNING serial, experiment_serial`,
    [id, experiment],
  );
  await query(`INSERT INTO metric SELECT $1, $2, step, 0, 0.5 FROM generate_series(1, 50) step`, [
    serial,
    key,
  ]);
  await query(`INSERT INTO latest_metric VALUES ($1, $2, $3, 50, 0, 0.5)`, [serial, key, experiment_serial]);
  await query(`INSERT INTO param VALUES ($1, $2, $3, 'x')`, [serial, key, experiment_serial]);
  await query(`INSERT INTO run_tag VALUES ($1, $2, $3, 'x')`, [serial, key, experiment_serial]);
  const base = `/runs/${id}/artifacts`;
  for (const [path, text] of Object.entries(files))
    expect((await putContent(registry, base, path, text)).status).toBeLessThan(300);
  if (deletedDays !== undefined)
    await query(`UPDATE run SET deleted_at = now() - $2 * interval '1 day' WHERE id = $1`, [id, deletedDays]);
  return { id, serial, base };
}

async function givenExperiment(deletedDays?: number): Promise<number> {
  const [{ number }] = await query(
    `INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at, deleted_at)
     SELECT gen_random_uuid(), $1, max(number) + 1, $2, '{}', now(), 'ana', now(), now() - $3 * interval '1 day' FROM experiment
     RETURNING number`,
    [DEFAULT_WORKSPACE_ID, randomBytes(4).toString('hex'), deletedDays ?? null],
  );
  return number;
}

async function givenLoggedModel(
  experiment: number,
  more: { run?: Run; deletedDays?: number } = {},
): Promise<string> {
  const id = randomUUID();
  await query(
    `INSERT INTO logged_model (id, workspace_id, experiment, name, status, source_run_id, params, tags, created_at, created_by, updated_at, deleted_at)
     SELECT $1, workspace_id, serial, 'm', 'READY', $3, '{}', '{}', now(), 'ana', now(), now() - $4 * interval '1 day'
       FROM experiment WHERE number = $2`,
    [id, experiment, more.run?.id ?? null, more.deletedDays ?? null],
  );
  if (more.run) {
    await query(`INSERT INTO run_model VALUES ($1, $2, 'output', 0)`, [more.run.serial, id]);
    await query(`INSERT INTO logged_model_metric VALUES ($1, $2, $3, 0, 0, 1)`, [id, key, more.run.serial]);
  }
  return id;
}

/** A version that says it was made from this run or logged model. */
async function givenVersionOf(source: { runId?: string; modelId?: string }): Promise<string> {
  const base = await createVersion(registry, 'model');
  const [{ id }] = await query(
    `SELECT v.id FROM version v JOIN entry e ON e.id = v.entry_id WHERE e.name = $1`,
    [base.split('/')[2]],
  );
  await query(`INSERT INTO version_source VALUES ($1, $2, 'somewhere', $3, $4)`, [
    id,
    DEFAULT_WORKSPACE_ID,
    source.runId ?? null,
    source.modelId ?? null,
  ]);
  return id;
}

const scope = (more: Partial<GcScope> = {}): GcScope => ({
  before: new Date(Date.now() - 30 * DAY_MS),
  ...more,
});
const collect = async (more: Partial<GcScope> = {}): Promise<Record<string, number>> =>
  Object.fromEntries((await collector.collect(scope(more))).entries());

const rowsOf = async ({ serial, id }: Run): Promise<number[]> => {
  const counts: number[] = [];
  for (const table of ['metric', 'latest_metric', 'param', 'run_tag'])
    counts.push((await query(`SELECT count(*)::int FROM ${table} WHERE run = $1`, [serial]))[0].count);
  counts.push((await query(`SELECT count(*)::int FROM artifact WHERE run_id = $1`, [id]))[0].count);
  return [...counts, (await query(`SELECT count(*)::int FROM run WHERE id = $1`, [id]))[0].count];
};
const ALL = [50, 1, 1, 1, 1, 1];
const NOTHING = [0, 0, 0, 0, 0, 0];
const hex = (id: string): string => id.replaceAll('-', '');

describe('gc', () => {
  beforeAll(async () => {
    registry = await startTestRegistry({ S3_BUCKET: bucket });
    collector = new Collector(registry.app.get(DataSource), registry.app.get(BlobStore));
    [{ id: key }] = await query(
      `INSERT INTO tracking_key (workspace_id, name) VALUES ($1, 'loss') RETURNING id`,
      [DEFAULT_WORKSPACE_ID],
    );
  });
  afterAll(() => registry.close());
  beforeEach(async () => {
    await collect({ before: new Date(Date.now() + DAY_MS) }); // what another test deleted
  });

  it('removes runs that were deleted long enough ago, with all they logged, and no others', async () => {
    const [old, recent, active] = [
      await givenRun(31, 0, { 'a.txt': 'old' }),
      await givenRun(29, 0, { 'a.txt': 'recent' }),
      await givenRun(undefined, 0, { 'a.txt': 'active' }),
    ];
    const model = await givenLoggedModel(0, { run: old });
    const [{ id: dataset }] = await query(
      `INSERT INTO dataset SELECT gen_random_uuid(), serial, 'd', 'x', 't', 's', NULL, NULL, now() - interval '90 days'
         FROM experiment WHERE number = 0 RETURNING id`,
    );
    await query(`INSERT INTO run_dataset VALUES ($1, $2, '{}')`, [old.serial, dataset]);
    const preview = Object.fromEntries((await collector.preview(scope())).entries());
    expect(preview).toMatchObject({ runs: 1, 'metric points': 50, artifacts: 1 });
    expect(await rowsOf(old)).toEqual(ALL);
    const removed = await collect();
    expect(removed).toMatchObject({
      runs: 1,
      'metric points': 50,
      params: 1,
      artifacts: 1,
      datasets: 1,
      blobs: 1,
    });
    expect([await rowsOf(old), await rowsOf(recent), await rowsOf(active)]).toEqual([NOTHING, ALL, ALL]);
    expect(await query(`SELECT source_run_id FROM logged_model WHERE id = $1`, [model])).toEqual([
      { source_run_id: null },
    ]);
    expect(await query(`SELECT FROM logged_model_metric WHERE logged_model_id = $1`, [model])).toEqual([]);
    expect(await collect()).toMatchObject({ artifacts: 0, blobs: 0 });
  });

  it('removes experiments with everything in them, after which their names are free', async () => {
    const experiment = await givenExperiment(40);
    const run = await givenRun(40, experiment, { x: 'in an experiment' });
    const model = await givenLoggedModel(experiment, { run });
    const [{ serial: trace }] = await query(
      `INSERT INTO trace (id, workspace_id, trace_id, experiment, time_ms, state, metadata, tags, finalized, created_at)
       SELECT gen_random_uuid(), workspace_id, 'tr-1', serial, 0, 'OK', '{}', '{}', true, now() FROM experiment WHERE number = $1
       RETURNING serial`,
      [experiment],
    );
    await query(
      `INSERT INTO span (trace, span_id, experiment, name, status, start_ns, content)
       SELECT $1, 's', experiment, 'n', 'OK', 0, '{}' FROM trace WHERE serial = $1`,
      [trace],
    );
    const young = await givenExperiment(3);
    expect(await collect()).toMatchObject({
      experiments: 1,
      runs: 1,
      'logged models': 1,
      traces: 1,
      spans: 1,
    });
    expect(await rowsOf(run)).toEqual(NOTHING);
    expect(await query(`SELECT FROM logged_model WHERE id = $1`, [model])).toEqual([]);
    expect(
      await query(`SELECT number FROM experiment WHERE number = ANY ($1)`, [[experiment, young]]),
    ).toEqual([{ number: young }]);
  });

  it('never removes what a version refers to', async () => {
    const experiment = await givenExperiment(40);
    const evaluated = await givenRun(40, experiment, { x: '1' });
    const source = await givenRun(40, 0, { x: '2' });
    const hyphens = await givenRun(40, 0, { x: '3' });
    const maker = await givenRun(40, 0, { x: '4' });
    const model = await givenLoggedModel(0, { run: maker, deletedDays: 40 });
    const version = await givenVersionOf({ runId: hex(source.id) });
    await givenVersionOf({ runId: hyphens.id });
    await givenVersionOf({ modelId: `m-${hex(model)}` });
    await query(`INSERT INTO run_version VALUES ($1, $2)`, [evaluated.serial, version]);
    expect(await collect()).toMatchObject({
      'runs kept, because a version refers to them': 4,
      experiments: 0,
    });
    for (const run of [evaluated, source, hyphens, maker]) expect(await rowsOf(run)).toEqual(ALL);
    expect(await query(`SELECT FROM logged_model WHERE id = $1`, [model])).toHaveLength(1);
    await query(`DELETE FROM run_version`);
  });

  /** The database, where something happens between choosing what goes and removing it. */
  function racing(happens: () => Promise<unknown>): { database: DataSource; happened: () => boolean } {
    const database = registry.app.get(DataSource);
    let happened = false;
    const transaction = (work: (tx: EntityManager) => Promise<unknown>) =>
      database.transaction((tx) => {
        const given = tx.query.bind(tx);
        tx.query = async (sql: string, values?: unknown[]): Promise<any> => {
          const rows = await given(sql, values);
          if (!happened && /SKIP LOCKED/.test(sql)) {
            happened = true;
            await happens();
          }
          return rows;
        };
        return work(tx);
      });
    return {
      database: Object.assign(Object.create(database) as DataSource, { transaction }),
      happened: () => happened,
    };
  }

  it('leaves a run alone that a version begins to refer to while it is being chosen', async () => {
    const run = await givenRun(40, 0, { x: 'chosen' });
    const { database, happened } = racing(() => givenVersionOf({ runId: hex(run.id) }));
    await new RunRemoval(database, new Tally()).remove(scope());
    expect(happened()).toBe(true);
    expect(await rowsOf(run)).toEqual(ALL);
  });

  it('leaves a logged model alone that a version begins to refer to while it is being chosen', async () => {
    const model = await givenLoggedModel(0, { deletedDays: 40 });
    const { database, happened } = racing(() => givenVersionOf({ modelId: `m-${hex(model)}` }));
    await new ExperimentRemoval(database, new Tally()).remove(scope());
    expect(happened()).toBe(true);
    expect(await query(`SELECT FROM logged_model WHERE id = $1`, [model])).toHaveLength(1);
  });

  it('leaves alone what a version is being made from that nobody sees yet', async () => {
    const [run, maker] = [await givenRun(40, 0, { x: 'source' }), await givenRun(40, 0, { x: 'maker' })];
    const model = await givenLoggedModel(0, { run: maker, deletedDays: 40 });
    await registry.call('POST', '/models', { name: 'under-way' });
    const versions = registry.app.get(VersionService, { strict: false });
    const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'test' };
    // Its transaction stands still at its last step but one: the version is written, and not committed.
    await query('BEGIN');
    await query(`LOCK TABLE version_source IN SHARE MODE`);
    const content = { format: 'mlflow', source: 's3://b/x', runId: hex(run.id), modelId: `m-${hex(model)}` };
    const registered = versions.registerAnew(caller, 'model', 'under-way', {
      content,
      description: null,
      tags: {},
    });
    await until(
      async () =>
        (await query(`SELECT FROM pg_locks WHERE relation = 'version_source'::regclass AND NOT granted`))
          .length,
      'the version is being made',
    );
    expect(await collect()).not.toHaveProperty('runs');
    await query('COMMIT');
    await registered;
    for (const kept of [run, maker]) expect(await rowsOf(kept)).toEqual(ALL);
    expect(await query(`SELECT FROM logged_model WHERE id = $1`, [model])).toHaveLength(1);
  });

  it('removes bytes when the last that refers to them is gone, and their object later', async () => {
    const shared = randomBytes(8).toString('hex');
    const own = randomBytes(8).toString('hex');
    const run = await givenRun(40, 0, { 'shared.bin': shared, 'own.bin': own });
    const version = await createVersion(registry);
    await putContent(registry, version, 'kept.bin', shared);
    const sweep = () => registry.app.get(BlobStore).sweep(new Date(Date.now() + DAY_MS), 1_000);
    await sweep();
    const before = await keysIn(bucket, 'workspaces/');
    expect(await collect()).toMatchObject({ runs: 1, artifacts: 2, blobs: 1 });
    expect(await rowsOf(run)).toEqual(NOTHING);
    expect(await keysIn(bucket, 'workspaces/')).toHaveLength(before.length);
    await sweep();
    expect(await keysIn(bucket, 'workspaces/')).toHaveLength(before.length - 1);
    expect(await (await getContent(registry, version, 'kept.bin')).text()).toBe(shared);
  });

  it('leaves a run alone that is being restored at the same moment', async () => {
    const run = await givenRun(40, 0, { x: 'wanted back' });
    await query('BEGIN');
    await query('UPDATE run SET deleted_at = NULL WHERE id = $1', [run.id]);
    expect(await collect()).not.toHaveProperty('runs');
    await query('COMMIT');
    expect(await rowsOf(run)).toEqual(ALL);
    expect(await collect()).not.toHaveProperty('runs');
  });

  it('goes on where one that was killed left off', async () => {
    const run = await givenRun(40);
    // Killed after the transaction that removes the run, before its rows of volume.
    await query(
      `WITH gone AS (DELETE FROM run WHERE id = $1 RETURNING serial, workspace_id)
       INSERT INTO removed_run SELECT serial, workspace_id, now() FROM gone`,
      [run.id],
    );
    expect(await collect()).toMatchObject({ 'metric points': 50, params: 1 });
    expect(await rowsOf(run)).toEqual(NOTHING);
    expect(await query('SELECT FROM removed_run')).toEqual([]);
  });

  it('loses nothing beside uploads of the very bytes that it is removing', async () => {
    const keeper = await givenRun();
    const texts = Array.from({ length: 6 }, () => randomBytes(8).toString('hex'));
    for (let round = 0; round < 4; round++) {
      await givenRun(40, 0, Object.fromEntries(texts.map((text, index) => [`${index}`, text])));
      await Promise.all([
        collect(),
        ...texts.map((text, index) => putContent(registry, keeper.base, `${round}/${index}`, text)),
        collect(),
      ]);
    }
    await registry.app.get(BlobStore).sweep(new Date(Date.now() + DAY_MS), 1_000);
    for (let round = 0; round < 4; round++)
      for (const [index, text] of texts.entries())
        expect(await (await getContent(registry, keeper.base, `${round}/${index}`)).text()).toBe(text);
  });

  it('removes only the runs or experiments it is told to, and refuses what is not deleted', async () => {
    const experiment = await givenExperiment(40);
    const runs = [await givenRun(40), await givenRun(40), await givenRun(40, experiment)];
    const active = await givenRun();
    const only = { workspaceId: DEFAULT_WORKSPACE_ID, runIds: [runs[0]!.id] };
    const database = registry.app.get(DataSource);
    await assertDeleted(database, scope(only));
    await expect(assertDeleted(database, scope({ ...only, runIds: [active.id] }))).rejects.toThrow(
      `run ${hex(active.id)} is not deleted`,
    );
    await expect(assertDeleted(database, scope({ ...only, experimentNumbers: [999_999] }))).rejects.toThrow(
      'experiment 999999 is not there',
    );
    expect(await collect(only)).toMatchObject({ runs: 1 });
    expect(
      await collect({ workspaceId: DEFAULT_WORKSPACE_ID, experimentNumbers: [experiment] }),
    ).toMatchObject({
      runs: 1,
      experiments: 1,
    });
    expect((await rowsOf(runs[1]!))[5]).toBe(1);
  });

  it('is a command that prints what it removed', async () => {
    const run = await givenRun(40);
    const main = join(import.meta.dirname, '../dist/apps/registry/src/gc/main.js');
    const env = {
      PATH: process.env['PATH']!,
      ...registryEnvironment(registry.database, { S3_BUCKET: bucket }),
    };
    const gc = (...args: string[]) => promisify(execFile)(process.execPath, [main, ...args], { env });
    expect((await gc('--dry-run')).stdout).toMatch(/would be removed[^]*│ runs +│ +1 │/);
    expect((await rowsOf(run))[5]).toBe(1);
    expect((await gc('--older-than', '41d')).stdout).not.toMatch(/│ runs +│/);
    expect((await gc('--run-ids', hex(run.id))).stdout).toMatch(/│ runs +│ +1 │/);
    await expect(gc('--run-ids', hex(run.id))).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching('is not there'),
    });
    await expect(gc('--older-than', 'soon')).rejects.toMatchObject({ code: 1 });
  });

  it.each([
    ['30d', 30 * DAY_MS],
    ['1d6h30m', DAY_MS * 1.25 + 1_800_000],
    ['1.5h', 5_400_000],
    ['0s', 0],
    ['', undefined],
    ['30', undefined],
    ['-1d', undefined],
    ['6h1d', undefined],
  ])('reads an age of %j', (text, expected) => expect(parseAge(text)).toBe(expected));
});
