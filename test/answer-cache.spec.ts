import Anthropic from '@anthropic-ai/sdk';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AnswerWriter } from '../apps/gateway/src/chat/answer-writer.js';
import { Replay } from '../apps/gateway/src/cache/replay.js';
import { AnswerCache } from '../apps/gateway/src/cache/answer-cache.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { FakeReplica } from './support/fake-replica.js';
import { eventually } from './support/gateway.js';
import type { SplitGiven } from './support/serving-rows.js';

const ALL = 10_000;
const TOOL = {
  type: 'function',
  function: { name: 'look_up', parameters: { type: 'object', properties: {} } },
};

describe('the answer cache', () => {
  let stack: ChatStack;
  let replica: FakeReplica;
  let count = 0;
  beforeAll(async () => {
    stack = await startChatStack();
    replica = await FakeReplica.start();
    await stack.rows.setModelEndpoint('fake', { replicas: [replica.url] });
  });
  afterAll(async () => {
    await replica.die();
    await stack.close();
  });

  /** An endpoint with a cache. */
  async function serve(
    content: any = {},
    given: SplitGiven = { cacheTtlSeconds: 60 },
    prompt?: any,
  ): Promise<string> {
    const name = `cached-${count++}`;
    await put(name, content, given, prompt);
    await eventually(async () => (await stack.gateway.get(`/v1/models/${name}`)).status === 200);
    return name;
  }
  async function put(name: string, content: any, given: SplitGiven, prompt?: any): Promise<number> {
    const chain = await stack.rows.addChain(name, content, prompt);
    return stack.rows.setSplit(name, [{ name: 'only', weightBps: ALL, chain }], given);
  }
  const fake = { generate: { modelEndpoint: 'fake', model: 'small' } };
  /** @returns what the cache did, how the answer is, and the inference. */
  async function ask(model: string, more: object = {}, headers: Record<string, string> = {}) {
    const answer = await stack.post({ ...say('Hi'), model, ...more }, headers);
    const text = await answer.text();
    return {
      status: answer.status,
      cache: answer.headers.get('x-catena-cache'),
      age: answer.headers.get('age'),
      id: answer.headers.get('x-catena-inference-id'),
      text,
    };
  }
  const outcomes = async (asks: readonly Promise<{ cache: string | null }>[]) =>
    (await Promise.all(asks)).map(({ cache }) => cache);

  it('is off where nobody switched it on', async () => {
    const answers = [await ask('chat'), await ask('chat')];
    expect(answers.map(({ cache, age }) => [cache, age])).toEqual([
      [null, null],
      [null, null],
    ]);
    expect((await stack.row(answers[1]!.id)).cache_hit).toBeNull();
  });

  it('gives the same answer to the same request, byte for byte, without a model call and without cost', async () => {
    const name = await serve(fake);
    const before = replica.asked.length;
    const first = await ask(name);
    const second = await ask(name);
    expect([first.cache, first.age, second.cache, second.age]).toEqual(['miss', null, 'hit', '0']);
    expect(second.text).toBe(first.text);
    expect(second.id).not.toBe(first.id);
    expect(replica.asked.length).toBe(before + 1);
    const rows = [await stack.row(first.id), await stack.row(second.id)];
    expect(rows.map((row) => [row.cache_hit, row.status, row.attempts])).toEqual([
      [false, 'ok', 1],
      [true, 'ok', 0],
    ]);
    expect(rows[1]).toMatchObject({
      model_endpoint: null,
      model: null,
      input_tokens: 0,
      output_tokens: 0,
      finish_reason: 'stop',
      endpoint: name,
      arm: 'only',
      request: rows[0].request,
      response: rows[0].response,
    });
    expect(Number(rows[1].cost_micro_usd)).toBe(0);
    expect(await stack.gateway.metric('catena_cache_entries')).toBeGreaterThan(0);
    expect(await stack.gateway.metric('catena_cache_bytes')).toBeGreaterThan(first.text.length);
    expect(await stack.gateway.metric('catena_cache_hits_total')).toBeGreaterThan(0);
    expect(await stack.gateway.metric('catena_cache_misses_total')).toBeGreaterThan(0);
  });

  it('takes fields in another order for the same request, and anything else for another', async () => {
    const name = await serve(fake, { cacheTtlSeconds: 60 }, { type: 'chat', messages: ['{{messages}}'] });
    const whole = { temperature: 0, seed: 1, metadata: { a: 1, b: { c: 2, d: 3 } } };
    expect((await ask(name, whole)).cache).toBe('miss');
    const shuffled = { metadata: { b: { d: 3, c: 2 }, a: 1 }, seed: 1, temperature: 0 };
    expect((await ask(name, shuffled)).cache).toBe('hit');
    for (const other of [
      { ...whole, temperature: 0.1 },
      { ...whole, seed: 2 },
      { ...whole, n: 2 },
      { ...whole, user: 'ada' },
      { ...whole, top_logprobs: 1 },
      { ...whole, tools: [TOOL] },
      { ...whole, unknown_to_us: 1 },
      { ...whole, metadata: { ...whole.metadata, a: 2 } },
      { ...whole, messages: [{ role: 'user', content: 'hi' }] },
      { ...whole, messages: [{ role: 'system', content: 'Hi' }] },
      { seed: 1, metadata: whole.metadata },
    ])
      expect([other, (await ask(name, other)).cache]).toEqual([other, 'miss']);
    expect((await ask(name, whole, { 'x-catena-data-class': 'internal' })).cache).toBe('hit');
  });

  it('tells the variables of the prompt apart', async () => {
    const name = await serve(
      { generate: { modelEndpoint: 'gpu', model: 'small' } },
      { cacheTtlSeconds: 60 },
      { type: 'chat', messages: [{ role: 'user', content: 'Greet {{name}}' }] },
    );
    const greet = (variables: object) => ask(name, { messages: undefined, metadata: { variables } });
    const ada = await greet({ name: 'Ada' });
    expect([(await greet({ name: 'Bob' })).cache, (await greet({ name: 'Ada' })).cache]).toEqual([
      'miss',
      'hit',
    ]);
    expect((await greet({ name: 'Ada' })).text).toBe(ada.text);
    expect((await greet({})).status).toBe(400);
  });

  it('never gives an answer of another chain version, endpoint or data class', async () => {
    const name = await serve(fake);
    const other = await serve(fake);
    await stack.database.client.query(
      `UPDATE model_endpoint SET clearance = 'restricted' WHERE name = 'fake'`,
    );
    await stack.rows.setModelEndpoint('fake', { replicas: [replica.url] });
    expect((await ask(name)).cache).toBe('miss');
    expect((await ask(other)).cache).toBe('miss');
    await eventually(
      async () => (await ask(name, {}, { 'x-catena-data-class': 'restricted' })).status === 200,
    );
    expect((await ask(name)).cache).toBe('hit');
    await put(name, { generate: { ...fake.generate, parameters: { temperature: 0 } } }, {});
    await eventually(async () => (await ask(name)).cache === 'miss');
    // The version before, put in force again, finds its own.
    await put(name, fake, {});
    await eventually(async () => (await ask(name, {}, { 'cache-control': 'no-cache' })).status === 200);
  });

  it('keeps answers no longer than the endpoint says, and none for others than it was told', async () => {
    const name = await serve(fake, { cacheTtlSeconds: 1 });
    expect([(await ask(name)).cache, (await ask(name)).cache]).toEqual(['miss', 'hit']);
    const entries = await stack.gateway.metric('catena_cache_entries');
    await sleep(1_050);
    // Nor does their memory wait for somebody who needs it.
    stack.gateway.gateway.app.get(AnswerCache, { strict: false }).purge();
    expect(await stack.gateway.metric('catena_cache_entries')).toBe(entries - 1);
    expect((await ask(name)).cache).toBe('miss');
    await put(name, fake, { cacheTtlSeconds: null });
    await eventually(async () => (await ask(name)).cache === null);
    await put(name, fake, { cacheTtlSeconds: 30 });
    await eventually(async () => (await ask(name)).cache === 'miss');
  });

  it('does as cache-control of the request says', async () => {
    const name = await serve(fake);
    const control = async (value: string) => (await ask(name, {}, { 'cache-control': value })).cache;
    expect(await control('no-store')).toBe('miss');
    expect(await control('no-store, max-age=100')).toBe('miss');
    // What it answered was not kept.
    expect(await control('max-age=60')).toBe('miss');
    expect(await control('max-age=60')).toBe('hit');
    expect(await control('No-Cache')).toBe('miss');
    expect(await control('max-age=0')).toBe('miss');
    expect(await control('stale-if-error=5, private')).toBe('hit');
  });

  it.each(['http-500', 'http-200-html', 'http-429'])('keeps nothing of %s', async (fault) => {
    const name = await serve({
      generate: { modelEndpoint: 'gpu', model: `small:fault=${fault};times=1;ttft-ms=${count}` },
    });
    const answers = [await ask(name), await ask(name), await ask(name)];
    expect(answers.map(({ status, cache }) => [status >= 400, cache])).toEqual([
      [true, 'miss'],
      [false, 'miss'],
      [false, 'hit'],
    ]);
  });

  it.each(['cut-mid-stream', 'error-frame'])(
    'keeps nothing of a stream that broke off (%s)',
    async (fault) => {
      const name = await serve({
        generate: { modelEndpoint: 'gpu', model: `small:fault=${fault};after=2;times=1;ttft-ms=${count}` },
      });
      const broken = await ask(name, { stream: true });
      expect(broken.text).not.toContain('[DONE]');
      const whole = await ask(name, { stream: true });
      expect([whole.cache, whole.text.includes('[DONE]')]).toEqual(['miss', true]);
      expect((await ask(name, { stream: true })).cache).toBe('hit');
    },
  );

  it('keeps nothing of a fallback, which would outlive the outage', async () => {
    replica.chat = 500;
    const name = await serve({ ...fake, fallbacks: [{ modelEndpoint: 'gpu', model: 'small' }] });
    expect((await ask(name)).status).toBe(200);
    replica.chat = 'ok';
    const [second, third] = [await ask(name), await ask(name)];
    expect([second.cache, third.cache]).toEqual(['miss', 'hit']);
    expect((await stack.row(second.id)).model_endpoint).toBe('fake');
  });

  it('keeps nothing that violates the output contract, and what satisfies it', async () => {
    const schema = { type: 'object', required: ['answer'], properties: { answer: { type: 'string' } } };
    const violating = await serve({ ...fake, output: { schema, strict: false } });
    const results = [await ask(violating), await ask(violating)];
    expect(results.map(({ cache }) => cache)).toEqual(['miss', 'miss']);
    const satisfying = await serve({
      generate: { modelEndpoint: 'gpu', model: 'small' },
      output: { schema: { ...schema, additionalProperties: false }, strict: true },
    });
    const [first, second] = [await ask(satisfying), await ask(satisfying)];
    expect([first.status, second.cache, second.text === first.text]).toEqual([200, 'hit', true]);
    expect((await stack.row(second.id)).schema_valid).toBe(true);
  });

  it('replays to a stream, in chunks that the official client puts together again', async () => {
    const name = await serve({ generate: { modelEndpoint: 'gpu', model: 'small' } });
    const body = { ...say('Tell me', { model: name }), stream_options: { include_usage: true } } as any;
    const streamed = async () => {
      const stream = stack.openai.chat.completions.stream({ ...body, stream: true });
      return {
        completion: await stream.finalChatCompletion(),
        usage: (await stream.totalUsage()).total_tokens,
      };
    };
    const first = await streamed();
    const second = await streamed();
    const piece = await stack.openai.chat.completions.create({
      ...body,
      stream_options: undefined,
      stream: false,
    });
    expect(second.completion.choices[0]!.message.content).toBe(first.completion.choices[0]!.message.content);
    expect(second.completion.choices[0]!.finish_reason).toBe(first.completion.choices[0]!.finish_reason);
    expect([second.usage, first.usage > 0]).toEqual([first.usage, true]);
    expect(piece.choices[0]!.message.content).toBe(first.completion.choices[0]!.message.content);
    // Without being asked for, no usage is streamed.
    const bare = await ask(name, { ...body, stream: true, stream_options: undefined });
    expect([bare.cache, bare.text.includes('"usage"'), bare.text.endsWith('data: [DONE]\n\n')]).toEqual([
      'hit',
      false,
      true,
    ]);
    const row = await stack.row(bare.id);
    expect([row.cache_hit, row.streamed, row.status]).toEqual([true, true, 'ok']);
  });

  it('replays calls of tools', async () => {
    const name = await serve({ generate: { modelEndpoint: 'gpu', model: 'small' } });
    const body = {
      ...say('Look it up', { model: name }),
      tools: [TOOL],
      tool_choice: 'required',
    } as any;
    const whole = await stack.openai.chat.completions.create(body);
    const again = await stack.openai.chat.completions.stream({ ...body, stream: true }).finalChatCompletion();
    expect(again.choices[0]!.message.tool_calls).toMatchObject(whole.choices[0]!.message.tool_calls as any);
    expect(again.choices[0]!.finish_reason).toBe('tool_calls');
  });

  it('speaks the protocol of its caller, streamed or not', async () => {
    const name = await serve({ generate: { modelEndpoint: 'gpu', model: 'small' } });
    const anthropic = new Anthropic({ baseURL: stack.gateway.url, apiKey: 'any', maxRetries: 0 });
    const message = { model: name, max_tokens: 50, messages: [{ role: 'user' as const, content: 'Hello' }] };
    const [first, streamed] = [
      await anthropic.messages.create(message),
      await anthropic.messages.stream(message).finalMessage(),
    ];
    expect(streamed.content).toMatchObject(first.content as any);
    expect([streamed.stop_reason, streamed.usage.output_tokens]).toEqual([
      first.stop_reason,
      first.usage.output_tokens,
    ]);
    const openai = new OpenAI({ baseURL: `${stack.gateway.url}/v1`, apiKey: 'any', maxRetries: 0 });
    const asked = { model: name, input: 'Hello' };
    const response = await openai.responses.create(asked);
    const second = await openai.responses.stream(asked).finalResponse();
    expect(second.output_text).toBe(response.output_text);
    const text = await openai.completions.create({ model: name, prompt: 'Hello' });
    const pieces = await openai.completions.create({ model: name, prompt: 'Hello', stream: true });
    let joined = '';
    for await (const piece of pieces) joined += piece.choices[0]?.text ?? '';
    expect(joined).toBe(text.choices[0]!.text);
    await eventually(async () => {
      const { rows } = await stack.database.client.query(
        `SELECT count(*)::int AS n FROM inference WHERE endpoint = $1 AND cache_hit`,
        [name],
      );
      return rows[0].n === 3;
    });
  });

  it('sends nothing to shadows where it answers', async () => {
    const name = `cached-${count++}`;
    const chain = await stack.rows.addChain(name, { generate: { modelEndpoint: 'gpu', model: 'small' } });
    const shadow = await stack.rows.addChain(`${name}-copy`, fake);
    await stack.rows.setSplit(name, [{ name: 'only', weightBps: ALL, chain }], {
      cacheTtlSeconds: 60,
      shadows: [{ name: 'copy', sampleBps: ALL, chain: shadow }],
    });
    await eventually(async () => (await stack.gateway.get(`/v1/models/${name}`)).status === 200);
    const before = replica.asked.length;
    expect(await outcomes([ask(name)])).toEqual(['miss']);
    await eventually(() => replica.asked.length === before + 1);
    expect(await outcomes([ask(name), ask(name)])).toEqual(['hit', 'hit']);
    await sleep(30);
    expect(replica.asked.length).toBe(before + 1);
  });

  it('ends with a row also where the gateway itself fails, or its caller has left', async () => {
    const name = await serve(fake);
    const { id } = await ask(name);
    const prototype: any = Replay.prototype;
    const { closingMeta } = prototype;
    prototype.closingMeta = function (this: unknown, ...given: unknown[]) {
      prototype.closingMeta = closingMeta;
      expect(given).toEqual(['ok', undefined]);
      throw new Error('a bug');
    };
    const failed = await ask(name);
    expect([failed.status, JSON.parse(failed.text).error.code]).toEqual([500, 'internal_error']);
    expect(await stack.row(failed.id)).toMatchObject({
      status: 'error',
      error_code: 'internal_error',
      response: null,
    });
    const { watch } = AnswerWriter.prototype;
    AnswerWriter.prototype.watch = () => {
      AnswerWriter.prototype.watch = watch;
      return false;
    };
    const leaving = new AbortController();
    const left = fetch(`${stack.gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-catena-unit': 'left' },
      body: JSON.stringify({ ...say('Hi'), model: name }),
      signal: leaving.signal,
    }).catch(() => undefined);
    const of = `SELECT * FROM inference WHERE unit = 'left' AND id > $1`;
    await eventually(async () => (await stack.database.client.query(of, [id])).rows.length === 1);
    const [row] = (await stack.database.client.query(of, [id])).rows;
    expect(row).toMatchObject({ status: 'cancelled', error_code: 'client_closed_request', cache_hit: true });
    leaving.abort();
    await left;
    expect((await ask(name)).cache).toBe('hit');
  });
});

describe('the answer cache of a gateway under load', () => {
  it('answers while the model endpoint is full and turns others away', async () => {
    const replica = await FakeReplica.start();
    const stack = await startChatStack({ CATENA_QUEUE_MAX: '0' });
    try {
      await stack.rows.setModelEndpoint('full', { replicas: [replica.url], maxConcurrencyPerReplica: 1 });
      const chain = await stack.rows.addChain('full', {
        generate: { modelEndpoint: 'full', model: 'small' },
      });
      await stack.rows.setSplit('full', [{ name: 'only', weightBps: ALL, chain }], { cacheTtlSeconds: 60 });
      await eventually(async () => (await stack.gateway.get('/v1/models/full')).status === 200);
      const ask = (text: string) => stack.post(say(text, { model: 'full' }));
      expect((await ask('known')).status).toBe(200);
      replica.chat = 'hang';
      const waiting = ask('slow');
      await eventually(() => replica.holding === 1);
      const [known, unknown] = [await ask('known'), await ask('unknown')];
      expect([known.status, known.headers.get('x-catena-cache')]).toEqual([200, 'hit']);
      expect([unknown.status, unknown.headers.get('x-catena-cache')]).toEqual([429, null]);
      replica.letGo();
      expect((await waiting).status).toBe(200);
    } finally {
      await replica.die();
      await stack.close();
    }
  });
});

describe('the memory of the answer cache', () => {
  it('is bounded by bytes: what was used longest ago goes first, and what is too long is not kept', async () => {
    const stack = await startChatStack({ CATENA_CACHE_MAX_BYTES: '16384' });
    try {
      const chain = await stack.rows.addChain('small');
      await stack.rows.setSplit('small', [{ name: 'only', weightBps: ALL, chain }], { cacheTtlSeconds: 60 });
      await eventually(async () => (await stack.gateway.get('/v1/models/small')).status === 200);
      const cacheOf = async (text: string) => {
        const answer = await stack.post({ ...say(text, { model: 'small' }) });
        await answer.arrayBuffer();
        return answer.headers.get('x-catena-cache');
      };
      for (let n = 0; n < 60; n++) expect(await cacheOf(`question ${n}`)).toBe('miss');
      expect(await stack.gateway.metric('catena_cache_bytes')).toBeLessThanOrEqual(16_384);
      expect(await cacheOf('question 59')).toBe('hit');
      expect(await cacheOf('question 0')).toBe('miss');
      expect(await stack.gateway.metric('catena_cache_entries')).toBeGreaterThan(3);
    } finally {
      await stack.close();
    }
  });

  it('can be none at all', async () => {
    const stack = await startChatStack({ CATENA_CACHE_MAX_BYTES: '0' });
    try {
      const chain = await stack.rows.addChain('off');
      await stack.rows.setSplit('off', [{ name: 'only', weightBps: ALL, chain }], { cacheTtlSeconds: 60 });
      await eventually(async () => (await stack.gateway.get('/v1/models/off')).status === 200);
      for (let n = 0; n < 2; n++) {
        const answer = await stack.post({ ...say('Hi'), model: 'off' });
        await answer.arrayBuffer();
        expect(answer.headers.get('x-catena-cache')).toBeNull();
      }
      expect(stack.gateway.gateway.app.get(AnswerCache, { strict: false })).toBeDefined();
    } finally {
      await stack.close();
    }
  });
});
