import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { CallerStack } from './support/callers.js';
import { GatewayProcess } from './support/gateway-process.js';
import { eventually, startTestGateway, temporaryDirectory, type TestGateway } from './support/gateway.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';
import { TcpProxy } from './support/tcp-proxy.js';

const give = async (url: string, body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(`${url}/v1/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as any };
};

describe('feedback at the gateway', () => {
  let registry: TestRegistry;
  let gateway: TestGateway;
  const stored = async (prefix: string) =>
    (
      await registry.database.client.query(
        `SELECT * FROM feedback WHERE event_id LIKE $1 ORDER BY event_id`,
        [`${prefix}%`],
      )
    ).rows;

  beforeAll(async () => {
    registry = await startTestRegistry();
    gateway = await startTestGateway(registry.database.url);
  });
  afterAll(async () => {
    await gateway.close();
    await registry.close();
  });

  it('is taken, one or many, stored once and matched', async () => {
    const row = inferenceRow({ startedAt: new Date().toISOString(), clientRequestId: 'gw-1' });
    await insertInferences(registry.database.client, [row]);
    const events = [
      { eventId: 'gw-1', clientRequestId: 'gw-1', name: 'thumbs', value: true },
      { eventId: 'gw-2', inferenceId: row.id, name: 'why', kind: 'text', value: 'fine ✓' },
    ];
    expect(await give(gateway.url, { events })).toEqual({
      status: 202,
      body: { accepted: 2, events: events.map(({ eventId }) => ({ eventId, status: 'accepted' })) },
    });
    expect((await give(gateway.url, { ...events[0], value: false })).status).toBe(202);
    await eventually(async () => (await gateway.metric('catena_feedback_shipped_total')) === 3);
    await registry.app.get(FollowerLoop).catchUp();
    const rows = await stored('gw-');
    expect(rows.map((each) => [each.number_value ?? each.text_value, each.matched_inference_id])).toEqual([
      [1, row.id],
      ['fine ✓', row.id],
    ]);
    const made = await give(gateway.url, { unit: 'u', name: 'n', value: 1 });
    expect(made.body.events[0].eventId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('is refused with what is wrong with it', async () => {
    for (const [body, message, param] of [
      [
        {
          events: [
            { unit: 'u', name: 'n', value: 1 },
            { unit: 'u', name: 'n' },
          ],
        },
        /is missing/,
        '/events/1/value',
      ],
      [[], /must be a JSON object/, null],
    ] as const) {
      const { status, body: answer } = await give(gateway.url, body);
      expect([status, answer.error.code, answer.error.param]).toEqual([400, 'invalid_feedback', param]);
      expect(answer.error.message).toMatch(message);
    }
    const broken = await fetch(`${gateway.url}/v1/feedback`, { method: 'POST', body: '{"a":' });
    expect([broken.status, ((await broken.json()) as any).error.code]).toEqual([400, 'invalid_json']);
    expect((await fetch(`${gateway.url}/v1/feedback`)).status).toBe(405);
  });

  it('goes to the quarantine file where PostgreSQL refuses it, and holds up nothing', async () => {
    const { client } = registry.database;
    await client.query(`ALTER TABLE feedback ADD CONSTRAINT feedback_test_check CHECK (name <> 'bad')`);
    const events = ['a', 'bad', 'c'].map((name) => ({ eventId: `q-${name}`, unit: 'u', name, value: 1 }));
    await give(gateway.url, { events });
    await eventually(async () => (await stored('q-')).length === 2);
    await eventually(async () => (await gateway.metric('catena_feedback_quarantined_total')) === 1);
    const file = join(gateway.dataDir, 'gateway/feedback/quarantine.jsonl');
    const lines = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { eventId: 'q-bad', name: 'bad', error: expect.stringContaining('feedback_test_check') },
    ]);
    await client.query('ALTER TABLE feedback DROP CONSTRAINT feedback_test_check');
  });
});

describe('who may give feedback at the gateway', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  beforeAll(async () => {
    stack = await CallerStack.start();
    gateway = await stack.gateway();
  });
  afterAll(() => stack.close());

  it('is whoever has a key: for its workspace, and for the endpoints that the key is for', async () => {
    const keys = {
      all: await stack.key('all', { actions: ['resolve'] }),
      one: await stack.key('one', { endpoints: ['chat'] }),
      two: await stack.key('two', { endpoints: ['chat', 'other'] }),
    };
    const elsewhere = v7();
    await stack.registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES ($1, 'elsewhere', now())`,
      [elsewhere],
    );
    const foreign = await stack.keyOf(elsewhere, 'foreign');
    const ask = (key: string, fields: object = {}) =>
      give(
        gateway.url,
        { clientRequestId: 'order', name: 'n', value: 1, ...fields },
        { authorization: `Bearer ${key}` },
      );
    await stack.caughtUp(gateway);
    const status = async (key: string, fields: object = {}) => {
      const { status: code, body } = await ask(key, fields);
      return body.error?.code ?? code;
    };
    expect((await give(gateway.url, {})).body.error.code).toBe('missing_api_key');
    expect(await status(keys.all, { eventId: 'all' })).toBe(202);
    expect(await status(keys.one, { eventId: 'one' })).toBe(202);
    expect(await status(keys.one, { endpoint: 'other' })).toBe('endpoint_not_allowed');
    expect(await status(keys.two)).toBe('endpoint_missing');
    expect(await status(keys.two, { eventId: 'two', endpoint: 'other' })).toBe(202);
    expect(await status(foreign, { eventId: 'foreign' })).toBe(202);

    const row = inferenceRow({
      startedAt: new Date().toISOString(),
      clientRequestId: 'order',
      endpoint: 'other',
    });
    await insertInferences(stack.registry.database.client, [row]);
    const read = async () =>
      (
        await stack.registry.database.client.query(
          `SELECT event_id, endpoint, matched_inference_id AS row FROM feedback ORDER BY event_id`,
        )
      ).rows;
    await eventually(async () => (await read()).length === 4);
    await stack.registry.app.get(FollowerLoop).catchUp();
    expect(await read()).toEqual([
      { event_id: 'all', endpoint: null, row: row.id },
      { event_id: 'foreign', endpoint: null, row: null },
      { event_id: 'one', endpoint: 'chat', row: null },
      { event_id: 'two', endpoint: 'other', row: row.id },
    ]);
  });
});

describe('feedback that a caller was told is taken', () => {
  let registry: TestRegistry;
  let dataDir: string;
  beforeAll(async () => {
    registry = await startTestRegistry();
    dataDir = await temporaryDirectory();
  });
  afterAll(async () => {
    await rm(dataDir, { recursive: true, force: true });
    await registry.close();
  });

  /** Sends until told to stop, through whatever gateway there is. */
  function load(url: () => string | undefined, prefix: string) {
    const taken: string[] = [];
    let sent = 0;
    const state = { running: true };
    const one = async () => {
      while (state.running) {
        const base = url();
        if (base === undefined) await sleep(5);
        else {
          const eventId = `${prefix}-${sent++}`;
          const answer = await give(base, { eventId, unit: eventId, name: 'n', value: 1 }).catch(
            () => undefined,
          );
          if (answer?.status === 202) taken.push(eventId);
        }
      }
    };
    const done = Promise.all(Array.from({ length: 8 }, one));
    return {
      taken,
      stop: async () => {
        state.running = false;
        await done;
      },
    };
  }

  async function expectNothingLost(taken: readonly string[], prefix: string): Promise<void> {
    expect(taken.length).toBeGreaterThan(50); // else nothing was tried
    const read = async () =>
      (
        await registry.database.client.query(`SELECT event_id FROM feedback WHERE event_id LIKE $1`, [
          `${prefix}-%`,
        ])
      ).rows.map((row) => row.event_id);
    await eventually(async () => (await read()).length >= taken.length, 10_000, 50).catch(() => undefined);
    const rows = await read();
    expect(taken.filter((id) => !rows.includes(id))).toEqual([]);
    expect(new Set(rows).size).toBe(rows.length);
  }

  it('survives kill -9 of the gateway at any moment', async () => {
    let gateway: GatewayProcess | undefined;
    const calls = load(() => gateway?.url, 'killed');
    for (let round = 0; round < 4; round++) {
      gateway = await GatewayProcess.start(registry.database.url, dataDir);
      const goal = calls.taken.length + 20 + Math.floor(Math.random() * 200);
      await eventually(() => calls.taken.length >= goal);
      const killed = gateway;
      gateway = undefined;
      await killed.kill();
    }
    await calls.stop();
    gateway = await GatewayProcess.start(registry.database.url, dataDir);
    await expectNothingLost(calls.taken, 'killed');
    expect(await gateway.stop()).toBe(0);
  }, 30_000);

  it('survives a database that is away, and a gateway killed meanwhile', async () => {
    const { proxy, url } = await TcpProxy.before(registry.database.url);
    let gateway: GatewayProcess | undefined = await GatewayProcess.start(url, dataDir);
    const calls = load(() => gateway?.url, 'away');
    await eventually(() => calls.taken.length > 50);
    proxy.cut();
    await eventually(() => calls.taken.length > 400);
    const complaints = () => gateway!.log.filter((entry) => /feedback cannot be stored/.test(entry.msg));
    await eventually(() => complaints().length > 0);
    await eventually(() => calls.taken.length > 500);
    expect(complaints()).toHaveLength(1);
    const killed = gateway;
    gateway = undefined;
    await killed.kill();
    gateway = await GatewayProcess.start(url, dataDir);
    await eventually(() => calls.taken.length > 600);
    proxy.mend();
    await eventually(() => calls.taken.length > 800);
    await calls.stop();
    await expectNothingLost(calls.taken, 'away');
    expect(gateway.log.some((entry) => /feedback is stored again/.test(entry.msg))).toBe(true);
    await gateway.kill();
    await proxy.close();
  }, 40_000);

  it('is refused while the spool has no room, and taken again afterwards', async () => {
    const { proxy, url } = await TcpProxy.before(registry.database.url);
    const gateway = await startTestGateway(url, { settings: { CATENA_SPOOL_MAX_BYTES: String(1_048_576) } });
    proxy.cut();
    const big = (i: number) => ({
      eventId: `full-${i}`,
      unit: 'u',
      name: 'n',
      kind: 'text',
      value: 'x'.repeat(20_000),
    });
    let taken = 0;
    let answer = await give(gateway.url, big(0));
    for (; answer.status === 202; answer = await give(gateway.url, big(taken))) taken++;
    expect([answer.status, answer.body.error.code]).toEqual([503, 'spool_full']);
    expect(taken).toBeGreaterThan(3);
    proxy.mend();
    await eventually(async () => (await give(gateway.url, big(999))).status === 202);
    await eventually(async () => (await gateway.metric('catena_feedback_shipped_total')) === taken + 1);
    await gateway.close();
    await proxy.close();
  }, 30_000);
});
