import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bucketOf } from '../libs/core/assignment/assign.js';
import { UpstreamCall } from '../apps/gateway/src/dispatch/upstream-call.js';
import { say, startChatStack } from './support/chat.js';
import { eventually, startTestGateway, temporaryDirectory } from './support/gateway.js';
import { FakeReplica } from './support/fake-replica.js';
import { ReplicaTests } from './support/replicas.js';
import type { ShadowGiven } from './support/serving-rows.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const ALL = 10_000;
const at = (modelEndpoint: string, model = 'small') => ({ generate: { modelEndpoint, model } });

describe('a shadow', () => {
  let tests: ReplicaTests;
  let count = 0;
  beforeAll(async () => {
    tests = await ReplicaTests.start();
    // What is said to it must be of no matter to the answers.
    await tests.stack.rows.setModelEndpoint('sim', {
      replicas: [`${tests.stack.simulator.url}/v1`],
      credential: 'sk-model-endpoint',
    });
  });
  afterEach(() => tests.stopReplicas());
  afterAll(() => tests.stack.close());

  /** An endpoint over the model endpoint `name`, with these shadows. */
  async function serve(
    arm: { modelEndpoint: string; model?: string; more?: object },
    shadows: readonly (Omit<ShadowGiven, 'chain'> & { content: any; prompt?: any })[],
    given: { salt?: string; cacheTtlSeconds?: number } = {},
  ): Promise<string> {
    const { rows, gateway } = tests.stack;
    const name = `copied-${count++}`;
    const chain = await rows.addChain(name, { ...at(arm.modelEndpoint, arm.model), ...arm.more });
    const made: ShadowGiven[] = [];
    for (const { name: shadow, sampleBps, content, prompt } of shadows)
      made.push({
        name: shadow,
        sampleBps,
        chain: await rows.addChain(`${name}-${shadow}`, content, prompt),
      });
    await rows.setSplit(name, [{ name: 'only', weightBps: ALL, chain }], { ...given, shadows: made });
    await eventually(async () => (await gateway.get(`/v1/models/${name}`)).status === 200);
    return name;
  }

  const ask = (model: string, more: object = {}, headers: Record<string, string> = {}) =>
    tests.stack.post({ ...say('Hi'), model, ...more }, headers);
  const idOf = (answer: Response) => answer.headers.get('x-catena-inference-id');
  const copiesOf = async (id: string | null): Promise<any[]> =>
    (await tests.stack.database.client.query(`SELECT * FROM ${WHOLE_INFERENCE} WHERE shadow_of = $1`, [id]))
      .rows;
  async function copyOf(id: string | null): Promise<any> {
    let found: any[] = [];
    await eventually(async () => (found = await copiesOf(id)).length > 0);
    expect(found).toHaveLength(1);
    return found[0];
  }
  const metric = (name: string) => tests.stack.gateway.metric(name);
  const dropped = async (reason: string) =>
    (await tests.gauge('catena_shadows_dropped_total', `reason="${reason}"`)) ?? 0;
  /** A model endpoint of one fake replica. */
  async function place(maxConcurrency = 64): Promise<{ name: string; replica: FakeReplica }> {
    const { name, replicas } = await tests.serve(1, {}, maxConcurrency);
    return { name, replica: replicas[0]! };
  }

  it('gets a copy with its own prompt, model and parameters, and a row that names the original', async () => {
    const [main, other] = [await place(), await place()];
    const prompt = { type: 'chat', messages: [{ role: 'system', content: 'Be brief.' }, '{{messages}}'] };
    const name = await serve({ modelEndpoint: main.name }, [
      {
        name: 'next',
        sampleBps: ALL,
        prompt,
        content: {
          generate: { modelEndpoint: other.name, model: 'small', parameters: { temperature: 0.5 } },
        },
      },
    ]);
    const headers = { 'x-catena-unit': 'ada', 'x-client-request-id': 'order-7' };
    const answer = await ask(name, { metadata: { ticket: 7 }, temperature: 1 }, headers);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-catena-arm')).toBe('only');
    const copy = await copyOf(idOf(answer));
    expect(other.replica.asked[0]).toMatchObject({
      temperature: 0.5,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
    });
    expect(copy).toMatchObject({
      endpoint: name,
      arm: 'next',
      chain: `${name}-next`,
      unit: 'ada',
      sticky: true,
      status: 'ok',
      attempts: 1,
      model_endpoint: other.name,
      input_tokens: 1,
      output_tokens: 1,
      cache_hit: null,
      client_request_id: null,
    });
    expect(Number(copy.cost_micro_usd)).toBeGreaterThan(0);
    expect(copy.bucket).toBe(copy.bucket % ALL);
    expect(JSON.parse(copy.metadata)).toEqual({ ticket: 7 });
    const original = await tests.stack.row(idOf(answer));
    expect(original.client_request_id).toBe('order-7');
    expect([original.arm, original.shadow_of, main.replica.asked.length]).toEqual(['only', null, 1]);
    expect(copy.id > original.id).toBe(true);
  });

  it('samples a unit always or never, by a hash that anyone can recompute, and without a unit a share', async () => {
    const [main, other] = [await place(), await place()];
    const name = await serve(
      { modelEndpoint: main.name },
      [{ name: 'some', sampleBps: 5000, content: at(other.name) }],
      { salt: 'pepper' },
    );
    const units = Array.from({ length: 40 }, (_, n) => `unit-${n}`);
    const expected = units.filter((unit) => bucketOf('pepper:some', unit) < 5000);
    expect(expected.length).toBeGreaterThan(10);
    for (const round of [1, 2]) {
      for (const unit of units) await (await ask(name, {}, { 'x-catena-unit': unit })).body?.cancel();
      await eventually(() => other.replica.asked.length === round * expected.length);
    }
    const stored = async () =>
      (
        await tests.stack.database.client.query(
          `SELECT unit FROM inference WHERE endpoint = $1 AND shadow_of IS NOT NULL ORDER BY unit`,
          [name],
        )
      ).rows.map(({ unit }) => unit);
    await eventually(async () => (await stored()).length === 2 * expected.length);
    expect(await stored()).toEqual([...expected, ...expected].sort());
    other.replica.asked.length = 0;
    for (let n = 0; n < 60; n++) await (await ask(name)).body?.cancel();
    await sleep(50);
    expect(other.replica.asked.length).toBeGreaterThan(10);
    expect(other.replica.asked.length).toBeLessThan(50);
  });

  it.each(['http-500', 'http-429', 'reset', 'stall', 'http-200-html', 'cut-mid-stream', 'error-frame'])(
    'that meets %s changes neither the answer, its headers nor its row, and is tried once',
    async (fault) => {
      const main = await place();
      const breakers = () => tests.gauge('catena_replica_failures_total', 'model_endpoint="sim"');
      const before = (await breakers()) ?? 0;
      const name = await serve({ modelEndpoint: main.name }, [
        {
          name: 'bad',
          sampleBps: ALL,
          content: {
            ...at('sim', `small:fault=${fault}`),
            retry: { maxAttempts: 3, initialBackoffMs: 1 },
            fallbacks: [{ modelEndpoint: main.name, model: 'small' }],
          },
        },
      ]);
      await tests.stack.rows.setModelEndpoint('sim', {
        replicas: [`${tests.stack.simulator.url}/v1`],
        credential: 'sk-model-endpoint',
        models: ['small', `small:fault=${fault}`],
      });
      const stream = fault.includes('mid') || fault.includes('frame');
      const answer = await ask(name, stream ? { stream: false } : {});
      expect([answer.status, ((await answer.json()) as any).choices[0].message.content]).toEqual([
        200,
        'Yes.',
      ]);
      const original = await tests.stack.row(idOf(answer));
      expect([original.status, original.attempts, original.error_code]).toEqual(['ok', 1, null]);
      if (fault === 'stall') await eventually(async () => (await metric('catena_shadows_in_flight')) === 1);
      else {
        const copy = await copyOf(idOf(answer));
        expect([copy.attempts, copy.status]).toEqual([1, stream ? copy.status : 'error']);
      }
      // A fallback of the shadow would have come here.
      expect(main.replica.asked).toHaveLength(1);
      expect((await breakers()) ?? 0).toBe(before);
    },
  );

  it('opens no breaker and spends no retry of others, however often it fails', async () => {
    const [main, other] = [await place(), await place()];
    other.replica.chat = 500;
    const name = await serve({ modelEndpoint: main.name }, [
      { name: 'bad', sampleBps: ALL, content: at(other.name) },
    ]);
    for (let n = 0; n < 12; n++) {
      const answer = await ask(name);
      expect(answer.status).toBe(200);
      expect((await copyOf(idOf(answer))).status).toBe('error');
    }
    other.replica.chat = 'ok';
    expect(tests.known(other.name, other.replica).breaker.isClosed).toBe(true);
    expect((await tests.ask(other.name)).status).toBe(200);
  });

  it('takes no place but an idle one, and gives it back when a request needs it', async () => {
    const only = await place(1);
    const main = await place();
    const name = await serve({ modelEndpoint: main.name }, [
      { name: 'slow', sampleBps: ALL, content: at(only.name) },
    ]);
    only.replica.chat = 'hang';
    const before = await metric('catena_shadows_in_flight');
    const first = await ask(name);
    await eventually(() => only.replica.holding === 1);
    // A second copy finds the place taken.
    const busy = await dropped('busy');
    const second = await ask(name);
    await eventually(async () => (await dropped('busy')) === busy + 1);
    expect(await copiesOf(idOf(second))).toEqual([]);
    // A request of somebody else does not wait for the copy, not even for a moment.
    only.replica.chat = 'ok';
    const answer = await tests.ask(only.name);
    expect(answer.status).toBe(200);
    expect((await tests.stack.row(idOf(answer))).attempts).toBe(1);
    const copy = await copyOf(idOf(first));
    expect([copy.status, copy.error_code]).toEqual(['cancelled', 'shadow_gave_way']);
    expect(only.replica.holding).toBe(0);
    await eventually(async () => (await metric('catena_shadows_in_flight')) === before);
    expect(tests.known(only.name, only.replica).outstanding).toBe(0);
  });

  it('runs on when the caller of the original leaves', async () => {
    const [main, other] = [await place(), await place()];
    main.replica.chat = 'hang';
    other.replica.chat = 'hang';
    const name = await serve({ modelEndpoint: main.name }, [
      { name: 'next', sampleBps: ALL, content: at(other.name) },
    ]);
    const leaving = new AbortController();
    const asked = fetch(`${tests.stack.gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-catena-unit': name },
      body: JSON.stringify({ ...say('Hi'), model: name }),
      signal: leaving.signal,
    }).catch(() => undefined);
    await eventually(() => other.replica.holding === 1 && main.replica.holding === 1);
    leaving.abort();
    await asked;
    await eventually(() => main.replica.holding === 0);
    other.replica.letGo();
    const row = async (where: string) =>
      (
        await tests.stack.database.client.query(
          `SELECT * FROM ${WHOLE_INFERENCE} WHERE unit = $1 AND ${where}`,
          [name],
        )
      ).rows[0];
    await eventually(async () => (await row('shadow_of IS NOT NULL')) !== undefined);
    expect((await row('shadow_of IS NOT NULL')).status).toBe('ok');
    await eventually(async () => (await row('shadow_of IS NULL')) !== undefined);
    expect((await row('shadow_of IS NULL')).status).toBe('cancelled');
  });

  it('delays neither the answer nor its first content, however slow it is, and is streamed to nobody', async () => {
    const other = await place();
    other.replica.chat = 'hang';
    const name = await serve({ modelEndpoint: 'sim' }, [
      { name: 'slow', sampleBps: ALL, content: at(other.name) },
      { name: 'streamed', sampleBps: ALL, content: at('sim') },
    ]);
    const startedMs = performance.now();
    const answer = await ask(name, { stream: true });
    const text = await answer.text();
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    expect(text.match(/data: \[DONE\]/g)).toHaveLength(1);
    const contents = [...text.matchAll(/"finish_reason":"(stop|length)"/g)];
    expect(contents).toHaveLength(1);
    await eventually(async () => (await copiesOf(idOf(answer))).length === 1);
    const [streamed] = await copiesOf(idOf(answer));
    expect([streamed.arm, streamed.status, streamed.streamed]).toEqual(['streamed', 'ok', true]);
    expect(streamed.ttft_ms).toBeGreaterThan(0);
    other.replica.letGo();
    await eventually(async () => (await copiesOf(idOf(answer))).length === 2);
  });

  it('that the gateway itself fails on has a row that says so, and holds nothing', async () => {
    const [main, other] = [await place(), await place()];
    const name = await serve({ modelEndpoint: main.name }, [
      { name: 'next', sampleBps: ALL, content: at(other.name) },
    ]);
    const prototype = UpstreamCall.prototype as any;
    const { start } = prototype;
    const before = await metric('catena_shadows_in_flight');
    prototype.start = function (this: any, ...given: unknown[]) {
      if (this.replica.baseUrl === other.replica.url) throw new Error('a bug');
      start.apply(this, given);
    };
    try {
      const answer = await ask(name);
      expect(answer.status).toBe(200);
      expect(await copyOf(idOf(answer))).toMatchObject({ status: 'error', error_code: 'internal_error' });
    } finally {
      prototype.start = start;
    }
    await eventually(async () => (await metric('catena_shadows_in_flight')) === before);
    expect(tests.known(other.name, other.replica).outstanding).toBe(0);
    expect(tests.lane(other.name).lentPlaces).toBe(0);
  });

  it('whose prompt the request does not fit is dropped and counted, and the request is answered', async () => {
    const main = await place();
    const name = await serve({ modelEndpoint: main.name }, [
      {
        name: 'misfit',
        sampleBps: ALL,
        content: at(main.name),
        prompt: { type: 'chat', messages: [{ role: 'user', content: '{{customer}}' }] },
      },
    ]);
    const before = await dropped('misfit');
    const answer = await ask(name);
    expect(answer.status).toBe(200);
    await eventually(async () => (await dropped('misfit')) === before + 1);
    expect(await copiesOf(idOf(answer))).toEqual([]);
    expect(main.replica.asked).toHaveLength(1);
  });

  it('of a request that is refused is not sent', async () => {
    const [main, other] = [await place(), await place()];
    const name = await serve({ modelEndpoint: main.name }, [
      { name: 'next', sampleBps: ALL, content: at(other.name) },
    ]);
    expect((await ask(name, { messages: 'no' })).status).toBe(400);
    expect((await ask(name, {}, { 'x-catena-data-class': 'restricted' })).status).toBe(403);
    await sleep(30);
    expect(other.replica.asked).toEqual([]);
  });
});

describe('shadows of a gateway', () => {
  it('give their place back also where nobody may wait for one', async () => {
    const replica = await FakeReplica.start();
    const stack = await startChatStack({ CATENA_QUEUE_MAX: '0' });
    try {
      await stack.rows.setModelEndpoint('only', { replicas: [replica.url], maxConcurrencyPerReplica: 1 });
      await stack.serve('only', at('only'));
      const shadow = await stack.rows.addChain('copy', at('only'));
      const chain = await stack.rows.addChain('main');
      await stack.rows.setSplit('main', [{ name: 'only', weightBps: ALL, chain }], {
        shadows: [{ name: 'copy', sampleBps: ALL, chain: shadow }],
      });
      await eventually(async () => (await stack.gateway.get('/v1/models/main')).status === 200);
      replica.chat = 'hang';
      expect((await stack.post({ ...say('Hi'), model: 'main' })).status).toBe(200);
      await eventually(() => replica.holding === 1);
      replica.chat = 'ok';
      expect((await stack.post({ ...say('Hi'), model: 'only' })).status).toBe(200);
    } finally {
      replica.letGo();
      await replica.die();
      await stack.close();
    }
  });

  it('are at most CATENA_SHADOW_MAX at a time, and given up with their rows when it stops', async () => {
    const stack = await startChatStack({ CATENA_SHADOW_MAX: '2' }, { models: ['small'] });
    const { rows, simulator, database } = stack;
    try {
      const slow = 'small:fault=stall';
      await rows.setModelEndpoint('gpu', {
        replicas: [`${simulator.url}/v1`],
        credential: 'sk-model-endpoint',
        models: ['small', slow],
      });
      const chain = await rows.addChain('main');
      const shadow = await rows.addChain('slow', at('gpu', slow));
      await rows.setSplit('main', [{ name: 'only', weightBps: ALL, chain }], {
        shadows: [{ name: 'slow', sampleBps: ALL, chain: shadow }],
      });
      await eventually(async () => (await stack.gateway.get('/v1/models/main')).status === 200);
      for (let n = 0; n < 5; n++)
        expect((await stack.post({ ...say('Hi'), model: 'main' })).status).toBe(200);
      await eventually(async () => {
        const { body } = await stack.gateway.get('/metrics');
        return String(body).includes('catena_shadows_dropped_total{reason="too_many"} 3');
      });
      expect(await stack.gateway.metric('catena_shadows_in_flight')).toBe(2);
      const startedMs = performance.now();
      await stack.gateway.close();
      expect(performance.now() - startedMs).toBeLessThan(5_000);
      const { rows: found } = await database.client.query(
        `SELECT status, error_code FROM inference WHERE shadow_of IS NOT NULL`,
      );
      expect(found).toEqual(
        Array.from({ length: 2 }, () => ({ status: 'cancelled', error_code: 'shadow_stopped' })),
      );
    } finally {
      await simulator.close();
      await database.drop();
    }
  });

  it('are in force after a restart without a database, from its disk', async () => {
    const dataDir = await temporaryDirectory();
    const stack = await startChatStack();
    const { rows, database, simulator } = stack;
    const chain = await rows.addChain('main');
    const shadow = await rows.addChain('next', { ...at('gpu'), retry: { maxAttempts: 2 } });
    await rows.setSplit('main', [{ name: 'only', weightBps: ALL, chain }], {
      shadows: [{ name: 'next', sampleBps: ALL, chain: shadow }],
      cacheTtlSeconds: 60,
    });
    const first = await startTestGateway(database.url, { dataDir });
    await eventually(async () => (await first.get('/v1/models/main')).status === 200);
    await first.close();
    const second = await startTestGateway('postgres://nobody@127.0.0.1:1/none', { dataDir });
    try {
      const answer = await fetch(`${second.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ ...say('Hi'), model: 'main' }),
      });
      expect([answer.status, answer.headers.get('x-catena-cache')]).toEqual([200, 'miss']);
      await eventually(async () => (await second.metric('catena_shadows_sent_total')) === 1);
    } finally {
      await second.close();
      await stack.gateway.close();
      await simulator.close();
      await database.drop();
    }
  });
});
