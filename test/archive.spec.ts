import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { v7 } from 'uuid';
import { INFERENCES, MODEL_CALLS } from '../apps/registry/src/archive/archive-tables.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { readArchive, startArchiveRegistry, type ArchiveRegistry } from './support/archive.js';
import { inferenceRow, insertInferences } from './support/inferences.js';

const DAY = '2026-11-10';
const NEXT = '2026-11-11';
const at = (day: string, second: number) =>
  new Date(Date.parse(`${day}T00:00:00Z`) + second * 1000).toISOString();

const md5 = (text: string) => createHash('md5').update(text).digest('hex');

describe('the archive', () => {
  let registry: ArchiveRegistry;
  beforeAll(async () => {
    registry = await startArchiveRegistry();
  });
  afterEach(async () => {
    const { client } = registry.database;
    await client.query('TRUNCATE inference, inference_payload, archive_file, archive_day');
  });
  afterAll(() => registry.close());

  const insert = (rows: Parameters<typeof insertInferences>[1]) =>
    insertInferences(registry.database.client, rows);

  it('has every column that rows have', async () => {
    const { rows } = await registry.database.client.query<{ table: string; name: string }>(
      `SELECT table_name AS table, column_name AS name FROM information_schema.columns
        WHERE table_name IN ('inference', 'inference_payload', 'model_call') ORDER BY 1, 2`,
    );
    const of = (...tables: string[]) => [
      ...new Set(rows.filter(({ table }) => tables.includes(table)).map(({ name }) => name)),
    ];
    // When a row arrived means nothing elsewhere, and model calls are rows of their own.
    const left = new Set(['arrived', 'model_calls']);
    expect(Object.keys(INFERENCES.columns).toSorted()).toEqual(
      of('inference', 'inference_payload')
        .filter((name) => !left.has(name))
        .toSorted(),
    );
    expect(Object.keys(MODEL_CALLS.columns).toSorted()).toEqual(
      of('model_call')
        .filter((name) => !left.has(name))
        .toSorted(),
    );
  });

  it('holds a closed day as typed Parquet, one folder per workspace and day', async () => {
    const others = [v7(), v7()];
    for (const id of others)
      await registry.database.client.query(
        `INSERT INTO workspace (id, name, created_at) VALUES ($1, $2, now())`,
        [id, `w-${id}`],
      );
    const workspaces = [DEFAULT_WORKSPACE_ID, ...others];
    const rows = workspaces.flatMap((workspaceId, n) =>
      Array.from({ length: 10 * (n + 1) }, (_, i) => inferenceRow({ startedAt: at(DAY, i), workspaceId })),
    );
    await insert([...rows, inferenceRow({ startedAt: at(NEXT, 0) })]);
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    const archive = await readArchive(registry.bucket);
    const part = (table: string, id: string) =>
      `archive/${table}/workspace=${id}/date=${DAY}/part-00000.parquet`;
    expect(
      archive.keys.map((key) => key.replace(/-[0-9a-f]{8}(-[0-9a-f]{4,12}){4}\.parquet$/, '.parquet')),
    ).toEqual(workspaces.flatMap((id) => [part('inferences', id), part('model_calls', id)]).toSorted());
    expect(
      await archive.query(
        `SELECT workspace::VARCHAR AS id, count(*)::INT AS n, bool_and(workspace::VARCHAR = workspace_id) AS same
           FROM inferences GROUP BY ALL ORDER BY n`,
      ),
    ).toEqual(workspaces.map((id, n) => ({ id, n: 10 * (n + 1), same: true })));
    const [types] = await archive.query(
      `SELECT any_value(typeof(started_at)) AS at, any_value(typeof(input_tokens)) AS tokens,
              any_value(typeof(cost_micro_usd)) AS cost, any_value(typeof(latency_ms)) AS latency,
              any_value(typeof(sticky)) AS sticky, any_value(typeof(date)) AS date FROM inferences`,
    );
    expect(types).toEqual({
      at: 'TIMESTAMP WITH TIME ZONE',
      tokens: 'INTEGER',
      cost: 'BIGINT',
      latency: 'DOUBLE',
      sticky: 'BOOLEAN',
      date: 'DATE',
    });
    const { rows: files } = await registry.database.client.query(
      `SELECT workspace_id, row_count, min_started_at, max_started_at, schema_version FROM archive_file
        WHERE table_name = 'inferences' ORDER BY row_count`,
    );
    expect(files).toEqual(
      workspaces.map((workspace_id, n) => ({
        workspace_id,
        row_count: 10 * (n + 1),
        min_started_at: new Date(at(DAY, 0)),
        max_started_at: new Date(at(DAY, 10 * (n + 1) - 1)),
        schema_version: 1,
      })),
    );
  });

  it('keeps every byte of long bodies of many lines', async () => {
    const long = Array.from({ length: 30 }, (_, n) =>
      inferenceRow({
        startedAt: at(DAY, n),
        request: '0123456789abcdef\n'.repeat(40_000 + n),
        response: `\u0001${`"${n}"\r\n\u0002`.repeat(30_000)}`,
      }),
    );
    await insert(long);
    await registry.archiveBefore(NEXT);
    const archive = await readArchive(registry.bucket);
    expect(
      await archive.query(
        'SELECT id, md5(request) AS request, md5(response) AS response FROM inferences WHERE length(request) > 1000 ORDER BY id',
      ),
    ).toEqual(
      long.map(({ id, request, response }) => ({ id, request: md5(request), response: md5(response!) })),
    );
  });
});
