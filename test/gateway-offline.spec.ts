import { mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SnapshotStore } from '../apps/gateway/src/snapshot/snapshot.store.js';
import { digestOf } from '../libs/core/canonical/canonical.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually, startTestGateway, temporaryDirectory } from './support/gateway.js';
import { ServingRows, type VersionRow } from './support/serving-rows.js';
import { TcpProxy } from './support/tcp-proxy.js';

const PATH = '/v1/resolve/tickets?unit=user-1&include=config';

describe('the gateway without PostgreSQL', () => {
  let database: TestDatabase;
  let rows: ServingRows;
  let chain: VersionRow;
  let proxy: TcpProxy;
  let url: string;
  let dataDir: string;
  const file = () => join(dataDir, 'gateway', 'snapshot.ndjson');

  beforeAll(async () => {
    database = await createTestDatabase();
    rows = new ServingRows(database.client);
    chain = await rows.addChain('support', {}, { type: 'text', text: 'Grüezi {{name}} 🚀' });
    await rows.setSplit(
      'tickets',
      [
        { name: 'a', weightBps: 3000, chain },
        { name: 'b', weightBps: 7000, chain: await rows.addChain('support', { retry: { maxAttempts: 2 } }) },
      ],
      { overrides: { vip: 'a' } },
    );
    const embedding = await rows.addEmbeddingChain('search');
    await rows.setSplit('search', [{ name: 'only', weightBps: 10_000, chain: embedding }]);
    await rows.setModelEndpoint('gpu', { replicas: ['http://127.0.0.1:1/v1'], credential: 'sk-very-secret' });
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    ({ proxy, url } = await TcpProxy.before(database.url));
    dataDir = await temporaryDirectory();
  });
  afterEach(async () => {
    await proxy.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** Runs a gateway until its snapshot is on the disk. Returns what it answered. */
  async function leaveSnapshot(): Promise<unknown> {
    const gateway = await startTestGateway(url, { dataDir });
    const { body } = await gateway.get(PATH);
    await gateway.close();
    return body;
  }

  it('keeps resolving when the database goes away, and also after its own restart', async () => {
    const first = await startTestGateway(url, { dataDir });
    const before = await first.get(PATH);
    proxy.cut();
    await eventually(async () => (await first.metric('catena_database_connected')) === 0);
    expect(await first.get(PATH)).toMatchObject({ status: 200, body: before.body });
    await first.close();

    const second = await startTestGateway(url, { dataDir });
    const after = await second.get(PATH);
    expect(after).toMatchObject({ status: 200, body: before.body });
    expect(after.headers.get('etag')).toBe(before.headers.get('etag'));
    expect((await second.get('/v1/resolve/tickets?unit=vip')).body).toMatchObject({
      arm: 'a',
      assignment: 'override',
    });
    const embeds = await second.get('/v1/resolve/search?unit=u&include=config');
    expect(embeds.body.config).toEqual({ chain: { embed: { modelEndpoint: 'gpu', model: 'small' } } });
    expect(await second.metric('catena_database_connected')).toBe(0);

    const made = await rows.setSplit('tickets', [{ name: 'later', weightBps: 10_000, chain }]);
    proxy.mend();
    await eventually(async () => (await second.get(PATH)).body.splitRevision === made);
    expect((await second.get('/readyz')).status).toBe(200);
    await second.close();
  });

  it('remembers over its own restart what is cleared for what, and what it costs', async () => {
    await database.client.query(
      `UPDATE endpoint SET data_class = 'restricted', payloads = 'hash' WHERE name = 'tickets'`,
    );
    await database.client.query(
      `UPDATE model_endpoint SET clearance = 'public', model_prices = $1, cached_input_micro_usd_per_million_tokens = 7,
              cache_write_input_micro_usd_per_million_tokens = 8, reasoning_micro_usd_per_million_tokens = 9`,
      [JSON.stringify({ small: { inputMicroUsdPerMillionTokens: 1, outputMicroUsdPerMillionTokens: 2 } })],
    );
    const told = async () => {
      const gateway = await startTestGateway(url, { dataDir });
      const snapshot = gateway.gateway.app.get(SnapshotStore, { strict: false }).find()!;
      await gateway.close();
      const { dataClass, payloads } = snapshot.endpoints.get('tickets')!;
      const { clearance, prices } = snapshot.modelEndpoints.get('gpu')!;
      return { dataClass, payloads, clearance, prices };
    };
    const before = await told();
    proxy.cut();
    expect(await told()).toEqual(before);
    expect(before).toMatchObject({
      dataClass: 'restricted',
      payloads: 'hash',
      clearance: 'public',
      prices: {
        cachedInputMicroUsdPerMillionTokens: 7,
        cacheWriteInputMicroUsdPerMillionTokens: 8,
        reasoningMicroUsdPerMillionTokens: 9,
        byModel: new Map([
          ['small', { inputMicroUsdPerMillionTokens: 1, outputMicroUsdPerMillionTokens: 2 }],
        ]),
      },
    });
  });

  it('keeps the snapshot that a killed gateway had, for it is saved soon after each change', async () => {
    const gateway = await startTestGateway(url, { dataDir });
    const made = await rows.setSplit('tickets', [{ name: 'saved', weightBps: 10_000, chain }]);
    await eventually(async () =>
      (await readFile(file(), 'utf8').catch(() => '')).includes(`"splitRevision":${made},`),
    );
    await gateway.close();
  });

  it('keeps credentials as ciphertext in a file that only its owner reads', async () => {
    await leaveSnapshot();
    const text = await readFile(file(), 'utf8');
    expect(text).toContain('"keyId":"test"');
    expect(text).not.toContain('sk-very-secret');
    expect(text).not.toContain(Buffer.from('sk-very-secret').toString('base64'));
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  it('is not ready, and says so, until there is a first snapshot', async () => {
    proxy.cut();
    const gateway = await startTestGateway(url, { dataDir, waitUntilReady: false });
    expect((await gateway.get('/healthz')).status).toBe(200);
    for (const path of ['/readyz', PATH, '/v1/models']) {
      const { status, body, headers } = await gateway.get(path);
      expect([path, status, body.error.code, headers.get('retry-after')]).toEqual([
        path,
        503,
        'not_ready',
        '1',
      ]);
    }
    proxy.mend();
    await eventually(async () => (await gateway.get('/readyz')).status === 200);
    await gateway.close();
  });

  it('waits for a schema that is not there yet', async () => {
    const admin = new pg.Client({ connectionString: database.url });
    await admin.connect();
    const name = `empty_${Date.now()}`;
    await admin.query(`CREATE DATABASE ${name}`);
    const empty = new URL(database.url);
    empty.pathname = `/${name}`;
    const gateway = await startTestGateway(empty.toString(), { dataDir, waitUntilReady: false });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await gateway.get('/readyz')).status).toBe(503);
    const { migrate } = await import('../libs/platform/database/data-source.js');
    await migrate(empty.toString());
    await eventually(async () => (await gateway.get('/readyz')).status === 200);
    await gateway.close();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });

  /** Bytes of an intact file → bytes that must not be believed. */
  const damages: [string, (text: string) => string][] = [
    ['cut at a line', (text) => text.split('\n').slice(0, -2).join('\n') + '\n'],
    ['cut inside a line', (text) => text.slice(0, -20)],
    [
      'with one digit changed',
      (text) =>
        text
          .replace('"weightBps":3000', '"weightBps":3001')
          .replace('"weightBps":10000', '"weightBps":10001'),
    ],
    ['with a line left out', (text) => text.split('\n').toSpliced(2, 1).join('\n')],
    [
      'of a later format',
      (text) => {
        const body = text
          .slice(0, text.lastIndexOf('\n', text.length - 2) + 1)
          .replace(/"version":\d+/, '"version":999');
        const { count } = JSON.parse(text.trimEnd().split('\n').at(-1)!);
        return `${body}${JSON.stringify({ count, sha256: digestOf(body).slice('sha256:'.length) })}\n`;
      },
    ],
    ['that is empty', () => ''],
    ['that is something else', () => '{"hello":"world"}\n'],
  ];
  it.each(damages)('refuses a snapshot on disk %s', async (_what, damage) => {
    await leaveSnapshot();
    const intact = await readFile(file(), 'utf8');
    const damaged = damage(intact);
    expect(damaged).not.toBe(intact);
    await writeFile(file(), damaged);
    proxy.cut();
    const gateway = await startTestGateway(url, { dataDir, waitUntilReady: false });
    expect((await gateway.get('/readyz')).status).toBe(503);
    await gateway.close();
  });

  it('believes an intact file, as a check of the refusals above', async () => {
    const before = await leaveSnapshot();
    const intact = await readFile(file(), 'utf8');
    await truncate(file(), 0);
    await writeFile(file(), intact);
    proxy.cut();
    const gateway = await startTestGateway(url, { dataDir });
    expect((await gateway.get(PATH)).body).toEqual(before);
    await gateway.close();
  });

  it('serves on when the disk cannot be written, and counts it', async () => {
    await mkdir(`${file()}.tmp`, { recursive: true });
    const gateway = await startTestGateway(url, { dataDir });
    await eventually(async () => (await gateway.metric('catena_snapshot_save_failures_total')) > 0);
    expect((await gateway.get(PATH)).status).toBe(200);
    await gateway.close();
  });
});
