import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ExportRows } from '../apps/registry/src/export/export-rows.js';
import { ExportService } from '../apps/registry/src/export/export.service.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { startArchiveRegistry, type ArchiveRegistry } from './support/archive.js';
import { until } from './support/artifacts.js';
import { inferenceRow, insertInferences } from './support/inferences.js';

const DAYS = ['2026-11-10', '2026-11-11', '2026-11-12'] as const;
const RANGE = { from: `${DAYS[0]}T00:00:00Z`, to: '2026-11-13T00:00:00Z' };
const TEXTS = [
  '=1+1',
  '+49',
  '-5',
  '@sum',
  '\tx',
  '\rx',
  'a,"b"\nc',
  '',
  null,
  '😀\u0001\u0002',
  '{"a":[1]}',
];

describe('an export', () => {
  let registry: ArchiveRegistry;
  const rows = Array.from({ length: 6_300 }, (_, n) => {
    const text = TEXTS[n % TEXTS.length]!;
    return inferenceRow({
      startedAt: new Date(Date.parse(`${DAYS[n % 3]!}T00:00:00Z`) + n * 1000).toISOString(),
      unit: text,
      endpoint: n % 4 === 0 ? 'other' : 'support-bot',
      metadata: text,
      request: text ?? 'x'.repeat(n % 50_000),
      response: text,
      costMicroUsd: n % 5 === 0 ? null : n,
      latencyMs: n / 3,
      contractRungs: n % 2 === 0 ? ([{ rung: 'native' }] as unknown as string) : null,
    });
  });
  const newestFirst = rows.toSorted((a, b) => (a.id < b.id ? 1 : -1));

  beforeAll(async () => {
    registry = await startArchiveRegistry();
    await insertInferences(registry.database.client, rows);
    expect(await registry.archiveBefore(DAYS[1])).toBe(1);
    await registry.dropDay(DAYS[0]);
  });
  afterAll(() => registry.close());

  const fetchExport = (query: Record<string, string>) =>
    fetch(`${registry.url}/api/v1/inferences/export?${new URLSearchParams({ ...RANGE, ...query })}`);

  it('has every row of the range once, newest first, on both sides of the border', async () => {
    const response = await fetchExport({});
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect(response.headers.get('content-disposition')).toContain('inferences-2026-11-10-2026-11-13.jsonl');
    const lines = (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ id }) => id)).toEqual(newestFirst.map(({ id }) => id));
    expect(lines[0]).not.toHaveProperty('request');
    const even = lines.find(({ id }) => id === newestFirst.at(-1)!.id);
    expect(even).toMatchObject({
      unit: '=1+1',
      latency_ms: 0,
      cost_micro_usd: null,
      started_at: newestFirst.at(-1)!.startedAt,
      contract_rungs: [{ rung: 'native' }],
    });
  });

  it('has payloads as they were sent', async () => {
    const lines = (await (await fetchExport({ payloads: 'true' })).text()).trimEnd().split('\n');
    const seen = lines.map((line) => JSON.parse(line));
    expect(seen.map(({ id, metadata, request, response }) => ({ id, metadata, request, response }))).toEqual(
      newestFirst.map(({ id, metadata, request, response }) => ({ id, metadata, request, response })),
    );
  });

  it('is what a list with the same filters would list', async () => {
    const lines = (await (await fetchExport({ endpoint: 'other', unit: '=1+1' })).text())
      .trimEnd()
      .split('\n');
    const wanted = newestFirst.filter(({ endpoint, unit }) => endpoint === 'other' && unit === '=1+1');
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(wanted.map(({ id }) => id));
    expect(await (await fetchExport({ endpoint: 'nobody' })).text()).toBe('');
  });

  /** What DuckDB, a program that knows nothing of us, makes of a body. */
  async function read(response: Response, extension: string, sql: (path: string) => string) {
    const directory = await mkdtemp(join(tmpdir(), 'catena-export-'));
    const path = join(directory, `file.${extension}`);
    await writeFile(path, Buffer.from(await response.arrayBuffer()));
    const connection = await (await DuckDBInstance.create()).connect();
    try {
      return (await connection.runAndReadAll(sql(path))).getRowObjectsJS();
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  it('as Parquet uses no more of the disk than it may, and leaves nothing there', async () => {
    const service = registry.app.get(ExportService);
    const files = () => readdir(join(registry.directory, 'archive', 'work'));
    const { maxParquetBytes } = service;
    service.maxParquetBytes = 100_000;
    const refused = await fetchExport({ format: 'parquet' });
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([
      422,
      'SEARCH_TOO_SLOW',
    ]);
    expect(await files()).toEqual([]);
    service.maxParquetBytes = maxParquetBytes;
    const several = await Promise.all([1, 2, 3, 4].map(() => fetchExport({ format: 'parquet' })));
    expect(several.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 422, 422]);
    await Promise.all(several.map((response) => response.arrayBuffer()));
    expect(await files()).toEqual([]);
  });

  it('as Parquet has the types of the archive', async () => {
    const response = await fetchExport({ format: 'parquet', payloads: 'true' });
    expect(response.headers.get('content-type')).toBe('application/vnd.apache.parquet');
    const seen = await read(
      response,
      'parquet',
      (path) => `SELECT id, unit, request, cost_micro_usd, latency_ms, started_at, typeof(started_at) AS type
                   FROM read_parquet('${path}')`,
    );
    expect(seen).toEqual(
      newestFirst.map((row) => ({
        id: row.id,
        unit: row.unit,
        request: row.request,
        cost_micro_usd: row.costMicroUsd === null ? null : BigInt(row.costMicroUsd),
        latency_ms: row.latencyMs,
        started_at: new Date(row.startedAt),
        type: 'TIMESTAMP WITH TIME ZONE',
      })),
    );
  });

  it('as CSV is read back as it was, but for texts that a spreadsheet would run', async () => {
    const response = await fetchExport({ format: 'csv', payloads: 'true' });
    expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    const seen = await read(
      response,
      'csv',
      (path) =>
        `SELECT id, unit, latency_ms FROM read_csv('${path}', header = true, all_varchar = true, quote = '"', escape = '"', delim = ',', allow_quoted_nulls = false)`,
    );
    expect(seen.map(({ id, unit }) => ({ id, unit }))).toEqual(
      newestFirst.map(({ id, unit }) => ({
        id,
        unit: unit !== null && /^[=+\-@\t\r]/.test(unit) ? `'${unit}` : unit,
      })),
    );
    expect(Number(seen[0]!['latency_ms'])).toBe(newestFirst[0]!.latencyMs);
  });

  it('has the judgements that count, where it is asked for them', async () => {
    const judged = newestFirst.at(-1)!; // in the archive
    await registry.database.client.query(
      `INSERT INTO feedback (id, workspace_id, event_id, inference_id, name, kind, number_value, source, given_at,
         received_at, matched_inference_id, matched_started_at, latest)
       SELECT gen_random_uuid(), $1, 'e' || n, $2, 'helpful', 'boolean', n % 2, 'human', now(), now(), $2, $3, n = 2
         FROM generate_series(1, 2) n`,
      [DEFAULT_WORKSPACE_ID, judged.id, judged.startedAt],
    );
    const lines = (await (await fetchExport({ feedback: 'true' })).text()).trimEnd().split('\n');
    const seen = lines.map((line) => JSON.parse(line)).filter(({ feedback }) => feedback !== null);
    expect(seen).toMatchObject([
      { id: judged.id, feedback: [{ event_id: 'e2', name: 'helpful', kind: 'boolean', number_value: 0 }] },
    ]);
  });

  it('refuses what makes no sense, with a code', async () => {
    for (const query of [
      { format: 'xlsx' },
      { payloads: 'maybe' },
      { limit: '5' },
      { to: '2027-11-13T00:00:00Z' },
      { endpoint: 'x'.repeat(200) },
    ] as Record<string, string>[]) {
      const response = await fetchExport(query);
      expect([query, response.status, ((await response.json()) as { code: string }).code]).toEqual([
        query,
        400,
        'VALIDATION_FAILED',
      ]);
    }
  });

  it('has nothing of other workspaces', async () => {
    const foreign = inferenceRow({ startedAt: `${DAYS[2]}T12:00:00.000Z`, workspaceId: v7() });
    await insertInferences(registry.database.client, [foreign]);
    expect(await (await fetchExport({})).text()).not.toContain(foreign.id);
  });

  it('ends its work when the client goes away', async () => {
    // An export without an end.
    const page = Array.from({ length: 2_000 }, (_, n) => ({ id: rows[n]!.id, started_at: new Date() }));
    const asked = vi
      .spyOn(registry.app.get<{ page(): Promise<unknown> }>(ExportRows), 'page')
      .mockImplementation(async () => page);
    for (const format of ['jsonl', 'csv', 'parquet']) {
      const before = asked.mock.calls.length;
      const gone = new AbortController();
      const query = new URLSearchParams({ ...RANGE, format });
      const answer = fetch(`${registry.url}/api/v1/inferences/export?${query}`, { signal: gone.signal });
      answer.catch(() => undefined);
      await until(() => asked.mock.calls.length > before + 3, 'pages are asked for');
      gone.abort();
      let seen = -1;
      await until(async () => {
        const last = seen;
        seen = asked.mock.calls.length;
        await new Promise((resolve) => setTimeout(resolve, 100));
        return asked.mock.calls.length === last;
      }, `no more pages are asked for (${format})`);
    }
    asked.mockRestore();
    expect(await readdir(join(registry.directory, 'archive', 'work'))).toEqual([]);
  });
});
