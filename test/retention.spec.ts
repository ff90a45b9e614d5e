import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { DataSource } from 'typeorm';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { Archiver } from '../apps/registry/src/archive/archiver.js';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { Offload } from '../apps/registry/src/retention/offload.js';
import { RetentionJob } from '../apps/registry/src/retention/retention-job.js';
import { Retention } from '../apps/registry/src/retention/retention.js';
import { exclusively } from '../libs/platform/database/exclusive.js';
import { keysIn, newBucketName } from './support/artifacts.js';
import { eventually } from './support/gateway.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry } from './support/registry.js';
import { TcpProxy } from './support/tcp-proxy.js';

const DAY_MS = 86_400_000;
/** Noon, so many days ago. */
const daysAgo = (days: number) =>
  `${new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10)}T12:00:00.000Z`;
const partition = (table: string, days: number) =>
  `${table}_${daysAgo(days).slice(0, 10).replaceAll('-', '')}`;
const never = new AbortController().signal;
const LARGE = `{"text":"${'zürich 🚀 '.repeat(10_000)}"}`;

describe('retention', () => {
  const started: { close(): Promise<unknown> }[] = [];
  const begin = async (settings: Record<string, string>) => {
    const bucket = newBucketName();
    const registry = await startTestRegistry({ S3_BUCKET: bucket, ...settings });
    started.push(registry);
    const { client } = registry.database;
    const insert = (...rows: ReturnType<typeof inferenceRow>[]) => insertInferences(client, rows);
    const retain = async () => (await registry.app.get(Retention).run(never)).held;
    const get = async (id: string) => (await registry.call('GET', `/inferences/${id}`)).body;
    const follow = () =>
      eventually(async () => {
        await registry.app.get(FollowerLoop).catchUp();
        return !(await retain()).some(({ by }) => by === 'follower');
      });
    return { registry, client, bucket, insert, retain, get, follow };
  };
  type Begun = Awaited<ReturnType<typeof begin>>;
  const partitions = async ({ client }: Begun) =>
    (
      await client.query(
        `SELECT inhrelid::regclass::text AS name FROM pg_inherits
          WHERE inhparent IN ('inference'::regclass, 'inference_payload'::regclass) ORDER BY 1`,
      )
    ).rows.map(({ name }) => name);
  afterEach(async () => {
    for (const one of started.splice(0).toReversed()) await one.close();
  });

  it('drops days of payloads and of rows when their time has come, and says of a row that its payload is gone', async () => {
    const begun = await begin({ CATENA_INFERENCE_RETENTION_DAYS: '30', CATENA_PAYLOAD_RETENTION_DAYS: '7' });
    const rows = [31, 30, 8, 7, 0].map((days) => inferenceRow({ startedAt: daysAgo(days), metadata: '{}' }));
    await begun.insert(...rows);
    await begun.follow();
    expect(await partitions(begun)).toEqual(
      [
        ...[30, 8, 7, 0].map((days) => partition('inference', days)),
        ...[7, 0].map((days) => partition('inference_payload', days)),
      ].toSorted(),
    );
    expect((await begun.registry.call('GET', `/inferences/${rows[0]!.id}`)).status).toBe(404);
    expect(await begun.get(rows[2]!.id)).toMatchObject({
      payload: 'expired',
      metadata: null,
      request: null,
      response: null,
      inputTokens: 100,
    });
    expect(await begun.get(rows[3]!.id)).toMatchObject({ payload: 'stored', request: { model: 'llama-8b' } });
    const { body } = await begun.registry.call(
      'GET',
      `/inferences?from=${daysAgo(31)}&to=${daysAgo(1)}&limit=10`,
    );
    expect(body.items.map((item: any) => item.id)).toEqual([3, 2, 1].map((index) => rows[index]!.id));
  });

  it('keeps everything for ever unless told otherwise', async () => {
    const begun = await begin({});
    await begun.insert(inferenceRow({ startedAt: daysAgo(3000) }));
    await begun.follow();
    expect(await begun.retain()).toEqual([]);
    expect(await partitions(begun)).toHaveLength(2);
  });

  it('keeps a day until all followers have dealt with it, however late its rows came', async () => {
    const begun = await begin({ CATENA_INFERENCE_RETENTION_DAYS: '1' });
    await begun.insert(inferenceRow({ startedAt: daysAgo(0) }));
    await begun.follow();
    await begun.client.query('BEGIN');
    await begun.client.query('SELECT FROM follower FOR UPDATE');
    const second = await begun.registry.app.get(Retention).run(never);
    expect(second.held).toEqual([]);
    await begun.client.query('SELECT catena_ensure_inference_partition($1)', [daysAgo(5).slice(0, 10)]);
    await begun.client.query('COMMIT');
    await begun.client.query(`UPDATE follower SET position = 0 WHERE name = 'inference-minutes'`);
    await begun.insert(inferenceRow({ startedAt: daysAgo(5) }));
    await begun.client.query('BEGIN');
    await begun.client.query('SELECT FROM follower FOR UPDATE');
    expect((await begun.retain()).map(({ by }) => by)).toEqual(['follower', 'follower']);
    expect(await partitions(begun)).toHaveLength(4);
    await begun.client.query('COMMIT');
    await begun.follow();
    await begun.retain();
    expect(await partitions(begun)).toEqual([partition('inference', 0), partition('inference_payload', 0)]);
  });

  it('keeps a day until the judgements on its rows are dealt with, by followers of other registries too', async () => {
    const begun = await begin({ CATENA_INFERENCE_RETENTION_DAYS: '1' });
    const row = inferenceRow({ startedAt: daysAgo(5) });
    await begun.client.query('SELECT catena_ensure_inference_partition($1)', [daysAgo(5).slice(0, 10)]);
    await eventually(async () => {
      await begun.registry.app.get(FollowerLoop).catchUp();
      const { rows } = await begun.client.query('SELECT count(*)::int AS n FROM follower');
      return rows[0].n >= 5;
    });
    const heldBy = async () => (await begun.retain()).map(({ by }) => by);
    await begun.client.query(
      `INSERT INTO feedback_change (workspace_id, endpoint, unit, inference_id, started_at)
       VALUES ($1, $2, $3, $4, $5)`,
      [row.workspaceId, row.endpoint, row.unit, row.id, row.startedAt],
    );
    await begun.client.query(
      `INSERT INTO feedback (id, workspace_id, event_id, unit, name, kind, number_value, source, given_at, received_at)
       VALUES (gen_random_uuid(), $1, 'e1', 'u1', 'helpful', 'boolean', 1, 'human', now(), now())`,
      [row.workspaceId],
    );
    await begun.client.query(
      `INSERT INTO follower (name, source, position, updated_at) VALUES ('elsewhere', 'feedback_change', 0, now())`,
    );
    expect(await heldBy()).toEqual(['follower', 'follower']);
    await begun.client.query(`UPDATE follower SET source = 'feedback' WHERE name = 'elsewhere'`);
    await begun.registry.app.get(FollowerLoop).catchUp();
    expect(await heldBy()).toEqual(['follower', 'follower']);
    expect(await partitions(begun)).toHaveLength(2);
    await begun.client.query(`UPDATE follower SET position = 1e15 WHERE name = 'elsewhere'`);
    await eventually(async () => (await begun.retain()).length === 0);
    expect(await partitions(begun)).toEqual([]);
  });

  it('keeps a day until it is archived, with the rows that came after it was', async () => {
    const begun = await begin({
      CATENA_INFERENCE_RETENTION_DAYS: '1',
      CATENA_ARCHIVE_AFTER_DAYS: '36500',
    });
    const archive = () => begun.registry.app.get(Archiver).archive(daysAgo(5).slice(0, 10), never);
    const row = inferenceRow({ startedAt: daysAgo(5) });
    await begun.insert(row);
    await begun.follow();
    expect((await begun.retain()).map(({ by }) => by)).toEqual(['archive', 'archive']);
    await eventually(async () => (await archive()) === 1);
    await begun.insert(inferenceRow({ startedAt: daysAgo(5) }));
    await begun.follow();
    expect((await begun.retain()).map(({ by }) => by)).toEqual(['archive', 'archive']);
    await eventually(async () => (await archive()) === 1);
    expect(await begun.retain()).toEqual([]);
    expect(await partitions(begun)).toEqual([]);
    expect(await begun.get(row.id)).toMatchObject({ payload: 'stored', request: { model: 'llama-8b' } });
  });

  it('waits for no reader longer than a moment, and tries again', async () => {
    const begun = await begin({ CATENA_PAYLOAD_RETENTION_DAYS: '1' });
    await begun.insert(inferenceRow({ startedAt: daysAgo(5) }));
    await begun.follow();
    await begun.insert(inferenceRow({ startedAt: daysAgo(5) }));
    await begun.client.query('BEGIN');
    await begun.client.query('SELECT FROM inference_payload');
    await eventually(async () => {
      await begun.registry.app.get(FollowerLoop).catchUp();
      return (await begun.retain()).every(({ by }) => by === 'lock');
    });
    expect(await partitions(begun)).toHaveLength(2);
    await begun.client.query('COMMIT');
    expect(await begun.retain()).toEqual([]);
    expect(await partitions(begun)).toEqual([partition('inference', 5)]);
  });

  it("is one registry's at a time, which stops when it loses its connection", async () => {
    const begun = await begin({});
    const database = begun.registry.app.get(DataSource);
    const told = await exclusively(database, 'test_lock', async (lost) => {
      expect(await exclusively(database, 'test_lock', () => Promise.resolve('both'))).toBeUndefined();
      const ended = new Promise((resolve) => lost.addEventListener('abort', resolve));
      await begun.client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = hashtext('test_lock')::oid`,
      );
      await ended;
      return 'told';
    });
    expect(told).toBe('told');
    expect(await exclusively(database, 'test_lock', () => Promise.resolve('again'))).toBe('again');
  });

  describe('of large bodies', () => {
    const offload = ({ registry }: Begun) => {
      let moved = 0;
      return registry.app
        .get(Offload)
        .run(never, () => moved++)
        .then(() => moved);
    };
    const stored = async ({ client }: Begun, id: string) =>
      (await client.query('SELECT * FROM inference_payload WHERE id = $1', [id])).rows[0];
    const objects = ({ bucket }: Begun) => keysIn(bucket, 'payloads/');

    it('moves what is too large for PostgreSQL to the object store, and gives it back from there', async () => {
      const begun = await begin({});
      const both = inferenceRow({ startedAt: daysAgo(1), request: LARGE, response: `[${LARGE}]` });
      const same = inferenceRow({ startedAt: daysAgo(1), request: LARGE });
      const small = inferenceRow({ startedAt: daysAgo(1), request: `"${'x'.repeat(60_000)}"` });
      await begun.insert(both, same, small);
      await eventually(async () => {
        await offload(begun);
        return (await stored(begun, same.id)).request === null;
      });
      expect(await stored(begun, both.id)).toMatchObject({ request: null, response: null });
      const { request, response, request_digest, response_digest } = await stored(begun, same.id);
      expect([request, response, response_digest]).toEqual([null, '{"choices":[]}', null]);
      expect((await stored(begun, small.id)).request).toHaveLength(60_002);
      expect(await objects(begun)).toHaveLength(2);
      expect(await objects(begun)).toContainEqual(expect.stringContaining(request_digest));
      const given = await begun.get(both.id);
      expect([given.payload, given.request, given.response]).toEqual([
        'stored',
        JSON.parse(LARGE),
        [JSON.parse(LARGE)],
      ]);
    });

    it('are found by their index, however many small ones there are', async () => {
      const begun = await begin({});
      const statements: string[] = [];
      const database = begun.registry.app.get(DataSource);
      const query = database.query.bind(database);
      database.query = (text: string, ...rest: any[]) => {
        statements.push(text);
        return query(text, ...rest);
      };
      await begun.insert(...[0, 1].map((days) => inferenceRow({ startedAt: daysAgo(days) })));
      await begun.registry.app.get(Offload).run(never, () => undefined);
      await begun.client.query('SET enable_seqscan = off');
      const found = statements.find((text) => text.includes('FROM inference_payload'))!;
      const { rows } = await begun.client.query(`EXPLAIN ${found}`, [65_536]);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      expect(plan).not.toContain('Seq Scan');
      expect(plan.match(/Index Scan Backward using inference_payload_\d{8}_greatest_idx/g)).toHaveLength(2);
    });

    it('leaves them in PostgreSQL while the object store is down, says so, and moves them when it is back', async () => {
      const { proxy, url } = await TcpProxy.before(inject('s3Endpoint'));
      started.push(proxy);
      const begun = await begin({ S3_ENDPOINT: url });
      const moved = inferenceRow({ startedAt: daysAgo(1), request: LARGE });
      await begun.insert(moved);
      await eventually(async () => {
        await offload(begun);
        return (await stored(begun, moved.id)).request === null;
      });
      proxy.cut();
      const row = inferenceRow({ startedAt: daysAgo(1), request: LARGE, response: '{"a":1}' });
      await begun.insert(row);
      await begun.registry.app.get(RetentionJob).pass();
      expect((await stored(begun, row.id)).request).toBe(LARGE);
      const metrics = await (await fetch(`${begun.registry.url}/metrics`)).text();
      expect(metrics).toMatch(/catena_retention_failures_total\{of="offload"\} [1-9]/);
      expect(await begun.get(row.id)).toMatchObject({ payload: 'stored', request: JSON.parse(LARGE) });
      expect(await begun.get(moved.id)).toMatchObject({
        payload: 'unavailable',
        request: null,
        response: {},
      });
      proxy.mend();
      await eventually(async () => {
        await begun.registry.app.get(RetentionJob).pass();
        return (await stored(begun, row.id)).request === null;
      });
      expect(await begun.get(row.id)).toMatchObject({ payload: 'stored', request: JSON.parse(LARGE) });
      expect(await begun.get(moved.id)).toMatchObject({ payload: 'stored' });
    }, 30_000);

    it('loses nothing when it dies between the object store and PostgreSQL, and stores it once', async () => {
      const begun = await begin({});
      const job = begun.registry.app.get(Offload);
      job.onStored = () => Promise.reject(new Error('killed'));
      const row = inferenceRow({ startedAt: daysAgo(1), response: LARGE });
      await begun.insert(row);
      await expect(offload(begun)).rejects.toThrow('killed');
      expect((await stored(begun, row.id)).response).toBe(LARGE);
      expect(await objects(begun)).toHaveLength(1);
      job.onStored = () => undefined;
      await offload(begun);
      expect((await stored(begun, row.id)).response).toBeNull();
      expect(await objects(begun)).toHaveLength(1);
      expect(await begun.get(row.id)).toMatchObject({ response: JSON.parse(LARGE) });
    });

    it('gives no body that has changed in the object store', async () => {
      const begun = await begin({});
      const row = inferenceRow({ startedAt: daysAgo(1), response: LARGE });
      await begun.insert(row);
      await offload(begun);
      const client = new S3Client({
        endpoint: inject('s3Endpoint'),
        forcePathStyle: true,
        region: 'us-east-1',
        credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
      });
      const [key] = await objects(begun);
      await client.send(new PutObjectCommand({ Bucket: begun.bucket, Key: key!, Body: '{"forged":true}' }));
      client.destroy();
      expect(await begun.get(row.id)).toMatchObject({ payload: 'unavailable', response: null });
    });

    it('removes them with their day', async () => {
      const begun = await begin({ CATENA_PAYLOAD_RETENTION_DAYS: '7' });
      const rows = [8, 7].map((days) => inferenceRow({ startedAt: daysAgo(days), response: LARGE }));
      await begun.client.query('BEGIN');
      await begun.client.query('SELECT FROM follower FOR UPDATE');
      await begun.client.query('COMMIT');
      await begun.insert(...rows);
      await offload(begun);
      await begun.follow();
      await begun.retain();
      expect(await objects(begun)).toEqual([expect.stringContaining(`/${daysAgo(7).slice(0, 10)}/`)]);
    });
  });
});
