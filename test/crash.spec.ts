import { chmod, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { EmbeddedPostgres } from '../apps/standalone/src/embedded-postgres.js';
import { freePort } from '../apps/standalone/src/free-port.js';
import { migrate } from '../libs/platform/database/data-source.js';
import { say } from './support/chat.js';
import { ChatLoad } from './support/chat-load.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { GatewayProcess } from './support/gateway-process.js';
import { eventually, startTestGateway, temporaryDirectory } from './support/gateway.js';
import { ServingRows } from './support/serving-rows.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

/** One chunk of a streamed answer. */
const delta = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;

const answerWith = (response: ServerResponse, content: string) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(
    JSON.stringify({
      id: 'c',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    }),
  );

const ask = (url: string, body: object) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

describe('rows of answers that callers have received', () => {
  let database: TestDatabase;
  let simulator: Simulator;
  let dataDir: string;
  let gateway: GatewayProcess | undefined;
  /** A model endpoint that answers as the running test says. */
  let upstream: Server;
  let onRequest: (response: ServerResponse, streamed: boolean) => void;
  let requestsUpstream = 0;

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
    upstream = createHttpServer((request, response) => {
      requestsUpstream++;
      let text = '';
      request.setEncoding('utf8').on('data', (piece) => (text += piece));
      request.on('end', () => onRequest(response, JSON.parse(text).stream === true));
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const own = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`;
    await rows.setModelEndpoint('own', { replicas: [own] });
    const ownChain = await rows.addChain('own', { generate: { modelEndpoint: 'own', model: 'small' } });
    await rows.setSplit('own', [{ name: 'only', weightBps: 10_000, chain: ownChain }]);
  });
  afterAll(async () => {
    upstream.close();
    upstream.closeAllConnections();
    await simulator.close();
    await database.drop();
  });
  beforeEach(async () => {
    dataDir = await temporaryDirectory();
    await database.client.query('TRUNCATE inference, inference_payload');
  });
  afterEach(async () => {
    await gateway?.kill();
    await rm(dataDir, { recursive: true, force: true });
  });

  const allRows = async () =>
    (await database.client.query(`SELECT * FROM ${WHOLE_INFERENCE} ORDER BY id`)).rows;
  /** Waits until that many more answers have arrived. */
  const more = (load: ChatLoad, answers: number) => {
    const goal = load.completed.length + answers;
    return eventually(() => load.completed.length >= goal, 20_000);
  };

  /** Every answer seen in full has exactly one complete row, and nobody has two. */
  async function expectNothingLost(load: ChatLoad): Promise<void> {
    const { completed, seen } = load;
    const rowsOf = async (ids: string[]) =>
      (
        await database.client.query(
          `SELECT id, status, response IS NOT NULL AS answered FROM ${WHOLE_INFERENCE} WHERE id = ANY($1)`,
          [ids],
        )
      ).rows;
    expect(completed.length).toBeGreaterThan(20); // else nothing was tried
    // It fails below, by what is missing, not here by the time.
    await eventually(async () => (await rowsOf([...seen.keys()])).length >= seen.size, 8_000, 50).catch(
      () => undefined,
    );
    const rows = await rowsOf(completed);
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
    const load = new ChatLoad(() => gateway?.url, 12);
    for (let round = 0; round < 4; round++) {
      gateway = await GatewayProcess.start(database.url, dataDir);
      await more(load, 10 + Math.floor(Math.random() * 150));
      const killed = gateway;
      gateway = undefined;
      await killed.kill();
    }
    await load.stop();
    gateway = await GatewayProcess.start(database.url, dataDir);
    await expectNothingLost(load);
  });

  it('stand beside exactly one interrupted row for each request that kill -9 cut', async () => {
    const held: ServerResponse[] = [];
    onRequest = (response, streamed) => {
      held.push(response);
      if (streamed) response.writeHead(200, { 'content-type': 'text/event-stream' }).write(delta('one'));
    };
    gateway = await GatewayProcess.start(database.url, dataDir);
    const streamed = await ask(gateway.url, { ...say('x'), model: 'own', stream: true });
    const reader = streamed.body!.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe(delta('one'));
    const whole = ask(gateway.url, { ...say('x'), model: 'own' }).catch((error: unknown) => error);
    await eventually(() => held.length === 2);
    await gateway.kill();
    expect(await whole).toBeInstanceOf(Error);
    for (const response of held) response.destroy();

    // Twice: what the first start made of them, the second must not make again.
    for (let start = 1; start <= 2; start++) {
      gateway = await GatewayProcess.start(database.url, dataDir);
      const answered = await ask(gateway.url, say('after'));
      expect(answered.status).toBe(200);
      await eventually(async () => (await allRows()).length >= 2 + start).catch(() => undefined);
      expect((await allRows()).map((row) => row.status)).toEqual([
        'interrupted',
        'interrupted',
        ...Array.from({ length: start }, () => 'ok'),
      ]);
      await gateway.kill();
    }
    const [first, second] = await allRows();
    expect([first.id, second.id]).toContain(streamed.headers.get('x-catena-inference-id'));
    expect(first).toMatchObject({ response: null, latency_ms: null, error_code: 'gateway_interrupted' });
    expect(JSON.parse(first.request)).toMatchObject({ model: 'small', messages: say('x').messages });
  });

  it('are one, interrupted, for a request that kill -9 cut while it was asked again for its contract', async () => {
    const rows = new ServingRows(database.client);
    const chain = await rows.addChain('contract', {
      generate: { modelEndpoint: 'own', model: 'small' },
      output: { schema: { type: 'object', required: ['action'] } },
    });
    await rows.setSplit('contract', [{ name: 'only', weightBps: 10_000, chain }]);
    const held: ServerResponse[] = [];
    onRequest = (response) => {
      if (held.push(response) === 1) answerWith(response, '{}');
    };
    gateway = await GatewayProcess.start(database.url, dataDir);
    const asked = ask(gateway.url, say('x', { model: 'contract' })).catch((error: unknown) => error);
    await eventually(() => held.length === 2);
    await gateway.kill();
    expect(await asked).toBeInstanceOf(Error);
    for (const response of held) response.destroy();
    gateway = await GatewayProcess.start(database.url, dataDir);
    await eventually(async () => (await allRows()).length === 1);
    const [row] = await allRows();
    expect(row).toMatchObject({ status: 'interrupted', contract_outcome: null, contract_rungs: null });
    expect(JSON.parse(row.request).messages).toHaveLength(1);
  });

  it('are ok for the request and interrupted for its copy when kill -9 cut the copy', async () => {
    const rows = new ServingRows(database.client);
    const chain = await rows.addChain('copied', { generate: { modelEndpoint: 'gpu', model: 'small' } });
    const shadow = await rows.addChain('copy', { generate: { modelEndpoint: 'own', model: 'small' } });
    await rows.setSplit('copied', [{ name: 'only', weightBps: 10_000, chain }], {
      shadows: [{ name: 'next', sampleBps: 10_000, chain: shadow }],
    });
    const held: ServerResponse[] = [];
    onRequest = (response) => void held.push(response);
    gateway = await GatewayProcess.start(database.url, dataDir);
    const answered = await ask(gateway.url, say('x', { model: 'copied' }));
    expect(answered.status).toBe(200);
    await answered.json();
    await eventually(() => held.length === 1);
    await gateway.kill();
    for (const response of held) response.destroy();
    gateway = await GatewayProcess.start(database.url, dataDir);
    await eventually(async () => (await allRows()).length === 2);
    const [original, copy] = await allRows();
    expect([original.status, original.shadow_of]).toEqual(['ok', null]);
    expect(copy).toMatchObject({
      status: 'interrupted',
      shadow_of: original.id,
      arm: 'next',
      endpoint: 'copied',
    });
  });

  it('survive kill -9 of the gateway when the last byte has only just arrived', async () => {
    const completed: string[] = [];
    for (let round = 0; round < 2; round++) {
      gateway = await GatewayProcess.start(database.url, dataDir);
      const response = await ask(gateway.url, say('x', { stream: round === 0, max_tokens: 4 }));
      expect(await response.text()).toContain(round === 0 ? '[DONE]' : 'choices');
      const dead = gateway.kill();
      completed.push(response.headers.get('x-catena-inference-id')!);
      await dead;
    }
    gateway = await GatewayProcess.start(database.url, dataDir);
    await eventually(async () => (await allRows()).length >= 2).catch(() => undefined);
    expect((await allRows()).map((row) => [row.id, row.status])).toEqual(completed.map((id) => [id, 'ok']));
  });

  it('are never missing because the disk was full: without a closing in the spool no answer is completed', async () => {
    const large = 'x'.repeat(8_000);
    onRequest = (response, streamed) => {
      if (streamed) {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (let n = 0; n < 100; n++) response.write(delta(large));
        response.end(`${delta('', 'stop')}data: [DONE]\n\n`);
      } else answerWith(response, large.repeat(100));
    };
    // 256 or 512 KiB a file; the write fails with EFBIG, in the middle, as one on a full disk does with ENOSPC.
    gateway = await GatewayProcess.start(database.url, dataDir, {}, { maxFileBlocks: 512 });
    const streamed = await ask(gateway.url, { ...say('x'), model: 'own', stream: true });
    const text = await streamed.text();
    expect(text).toContain(delta(large)); // the closing is what did not fit
    expect(text).not.toContain('[DONE]');
    expect(text).toContain('spool_full');
    const whole = await ask(gateway.url, { ...say('x'), model: 'own' });
    expect([whole.status, (await whole.text()).length < 1_000]).toEqual([503, true]);
    const before = requestsUpstream;
    const refused = await ask(gateway.url, { ...say(large.repeat(100)), model: 'own' });
    expect([refused.status, ((await refused.json()) as any).error.code]).toEqual([503, 'spool_full']);
    expect(requestsUpstream).toBe(before); // its opening did not fit: it was never sent
    const small = await ask(gateway.url, say('x'));
    expect(small.status).toBe(200);
    await eventually(async () => (await allRows()).length >= 3);
    // What the caller was refused is no success, though the row tells what it would have been.
    expect(
      (await allRows()).map((row) => [row.status, row.error_code, row.response.length > 100_000]),
    ).toEqual([
      ['error', 'spool_full', true],
      ['error', 'spool_full', true],
      ['ok', null, false],
    ]);
    expect((await allRows()).at(-1).id).toBe(small.headers.get('x-catena-inference-id'));
    expect(gateway.log.some((line) => line.err?.code === 'EFBIG')).toBe(true);
  });

  it.each([
    ['refuse', 503],
    ['drop', 200],
  ])('or the policy is known: a spool at its limit with %s answers %i', async (policy, status) => {
    const { proxy, url } = await TcpProxy.before(database.url);
    const full = await startTestGateway(url, {
      settings: { CATENA_SPOOL_MAX_BYTES: String(1024 * 1024), CATENA_SPOOL_FULL: policy },
    });
    proxy.cut();
    onRequest = (response) => answerWith(response, 'y');
    const large = { ...say('x'.repeat(300_000)), model: 'own' }; // not the simulator: it would take its time over it
    let requests = 0;
    while ((await full.metric('catena_spool_bytes')) < 1024 * 1024) {
      expect((await ask(full.url, large)).status).toBe(200);
      requests++;
    }
    expect(requests).toBeGreaterThan(1);
    const response = await ask(full.url, say('x'));
    expect(response.status).toBe(status);
    await response.text();
    expect(await full.metric('catena_rows_dropped_total')).toBe(policy === 'drop' ? 1 : 0);
    proxy.mend();
    await eventually(async () => (await full.metric('catena_spool_pending_rows')) === 0);
    expect((await allRows()).length).toBe(requests);
    expect((await ask(full.url, say('x'))).status).toBe(200);
    await eventually(async () => (await allRows()).length === requests + 1);
    await full.close();
    await proxy.close();
  });

  it('survive kill -9 of the gateway while PostgreSQL is away', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    gateway = await GatewayProcess.start(url, dataDir);
    proxy.cut();
    const load = new ChatLoad(() => gateway?.url, 8);
    await more(load, 100);
    const killed = gateway;
    gateway = undefined;
    await killed.kill();
    await load.stop();
    expect(await allRows()).toEqual([]); // so all of them must come from the spool
    gateway = await GatewayProcess.start(database.url, dataDir);
    await expectNothingLost(load);
    await proxy.close();
  });

  it('survive a database that goes away and comes back under load', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    gateway = await GatewayProcess.start(url, dataDir);
    const load = new ChatLoad(() => gateway?.url, 8);
    for (let round = 0; round < 3; round++) {
      await more(load, 50);
      proxy.cut();
      await more(load, 50);
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
    await more(load, 30);
    await postgres.stop();
    await more(load, 30);
    postgres = await start();
    await more(load, 30);
    await load.stop();
    const after = new pg.Client(postgres.url());
    await after.connect();
    const ok = async () =>
      (await after.query(`SELECT count(*)::int AS n FROM inference WHERE status = 'ok'`)).rows[0].n;
    await eventually(async () => (await ok()) === load.sent).catch(() => undefined);
    expect(await ok()).toBe(load.sent);
    expect(load.completed.length).toBe(load.sent);
    await after.end();
    await gateway.stop();
    gateway = undefined;
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('are stored when the gateway is stopped, also those that failed before and wait to be tried again', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    gateway = await GatewayProcess.start(url, dataDir);
    proxy.cut();
    const load = new ChatLoad(() => gateway?.url, 8);
    await more(load, 100);
    await load.stop();
    // After the fifth failure it waits for more than a second.
    const failures = async () => {
      const text = await (await fetch(`${gateway!.url}/metrics`)).text();
      return Number(/^catena_ship_failures_total (\d+)$/m.exec(text)?.[1]);
    };
    await eventually(async () => (await failures()) >= 5);
    proxy.mend();
    const stopped = gateway;
    gateway = undefined;
    expect(await stopped.stop()).toBe(0);
    expect((await allRows()).length).toBe(load.sent);
    await proxy.close();
  });

  it('are never written to one directory by two gateways', async () => {
    gateway = await GatewayProcess.start(database.url, dataDir);
    await expect(GatewayProcess.start(database.url, dataDir)).rejects.toThrow(
      /exited with 1: .*belongs to another running gateway/s,
    );
    expect((await ask(gateway.url, say('x'))).status).toBe(200);
  });
});
