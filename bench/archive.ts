import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { DataSource } from 'typeorm';
import { readSettings } from '#libs/platform/config/settings.js';
import { dataSourceOptions } from '#libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { ArchiveCache } from '../apps/registry/src/archive/archive-cache.js';
import { ArchiveRows } from '../apps/registry/src/archive/archive-rows.js';
import { INFERENCES } from '../apps/registry/src/archive/archive-tables.js';
import { Archiver } from '../apps/registry/src/archive/archiver.js';
import { DuckDb } from '../apps/registry/src/archive/duck.js';
import { storeOptions } from '../apps/registry/src/artifacts/store-options.js';
import { EMBEDDED_S3_CREDENTIALS, startEmbeddedS3 } from '../apps/standalone/src/embedded-s3.js';
import { compare } from './support/load.js';
import type { Row } from './support/report.js';
import type { Stack } from './support/stack.js';

const BUCKET = 'catena';
/** Of these days nothing else is there. */
const WITH_PAYLOAD = '2026-01-01';
const WITHOUT = '2026-01-02';

/**
 * A day of rows from PostgreSQL into verified Parquet on S3, model calls included, against one COPY of the same rows
 * that is thrown away. The S3 server runs in this process too, and takes its share of the two cores.
 */
export async function archive(stack: Stack, rounds: number, rows: number): Promise<Row[]> {
  await using started = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'catena-bench-archive-'));
  started.defer(() => rm(directory, { recursive: true, force: true }));
  const s3 = await startEmbeddedS3(join(directory, 's3'), 0, BUCKET);
  started.defer(() => {
    s3.server.close();
    s3.server.closeAllConnections();
  });
  const settings = readSettings({
    DATABASE_URL: stack.databaseUrl,
    S3_ENDPOINT: `http://127.0.0.1:${s3.port}`,
    S3_BUCKET: BUCKET,
    AWS_ACCESS_KEY_ID: EMBEDDED_S3_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: EMBEDDED_S3_CREDENTIALS.secretAccessKey,
    CATENA_DATA_DIR: directory,
  });
  const database = await new DataSource(
    dataSourceOptions({ url: stack.databaseUrl, poolSize: 2, applicationName: 'bench-archive' }),
  ).initialize();
  started.defer(() => database.destroy());
  const store = new ObjectStore(storeOptions(settings));
  started.defer(() => store.close());
  const duck = new DuckDb(settings);
  const archiver = new Archiver(
    new ArchiveRows(database),
    store,
    new ArchiveCache(store, duck, settings),
    duck,
    settings,
  );
  const measured: Row[] = [];
  for (const [day, bytes] of [
    [WITH_PAYLOAD, 1_000],
    [WITHOUT, 0],
  ] as const) {
    await fill(database, day, rows, bytes);
    const intoParquet = async () => {
      await database.query('TRUNCATE archive_file, archive_day');
      const seconds = await timed(async () => {
        const archived = await archiver.archive(day, new AbortController().signal);
        if (archived !== rows) throw new Error(`${archived} of ${rows} rows were archived.`);
      });
      return rows / seconds;
    };
    const bareCopy = async () => rows / (await timed(() => copyAway(stack.databaseUrl, day)));
    const { subject, reference, ratio } = await compare(rounds, intoParquet, bareCopy);
    const [{ size }] = (await database.query(
      `SELECT sum(size_bytes) AS size FROM archive_file WHERE table_name = 'inferences'`,
    )) as [{ size: string }];
    measured.push({
      what: `a day of inference rows ${bytes === 0 ? 'without payload' : 'with 2 kB of payload'} into Parquet on S3, read back`,
      reference: 'one `COPY` of the same rows, thrown away',
      measured: `${subject.toFixed(0)} against ${reference.toFixed(0)} rows/s; ${(Number(size) / rows).toFixed(0)} bytes per row`,
      ratio,
      reach: '≥ 50 000 rows/s',
      reached: subject >= 50_000,
    });
  }
  return measured;
}

/** Rows with ids in the order of time; payloads of words drawn at random, about as compressible as prose. */
async function fill(database: DataSource, day: string, rows: number, payloadBytes: number): Promise<void> {
  await database.query('SELECT catena_ensure_inference_partition($1)', [day]);
  await database.query(
    `INSERT INTO inference (id, started_at, workspace_id, endpoint, split_revision, arm, chain, chain_version, chain_digest,
       unit, bucket, sticky, assignment, status, model_endpoint, model, replica, attempts, streamed, finish_reason,
       input_tokens, output_tokens, cost_micro_usd, latency_ms, ttft_ms, dispatched_ms)
     SELECT (lpad(to_hex((extract(epoch FROM t.at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
              || substr(md5(n::text), 4, 15))::uuid,
            t.at, $3, 'bot-' || n % 20, 1, CASE n % 2 WHEN 0 THEN 'control' ELSE 'candidate' END, 'support', 1 + n % 5,
            'sha256:' || md5((n % 5)::text) || md5((n % 5)::text), 'customer-' || n % 50000, n % 10000, true, 'split', 'ok',
            'gpu', 'llama-8b', 'http://10.0.0.' || n % 8 || ':8000/v1', 1, true, 'stop',
            200 + n % 1000, 50 + n % 400, 30 + n % 500, 400 + random() * 2000, 80 + random() * 200, random()
       FROM generate_series(1, $2::int) n
      CROSS JOIN LATERAL (
        SELECT date_trunc('milliseconds', $1::date::timestamp AT TIME ZONE 'UTC' + n * (interval '86399 s' / $2::int)) AS at) t`,
    [day, rows, DEFAULT_WORKSPACE_ID],
  );
  await database.query(
    `INSERT INTO inference_payload (id, started_at, workspace_id, request, response)
     SELECT i.id, i.started_at, i.workspace_id,
            json_build_object('model', 'llama-8b', 'messages', json_build_array(json_build_object('role', 'user', 'content', w.text))),
            json_build_object('choices', json_build_array(json_build_object('message', json_build_object('content', w.text))))
       FROM inference i
      CROSS JOIN LATERAL (
        SELECT string_agg(substr('the of and to in for is on that by this with you it not or be are from at as your all have new more an was we will home can us about if page my has search free but our one other do no information time they site he up may what which their news out use any there see only so his when contact here business who web also now help get view online',
                                 1 + (random() * 320)::int, 12), ' ') AS text
          FROM generate_series(1, $2::int / 13) WHERE i.bucket >= 0) w
      WHERE i.started_at >= $1::date::timestamp AT TIME ZONE 'UTC' AND i.started_at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'`,
    [day, payloadBytes],
  );
  await database.query('VACUUM ANALYZE inference, inference_payload');
}

async function copyAway(databaseUrl: string, day: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(INFERENCES.planner.replaceAll('SET LOCAL', 'SET'));
    const condition = `i.started_at >= '${day}T00:00:00Z' AND i.started_at < '${day}T00:00:00Z'::timestamptz + interval '1 day'`;
    const rows = client.query(copyTo(`COPY (${INFERENCES.select(condition)}) TO STDOUT (FORMAT csv)`));
    for await (const chunk of rows) void chunk;
  } finally {
    await client.end();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
