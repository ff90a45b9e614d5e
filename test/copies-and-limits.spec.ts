import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BudgetReader } from '../apps/gateway/src/limits/budget-reader.js';
import { Limiter } from '../apps/gateway/src/limits/limiter.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';
import { eventually, type TestGateway } from './support/gateway.js';
import { ServingRows, type SplitGiven } from './support/serving-rows.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const OTHER = v7();

describe('keys and limits', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  let secret: string;
  let other: string;
  beforeAll(async () => {
    stack = await CallerStack.start();
    const serve = async (name: string, given: SplitGiven, rows = stack.rows) => {
      const chain = await rows.addChain(name);
      await rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }], given);
    };
    const shadow = await stack.rows.addChain('shadow');
    await serve('cached', { cacheTtlSeconds: 60 });
    await serve('copied', { shadows: [{ name: 'copy', sampleBps: 10_000, chain: shadow }] });
    await stack.registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES ($1, 'other', now())`,
      [OTHER],
    );
    const theirs = new ServingRows(stack.registry.database.client, OTHER);
    await theirs.setModelEndpoint('gpu', { replicas: [`${stack.simulator.url}/v1`] });
    await serve('cached', { cacheTtlSeconds: 60 }, theirs);
    secret = await stack.key('checkout', { team: 'payments' });
    other = await stack.keyOf(OTHER, 'theirs');
    for (const [metric, target] of [
      ['requests', { kind: 'apiKey', name: 'checkout' }],
      ['tokens', { kind: 'apiKey', name: 'checkout' }],
      ['costMicroUsd', { kind: 'team', name: 'payments' }],
      ['requests', { kind: 'modelEndpoint', name: 'gpu' }],
    ] as const)
      await stack.limit(`${target.kind}-${metric}`, { target, metric, window: 'month', amount: 1_000_000 });
    gateway = await stack.gateway();
    await stack.caughtUp(gateway);
  });
  afterAll(() => stack.close());

  const ask = async (model: string, key: string, more: object = {}) => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(say('Hi', { model, max_tokens: 20, ...more })),
    });
    await answer.arrayBuffer();
    expect(answer.status).toBe(200);
    return answer.headers;
  };
  /** Used under each limit. */
  const used = (): Record<string, number> => {
    const limiter = gateway.gateway.app.get(Limiter, { strict: false });
    const meters = [
      ...limiter.find(DEFAULT_WORKSPACE_ID, 'apiKey', 'checkout'),
      ...limiter.find(DEFAULT_WORKSPACE_ID, 'team', 'payments'),
      ...limiter.find(DEFAULT_WORKSPACE_ID, 'modelEndpoint', 'gpu'),
    ];
    return Object.fromEntries(meters.map((meter) => [meter.limit.name, 1_000_000 - meter.left(Date.now())]));
  };
  const stored = async (where: string): Promise<any[]> =>
    (
      await stack.registry.database.client.query(
        `SELECT * FROM ${WHOLE_INFERENCE} WHERE ${where} ORDER BY id`,
      )
    ).rows;

  it('count a hit of the cache as a request of its caller, and as nothing else', async () => {
    expect((await ask('cached', secret)).get('x-catena-cache')).toBe('miss');
    await eventually(() => used()['apiKey-tokens']! < 40);
    const before = used();
    expect(before['apiKey-requests']).toBe(1);
    expect(before['team-costMicroUsd']).toBeGreaterThan(0);
    expect((await ask('cached', secret)).get('x-catena-cache')).toBe('hit');
    expect((await ask('cached', secret, { stream: true })).get('x-catena-cache')).toBe('hit');
    await eventually(() => used()['apiKey-tokens'] === before['apiKey-tokens']);
    expect(used()).toEqual({ ...before, 'apiKey-requests': 3 });
  });

  it('give another workspace an answer of its own, by the same name, chain and request', async () => {
    expect((await ask('cached', secret)).get('x-catena-cache')).toBe('hit');
    expect((await ask('cached', other)).get('x-catena-cache')).toBe('miss');
    expect((await ask('cached', other)).get('x-catena-cache')).toBe('hit');
    await eventually(async () => (await stored(`workspace_id = '${OTHER}'`)).length === 2);
    const digests = await stored(`endpoint = 'cached'`);
    expect(new Set(digests.map((row) => row.chain_digest)).size).toBe(1);
  });

  it('do not count copies, neither when they are made nor when budgets are read from the rows', async () => {
    const before = used();
    const headers = await ask('copied', secret);
    const where = `shadow_of = '${headers.get('x-catena-inference-id')}'`;
    await eventually(async () => (await stored(where)).length === 1);
    const [copy] = await stored(where);
    // It is the caller's in the rows all the same.
    expect(copy).toMatchObject({ api_key: 'checkout', team: 'payments', status: 'ok' });
    expect(Number(copy.cost_micro_usd)).toBeGreaterThan(0);
    await eventually(async () => (await stored(`id = '${copy.shadow_of}'`)).length === 1);
    const [original] = await stored(`id = '${copy.shadow_of}'`);
    const spent = {
      'apiKey-requests': before['apiKey-requests']! + 1,
      'apiKey-tokens': before['apiKey-tokens']! + original.input_tokens + original.output_tokens,
      'team-costMicroUsd': before['team-costMicroUsd']! + Number(original.cost_micro_usd),
      'modelEndpoint-requests': before['modelEndpoint-requests']! + 1,
    };
    expect(used()).toEqual(spent);
    // One that starts now has nothing but the rows to go by.
    const fresh = await stack.gateway();
    await fresh.gateway.app.get(BudgetReader, { strict: false }).read();
    const kept = gateway;
    gateway = fresh;
    try {
      await eventually(() => used()['apiKey-requests'] === spent['apiKey-requests']);
      expect(used()).toEqual(spent);
    } finally {
      gateway = kept;
    }
  });
});
