import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';
import { eventually, type TestGateway } from './support/gateway.js';
import { createTestDatabase } from './support/database.js';
import { startTestRegistry } from './support/registry.js';
import { FakeReplica } from './support/fake-replica.js';

const cross = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' };

describe('against pages of other origins', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  beforeAll(async () => {
    stack = await CallerStack.start();
    gateway = await stack.gateway();
  });
  afterAll(() => stack.close());

  it('an open gateway on loopback does not generate for a page of another origin', async () => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', ...cross },
      body: JSON.stringify(say('Hi')),
    });
    await answer.text();
    expect(answer.status).toBe(403);
  });

  it('a registry on loopback revokes no key for a page of another origin', async () => {
    await stack.key('victim');
    const answer = await fetch(
      `${stack.registry.url.replace(/\/api\/v1$/, '')}/api/v1/api-keys/victim/revoke`,
      { method: 'POST', headers: cross },
    );
    const body = await answer.text();
    expect([answer.status, body.slice(0, 200)]).toEqual([403, expect.anything()]);
  });

  it('a hard budget on cost sees what callers that leave have had read', async () => {
    const replica = await FakeReplica.start();
    replica.chat = 'hang';
    await stack.rows.setModelEndpoint('slow', { replicas: [replica.url], maxConcurrencyPerReplica: 8 });
    const { client } = stack.registry.database;
    await client.query(
      `UPDATE model_endpoint SET input_micro_usd_per_million_tokens = 1000000, output_micro_usd_per_million_tokens = 1000000 WHERE name = 'slow'`,
    );
    const chain = await stack.rows.addChain('slow', { generate: { modelEndpoint: 'slow', model: 'small' } });
    await stack.rows.setSplit('slow', [{ name: 'only', weightBps: 10_000, chain }]);
    await client.query(
      `SELECT catena_record_change(workspace_id, 'model_endpoint', id) FROM model_endpoint WHERE name = 'slow'`,
    );
    await stack.limit('purse', {
      target: { kind: 'endpoint', name: 'slow' },
      metric: 'costMicroUsd',
      window: 'day',
      amount: 100_000,
    });
    const key = await stack.key('leaver');
    await stack.caughtUp(gateway);
    for (let i = 0; i < 5; i++) {
      const control = new AbortController();
      const asked = fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        signal: control.signal,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({ ...say('x'.repeat(30_000)), model: 'slow', max_tokens: 40_000 }),
      }).catch(() => undefined);
      await eventually(() => replica.holding === 1);
      control.abort();
      await asked;
      await eventually(() => replica.holding === 0);
    }
    const line = ((await gateway.get('/metrics')).body as string)
      .split('\n')
      .find((text) => text.startsWith('catena_limit_used_ratio{limit="purse"}'));
    await replica.die();
    console.log(line);
    expect(Number(line!.split(' ')[1])).toBeGreaterThan(0.4);
  });
});

describe('the gate of a registry with an admin key', () => {
  it('lets nothing by', async () => {
    const database = await createTestDatabase();
    void database;
    const registry = await startTestRegistry({ CATENA_ADMIN_KEY: 'k'.repeat(32) });
    const url = new URL(registry.url);
    const raw = (target: string, headers = '', method = 'GET') =>
      new Promise<string>((resolve) => {
        let seen = '';
        const socket = connect(Number(url.port), '127.0.0.1');
        socket.on('data', (data) => (seen += String(data))).on('close', () => resolve(seen.slice(9, 12)));
        socket.write(
          `${method} ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${headers}\r\n`,
        );
      });
    const seen: [string, string][] = [];
    for (const target of [
      '/api/v1/api-keys',
      '//api/v1/api-keys',
      '/docs/../api/v1/api-keys',
      '/docs/%2e%2e/api/v1/api-keys',
      '/docs/..%2fapi/v1/api-keys',
      '/healthz/../api/v1/api-keys',
      '/api/v1/api-keys?/docs',
      '/api/v1/api-keys#/docs',
      '/%61pi/v1/api-keys',
      '/API/V1/API-KEYS',
      'http://localhost/api/v1/api-keys',
      'http://localhost/docs/../api/v1/api-keys',
      '/metrics',
      '/v1/traces',
      '/api/2.0/mlflow/experiments/search',
      '//api/2.0/mlflow/experiments/search?max_results=1',
      '/ajax-api/2.0/mlflow/experiments/search?max_results=1',
      '/docs/..//api/2.0/mlflow/experiments/search?max_results=1',
      '/docs;/x',
      '/health',
      '/version',
      '/',
      '/mlflow/',
      '*',
    ])
      seen.push([target, await raw(target)]);
    for (const headers of [
      'authorization: Bearer \r\n',
      `authorization: Basic ${Buffer.from('a:').toString('base64')}\r\n`,
      `authorization: Bearer ${'k'.repeat(31)}\r\n`,
      `x-api-key: ${'k'.repeat(32)}\r\n`,
      `authorization: x\r\nauthorization: Bearer ${'k'.repeat(32)}\r\n`,
    ])
      seen.push([headers.trim(), await raw('/api/v1/api-keys', headers)]);
    seen.push(['good', await raw('/api/v1/api-keys', `authorization: Bearer ${'k'.repeat(32)}\r\n`)]);
    console.log(
      seen
        .filter(([, status]) => status !== '401')
        .map((one) => one.join(' → '))
        .join('\n'),
    );
    expect(seen.filter(([what, status]) => !['401', '404'].includes(status) && what !== 'good')).toEqual([]);
    await registry.close();
    await database.drop();
  });
});
