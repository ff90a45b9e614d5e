import { connect } from 'node:net';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReplicaLanes } from '../apps/gateway/src/dispatch/replica-lanes.js';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';
import { eventually, type TestGateway } from './support/gateway.js';

describe('against hostile callers', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  let key: string;
  let onRequest: (response: ServerResponse) => void = () => undefined;
  const server = createServer((request, response) => {
    request.resume();
    onRequest(response);
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stack = await CallerStack.start();
    await stack.rows.setModelEndpoint('evil', {
      replicas: [`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`],
      maxConcurrencyPerReplica: 4,
    });
    const chain = await stack.rows.addChain('evil', { generate: { modelEndpoint: 'evil', model: 'small' } });
    await stack.rows.setSplit('evil', [{ name: 'only', weightBps: 10_000, chain }]);
    gateway = await stack.gateway();
    key = await stack.key('good');
    await stack.caughtUp(gateway);
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await stack.close();
  });
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(gateway.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const port = () => Number(new URL(gateway.url).port);
  const busy = () =>
    gateway.gateway.app
      .get(ReplicaLanes, { strict: false })
      .find('evil')!
      .replicas.reduce((sum, replica) => sum + replica.outstanding, 0);
  const text = (k: string, body: string, cut = 0) =>
    `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${k}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${cut ? body.slice(0, -cut) : body}`;
  const statusesOf = (data: string) => [...data.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]);

  it('a key that was revoked while the body was still coming is refused', async () => {
    const leaving = await stack.key('slow-body');
    await stack.caughtUp(gateway);
    const body = JSON.stringify(say('Hi'));
    const socket = connect(port(), '127.0.0.1');
    let seen = '';
    socket.on('data', (data) => (seen += String(data)));
    socket.write(text(leaving, body, 1));
    await sleep(100);
    await stack.registry.call('POST', '/api-keys/slow-body/revoke');
    await stack.caughtUp(gateway);
    await sleep(200);
    socket.write(body.slice(-1));
    await eventually(() => statusesOf(seen).length > 0);
    socket.destroy();
    expect(statusesOf(seen)).toEqual(['401']);
  });

  it('switching keys on one connection switches the caller', async () => {
    const other = await stack.key('other-scope', { endpoints: ['other'] });
    await stack.caughtUp(gateway);
    const body = JSON.stringify(say('Hi'));
    const socket = connect(port(), '127.0.0.1');
    let seen = '';
    socket.on('data', (data) => (seen += String(data)));
    socket.write(text(key, body) + text(other, body) + text('ck_no', body) + text(key, body));
    await eventually(() => statusesOf(seen).length === 4);
    socket.destroy();
    expect(statusesOf(seen)).toEqual(['200', '403', '401', '200']);
  });

  it('a pipelined request whose connection is gone is aborted', async () => {
    const held: ServerResponse[] = [];
    onRequest = (response) => held.push(response);
    const body = JSON.stringify({ ...say('Hi'), model: 'evil' });
    const socket = connect(port(), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(text(key, body) + text(key, body) + text(key, body));
    await eventually(() => held.length === 3);
    expect(busy()).toBe(3);
    socket.destroy();
    await sleep(1_000);
    const left = busy();
    for (const response of held) response.destroy();
    expect(left).toBe(0);
  });

  it.each(['/v1/chat/completions', '/v1/messages', '/v1/responses'])(
    '200 000 messages on %s are no 500',
    async (path) => {
      const messages = Array.from({ length: 200_000 }, () => ({ role: 'user', content: 'a' }));
      const answer = await post(path, {
        model: 'chat',
        max_tokens: 5,
        [path === '/v1/responses' ? 'input' : 'messages']: messages,
      });
      expect([path, answer.status]).not.toEqual([path, 500]);
      await answer.text();
    },
  );

  it('a page of another origin cannot make it generate (text/plain needs no preflight)', async () => {
    const answer = await post('/v1/chat/completions', say('Hi'), {
      'content-type': 'text/plain',
      origin: 'https://evil.example',
      'sec-fetch-site': 'cross-site',
    });
    await answer.text();
    expect(answer.status).toBeGreaterThanOrEqual(400);
  });

  it('odd limits of the answer are no 500, poison nothing, and reserve what they ask for', async () => {
    const { client } = stack.registry.database;
    await client.query(
      `UPDATE model_endpoint SET input_micro_usd_per_million_tokens = 1000000, output_micro_usd_per_million_tokens = 1000000 WHERE name = 'gpu'`,
    );
    await client.query(
      `SELECT catena_record_change(workspace_id, 'model_endpoint', id) FROM model_endpoint WHERE name = 'gpu'`,
    );
    await stack.limit('soft', {
      target: { kind: 'endpoint', name: 'chat' },
      metric: 'tokens',
      window: 'day',
      amount: 1_000_000,
      hardStop: false,
    });
    await stack.limit('soft-evil', {
      target: { kind: 'endpoint', name: 'evil' },
      metric: 'tokens',
      window: 'day',
      amount: 1_000_000,
      hardStop: false,
    });
    await stack.limit('rate', {
      target: { kind: 'endpoint', name: 'other' },
      metric: 'tokens',
      window: 'hour',
      amount: 5_000,
    });
    await stack.caughtUp(gateway);
    onRequest = (response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(
          '{"id":"c","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        );
    const seen: unknown[] = [];
    for (const odd of [
      '"max_tokens":0,"n":1e999',
      '"max_tokens":1e999',
      '"max_tokens":-5',
      '"n":1000000',
      '"n":-3',
      '"max_tokens":1e300,"n":1e300',
      '"n":"100"',
    ])
      for (const model of ['chat', 'evil', 'other']) {
        const answer = await post(
          '/v1/chat/completions',
          `{"model":"${model}","messages":[{"role":"user","content":"Hi"}],${odd}}`,
        );
        const body: any = await answer.json();
        seen.push([odd, model, answer.status, body.error?.code ?? '']);
      }
    console.log(seen.map((one) => JSON.stringify(one)).join('\n'));
    const metrics = (await gateway.get('/metrics')).body as string;
    console.log(
      metrics
        .split('\n')
        .filter((line) => line.startsWith('catena_limit'))
        .join('\n'),
    );
    expect(metrics).not.toMatch(/catena_limit_used_ratio\S* (Nan|NaN)/i);
    expect(seen.filter((one: any) => one[2] === 500)).toEqual([]);
  });
});
