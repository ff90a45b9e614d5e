import { chmod, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { EmbeddedPostgres } from '../apps/standalone/src/embedded-postgres.js';
import { migrate } from '../libs/platform/database/data-source.js';
import { ChatLoad } from './support/chat-load.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { GatewayProcess } from './support/gateway-process.js';
import { eventually, temporaryDirectory } from './support/gateway.js';
import { ServingRows } from './support/serving-rows.js';
import { TcpProxy } from './support/tcp-proxy.js';

describe('rows of answers that callers have received', () => {
  let database: TestDatabase;
  let simulator: Simulator;
  let dataDir: string;
  let gateway: GatewayProcess | undefined;

  beforeAll(async () => {
    database = await createTestDatabase();
    simulator = await createSimulator({
      port: 0,
      ttftMs: 2,
      tokensPerSecond: 1000,
      models: ['small'],
      maxNumSeqs: 1000,
    });
    const rows = new ServingRows(database.client);
    await rows.setModelEndpoint('gpu', { replicas: [`${simulator.url}/v1`], maxConcurrencyPerReplica: 200 });
    const chain = await rows.addChain('chat');
    await rows.setSplit('chat', [{ name: 'only', weightBps: 10_000, chain }]);
  });
  afterAll(async () => {
    await simulator.close();
    await database.drop();
  });
  beforeEach(async () => {
    dataDir = await temporaryDirectory();
    await database.client.query('TRUNCATE inference');
  });
  afterEach(async () => {
    await gateway?.kill();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** Every answer seen in full has exactly one complete row, and nobody has two. */
  async function expectNothingLost(load: ChatLoad): Promise<void> {
    const { completed, seen } = load;
    const rowsOf = async (ids: string[]) =>
      (
        await database.client.query(
          'SELECT id, status, response IS NOT NULL AS answered FROM inference WHERE id = ANY($1)',
          [ids],
        )
      ).rows;
    await eventually(async () => (await rowsOf([...seen.keys()])).length >= seen.size, 15_000, 50).catch(
      () => undefined,
    );
    const rows = await rowsOf(completed);
    expect(completed.length).toBeGreaterThan(20); // else nothing was tried
    expect(new Set(rows.map((row) => row.id)).size).toBe(completed.length);
    expect(rows.length).toBe(completed.length);
    expect(rows.filter((row) => row.status !== 'ok' || !row.answered)).toEqual([]);
    // Those cut in the middle were admitted too.
    expect((await rowsOf([...seen.keys()])).length).toBe(seen.size);
    const { rows: all } = await database.client.query(
      'SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM inference',
    );
    expect(all[0].n).toBe(all[0].ids);
    expect(all[0].n).toBeLessThanOrEqual(load.sent);
  }

  it('survive kill -9 of the gateway at any moment', async () => {
    const load = new ChatLoad(() => gateway?.url, 24);
    const rounds = 5;
    for (let round = 0; round < rounds; round++) {
      gateway = await GatewayProcess.start(database.url, dataDir);
      await sleep(150 + Math.random() * 500);
      const killed = gateway;
      gateway = undefined;
      await killed.kill();
    }
    await load.stop();
    gateway = await GatewayProcess.start(database.url, dataDir);
    await expectNothingLost(load);
    await eventually(async () => {
      const { rows } = await database.client.query(
        `SELECT count(*)::int AS n FROM inference WHERE status = 'interrupted'`,
      );
      return rows[0].n > 0;
    });
    const { rows } = await database.client.query(
      `SELECT * FROM inference WHERE status = 'interrupted' LIMIT 1`,
    );
    expect(rows[0]).toMatchObject({ response: null, latency_ms: null, error_code: 'gateway_interrupted' });
    expect(JSON.parse(rows[0].request)).toMatchObject({ model: 'small' });
  });

  it('survive kill -9 of the gateway while PostgreSQL is away', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    gateway = await GatewayProcess.start(url, dataDir);
    proxy.cut();
    const load = new ChatLoad(() => gateway?.url, 8);
    await eventually(() => load.completed.length > 100);
    const killed = gateway;
    gateway = undefined;
    await killed.kill();
    await load.stop();
    expect((await database.client.query('SELECT 1 FROM inference')).rowCount).toBe(0);
    gateway = await GatewayProcess.start(database.url, dataDir);
    await expectNothingLost(load);
    await proxy.close();
  });

  it('survive a database that goes away and comes back under load', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    gateway = await GatewayProcess.start(url, dataDir);
    const load = new ChatLoad(() => gateway?.url, 8);
    for (let round = 0; round < 3; round++) {
      await sleep(300);
      proxy.cut();
      await sleep(200 + Math.random() * 300);
      proxy.mend();
    }
    await load.stop();
    await expectNothingLost(load);
    const failed = load.sent - load.completed.length;
    expect(failed).toBe(0); // nobody noticed
    await proxy.close();
  });

  it('survive a restart of PostgreSQL under load', async () => {
    const directory = await temporaryDirectory();
    await chmod(directory, 0o755);
    const port = await freePort();
    const start = () => EmbeddedPostgres.start(join(directory, 'postgres'), port, ['fsync=off']);
    let postgres = await start();
    await migrate(postgres.url());
    const client = new pg.Client(postgres.url());
    await client.connect();
    const rows = new ServingRows(client);
    await rows.setModelEndpoint('gpu', { replicas: [`${simulator.url}/v1`] });
    await rows.setSplit('chat', [{ name: 'only', weightBps: 10_000, chain: await rows.addChain('chat') }]);
    await client.end();

    gateway = await GatewayProcess.start(postgres.url(), dataDir);
    const load = new ChatLoad(() => gateway?.url, 4);
    await sleep(300);
    await postgres.stop();
    await sleep(300);
    postgres = await start();
    await sleep(300);
    await load.stop();
    const after = new pg.Client(postgres.url());
    await after.connect();
    await eventually(async () => {
      const { rows: counted } = await after.query(
        `SELECT count(*)::int AS n FROM inference WHERE status = 'ok'`,
      );
      return Number(counted[0].n) === load.sent;
    });
    expect(load.completed.length).toBe(load.sent);
    await after.end();
    await gateway.stop();
    gateway = undefined;
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('are stored when the gateway is stopped, not only when it runs on', async () => {
    gateway = await GatewayProcess.start(database.url, dataDir);
    const load = new ChatLoad(() => gateway?.url, 8);
    await sleep(500);
    await load.stop();
    const stopped = gateway;
    gateway = undefined;
    expect(await stopped.stop()).toBe(0);
    const { rows } = await database.client.query('SELECT count(*)::int AS n FROM inference');
    expect(rows[0].n).toBe(load.sent);
  });

  it('are never written to one directory by two gateways', async () => {
    gateway = await GatewayProcess.start(database.url, dataDir);
    await expect(GatewayProcess.start(database.url, dataDir)).rejects.toThrow(
      /exited with 1|DirectoryLocked|another running gateway/,
    );
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
