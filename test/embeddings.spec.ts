import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vectorOf } from '../apps/model-simulator/src/embeddings.js';
import type { Json } from '../libs/core/canonical/canonical.js';
import { createSimulator } from '../apps/model-simulator/src/simulator.js';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';
import { arm } from './support/endpoints.js';
import { eventually, type TestGateway } from './support/gateway.js';

type Content = { readonly [field: string]: Json };

const PLACE = { modelEndpoint: 'gpu', model: 'small' };
const DIMENSIONS = 384;
const vector = (text: string, dimensions = DIMENSIONS) => [...vectorOf(text, 'small', dimensions, 0)];

describe('embeddings', () => {
  let stack: CallerStack;
  let gateway: TestGateway;
  let openai: OpenAI;
  let secret: string;
  beforeAll(async () => {
    stack = await CallerStack.start();
    gateway = await stack.gateway({ settings: { CATENA_BREAKER_FAILURES: '0' } });
    secret = await stack.key('searcher', { team: 'search' });
    await stack.registry.call('POST', '/model-endpoints', {
      name: 'embedder',
      protocol: 'openai',
      replicas: [{ baseUrl: `${stack.simulator.url}/v1` }],
      models: ['small'],
      prices: { inputMicroUsdPerMillionTokens: 130_000, outputMicroUsdPerMillionTokens: 0 },
    });
    await serve('search', { embed: { modelEndpoint: 'embedder', model: 'small' } });
    openai = stack.client(gateway, secret);
  });
  afterAll(() => stack.close());

  const register = async (name: string, content: Content) => {
    await stack.registry.call('POST', '/chains', { name });
    return stack.registry.call('POST', `/chains/${name}/versions`, { content });
  };
  const split = async (name: string, ...chains: string[]) => {
    await stack.registry.call('POST', '/endpoints', { name });
    return stack.registry.call('PUT', `/endpoints/${name}/split`, {
      arms: chains.map((chain, index) => arm(`a${index}`, 10_000 / chains.length, chain)),
    });
  };
  /** An endpoint over a chain of its name, as the registry takes them. */
  const serve = async (name: string, content: Content) => {
    const { status, body } = await register(name, content);
    expect(status, JSON.stringify(body)).toBe(201);
    expect((await split(name, `${name}@1`)).status).toBe(200);
    await stack.caughtUp(gateway);
  };
  /** Likewise, past the registry, which would ask whether the model is served. */
  const serveRows = async (name: string, content: Content) => {
    const chain = await stack.rows.addEmbeddingChain(name, content);
    await stack.rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }]);
    await stack.caughtUp(gateway);
  };
  const post = async (body: object, headers: Record<string, string> = {}, path = '/v1/embeddings') => {
    const response = await fetch(gateway.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const answer: any = await response.json();
    return { status: response.status, headers: response.headers, body: answer };
  };
  const lately = () => {
    const at = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
    return `from=${at(-1)}&to=${at(1)}`;
  };
  const restricted = async () => {
    const made = await stack.key('restricted', { clearance: 'restricted' });
    await stack.caughtUp(gateway);
    return made;
  };
  const row = async (headers: Headers) => {
    const id = headers.get('x-catena-inference-id');
    let found: any;
    await eventually(async () => {
      const { status, body } = await stack.registry.call('GET', `/inferences/${id}`);
      found = body;
      return status === 200;
    });
    return found;
  };

  it("come to OpenAI's client as vectors, alike in either format", async () => {
    const input = ['The quick brown fox', 'Grüße 🙂'];
    const usual = await openai.embeddings.create({ model: 'search', input });
    expect(stack.simulator.received.at(-1)!.body['encoding_format']).toBe('base64');
    const floats = await openai.embeddings.create({ model: 'search', input, encoding_format: 'float' });
    expect(usual.data.map(({ embedding }) => embedding)).toEqual(input.map((text) => vector(text)));
    expect(floats.data).toEqual(usual.data);
    expect(Math.hypot(...usual.data[0]!.embedding)).toBeCloseTo(1, 5);
    expect(usual.usage).toMatchObject({ prompt_tokens: 6, total_tokens: 6 });
  });

  it.each([
    ['a text', 'one', ['one']],
    ['tokens', [5, 6, 7], ['[5,6,7]']],
    ['lists of tokens', [[5], [6, 7]], ['[5]', '[6,7]']],
  ])('are made of %s', async (_, input, texts) => {
    const { data } = await openai.embeddings.create({ model: 'search', input });
    expect(data.map(({ embedding }) => embedding)).toEqual(texts.map((text) => vector(text)));
  });

  it('are asked for with what the chain pins, and with all else that the caller says', async () => {
    const parameters = { dimensions: 64, encoding_format: 'float' };
    await serve('short', { embed: { ...PLACE, parameters, extraBody: { normalize: true } } });
    const given = { input: 'a', dimensions: 8, user: 'ada', truncate_prompt_tokens: 5 };
    const { status, headers, body } = await post({ ...given, model: 'short', encoding_format: 'base64' });
    expect(status).toBe(200);
    expect(stack.simulator.received.at(-1)!.body).toEqual({
      ...given,
      ...parameters,
      model: 'small',
      normalize: true,
    });
    // Vectors come as the caller asks, whatever was asked upstream.
    const bytes = Buffer.from(body.data[0].embedding, 'base64');
    expect(bytes.readFloatLE(0)).toBe(vector('a', 64)[0]);
    expect(bytes.length).toBe(64 * 4);
    expect(await row(headers)).toMatchObject({ unit: 'ada', sticky: true, chain: 'short', chainVersion: 1 });
  });

  it('leave a row with tokens and cost, and without vectors', async () => {
    const input = ['The quick brown fox', 'jumps over'];
    const { headers } = await post({ model: 'search', input }, { 'x-catena-unit': 'u-1' });
    expect(headers.get('x-catena-chain-version')).toBe('search@1');
    const found = await row(headers);
    expect(found).toMatchObject({
      endpoint: 'search',
      status: 'ok',
      unit: 'u-1',
      modelEndpoint: 'embedder',
      model: 'small',
      attempts: 1,
      streamed: false,
      inputTokens: 6,
      outputTokens: 0,
      schemaValid: null,
      apiKey: 'searcher',
      team: 'search',
    });
    expect(found.costMicroUsd).toBe(Math.round((6 * 130_000) / 1e6));
    expect(found.request).toEqual({ model: 'small', input });
    const { response } = found;
    expect(response).toMatchObject({ object: 'list', usage: { prompt_tokens: 6 } });
    expect(response.vectors).toEqual({ count: 2, dimensions: DIMENSIONS });
    expect(response.data).toBeUndefined();
    const usage = `/usage?${lately()}&groupBy=endpoint&endpoint=search`;
    const { body } = await stack.registry.call('GET', usage);
    expect(body.items[0]).toMatchObject({ endpoint: 'search', outputTokens: 0, requestsWithoutCost: 0 });
  });

  it('keep payloads out of rows where the endpoint says so, and tell the hash of the whole answer', async () => {
    await serve('secret', { embed: PLACE });
    await stack.registry.call('PATCH', '/endpoints/secret', { payloads: 'hash' });
    await stack.caughtUp(gateway);
    const { headers, body } = await post({ model: 'secret', input: 'My PIN is 1234' });
    const found = await row(headers);
    expect(JSON.stringify(found)).not.toContain('PIN');
    const answer = Buffer.from(JSON.stringify(body));
    const digest = `sha256:${createHash('sha256').update(answer).digest('hex')}`;
    expect(found.response).toEqual({ digest, sizeBytes: answer.length });
  });

  describe('are refused with a clear 4xx', () => {
    it('by an endpoint that generates, and generations by one that embeds', async () => {
      const embed = await post({ model: 'chat', input: 'a' });
      expect([embed.status, embed.body.error.code]).toEqual([400, 'wrong_task']);
      expect(embed.body.error.message).toContain('"chat" generates');
      for (const [path, more] of [
        ['/v1/chat/completions', {}],
        ['/v1/responses', { input: 'Hi' }],
        ['/v1/completions', { prompt: 'Hi' }],
      ] as const) {
        const { status, body } = await post({ ...say('Hi'), model: 'search', ...more }, {}, path);
        expect([status, body.error.code]).toEqual([400, 'wrong_task']);
        expect(body.error.message).toContain('/v1/embeddings');
      }
      const message = await post({ ...say('Hi'), model: 'search', max_tokens: 5 }, {}, '/v1/messages');
      expect([message.status, message.body.error.type]).toEqual([400, 'invalid_request_error']);
    });

    it('for bad input, an unknown endpoint and a key that is for other things', async () => {
      expect((await post({ model: 'search' })).body.error).toMatchObject({
        code: 'bad_input',
        param: 'input',
      });
      expect((await post({ model: 'nowhere', input: 'a' })).status).toBe(404);
      const key = async (name: string, fields: object) => {
        const authorization = `Bearer ${await stack.key(name, fields)}`;
        await stack.caughtUp(gateway);
        return (await post({ model: 'search', input: 'a' }, { authorization })).body.error.code;
      };
      expect(await key('resolver', { actions: ['resolve'] })).toBe('action_not_allowed');
      expect(await key('chatter', { endpoints: ['chat'] })).toBe('endpoint_not_allowed');
      expect(await key('public', { clearance: 'public' })).toBe('data_class_not_allowed');
    });

    it("with the server's own words where it refuses the request", async () => {
      const { status, body } = await post({ model: 'search', input: 'a', dimensions: 9999 });
      expect([status, body.error.param]).toEqual([400, 'dimensions']);
      expect(body.error.message).toContain('384 dimensions at most');
    });
  });

  it('are listed with the other endpoints, and resolved like them', async () => {
    const ids = (await openai.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(['chat', 'search']));
    const headers = { authorization: `Bearer ${secret}` };
    const { body } = await gateway.get('/v1/resolve/search?unit=u&include=config', headers);
    expect(body.chain.name).toBe('search');
    expect(body.config).toEqual({ chain: { embed: { modelEndpoint: 'embedder', model: 'small' } } });
  });

  it('count against limits with their input alone', async () => {
    const name = 'metered';
    const authorization = `Bearer ${await stack.key(name)}`;
    const target = { kind: 'apiKey', name };
    await stack.limit('metered', { target, metric: 'tokens', window: 'hour', amount: 400 });
    await stack.caughtUp(gateway);
    const ask = (input: string) => post({ model: 'search', input }, { authorization });
    // A generation would reserve 1024 tokens for its answer, and never be let in.
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask('word '.repeat(40))));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(2);
    expect(statuses).toContain(429);
    // What was reserved beyond the 40 tokens of each has been given back.
    expect((await ask('word')).status).toBe(200);
    expect((await ask('word '.repeat(1000))).body.error.code).toBe('rate_limit_exceeded');
  });

  it('reach no model endpoint that is not cleared for them', async () => {
    const { headers, ...answer } = await post(
      { model: 'search', input: 'a' },
      { 'x-catena-data-class': 'restricted', authorization: `Bearer ${await restricted()}` },
    );
    expect([answer.status, answer.body.error.code]).toEqual([403, 'model_endpoint_not_cleared']);
    expect(await row(headers)).toMatchObject({ status: 'error', attempts: 0, dataClass: 'restricted' });
  });

  it('are shared by the replicas of a model endpoint, for no conversation keeps them at one', async () => {
    const second = await createSimulator({ port: 0, models: ['small'] });
    try {
      await stack.rows.setModelEndpoint('pair', {
        replicas: [`${stack.simulator.url}/v1`, `${second.url}/v1`],
      });
      await serveRows('shared', { embed: { modelEndpoint: 'pair', model: 'small' } });
      const statuses: number[] = [];
      for (let count = 0; count < 6; count++)
        statuses.push((await post({ model: 'shared', input: 'word '.repeat(500) })).status);
      expect(new Set(statuses)).toEqual(new Set([200]));
      expect(second.received.length).toBeGreaterThan(0);
      expect(second.received.length).toBeLessThan(6);
    } finally {
      await second.close();
    }
  });

  it('are given up at the replica when the caller leaves', async () => {
    await serveRows('late', { embed: { ...PLACE, model: 'small:ttft-ms=60000' } });
    const before = stack.simulator.stats();
    const leaves = new AbortController();
    const asked = fetch(`${gateway.url}/v1/embeddings`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'late', input: 'a' }),
      signal: leaves.signal,
    });
    await eventually(() => stack.simulator.stats().running === before.running + 1);
    leaves.abort();
    await expect(asked).rejects.toThrow();
    await eventually(() => stack.simulator.stats().running === before.running);
    await eventually(async () => {
      const { body } = await stack.registry.call('GET', `/inferences?endpoint=late&${lately()}`);
      return body.items[0]?.status === 'cancelled';
    });
  });

  describe('when something goes wrong upstream', () => {
    it.each([
      ['http-500', 502, 'upstream_error'],
      ['http-429', 429, 'upstream_rate_limited'],
      ['reset', 502, 'upstream_reset'],
      ['http-200-html', 502, 'upstream_malformed'],
      ['end-mid-stream', 502, 'upstream_malformed'],
      ['cut-mid-stream', 502, 'upstream_reset'],
      ['error-frame', 502, 'upstream_error'],
    ])('fail like generations: %s', async (fault, status, code) => {
      await serveRows(`bad-${fault}`, { embed: { ...PLACE, model: `small:fault=${fault}` } });
      const { headers, ...answer } = await post({ model: `bad-${fault}`, input: 'a' });
      expect([answer.status, answer.body.error.code]).toEqual([status, code]);
      expect(await row(headers)).toMatchObject({ status: 'error', errorCode: code, costMicroUsd: null });
    });

    it('are tried again, and fall back to another place with the same model', async () => {
      const retry = { maxAttempts: 2, initialBackoffMs: 1 };
      await serveRows('flaky', { embed: { ...PLACE, model: 'small:fault=http-500;times=1' }, retry });
      const once = await post({ model: 'flaky', input: 'a' });
      expect(once.status).toBe(200);
      expect(await row(once.headers)).toMatchObject({ attempts: 2, modelEndpoint: 'gpu' });
      await serveRows('falling', {
        embed: { ...PLACE, model: 'small:fault=http-503' },
        fallbacks: [{ modelEndpoint: 'embedder', model: 'small' }],
      });
      const other = await post({ model: 'falling', input: 'a', encoding_format: 'float' });
      expect(other.body.data[0].embedding).toEqual(vector('a'));
      expect(await row(other.headers)).toMatchObject({
        attempts: 2,
        modelEndpoint: 'embedder',
        status: 'ok',
      });
    });
  });

  it('come right from servers that answer with what they like, and at Azure by the deployment', async () => {
    const asked: string[] = [];
    let data: object[] = [];
    const server = createServer((request: IncomingMessage, response) => {
      asked.push(request.url!);
      request.resume().on('end', () => {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ object: 'list', data, usage: { total_tokens: 3 } }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      await stack.rows.setModelEndpoint('azure', {
        replicas: [`http://127.0.0.1:${port}/openai`],
        protocol: 'azure-openai',
      });
      await serveRows('azure', { embed: { modelEndpoint: 'azure', model: 'ada 2' } });
      data = [{ object: 'embedding', index: 0, embedding: [0.25, -1.5] }];
      const { data: got } = await openai.embeddings.create({ model: 'azure', input: 'a' });
      expect([...got[0]!.embedding]).toEqual([0.25, -1.5]);
      expect(asked).toEqual(['/openai/deployments/ada%202/embeddings?api-version=2024-10-21']);
      // One vector for two texts would give the second text the first one's, or none.
      const short = await post({ model: 'azure', input: ['a', 'b'] });
      expect([short.status, short.body.error.code]).toEqual([502, 'upstream_malformed']);
      expect(short.body.error.message).not.toContain('127.0.0.1');
      expect(await row(short.headers)).toMatchObject({ status: 'error', errorCode: 'upstream_malformed' });
    } finally {
      server.close();
    }
  });
});

describe('chains that embed, at the registry', () => {
  let stack: CallerStack;
  beforeAll(async () => {
    stack = await CallerStack.start();
    for (const [name, protocol, models] of [
      ['one', 'openai', ['bge', 'other']],
      ['two', 'azure-openai', ['bge-deployment', 'bge']],
      ['claude', 'anthropic', ['bge']],
    ] as const)
      await stack.registry.call('POST', '/model-endpoints', {
        name,
        protocol,
        models,
        replicas: [{ baseUrl: 'http://127.0.0.1:9/v1' }],
      });
    await stack.registry.call('POST', '/models', { name: 'bge' });
    await stack.registry.call('POST', '/models/bge/versions', {
      content: { format: 'weights', model: 'bge' },
    });
    await stack.registry.call('POST', '/chains', { name: 'c' });
  });
  afterAll(() => stack.close());

  const at = (modelEndpoint: string, model = 'bge', more: object = {}) => ({ modelEndpoint, model, ...more });
  const register = (content: object) => stack.registry.call('POST', '/chains/c/versions', { content });

  it('are versions like others: pinned, digested, compared', async () => {
    const registeredModel = 'bge@1';
    const { status, body } = await register({
      embed: at('one', 'bge', { registeredModel }),
      fallbacks: [at('two', 'bge-deployment', { registeredModel })],
      retry: { maxAttempts: 2 },
    });
    expect(status, JSON.stringify(body)).toBe(201);
    expect(body.content.embed.registeredModel).toMatchObject({ name: 'bge', version: 1 });
    expect(body.content).not.toHaveProperty('prompt');
    const again = await register({ ...body.content });
    expect(again.body.version).toBe(body.version);
  });

  it.each([
    ['with an output contract', { embed: at('one'), output: { schema: {} } }, '/output'],
    ['with steps', { embed: at('one'), steps: { before: [] } }, '/steps'],
    ['with a prompt', { embed: at('one'), prompt: 'chat-prompt@1' }, '/prompt'],
    ['at a vendor without embeddings', { embed: at('claude') }, '/embed'],
    ['falling back to one', { embed: at('one'), fallbacks: [at('claude')] }, '/fallbacks/0'],
    ['falling back to another model', { embed: at('one'), fallbacks: [at('one', 'other')] }, '/fallbacks/0'],
    [
      'falling back to other dimensions',
      { embed: at('one'), fallbacks: [at('two', 'bge', { parameters: { dimensions: 8 } })] },
      '/fallbacks/0',
    ],
  ])('are refused %s', async (_, content, path) => {
    const { status, body } = await register(content);
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect(body.details).toEqual([expect.objectContaining({ path })]);
  });

  it('share no split with chains that generate', async () => {
    const { body } = await register({ embed: at('one') });
    await stack.registry.call('POST', '/endpoints', { name: 'mixed' });
    const arms = [arm('a', 5000, 'chat@1'), arm('b', 5000, `c@${body.version}`)];
    for (const [method, path] of [
      ['POST', '/endpoints/mixed/split/preview'],
      ['PUT', '/endpoints/mixed/split'],
    ] as const) {
      const answer = await stack.registry.call(method, path, { arms });
      expect([answer.status, answer.body.code]).toEqual([400, 'VALIDATION_FAILED']);
      expect(answer.body.message).toContain('all arms of an endpoint do the same');
      expect(answer.body.details[0].path).toContain('1');
    }
  });

  it('hold on to the model endpoints they need', async () => {
    const { body } = await register({ embed: at('two', 'bge', { parameters: { dimensions: 5 } }) });
    await stack.registry.call('POST', '/endpoints', { name: 'held' });
    const arms = [arm('a', 10_000, `c@${body.version}`)];
    expect((await stack.registry.call('PUT', '/endpoints/held/split', { arms })).status).toBe(200);
    const { body: refused } = await stack.registry.call('POST', '/model-endpoints/two/archive');
    expect(refused.code).toBe('IN_USE');
    const { status } = await stack.registry.call('PATCH', '/model-endpoints/two', { models: ['x'] });
    expect(status).toBe(409);
  });
});
