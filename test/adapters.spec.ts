import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { say } from './support/chat.js';
import { eventually, startTestGateway } from './support/gateway.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const KEY = 'sk-only-for-the-replicas';

describe('adapters', () => {
  let registry: TestRegistry;
  let simulators: Simulator[];
  beforeAll(async () => {
    registry = await startTestRegistry();
    simulators = await Promise.all(
      [0, 1].map(() => createSimulator({ port: 0, models: ['base'], apiKey: KEY })),
    );
    await create(
      'pool',
      simulators.map(({ url }) => `${url}/v1`),
    );
    await register('tone', { format: 'lora', model: 'tone-v1', baseModel: 'base', source: '/adapters/tone' });
    await register('tone', { format: 'lora', model: 'tone-v2', baseModel: 'base' });
    await register('tone', { format: 'hosted', model: 'base' });
  });
  afterAll(async () => {
    for (const simulator of simulators) await simulator.close();
    await registry.close();
  });

  async function create(name: string, baseUrls: readonly string[], fields: object = {}): Promise<void> {
    const { status } = await registry.call('POST', '/model-endpoints', {
      name,
      protocol: 'openai',
      replicas: baseUrls.map((baseUrl) => ({ baseUrl })),
      models: ['base', 'tone-v1'],
      credential: KEY,
      ...fields,
    });
    expect(status).toBe(201);
  }
  async function register(name: string, content: object): Promise<void> {
    await registry.call('POST', '/models', { name });
    expect((await registry.call('POST', `/models/${name}/versions`, { content })).status).toBe(201);
  }
  const load = (body: object, at = 'pool') => registry.call('POST', `/model-endpoints/${at}/adapters`, body);
  const unload = (adapter: string, at = 'pool') =>
    registry.call('DELETE', `/model-endpoints/${at}/adapters/${encodeURIComponent(adapter)}`);
  const served = async (at = 'pool') =>
    (await registry.call('GET', `/model-endpoints/${at}/discovered-models`)).body.models.map(
      ({ id, parent, replicas }: any) => [id, parent, replicas],
    );
  const changes = async (): Promise<number> =>
    (await registry.database.client.query('SELECT seq FROM change_head')).rows[0].seq;

  it('are loaded into every replica, under the name and from the source of the version, and gateways are told', async () => {
    const before = await changes();
    const { status, body } = await load({ model: 'tone@1' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      adapter: 'tone-v1',
      version: 'tone@1',
      isRegistered: true,
      replicas: [{ error: null }, { error: null }],
    });
    expect(await served()).toEqual([
      ['base', null, 2],
      ['tone-v1', 'base', 2],
    ]);
    expect(await changes()).toBe(before + 1);
  });

  it('that are loaded already are fine, and a replica that has none yet gets it', async () => {
    const fresh = await createSimulator({ port: 0, models: ['base'], apiKey: KEY });
    await create('grown', [`${simulators[0]!.url}/v1`, `${fresh.url}/v1`]);
    await load({ model: 'tone@1' });
    expect((await load({ model: 'tone@1' }, 'grown')).body.replicas).toMatchObject([
      { error: null },
      { error: null },
    ]);
    expect(await served('grown')).toContainEqual(['tone-v1', 'base', 2]);
    await fresh.close();
  });

  it('need a path where the version has no source', async () => {
    const without = await load({ model: 'tone@2' });
    expect([without.status, without.body.code, without.body.details[0].path]).toEqual([
      400,
      'VALIDATION_FAILED',
      '/path',
    ]);
    const { body } = await load({ model: 'tone@2', path: '/adapters/tone-v2' });
    expect(body).toMatchObject({
      adapter: 'tone-v2',
      isRegistered: false,
      replicas: [{ error: null }, { error: null }],
    });
  });

  it('that a replica cannot load are told with its reason', async () => {
    await register('lost', { format: 'lora', model: 'lost', source: '/missing/lost' });
    await create('half', [`${simulators[0]!.url}/v1`, 'http://127.0.0.1:9/v1']);
    const { status, body } = await load({ model: 'lost@1' }, 'half');
    expect(status).toBe(200);
    expect(body.replicas[0].error).toMatch(/^it answered 404: .*No adapter found/);
    expect(body.replicas[1].error).toBe('it cannot be reached (ECONNREFUSED)');
    expect(JSON.stringify(body)).not.toContain(KEY);
  });

  it('are versions of the format lora only, of model endpoints that can load them', async () => {
    await create('claude', ['https://api.anthropic.com/v1'], { protocol: 'anthropic' });
    for (const [body, at, status, code] of [
      [{ model: 'tone@3', path: '/adapters/base' }, 'pool', 400, 'VALIDATION_FAILED'],
      [{ model: 'tone@1' }, 'claude', 400, 'VALIDATION_FAILED'],
      [{ model: 'tone@9' }, 'pool', 422, 'REFERENCE_NOT_FOUND'],
      [{ model: 'tone@1' }, 'nobody', 404, 'NOT_FOUND'],
      [{ model: 'tone' }, 'pool', 400, 'VALIDATION_FAILED'],
      [{ model: 'tone@1', path: '' }, 'pool', 400, 'VALIDATION_FAILED'],
      [{}, 'pool', 400, 'VALIDATION_FAILED'],
    ] as const) {
      const answer = await load(body, at);
      expect([body, answer.status, answer.body.code]).toEqual([body, status, code]);
    }
    await registry.call('POST', '/model-endpoints/claude/archive');
    expect((await load({ model: 'tone@1' }, 'claude')).body.code).toBe('ARCHIVED');
  });

  it('are asked of the replicas that have them, and of others as soon as they have been loaded there', async () => {
    const [first, second] = await Promise.all(
      [0, 1].map(() =>
        createSimulator({ port: 0, models: ['base'], apiKey: KEY, ttftMs: 1, tokensPerSecond: 0 }),
      ),
    );
    const both = [first!, second!];
    await fetch(`${second!.url}/v1/load_lora_adapter`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ lora_name: 'tone-v1', lora_path: '/adapters/tone' }),
    });
    await create(
      'routed',
      both.map(({ url }) => `${url}/v1`),
    );
    await registry.call('POST', '/prompts', { name: 'routed' });
    await registry.call('POST', '/prompts/routed/versions', {
      content: { type: 'chat', messages: ['{{messages}}'] },
    });
    await registry.call('POST', '/chains', { name: 'routed' });
    await registry.call('POST', '/chains/routed/versions', {
      content: { prompt: 'routed@1', generate: { modelEndpoint: 'routed', model: 'tone-v1' } },
    });
    await registry.call('POST', '/endpoints', { name: 'routed' });
    await registry.call('PUT', '/endpoints/routed/split', {
      arms: [{ name: 'only', chain: 'routed@1', weightBps: 10_000 }],
    });
    const gateway = await startTestGateway(registry.database.url, {
      settings: { CATENA_PROBE_INTERVAL_MS: '40' },
    });
    const ask = async () => {
      const response = await fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...say('Hi'), model: 'routed' }),
      });
      await response.arrayBuffer();
      return response.status;
    };
    // A gateway that has just started asks anyone, until it knows what they serve.
    await eventually(async () => {
      const statuses = [];
      for (let n = 0; n < 4; n++) statuses.push(await ask());
      return statuses.every((status) => status === 200);
    });
    const before = first!.stats().finished;
    for (let n = 0; n < 8; n++) expect(await ask()).toBe(200);
    expect(first!.stats().finished).toBe(before);
    await load({ model: 'tone@1' }, 'routed');
    await eventually(async () => (await ask()) === 200 && first!.stats().finished > before);
    await gateway.close();
    for (const simulator of both) await simulator.close();
  });

  it('are unloaded, unless a split in force generates with them', async () => {
    await load({ model: 'tone@1' });
    await registry.call('POST', '/prompts', { name: 'p' });
    await registry.call('POST', '/prompts/p/versions', {
      content: { type: 'chat', messages: ['{{messages}}'] },
    });
    await registry.call('POST', '/chains', { name: 'c' });
    for (const model of ['tone-v1', 'base'])
      await registry.call('POST', '/chains/c/versions', {
        content: { prompt: 'p@1', generate: { modelEndpoint: 'pool', model } },
      });
    await registry.call('POST', '/endpoints', { name: 'e' });
    const split = (chain: string) =>
      registry.call('PUT', '/endpoints/e/split', { arms: [{ name: 'only', chain, weightBps: 10_000 }] });
    expect((await split('c@1')).status).toBe(200);
    const refused = await unload('tone-v1');
    expect([refused.status, refused.body.code, refused.body.details]).toEqual([
      409,
      'IN_USE',
      { endpoints: ['e'] },
    ]);
    await split('c@2');
    expect((await unload('tone-v1')).body).toMatchObject({
      adapter: 'tone-v1',
      replicas: [{ error: null }, { error: null }],
    });
    expect((await served()).map(([id]: string[]) => id)).not.toContain('tone-v1');
    expect((await unload('tone-v1')).body.replicas[0].error).toMatch(/^it answered 404/);
  });
});
