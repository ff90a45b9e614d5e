import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { v7 } from 'uuid';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { dataSourceOptions, migrate } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { inferenceRow, insertInferences, WHOLE_INFERENCE } from './support/inferences.js';

/** As in releases before there were payloads. */
const LAST_BEFORE = 20;

let admin: pg.Client;
let client: pg.Client;
let name: string;
let url: string;
beforeAll(async () => {
  admin = new pg.Client({ connectionString: inject('adminUrl') });
  await admin.connect();
  name = `test_${randomBytes(6).toString('hex')}`;
  await admin.query(`CREATE DATABASE ${name}`);
  url = inject('adminUrl').replace(/\/postgres$/, `/${name}`);
  const options = dataSourceOptions({ url, poolSize: 1, applicationName: 'test' });
  const migrations = (options.migrations as { name: string }[]).filter(
    (migration) => Number(migration.name.slice(-3)) <= LAST_BEFORE,
  );
  const source = await new DataSource({ ...options, migrations: migrations as never }).initialize();
  await source.runMigrations();
  await source.destroy();
  client = new pg.Client({ connectionString: url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  await admin.end();
});

it('the rows there are keep their bodies when these get a table of their own, and new ones go on beside them', async () => {
  const former = [];
  for (const [n, day] of ['2026-09-30', '2026-10-01', '2026-10-01', '2026-11-22'].entries()) {
    await client.query('SELECT catena_ensure_inference_partition($1)', [day]);
    const startedAt = new Date(`${day}T23:59:59.${n}00Z`);
    const row = {
      id: v7({ msecs: startedAt.getTime() }),
      startedAt,
      attempts: n,
      metadata: n === 1 ? '{"a":"ü"}' : null,
      request: `{"n":${n},"text":"${'x'.repeat(n * 50_000)}"}`,
      response: n === 2 ? null : `"${'🚀'.repeat(n * 10_000)}"`,
    };
    await client.query(
      `INSERT INTO inference (id, started_at, workspace_id, endpoint, split_revision, arm, chain, chain_version, chain_digest,
         bucket, sticky, assignment, status, model_endpoint, attempts, streamed, latency_ms, metadata, request, response)
       VALUES ($1, $2, $3, 'e', 1, 'a', 'c', 1, 'd', 1, true, 'split', 'ok', 'gpu', $4, false, 12, $5, $6, $7)`,
      [row.id, startedAt, DEFAULT_WORKSPACE_ID, row.attempts, row.metadata, row.request, row.response],
    );
    former.push(row);
  }

  // On another day, with bodies that cannot be compressed.
  await client.query(`SELECT catena_ensure_inference_partition('2026-11-01')`);
  await client.query(
    `INSERT INTO inference (id, started_at, workspace_id, endpoint, split_revision, arm, chain, chain_version, chain_digest,
       bucket, sticky, assignment, status, attempts, streamed, request)
     SELECT gen_random_uuid(), '2026-11-01T00:00:00Z', $1, 'bulk', 1, 'a', 'c', 1, 'd', 1, true, 'split', 'ok', 0, false,
            (SELECT string_agg(md5(i || '-' || j), '') FROM generate_series(1, 32) j)
       FROM generate_series(1, 12000) i`,
    [DEFAULT_WORKSPACE_ID],
  );

  await migrate(url);

  const { rows } = await client.query(
    `SELECT id, started_at AS "startedAt", attempts, metadata, request, response FROM ${WHOLE_INFERENCE} WHERE endpoint = 'e' ORDER BY id`,
  );
  expect(rows).toEqual(former);
  const { rows: columns } = await client.query(
    `SELECT column_name FROM information_schema.columns
      WHERE table_name = 'inference' AND column_name IN ('metadata', 'request', 'response')`,
  );
  expect(columns).toEqual([]);
  const { rows: partitions } = await client.query(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'inference_payload'::regclass ORDER BY 1`,
  );
  expect(partitions.map((partition) => partition.name)).toEqual(
    ['20260930', '20261001', '20261101', '20261122'].map((day) => `inference_payload_${day}`),
  );
  // Of one without a call there is none; of several the last is described.
  const { rows: calls } = await client.query(
    'SELECT inference_id, position, offset_ms, latency_ms FROM model_call ORDER BY inference_id',
  );
  expect(calls).toEqual(
    former.slice(1).map(({ id, attempts }) => ({
      inference_id: id,
      position: attempts,
      offset_ms: null,
      latency_ms: null,
    })),
  );
  // Followers are told of what was there before in portions, as if it had come before everything else.
  const added = inferenceRow({ startedAt: '2026-11-22T10:00:00.000Z' });
  await insertInferences(client, [added]);
  const { rows: arrived } = await client.query(
    `SELECT arrived, count(*)::integer AS n, bool_or(id = $1) AS new FROM inference GROUP BY arrived ORDER BY arrived`,
    [added.id],
  );
  expect(arrived.at(-1)).toMatchObject({ n: 1, new: true });
  expect(arrived.slice(0, -1).map(({ n }) => n)).toEqual([5_000, 5_000, 2_004]);
  expect(Number(arrived.at(-1).arrived)).toBeGreaterThan(Number(arrived.at(-2).arrived));
  const { rows: sizes } = await client.query(
    `SELECT pg_table_size('inference_20261101')::integer AS rows, pg_table_size('inference_payload_20261101')::integer AS payloads`,
  );
  expect(sizes[0].payloads).toBeGreaterThan(12_000 * 1_024);
  expect(sizes[0].rows).toBeLessThan(12_000 * 300);
});
