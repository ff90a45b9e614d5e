import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BudgetReader } from '../apps/gateway/src/limits/budget-reader.js';
import { Limiter } from '../apps/gateway/src/limits/limiter.js';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';
import { eventually, temporaryDirectory, type TestGateway } from './support/gateway.js';

describe('limits', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  let count = 0;
  beforeAll(async () => {
    stack = await CallerStack.start();
    gateway = await stack.gateway();
  });
  afterAll(() => stack.close());

  /** A key of its own per test, so that limits do not meet. */
  const caller = async (fields: object = {}) => {
    const name = `caller-${++count}`;
    const secret = await stack.key(name, fields);
    return { name, secret };
  };
  const limitFor = async (name: string, fields: object) => {
    const limit = `limit-${++count}`;
    await stack.limit(limit, { target: { kind: 'apiKey', name }, ...fields });
    await Promise.all(stack.gateways.map((one) => stack.caughtUp(one)));
    return limit;
  };
  const send = async (secret: string, more: object = {}, to: TestGateway = gateway) => {
    const response = await fetch(`${to.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify(say('Hi', { max_tokens: 20, ...more })),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  };
  const left = (name: string, of: TestGateway = gateway) => {
    const limiter = of.gateway.app.get(Limiter, { strict: false });
    const meter = [...limiter.find(DEFAULT, 'apiKey', name)][0]!;
    return meter.left(Date.now());
  };
  const DEFAULT = '00000000-0000-7000-8000-000000000001';
  const statuses = (answers: readonly { status: number }[]) => ({
    ok: answers.filter(({ status }) => status === 200).length,
    limited: answers.filter(({ status }) => status === 429).length,
  });

  it('on requests let in exactly as many of 50 at the same time', async () => {
    const { name, secret } = await caller();
    await limitFor(name, { metric: 'requests', window: 'hour', amount: 7 });
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(secret)));
    expect(statuses(answers)).toEqual({ ok: 7, limited: 43 });
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.body.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' });
    expect(refused.body.error.message).toContain(`7 requests per hour of the API key "${name}"`);
    const header = (of: string) => refused.headers.get(of);
    expect(header('x-ratelimit-limit-requests')).toBe('7');
    expect(header('x-ratelimit-remaining-requests')).toBe('0');
    expect(header('x-ratelimit-reset-requests')).toMatch(/^(1h0m0s|59m\d+(\.\d+)?s)$/);
    expect(Number(header('retry-after'))).toBeGreaterThan(500);
    // The official client tells it from other errors.
    await expect(
      stack.client(gateway, secret).chat.completions.create(say('Hi') as never),
    ).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  });

  it('on tokens reserve the longest answer, are never gone beyond by 50 at the same time, and settle', async () => {
    const { name, secret } = await caller();
    const amount = 2_000;
    await limitFor(name, { metric: 'tokens', window: 'hour', amount });
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(secret, { max_tokens: 100 })));
    const { ok, limited } = statuses(answers);
    expect(ok + limited).toBe(50);
    expect(ok).toBeGreaterThan(5);
    expect(limited).toBeGreaterThan(0);
    const usage = () =>
      answers
        .filter(({ status }) => status === 200)
        .reduce((sum, { body }) => sum + body.usage.total_tokens, 0);
    expect(usage()).toBeLessThanOrEqual(amount);
    // What was reserved beyond the use is there again.
    expect(Math.abs(amount - left(name) - usage())).toBeLessThanOrEqual(5);
    for (let i = 0; i < 200 && answers.at(-1)!.status === 200; i++)
      answers.push(await send(secret, { max_tokens: 100 }));
    while (answers.length < 400) {
      const answer = await send(secret, { max_tokens: 5 });
      answers.push(answer);
      if (answer.status === 429) break;
    }
    expect(answers.at(-1)!.status).toBe(429);
    expect(usage()).toBeLessThanOrEqual(amount + 5);
    expect(usage()).toBeGreaterThan(amount * 0.9);
  });

  it('settle streams too, and give back what a refused request has reserved', async () => {
    const { name, secret } = await caller();
    await limitFor(name, { metric: 'tokens', window: 'month', amount: 100_000 });
    const streamed = await send(secret, {
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 50,
    });
    const used = Number(/"total_tokens":(\d+)/.exec(streamed.body)![1]);
    expect(100_000 - left(name)).toBe(used);
    await stack.rows.setModelEndpoint('down', { replicas: ['http://127.0.0.1:9/v1'] });
    const chain = await stack.rows.addChain('broken', {
      generate: { modelEndpoint: 'down', model: 'small' },
    });
    await stack.rows.setSplit('broken', [{ name: 'only', weightBps: 10_000, chain }]);
    await stack.caughtUp(gateway);
    expect((await send(secret, { model: 'broken' })).status).toBe(502);
    expect(100_000 - left(name)).toBe(used);
    await expect(
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify(say('Hi', { max_tokens: 5000, ignore_eos: true })),
        signal: AbortSignal.timeout(60),
      }),
    ).rejects.toThrow();
    // Somebody who left pays for the prompt, not for the answer nobody made.
    await eventually(() => 100_000 - left(name) < used + 200);
    expect(100_000 - left(name)).toBeGreaterThan(used);
  });

  it('are paid by every answer that an output contract has asked for', async () => {
    const { name, secret } = await caller();
    await limitFor(name, { metric: 'tokens', window: 'month', amount: 100_000 });
    const schema = { type: 'object', properties: { action: { type: 'string' } }, required: ['action'] };
    const chain = await stack.rows.addChain('contract', {
      generate: { modelEndpoint: 'gpu', model: 'small:fault=json-careless' },
      output: { schema },
    });
    await stack.rows.setSplit('contract', [{ name: 'only', weightBps: 10_000, chain }]);
    await stack.caughtUp(gateway);
    const { status, headers, body } = await send(secret, { model: 'contract', max_tokens: 500 });
    expect(status).toBe(200);
    const { database } = stack.registry;
    const id = headers.get('x-catena-inference-id');
    await eventually(async () => {
      const { rows } = await database.client.query('SELECT * FROM inference WHERE id = $1', [id]);
      if (rows.length === 0) return false;
      expect(rows[0]).toMatchObject({ contract_outcome: 'reasked', attempts: 2 });
      expect(100_000 - left(name)).toBe(rows[0].input_tokens + rows[0].output_tokens);
      return true;
    });
    expect(100_000 - left(name)).toBeGreaterThan(body.usage.total_tokens);
  });

  it('that could never let a request in say so, and that trying again is of no use', async () => {
    const { name, secret } = await caller();
    await limitFor(name, { metric: 'tokens', window: 'minute', amount: 500 });
    const { status, headers, body } = await send(secret, { max_tokens: 5_000 });
    expect([status, body.error.code]).toEqual([429, 'rate_limit_exceeded']);
    expect(body.error.message).toContain('max_completion_tokens');
    expect([headers.get('x-should-retry'), headers.get('retry-after')]).toEqual(['false', null]);
    expect((await send(secret, { max_tokens: 20 })).status).toBe(200);
  });

  it.each(['apiKey', 'team', 'endpoint', 'modelEndpoint'] as const)(
    'hold for a %s, and for no other',
    async (kind) => {
      const own = await caller({ team: `team-${count}` });
      const team = `team-${count - 1}`;
      const name = `only-${kind.toLowerCase()}`;
      await stack.rows.setModelEndpoint(name, { replicas: [`${stack.simulator.url}/v1`] });
      const chain = await stack.rows.addChain(name, { generate: { modelEndpoint: name, model: 'small' } });
      await stack.rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }]);
      const targets = { apiKey: own.name, team, endpoint: name, modelEndpoint: name };
      await stack.limit(`on-${kind}`, {
        target: { kind, name: targets[kind] },
        metric: 'requests',
        window: 'hour',
        amount: 1,
      });
      await stack.caughtUp(gateway);
      const stranger = await caller();
      await stack.caughtUp(gateway);
      const tries = [await send(own.secret, { model: name }), await send(own.secret, { model: name })];
      expect(tries.map(({ status }) => status)).toEqual([200, 429]);
      const isOfCaller = kind === 'apiKey' || kind === 'team';
      const elsewhere = isOfCaller
        ? await send(stranger.secret, { model: name })
        : await send(own.secret, { model: 'chat' });
      expect(elsewhere.status).toBe(200);
      await stack.registry.call('DELETE', `/limits/on-${kind}`);
      await stack.caughtUp(gateway);
      expect((await send(own.secret, { model: name })).status).toBe(200);
    },
  );

  it('that are changed hold at once, and what was used stays used', async () => {
    const { name, secret } = await caller();
    const limit = await limitFor(name, { metric: 'requests', window: 'hour', amount: 2 });
    for (const status of [200, 200, 429]) expect((await send(secret)).status).toBe(status);
    await stack.registry.call('PATCH', `/limits/${limit}`, { amount: 3 });
    await stack.caughtUp(gateway);
    for (const status of [200, 429]) expect((await send(secret)).status).toBe(status);
  });

  it('charge the fallback that ran, not the model endpoint that did not', async () => {
    const { secret } = await caller();
    await stack.rows.setModelEndpoint('dead', { replicas: ['http://127.0.0.1:9/v1'] });
    await stack.rows.setModelEndpoint('spare', { replicas: [`${stack.simulator.url}/v1`] });
    const chain = await stack.rows.addChain('fallen', {
      generate: { modelEndpoint: 'dead', model: 'small' },
      fallbacks: [{ modelEndpoint: 'spare', model: 'small' }],
    });
    await stack.rows.setSplit('fallen', [{ name: 'only', weightBps: 10_000, chain }]);
    for (const name of ['dead', 'spare'])
      await stack.limit(`tokens-${name}`, {
        target: { kind: 'modelEndpoint', name },
        metric: 'tokens',
        window: 'hour',
        amount: 10_000,
      });
    await stack.caughtUp(gateway);
    const { status, body } = await send(secret, { model: 'fallen' });
    expect(status).toBe(200);
    const limiter = gateway.gateway.app.get(Limiter, { strict: false });
    const used = (name: string) => 10_000 - limiter.find(DEFAULT, 'modelEndpoint', name)[0]!.left(Date.now());
    expect([used('dead'), used('spare')]).toEqual([0, body.usage.total_tokens]);
    // A fallback without room is none: the caller is told what went wrong before it.
    await stack.registry.call('PATCH', '/limits/tokens-spare', { amount: 10 });
    await stack.caughtUp(gateway);
    const last = await send(secret, { model: 'fallen' });
    expect([last.status, last.body.error.code]).toEqual([502, 'upstream_unreachable']);
    expect(used('dead')).toBe(0);
  });

  it('of a budget stop it hard, in OpenAI’s words, after an alert by header, metric and log', async () => {
    const { name, secret } = await caller();
    // 0.5 micro-USD per prompt token, 1.5 per token of the answer.
    const limit = await limitFor(name, {
      metric: 'costMicroUsd',
      window: 'day',
      amount: 400,
      alertPercent: 50,
    });
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(secret)));
    expect(statuses(answers).limited).toBeGreaterThan(0);
    let last = await send(secret, { max_tokens: 2 });
    const alerts: (string | null)[] = [];
    while (last.status === 200) {
      alerts.push(last.headers.get('x-catena-budget-alert'));
      last = await send(secret, { max_tokens: 2 });
    }
    expect(last.status).toBe(429);
    expect(last.body.error).toMatchObject({ type: 'insufficient_quota', code: 'insufficient_quota' });
    expect(last.headers.get('x-should-retry')).toBe('false');
    expect(alerts.at(-1)).toMatch(new RegExp(`^${limit} \\d+%$`));
    const { client } = stack.registry.database;
    await eventually(async () => (await gateway.metric('catena_spool_pending_rows')) === 0);
    const { rows } = await client.query(
      `SELECT sum(cost_micro_usd)::float8 AS cost FROM inference WHERE api_key = $1`,
      [name],
    );
    expect(rows[0].cost).toBeLessThanOrEqual(400);
    expect(rows[0].cost).toBeGreaterThan(200);
    const metrics = String((await gateway.get('/metrics')).body);
    expect(metrics).toContain(`catena_budget_alerts_total{limit="${limit}"} 1`);
    expect(metrics).toMatch(new RegExp(`catena_limit_used_ratio\\{limit="${limit}"\\} (1|0\\.\\d+)`));
    expect(metrics).toMatch(new RegExp(`catena_limit_refusals_total\\{limit="${limit}"\\} [1-9]`));
  });

  it('of a budget that only alerts refuse nothing', async () => {
    const { name, secret } = await caller();
    const limit = await limitFor(name, {
      metric: 'requests',
      window: 'month',
      amount: 1,
      hardStop: false,
      alertPercent: 100,
    });
    expect((await send(secret)).headers.get('x-catena-budget-alert')).toBeNull();
    const second = await send(secret);
    expect([second.status, second.headers.get('x-catena-budget-alert')]).toEqual([200, `${limit} 100%`]);
  });

  it('of a budget survive a restart, and take up what other gateways spend', async () => {
    const { name, secret } = await caller();
    await limitFor(name, { metric: 'requests', window: 'month', amount: 5 });
    const dataDir = await temporaryDirectory();
    const first = await stack.gateway({ dataDir });
    for (let i = 0; i < 3; i++) expect((await send(secret, {}, first)).status).toBe(200);
    await first.close();
    stack.gateways.splice(stack.gateways.indexOf(first), 1);
    const again = await stack.gateway({ dataDir });
    await eventually(() => left(name, again) === 2);
    expect((await send(secret, {}, again)).status).toBe(200);
    // The first gateway of all has seen none of these until it reads the rows again.
    expect(left(name)).toBeGreaterThan(1);
    await eventually(async () => (await again.metric('catena_spool_pending_rows')) === 0);
    await gateway.gateway.app.get(BudgetReader, { strict: false }).read();
    expect(left(name)).toBe(1);
    expect(statuses([await send(secret), await send(secret)])).toEqual({ ok: 1, limited: 1 });
  });
});
