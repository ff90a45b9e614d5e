import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arm } from './support/endpoints.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';
import { seedChain } from './support/serving.js';

const REPLICAS = [{ baseUrl: 'http://127.0.0.1:9/v1' }];

describe('data classes', () => {
  let registry: TestRegistry;
  let count = 0;
  beforeAll(async () => {
    registry = await startTestRegistry();
    for (const [name, clearance] of [
      ['vendor', 'public'],
      ['gpu', undefined],
      ['vault', 'restricted'],
    ] as const)
      expect(
        (
          await registry.call('POST', '/model-endpoints', {
            name,
            protocol: 'openai',
            replicas: REPLICAS,
            models: ['m'],
            ...(clearance && { clearance }),
          })
        ).status,
      ).toBe(201);
    const at = (modelEndpoint: string) => ({ model: 'm', modelEndpoint });
    await seedChain(registry, 'plain', { generate: at('gpu') });
    await seedChain(registry, 'cheap', { generate: at('vendor') });
    await seedChain(registry, 'careful', { generate: at('vendor'), fallbacks: [at('vault')] });
  });
  afterAll(() => registry.close());

  /** A new endpoint. Returns its name. */
  async function create(fields: object = {}): Promise<string> {
    const name = `e${++count}`;
    const { status } = await registry.call('POST', '/endpoints', { name, ...fields });
    expect(status).toBe(201);
    return name;
  }
  const put = (name: string, ...chains: string[]) =>
    registry.call('PUT', `/endpoints/${name}/split`, {
      arms: chains.map((chain, index) => arm(`a${index}`, 10_000 / chains.length, `${chain}@1`)),
    });
  const patch = (path: string, body: object) => registry.call('PATCH', path, body);

  it('are internal where nobody says so, for what is carried and for what may be seen', async () => {
    const name = await create();
    expect((await registry.call('GET', `/endpoints/${name}`)).body).toMatchObject({
      dataClass: 'internal',
      payloads: 'full',
    });
    expect((await registry.call('GET', '/model-endpoints/gpu')).body.clearance).toBe('internal');
    expect((await put(name, 'plain')).status).toBe(200);
  });

  it('refuse a split one of whose arms no model endpoint is cleared for, and say which', async () => {
    const name = await create();
    const { status, body } = await put(name, 'plain', 'cheap');
    expect([status, body.code]).toEqual([409, 'NOT_CLEARED']);
    expect(body.message).toContain('"vendor" for public');
    expect(body.details).toMatchObject({ path: '/arms/1/chain', modelEndpoints: ['vendor'] });
    const preview = await registry.call('POST', `/endpoints/${name}/split/preview`, {
      arms: [arm('a', 10_000, 'cheap@1')],
    });
    expect([preview.status, preview.body.code]).toEqual([409, 'NOT_CLEARED']);
    // One cleared model endpoint is enough; gateways pass over the other.
    const restricted = await create({ dataClass: 'restricted' });
    expect((await put(restricted, 'careful')).status).toBe(200);
    const warned = await registry.call('POST', `/endpoints/${restricted}/split/preview`, {
      arms: [arm('a', 10_000, 'careful@1')],
    });
    expect(warned.body.passedOver).toEqual([{ arm: 'a', modelEndpoint: 'vendor' }]);
    expect((await put(restricted, 'plain')).status).toBe(409);
    expect((await put(await create({ dataClass: 'public' }), 'cheap')).status).toBe(200);
  });

  it('can always be raised, and clearances always be taken away: that is how a leak is stopped', async () => {
    const name = await create();
    await put(name, 'plain');
    expect((await patch(`/endpoints/${name}`, { dataClass: 'restricted' })).body.dataClass).toBe(
      'restricted',
    );
    // What was served then is not put in force again.
    const rollback = await registry.call('POST', `/endpoints/${name}/split/rollback`, { revision: 1 });
    expect([rollback.status, rollback.body.code]).toEqual([409, 'NOT_CLEARED']);
    await registry.call('POST', `/endpoints/${name}/archive`);
    const restored = await registry.call('POST', `/endpoints/${name}/restore`);
    expect([restored.status, restored.body.code]).toEqual([409, 'NOT_CLEARED']);

    const other = await create({ dataClass: 'restricted' });
    await put(other, 'careful');
    expect((await patch('/model-endpoints/vault', { clearance: 'public' })).body.clearance).toBe('public');
    expect((await put(other, 'careful')).status).toBe(409);
    await patch('/model-endpoints/vault', { clearance: 'restricted' });
    expect((await put(other, 'careful')).status).toBe(200);
  });

  it('are told to the gateways, as is what rows keep', async () => {
    const name = await create();
    await put(name, 'plain');
    const { body } = await patch(`/endpoints/${name}`, { payloads: 'hash' });
    expect(body).toMatchObject({ payloads: 'hash', dataClass: 'internal' });
    const { rows } = await registry.database.client.query(
      `SELECT count(*)::integer AS n FROM change c JOIN endpoint e ON e.id = c.noun_id WHERE e.name = $1`,
      [name],
    );
    expect(rows[0].n).toBe(2);
  });

  it.each([
    ['/endpoints', { dataClass: 'secret' }],
    ['/endpoints', { dataClass: null }],
    ['/endpoints', { payloads: 'none' }],
    ['/model-endpoints', { clearance: 'all' }],
  ])('refuse at %s %j', async (path, fields) => {
    const body = { name: 'bad', ...fields };
    const endpoint = { ...body, protocol: 'openai', replicas: REPLICAS, models: ['m'] };
    const { status } = await registry.call('POST', path, path === '/endpoints' ? body : endpoint);
    expect(status).toBe(400);
  });
});

describe('prices', () => {
  let registry: TestRegistry;
  let directory: string;
  const OWN = { inputMicroUsdPerMillionTokens: 1, outputMicroUsdPerMillionTokens: 2 };
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'catena-prices-'));
    const file = join(directory, 'prices.json');
    const entry = { ...OWN, date: '2026-11-22', source: 'our contract' };
    await writeFile(
      file,
      JSON.stringify({ vendors: { anthropic: { 'claude-opus-5': entry }, acme: { large: entry } } }),
    );
    registry = await startTestRegistry({ CATENA_PRICE_FILE: file });
  });
  afterAll(async () => {
    await registry.close();
    await rm(directory, { recursive: true, force: true });
  });
  const create = (name: string, fields: object) =>
    registry.call('POST', '/model-endpoints', { name, protocol: 'openai', replicas: REPLICAS, ...fields });

  it('of vendors ship with day and source, and the operator’s own win over them', async () => {
    const { body } = await registry.call('GET', '/model-prices?vendor=anthropic');
    const byModel = Object.fromEntries(body.items.map((item: any) => [item.model, item]));
    expect(byModel['claude-opus-5']).toMatchObject({ ...OWN, source: 'our contract' });
    expect(byModel['claude-opus-5-5']).toMatchObject({
      inputMicroUsdPerMillionTokens: 4_000_000,
      cachedInputMicroUsdPerMillionTokens: 200_000,
      date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      source: expect.stringContaining('claude.com'),
    });
    expect((await registry.call('GET', '/model-prices')).body.items.length).toBeGreaterThan(
      body.items.length,
    );
  });

  it('are taken from the list into the model endpoint, where they stay until somebody changes them', async () => {
    const models = ['claude-opus-5', 'claude-opus-5-5'];
    const { status, body } = await create('claude', {
      models,
      pricesFrom: 'anthropic',
      modelPrices: { 'claude-opus-5-5': OWN },
    });
    expect(status).toBe(201);
    expect(body.modelPrices).toEqual({ 'claude-opus-5': OWN, 'claude-opus-5-5': OWN });
    const renewed = await registry.call('PATCH', '/model-endpoints/claude', { pricesFrom: 'anthropic' });
    expect(renewed.body.modelPrices['claude-opus-5-5'].inputMicroUsdPerMillionTokens).toBe(4_000_000);
    const kept = await registry.call('PATCH', '/model-endpoints/claude', { description: 'x' });
    expect(kept.body.modelPrices).toEqual(renewed.body.modelPrices);
    const fewer = await registry.call('PATCH', '/model-endpoints/claude', { models: ['claude-opus-5'] });
    expect(fewer.body.modelPrices).toEqual({ 'claude-opus-5': OWN });
    const none = await registry.call('PATCH', '/model-endpoints/claude', { modelPrices: {} });
    expect(none.body.modelPrices).toEqual({});
  });

  it('of cached, written and reasoning tokens are kept, and given up when prices are given without them', async () => {
    const prices = {
      ...OWN,
      cachedInputMicroUsdPerMillionTokens: 3,
      cacheWriteInputMicroUsdPerMillionTokens: 4,
      reasoningMicroUsdPerMillionTokens: 5,
    };
    expect((await create('parts', { models: ['m'], prices })).body.prices).toEqual(prices);
    const fewer = await registry.call('PATCH', '/model-endpoints/parts', { prices: OWN });
    expect(fewer.body.prices).toEqual(OWN);
  });

  it.each([
    [{ pricesFrom: 'nobody' }, 'there is no vendor "nobody"'],
    [{ pricesFrom: 'openai' }, 'does not have "m"'],
    [{ modelPrices: { other: OWN } }, '"other" is not one of the models'],
    [
      { modelPrices: { m: { inputMicroUsdPerMillionTokens: 1 } } },
      'must have outputMicroUsdPerMillionTokens',
    ],
    [{ modelPrices: { m: { ...OWN, input: 1 } } }, 'has no price "input"'],
    [{ modelPrices: [] }, 'must be an object'],
    [{ prices: { reasoningMicroUsdPerMillionTokens: -1 } }, 'reasoningMicroUsdPerMillionTokens'],
  ])('are refused: %j', async (fields, message) => {
    const { status, body } = await create('bad', { models: ['m'], ...fields });
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect(JSON.stringify(body)).toContain(JSON.stringify(message).slice(1, -1));
  });

  it('that cannot be read keep the registry from starting', async () => {
    const file = join(directory, 'broken.json');
    await writeFile(file, '{"vendors":{"acme":{"large":{}}}}');
    await expect(startTestRegistry({ CATENA_PRICE_FILE: file })).rejects.toThrow('CATENA_PRICE_FILE');
  });
});
