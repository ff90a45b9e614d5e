import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { BudgetReader } from '../../apps/gateway/src/limits/budget-reader.js';
import { Limiter } from '../../apps/gateway/src/limits/limiter.js';
import { CallerStack } from '../support/callers.js';
import { say } from '../support/chat.js';
import { GatewayProcess } from '../support/gateway-process.js';
import { eventually, temporaryDirectory, type TestGateway } from '../support/gateway.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { RedisServer } from './server.js';

const DEFAULT = '00000000-0000-7000-8000-000000000001';

describe('limits that gateways share through Redis', () => {
  let stack: CallerStack;
  let redis: RedisServer;
  let [one, two]: TestGateway[] = [];
  let count = 0;
  /** All of it runs in this process: an answer may come to it late, and is waited for where that is not what is tested. */
  const settings = (more: Record<string, string> = {}) => ({
    CATENA_REDIS_URL: redis.url,
    CATENA_REDIS_TIMEOUT_MS: '2000',
    ...more,
  });
  /** A gateway for the time of a test. */
  const withGateway = async (more: Record<string, string>, test: (gateway: TestGateway) => Promise<void>) => {
    const gateway = await stack.gateway({ settings: settings(more) });
    try {
      await test(gateway);
    } finally {
      stack.gateways.splice(stack.gateways.indexOf(gateway), 1);
      await gateway.close();
    }
  };
  beforeAll(async () => {
    redis = await RedisServer.start();
    stack = await CallerStack.start();
    one = await stack.gateway({ settings: settings() });
    two = await stack.gateway({ settings: settings() });
  });
  afterAll(async () => {
    redis.resume();
    await stack.close();
    await redis.stop();
  });
  afterEach(async () => {
    redis.resume();
    await redis.start();
    await Promise.all(stack.gateways.map((gateway) => isShared(gateway)));
  });

  const isShared = (gateway: TestGateway, up = true) =>
    eventually(async () => (await gateway.get('/readyz')).body.limits.redis === (up ? 'up' : 'away'));
  /** A key of its own per test, so that limits do not meet. */
  const limited = async (fields: object) => {
    const name = `caller-${++count}`;
    const secret = await stack.key(name);
    await stack.limit(`limit-${count}`, { target: { kind: 'apiKey', name }, ...fields });
    await Promise.all(stack.gateways.map((gateway) => stack.caughtUp(gateway)));
    return { name, secret, limit: `limit-${count}` };
  };
  const send = async (url: string, secret: string, more: object = {}, signal?: AbortSignal) => {
    const startedMs = performance.now();
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify(say('Hi', { max_tokens: 20, ...more })),
      ...(signal && { signal }),
    });
    const body = JSON.parse(await response.text());
    return {
      status: response.status,
      headers: response.headers,
      body,
      tookMs: performance.now() - startedMs,
    };
  };
  const both = (n: number, secret: string, more: object = {}) =>
    Promise.all(Array.from({ length: n }, (_, i) => send((i % 2 ? one : two)!.url, secret, more)));
  const statuses = (answers: readonly { status: number }[]) =>
    Object.fromEntries(
      [...new Set(answers.map(({ status }) => status))]
        .toSorted((a, b) => a - b)
        .map((status) => [status, answers.filter((answer) => answer.status === status).length]),
    );
  const left = (name: string, of = one!) =>
    of.gateway.app.get(Limiter, { strict: false }).find(DEFAULT, 'apiKey', name)[0]!.left(Date.now());
  /** What Redis has of the only limit there is under a name. */
  const stored = async (limit: string) => {
    const { rows } = await stack.registry.database.client.query(
      'SELECT id FROM usage_limit WHERE name = $1',
      [limit],
    );
    const client = createClient({ url: redis.url });
    await client.connect();
    const [, a, , c, d] = ((await client.get(`catena:{${DEFAULT}}:limit:${rows[0].id}`)) ?? '')
      .split(' ')
      .map(Number);
    client.destroy();
    return { level: a!, spent: c!, reserved: d! };
  };

  it('let in exactly as many of 100 at the same time, at two gateways together', async () => {
    const { secret, name } = await limited({ metric: 'requests', window: 'hour', amount: 7 });
    const answers = await both(100, secret);
    expect(statuses(answers)).toEqual({ 200: 7, 429: 93 });
    const { body, headers } = answers.find(({ status }) => status === 429)!;
    expect(body.error.message).toContain(`7 requests per hour of the API key "${name}"`);
    expect(headers.get('x-ratelimit-limit-requests')).toBe('7');
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(headers.get('x-ratelimit-reset-requests')).toMatch(/^(1h0m0s|59m\d+(\.\d+)?s)$/);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(500);
  });

  it.each(['hour', 'day'])(
    'are not gone beyond by tokens per %s, and what was not used is free again',
    async (window) => {
      const amount = 3_000;
      const { secret, limit } = await limited({ metric: 'tokens', window, amount });
      const answers = await both(80, secret, { max_tokens: 100 });
      const usage = () =>
        answers
          .filter(({ status }) => status === 200)
          .reduce((sum, { body }) => sum + body.usage.total_tokens, 0);
      expect(statuses(answers)[429]).toBeGreaterThan(0);
      expect(usage()).toBeGreaterThan(0);
      const used = async () => {
        const { level, spent, reserved } = await stored(limit);
        return window === 'hour' ? amount - level : spent + reserved;
      };
      // Some of it flows in again, in an hour.
      await eventually(async () => Math.abs((await used()) - usage()) < 10);
      do answers.push(...(await both(4, secret, { max_tokens: 30 })));
      while (answers.at(-1)!.status === 200);
      expect(usage()).toBeLessThanOrEqual(amount + 10);
      expect(usage()).toBeGreaterThan(amount * 0.8);
    },
  );

  it('count what gateways spend of a budget together, to the last micro-USD', async () => {
    await stack.rows.setModelEndpoint('dear', { replicas: [`${stack.simulator.url}/v1`] });
    const chain = await stack.rows.addChain('dear', { generate: { modelEndpoint: 'dear', model: 'small' } });
    await stack.rows.setSplit('dear', [{ name: 'only', weightBps: 10_000, chain }]);
    const { secret, limit } = await limited({ metric: 'costMicroUsd', window: 'month', amount: 1_000 });
    const answers = await both(60, secret, { model: 'dear', max_tokens: 40 });
    expect(statuses(answers)).toMatchObject({ 200: expect.any(Number), 429: expect.any(Number) });
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.body.error.code).toBe('insufficient_quota');
    await eventually(async () => (await stored(limit)).reserved === 0);
    const { spent } = await stored(limit);
    expect(spent).toBeLessThanOrEqual(1_000);
    const cost = async () => {
      const { rows } = await stack.registry.database.client.query(
        `SELECT sum(cost_micro_usd)::int AS cost FROM inference WHERE endpoint = 'dear'`,
      );
      return rows[0].cost;
    };
    await eventually(async () => (await cost()) === spent);
  });

  it('that are changed hold at once, and what was used stays used', async () => {
    const { secret, limit } = await limited({ metric: 'requests', window: 'hour', amount: 2 });
    expect(statuses(await both(6, secret))).toEqual({ 200: 2, 429: 4 });
    await stack.registry.call('PATCH', `/limits/${limit}`, { amount: 5 });
    await Promise.all([one!, two!].map((gateway) => stack.caughtUp(gateway)));
    expect(statuses(await both(6, secret))).toEqual({ 200: 3, 429: 3 });
  });

  it('ask nothing of Redis for a request that has none', async () => {
    const { name } = await limited({ metric: 'requests', window: 'hour', amount: 2 });
    expect(name).toBeDefined();
    const free = await stack.key(`free-${count}`);
    await stack.caughtUp(one!);
    const asked = async () => one!.metric('catena_limit_redis_seconds_count');
    const before = await asked();
    expect((await send(one!.url, free)).status).toBe(200);
    expect(await asked()).toBe(before);
  });

  it('free what somebody has reserved who leaves, while Redis is asked too', async () => {
    const { secret, limit } = await limited({ metric: 'tokens', window: 'month', amount: 1_000_000 });
    redis.stall();
    const leaving = Array.from({ length: 2 }, () =>
      send(one!.url, secret, { max_tokens: 5_000 }, AbortSignal.timeout(20)).catch(
        (error: Error) => error.name,
      ),
    );
    expect(await Promise.all(leaving)).toEqual(['TimeoutError', 'TimeoutError']);
    redis.resume();
    await sleep(100);
    await eventually(async () => (await stored(limit)).reserved === 0);
    const gone = send(one!.url, secret, { max_tokens: 5_000, ignore_eos: true }, AbortSignal.timeout(60));
    await expect(gone).rejects.toThrow();
    await eventually(async () => (await stored(limit)).reserved === 0);
    expect((await stored(limit)).spent).toBeLessThan(500);
  });

  it('free what Redis reserved too late: the request was decided without it', () =>
    withGateway({ CATENA_REDIS_TIMEOUT_MS: '50' }, async (gateway) => {
      const { secret, limit } = await limited({ metric: 'tokens', window: 'month', amount: 1_000_000 });
      redis.stall();
      const running = [1, 2].map(() => send(gateway.url, secret, { max_tokens: 2_000, ignore_eos: true }));
      await sleep(200);
      redis.resume();
      await eventually(async () => (await stored(limit)).reserved === 0, 700);
      expect(await gateway.metric('catena_limit_redis_up')).toBe(1);
      expect(statuses(await Promise.all(running))).toEqual({ 200: 2 });
      expect((await stored(limit)).reserved).toBe(0);
    }));

  it('count once what a gateway spent that was cut off, though others learn of it from the rows first', async () => {
    const { proxy, url } = await TcpProxy.before(redis.url);
    await withGateway({ CATENA_REDIS_URL: url }, async (gateway) => {
      const { secret, limit } = await limited({ metric: 'tokens', window: 'month', amount: 1_000_000 });
      const running = send(gateway.url, secret, { max_tokens: 300, ignore_eos: true });
      await eventually(async () => (await stored(limit)).reserved > 300);
      proxy.cut();
      const there = (await running).body.usage.total_tokens;
      await eventually(async () => (await gateway.metric('catena_spool_pending_rows')) === 0);
      await two!.gateway.app.get(BudgetReader, { strict: false }).read();
      const here = (await send(two!.url, secret)).body.usage.total_tokens;
      await eventually(async () => (await stored(limit)).spent === there + here);
      proxy.mend();
      await isShared(gateway);
      await eventually(async () => (await stored(limit)).reserved === 0);
      expect((await stored(limit)).spent).toBe(there + here);
    });
    await proxy.close();
  });

  it('get back what a killed gateway had reserved', async () => {
    const { secret, limit } = await limited({ metric: 'tokens', window: 'month', amount: 1_000_000 });
    const dataDir = await temporaryDirectory();
    const killed = await GatewayProcess.start(stack.registry.database.url, dataDir, settings());
    const running = send(killed.url, secret, { max_tokens: 50_000, ignore_eos: true }).catch(() => undefined);
    await eventually(async () => (await stored(limit)).reserved >= 50_000);
    await killed.kill();
    await running;
    // Somebody of its workspace has to be there to notice.
    expect((await send(one!.url, secret)).status).toBe(200);
    expect((await stored(limit)).reserved).toBeGreaterThanOrEqual(50_000);
    await eventually(async () => (await stored(limit)).reserved === 0, 20_000, 100);
    await rm(dataDir, { recursive: true, force: true });
  });

  it('hold in each gateway by itself while Redis is away, from where they stood, and are shared again when it is back', async () => {
    const { secret } = await limited({ metric: 'requests', window: 'hour', amount: 10 });
    expect(statuses(await both(6, secret))).toEqual({ 200: 6 });
    await redis.kill();
    await Promise.all([isShared(one!, false), isShared(two!, false)]);
    const away = await both(20, secret);
    // 4 were left, and each was told so by what it sent last.
    expect(statuses(away)).toEqual({ 200: 8, 429: 12 });
    const line = (await one!.get('/metrics')).body as string;
    expect(line).toMatch(/catena_limit_decisions_without_redis_total\{decision="admitted"\} [1-9]/);
    expect(line).toMatch(/catena_limit_decisions_without_redis_total\{decision="refused"\} [1-9]/);
    expect(line).toContain('catena_limit_redis_up 0');
    await redis.start();
    await Promise.all([isShared(one!), isShared(two!)]);
    expect(statuses(await both(6, secret))).toEqual({ 429: 6 });
    const { secret: fresh } = await limited({ metric: 'requests', window: 'hour', amount: 5 });
    expect(statuses(await both(30, fresh))).toEqual({ 200: 5, 429: 25 });
  });

  it.each([
    ['open', { 200: 12 }],
    ['closed', { 503: 12 }],
  ])(
    'with CATENA_REDIS_FAILURE=%s do so while Redis is away, and for nobody without limits',
    (failure, expected) =>
      withGateway({ CATENA_REDIS_FAILURE: failure }, async (gateway) => {
        const { secret } = await limited({ metric: 'requests', window: 'hour', amount: 3 });
        const free = await stack.key(`free-${randomUUID()}`);
        await stack.caughtUp(gateway);
        expect((await send(gateway.url, secret)).status).toBe(200);
        await redis.kill();
        const answers = [];
        for (let i = 0; i < 12; i++) answers.push(await send(gateway.url, secret));
        expect(statuses(answers)).toEqual(expected);
        expect((await send(gateway.url, free)).status).toBe(200);
        if (failure === 'closed') {
          expect(answers[0]!.body.error).toMatchObject({ code: 'limits_unavailable' });
          expect(answers[0]!.headers.get('retry-after')).toBe('1');
        }
        expect((await gateway.get('/readyz')).body.limits).toEqual({ redis: 'away', whileAway: failure });
      }),
  );

  it('make nobody wait for a Redis that has stalled, and settle with it when it goes on', () =>
    withGateway({ CATENA_REDIS_TIMEOUT_MS: '50' }, async (gateway) => {
      const { secret, limit } = await limited({ metric: 'tokens', window: 'month', amount: 10_000_000 });
      const running = send(gateway.url, secret, { max_tokens: 400, ignore_eos: true });
      await eventually(async () => (await stored(limit)).reserved > 0);
      redis.stall();
      const stalled = [];
      for (let i = 0; i < 40; i++) stalled.push(await send(gateway.url, secret, { max_tokens: 1 }));
      const { body } = await running;
      expect(statuses(stalled)).toEqual({ 200: 40 });
      // Three find out, and nobody else waits.
      const metrics = (await gateway.get('/metrics')).body as string;
      expect(metrics).toContain('catena_limit_redis_failures_total{reason="timeout"} 3');
      expect(metrics).toContain('catena_limit_decisions_without_redis_total{decision="admitted"} 40');
      expect(stalled.filter(({ tookMs }) => tookMs >= 50).length).toBeLessThan(20);
      expect(Math.max(...stalled.map(({ tookMs }) => tookMs))).toBeLessThan(1_000);
      redis.resume();
      await isShared(gateway);
      await eventually(async () => (await stored(limit)).reserved === 0);
      const spent = stalled.reduce(
        (sum, { body: { usage } }) => sum + usage.total_tokens,
        body.usage.total_tokens,
      );
      // What was spent without Redis comes with the connection, or the next request.
      const last = await send(gateway.url, secret, { max_tokens: 1 });
      await eventually(async () => (await stored(limit)).spent === spent + last.body.usage.total_tokens);
      expect(await gateway.metric('catena_limit_settlements_pending')).toBe(0);
    }));

  it('know what was spent of a budget after Redis has lost its data, from the gateways and from the rows', async () => {
    const { secret, limit, name } = await limited({ metric: 'requests', window: 'month', amount: 5 });
    expect(statuses(await both(4, secret))).toEqual({ 200: 4 });
    await eventually(async () => (await stored(limit)).spent === 4);
    await sleep(50);
    await redis.kill();
    await redis.start();
    // Each has seen some of it, and says so when it is back.
    await eventually(async () => (await stored(limit)).spent === 4);
    await Promise.all([isShared(one!), isShared(two!)]);
    expect(statuses(await both(6, secret))).toEqual({ 200: 1, 429: 5 });
    // A gateway that has seen nothing, and a Redis that knows nothing.
    await withGateway({ CATENA_REDIS_PREFIX: 'new' }, async (gateway) => {
      await eventually(async () => (await one!.metric('catena_spool_pending_rows')) === 0);
      await eventually(async () => (await two!.metric('catena_spool_pending_rows')) === 0);
      await gateway.gateway.app.get(BudgetReader, { strict: false }).read();
      expect(left(name, gateway)).toBe(0);
      expect((await send(gateway.url, secret)).status).toBe(429);
      expect((await stored(limit)).spent).toBe(5);
    });
  });

  it('go on where they stood when Redis is emptied under them', async () => {
    const { secret } = await limited({ metric: 'requests', window: 'hour', amount: 10 });
    expect(statuses(await both(6, secret))).toEqual({ 200: 6 });
    await sleep(50);
    const client = createClient({ url: redis.url });
    await client.connect();
    await client.flushAll();
    client.destroy();
    // Which of the two asks first says how it stood.
    expect(statuses(await both(20, secret))).toEqual({ 200: 4, 429: 16 });
    expect(await one!.metric('catena_limit_redis_up')).toBe(1);
  });

  it.each([
    ['without memory', ['--maxmemory', '100kb', '--maxmemory-policy', 'noeviction'], 'OOM'],
    ['that is a replica', ['--replicaof', '127.0.0.1', '9'], 'READONLY|MASTERDOWN'],
    ['with another password', ['--requirepass', 'another'], 'WRONGPASS|invalid'],
  ])('start with a Redis %s, say why it is of no use, and go on without', async (_what, options, reason) => {
    const useless = await RedisServer.start(options);
    onTestFinished(() => useless.stop());
    const dataDir = await temporaryDirectory();
    const url = useless.url.replace('//', '//:do-not-tell@');
    const withPassword = options.includes('--requirepass') ? url : useless.url;
    const gateway = await GatewayProcess.start(stack.registry.database.url, dataDir, {
      CATENA_REDIS_URL: withPassword,
    });
    const { secret, limit } = await limited({ metric: 'requests', window: 'hour', amount: 2 });
    const metrics = async () => (await fetch(`${gateway.url}/metrics`)).text();
    await eventually(async () => (await metrics()).includes('limit_redis_up 0'));
    // It has heard of the limit.
    await eventually(async () => (await metrics()).includes(`${limit}"}`));
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await send(gateway.url, secret));
    expect(statuses(answers)).toEqual({ 200: 2, 429: 2 });
    const told = gateway.log.filter(({ msg }) => msg === 'limits are not shared: Redis cannot be used');
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({
      redis: `127.0.0.1:${useless.port}`,
      reason: expect.stringMatching(reason),
    });
    expect(JSON.stringify(gateway.log)).not.toContain('do-not-tell');
    await gateway.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('move with a request to a fallback, and pay there', async () => {
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
        window: 'month',
        amount: 10_000,
      });
    const { secret } = await limited({ metric: 'requests', window: 'month', amount: 10 });
    const { status, body } = await send(one!.url, secret, { model: 'fallen' });
    expect(status).toBe(200);
    await eventually(async () => (await stored('tokens-spare')).spent === body.usage.total_tokens);
    expect(await stored('tokens-spare')).toMatchObject({ reserved: 0 });
    expect(await stored('tokens-dead')).toMatchObject({ spent: 0, reserved: 0 });
    const running = send(one!.url, secret, { model: 'fallen', max_tokens: 2_000, ignore_eos: true });
    await eventually(async () => (await stored('tokens-spare')).reserved > 2_000);
    expect(await stored('tokens-dead')).toMatchObject({ spent: 0, reserved: 0 });
    await running;
    // The other gateway is told of it by its next request, before it may need it.
    await send(two!.url, secret, { model: 'fallen' });
    const metersOf = (gateway: TestGateway) =>
      gateway.gateway.app.get(Limiter, { strict: false }).find(DEFAULT, 'modelEndpoint', 'spare')[0]!;
    expect(10_000 - metersOf(two!).left(Date.now())).toBeGreaterThanOrEqual(body.usage.total_tokens);
  });
});
