import { readdir, readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyUse } from '../apps/gateway/src/callers/key-use.js';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';
import { eventually, temporaryDirectory, type TestGateway } from './support/gateway.js';
import { GatewayProcess } from './support/gateway-process.js';
import { ServingRows } from './support/serving-rows.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const OTHER_WORKSPACE = v7();

describe('callers', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  let everything: string;
  beforeAll(async () => {
    stack = await CallerStack.start();
    gateway = await stack.gateway();
    // Open until there is a key: this one closes it.
    expect((await gateway.get('/v1/resolve/chat')).status).toBe(200);
    expect((await gateway.get('/v1/resolve/chat', { authorization: 'Bearer any' })).status).toBe(200);
    everything = await stack.key('everything', { team: 'support' });
    await stack.caughtUp(gateway);
  });
  afterAll(() => stack.close());

  const resolve = (key: string | undefined, name = 'chat') =>
    gateway.get(`/v1/resolve/${name}`, key === undefined ? {} : { authorization: `Bearer ${key}` });
  const chat = (key: string, more: object = {}) =>
    stack.client(gateway, key).chat.completions.create(say('Hi', more) as never);

  it('with a key are answered, by all routes, under both headers, streamed too', async () => {
    const answer: any = await chat(everything);
    expect(answer.choices[0].message.content.length).toBeGreaterThan(0);
    let streamed = 0;
    for await (const _ of (await chat(everything, { stream: true })) as unknown as AsyncIterable<unknown>)
      streamed++;
    expect(streamed).toBeGreaterThan(1);
    expect((await stack.client(gateway, everything).models.list()).data.map(({ id }) => id)).toEqual([
      'chat',
      'other',
    ]);
    expect((await resolve(everything)).status).toBe(200);
    expect((await gateway.get('/v1/resolve/chat', { 'x-api-key': everything })).status).toBe(200);
  });

  it.each([
    ['no key', {}, 'missing_api_key'],
    ['a key nobody made', { authorization: `Bearer ck_00000000_${'A'.repeat(43)}` }, 'invalid_api_key'],
    ['another scheme', { authorization: 'Basic Y2s6Y2s=' }, 'invalid_api_key'],
    ['an empty key', { authorization: 'Bearer ' }, 'invalid_api_key'],
    ['a bearer token under the other header', { 'x-api-key': 'Bearer x' }, 'invalid_api_key'],
  ])('with %s are refused in OpenAI’s shape, and their body is not read', async (_what, headers, code) => {
    for (const [method, path] of [
      ['POST', '/v1/chat/completions'],
      ['GET', '/v1/models'],
      ['GET', '/v1/models/chat'],
      ['GET', '/v1/resolve/chat'],
      ['GET', '/v1/resolve/nothing'],
    ] as const) {
      const response = await fetch(gateway.url + path, {
        method,
        headers,
        ...(method === 'POST' && { body: 'not even JSON' }),
      });
      const body: any = await response.json();
      expect([path, response.status, body.error.code]).toEqual([path, 401, code]);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(body.error.type).toBe('invalid_request_error');
      expect(body.error.message).not.toContain('AAAA');
    }
    expect((await gateway.get('/healthz')).status).toBe(200);
  });

  it('that speak Anthropic’s protocol send their key under its header, and are refused in its shape', async () => {
    const ask = async (headers: Record<string, string>) => {
      const response = await fetch(`${gateway.url}/v1/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(say('Hi', { max_tokens: 20 })),
      });
      const { type, error }: any = await response.json();
      return [response.status, type, error?.type];
    };
    expect(await ask({ 'x-api-key': everything })).toEqual([200, 'message', undefined]);
    expect(await ask({ 'x-api-key': 'ck_wrong' })).toEqual([401, 'error', 'authentication_error']);
    expect(await ask({})).toEqual([401, 'error', 'authentication_error']);
  });

  it('of the official client get its own error class', async () => {
    await expect(chat('ck_wrong')).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const resolveOnly = await stack.key('resolve-only', { actions: ['resolve'] });
    await stack.caughtUp(gateway);
    await expect(chat(resolveOnly)).rejects.toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect((await resolve(resolveOnly)).status).toBe(200);
    const invokeOnly = await stack.key('invoke-only', { actions: ['invoke'] });
    await stack.caughtUp(gateway);
    await chat(invokeOnly);
    expect((await resolve(invokeOnly)).body.error).toMatchObject({
      code: 'action_not_allowed',
      type: 'permission_error',
    });
  });

  it('see no endpoint but those of their key', async () => {
    const scoped = await stack.key('scoped', { endpoints: ['chat'] });
    await stack.caughtUp(gateway);
    await chat(scoped);
    const refused: any = await chat(scoped, { model: 'other' }).then(undefined, (error: unknown) => error);
    expect([refused.status, refused.code]).toEqual([403, 'endpoint_not_allowed']);
    expect((await resolve(scoped, 'other')).status).toBe(403);
    expect((await stack.client(gateway, scoped).models.list()).data.map(({ id }) => id)).toEqual(['chat']);
    expect((await gateway.get('/v1/models/other', { authorization: `Bearer ${scoped}` })).status).toBe(404);
    // What its scope becomes holds at once, on the same connection too.
    await stack.registry.call('PATCH', '/api-keys/scoped', { endpoints: null });
    await stack.caughtUp(gateway);
    await chat(scoped, { model: 'other' });
  });

  it('never see another workspace: not its endpoints, not its model endpoints, under no name', async () => {
    const { client } = stack.registry.database;
    await client.query(`INSERT INTO workspace (id, name, created_at) VALUES ($1, 'other', now())`, [
      OTHER_WORKSPACE,
    ]);
    const rows = new ServingRows(client, OTHER_WORKSPACE);
    await stack.serve(rows, 'secret');
    await stack.serve(rows, 'shared');
    // A chain of this workspace that generates where only the other one has a model endpoint.
    await rows.setModelEndpoint('theirs', { replicas: [`${stack.simulator.url}/v1`] });
    const straying = await stack.rows.addChain('straying', {
      generate: { modelEndpoint: 'theirs', model: 'small' },
    });
    await stack.rows.setSplit('straying', [{ name: 'only', weightBps: 10_000, chain: straying }]);
    await stack.serve(stack.rows, 'shared');
    const theirs = await stack.keyOf(OTHER_WORKSPACE, 'theirs');
    await stack.caughtUp(gateway);

    const names = async (key: string) =>
      (await stack.client(gateway, key).models.list()).data.map(({ id }) => id);
    expect(await names(theirs)).toEqual(['secret', 'shared']);
    expect(await names(everything)).toEqual(['chat', 'other', 'shared', 'straying']);
    for (const name of ['secret', `${OTHER_WORKSPACE}/secret`]) {
      const encoded = encodeURIComponent(name);
      expect((await resolve(everything, encoded)).status).toBe(404);
      const { status } = await gateway.get(`/v1/models/${encoded}`, {
        authorization: `Bearer ${everything}`,
      });
      expect(status).toBe(404);
      await expect(chat(everything, { model: name })).rejects.toMatchObject({ code: 'model_not_found' });
    }
    for (const name of ['chat', `00000000-0000-7000-8000-000000000001/chat`])
      await expect(chat(theirs, { model: name })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(chat(everything, { model: 'straying' })).rejects.toMatchObject({
      code: 'model_endpoint_unavailable',
    });

    // The same name in both: each reaches its own.
    await chat(everything, { model: 'shared' });
    await chat(theirs, { model: 'shared' });
    await chat(theirs, { model: 'secret' });
    await eventually(async () => {
      const { rows: stored } = await client.query(
        `SELECT workspace_id, endpoint, api_key ~ '^theirs' AS theirs FROM inference
          WHERE endpoint IN ('shared', 'secret') ORDER BY id`,
      );
      if (stored.length < 3) return false;
      expect(stored.map((row) => [row.workspace_id === OTHER_WORKSPACE, row.endpoint, row.theirs])).toEqual([
        [false, 'shared', false],
        [true, 'shared', true],
        [true, 'secret', true],
      ]);
      return true;
    });
  });

  it('are on the row by the name of their key and its team', async () => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${everything}`, 'content-type': 'application/json' },
      body: JSON.stringify(say('Hi')),
    });
    await answer.text();
    const id = answer.headers.get('x-catena-inference-id');
    const { client } = stack.registry.database;
    await eventually(async () => {
      const { rows } = await client.query(`SELECT api_key, team FROM inference WHERE id = $1`, [id]);
      return rows.length === 1 && rows[0].api_key === 'everything' && rows[0].team === 'support';
    });
  });

  it('send no data above the class of their key', async () => {
    const low = await stack.key('low', { clearance: 'public' });
    await stack.caughtUp(gateway);
    await expect(chat(low)).rejects.toMatchObject({ status: 403, code: 'data_class_not_allowed' });
  });

  it('whose key is revoked are refused by every gateway within 100 ms, on connections that are open too', async () => {
    const second = await stack.gateway();
    const delays: number[] = [];
    for (let i = 0; i < 10; i++) {
      const key = await stack.key(`leaving-${i}`);
      await Promise.all([stack.caughtUp(gateway), stack.caughtUp(second)]);
      const agent = [gateway, second].map(
        ({ url }) =>
          (): Promise<Response> =>
            fetch(`${url}/v1/resolve/chat`, { headers: { authorization: `Bearer ${key}` } }),
      );
      for (const ask of agent) expect((await ask()).status).toBe(200);
      expect((await stack.registry.call('POST', `/api-keys/leaving-${i}/revoke`)).status).toBe(200);
      const revoked = performance.now();
      await Promise.all(agent.map((ask) => eventually(async () => (await ask()).status === 401, 5_000, 1)));
      delays.push(performance.now() - revoked);
    }
    delays.sort((a, b) => a - b);
    console.log(
      `revoked → refused by 2 gateways, ms: median ${delays[5]!.toFixed(1)}, max ${delays[9]!.toFixed(1)}`,
    );
    expect(delays[8]!).toBeLessThan(100);
  });

  it('whose key or secret has expired are refused from that moment on', async () => {
    const short = await stack.key('short', { expiresAt: new Date(Date.now() + 700).toISOString() });
    const turned = await stack.key('turned');
    const { body } = await stack.registry.call('POST', '/api-keys/turned/rotate', { overlapSeconds: 1 });
    const cut = await stack.key('cut');
    const after = (await stack.registry.call('POST', '/api-keys/cut/rotate', { overlapSeconds: 0 })).body;
    await stack.caughtUp(gateway);
    const statuses = async () =>
      Promise.all(
        [short, turned, body.secret, cut, after.secret].map(async (key) => (await resolve(key)).status),
      );
    expect(await statuses()).toEqual([200, 200, 200, 401, 200]);
    await sleep(1_200);
    expect(await statuses()).toEqual([401, 401, 200, 401, 200]);
    expect((await resolve(short)).body.error).toMatchObject({
      code: 'invalid_api_key',
      message: expect.stringContaining('expired') as string,
    });
  });

  it('leave a trace of when their key was last used', async () => {
    const used = await stack.key('used');
    await stack.key('unused');
    await stack.caughtUp(gateway);
    const before = Date.now();
    expect((await resolve(used)).status).toBe(200);
    await gateway.gateway.app.get(KeyUse, { strict: false }).write();
    const lastUsed = async (name: string) =>
      (await stack.registry.call('GET', `/api-keys/${name}`)).body.lastUsedAt;
    expect(Date.parse(await lastUsed('used'))).toBeGreaterThanOrEqual(before - 5);
    expect(await lastUsed('unused')).toBeNull();
  });

  it('are known after a restart without database, and their secrets are not on the disk', async () => {
    const dataDir = await temporaryDirectory();
    const first = await stack.gateway({ dataDir });
    const file = join(dataDir, 'gateway', 'snapshot.ndjson');
    await eventually(async () => (await readFile(file, 'utf8').catch(() => '')).includes('"apiKey"'));
    await first.close();
    stack.gateways.splice(stack.gateways.indexOf(first), 1);
    const text = await readFile(file, 'utf8');
    expect(text).toContain('"everything"');
    expect(text).not.toContain('ck_');
    expect(text).not.toContain(everything.slice(12));
    const offline = await stack.gateway({
      dataDir,
      settings: { DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none' },
    });
    const ask = (headers: Record<string, string>) => offline.get('/v1/resolve/chat', headers);
    expect((await ask({ authorization: `Bearer ${everything}` })).status).toBe(200);
    expect((await ask({})).status).toBe(401);
  });
});

describe('a gateway', () => {
  let stack: CallerStack;
  beforeAll(async () => {
    stack = await CallerStack.start();
  });
  afterAll(() => stack.close());

  it('stays closed when the last key was revoked', async () => {
    const gateway = await stack.gateway();
    await stack.key('only');
    await stack.registry.call('POST', '/api-keys/only/revoke');
    await stack.caughtUp(gateway);
    expect((await gateway.get('/v1/resolve/chat')).status).toBe(401);
    const late = await stack.gateway();
    expect((await late.get('/v1/resolve/chat')).status).toBe(401);
  });

  it('does not start at an address others can reach before somebody has said who may call', async () => {
    const dataDir = await temporaryDirectory();
    const start = (settings: Record<string, string>) =>
      GatewayProcess.start(stack.registry.database.url, dataDir, { CATENA_HOST: '0.0.0.0', ...settings });
    await expect(start({})).rejects.toThrow(/exited with 1: .*CATENA_ACCESS=keys/s);
    const keyed = await start({ CATENA_ACCESS: 'keys', CATENA_LOG_LEVEL: 'trace' });
    const url = keyed.url.replace('0.0.0.0', '127.0.0.1');
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    // Its secret is in no row, file, metric or log line of the gateway, and neither is one that is refused.
    const secret = await stack.key('whispered');
    const ask = (key: string) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify(say('Hi')),
      });
    await eventually(async () => (await ask(secret)).status === 200);
    const refused = await ask(`${secret}x`);
    const told = [await refused.text(), await (await fetch(`${url}/metrics`)).text()];
    const file = join(dataDir, 'gateway', 'snapshot.ndjson');
    await eventually(async () => (await readFile(file, 'utf8').catch(() => '')).includes('whispered'));
    for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) told.push(await readFile(join(entry.parentPath, entry.name), 'latin1'));
    await keyed.stop();
    const { rows } = await stack.registry.database.client.query(
      `SELECT i::text AS text FROM (SELECT * FROM ${WHOLE_INFERENCE}) i WHERE api_key = 'whispered'`,
    );
    expect(rows.length).toBeGreaterThan(0);
    told.push(...rows.map((row) => row.text), JSON.stringify(keyed.log), keyed.complaints);
    for (const text of told) expect(text).not.toContain(secret.slice(12));
  });

  it('on loopback answers for loopback names only', async () => {
    const gateway = await stack.gateway({ settings: { CATENA_ALLOWED_HOSTS: 'catena.internal' } });
    const status = (base: string, host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        httpRequest(`${base}/healthz`, { headers: { host }, agent: false }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode));
        })
          .on('error', reject)
          .end();
      });
    for (const host of ['localhost', 'localhost:1', '127.0.0.1', '[::1]:5081', 'catena.internal'])
      expect([host, await status(gateway.url, host)]).toEqual([host, 200]);
    for (const host of ['evil.example', 'evil.example:5081', '127.0.0.1.evil.example'])
      for (const base of [gateway.url, stack.registry.url])
        expect([host, await status(base, host)]).toEqual([host, 403]);
  });
});
