import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arm, EndpointTests } from './support/endpoints.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { createModelEndpoint, seedChain } from './support/serving.js';

const ONE = [arm('a', 10_000)];
const shadow = (name: string, sampleBps: unknown, chain: unknown = 'support@2') => ({
  name,
  chain,
  sampleBps,
});
/** As answered. */
const shown = ({ shadows }: any) =>
  shadows.map(({ name, sampleBps, chain }: any) => [name, sampleBps, `${chain.name}@${chain.version}`]);

describe('the shadows of a split', () => {
  let tests: EndpointTests;
  beforeAll(async () => {
    tests = await EndpointTests.start();
    await createModelEndpoint(tests.registry, 'vendor');
    const { status } = await tests.registry.call('PATCH', '/model-endpoints/vendor', { clearance: 'public' });
    expect(status).toBe(200);
    await seedChain(tests.registry, 'elsewhere', {
      generate: { modelEndpoint: 'vendor', model: 'llama-8b' },
    });
  });
  afterAll(() => tests.registry.close());

  it('are none where none are given', async () => {
    const name = await tests.create(ONE);
    expect((await tests.get(name)).split.shadows).toEqual([]);
    const { body } = await tests.registry.call('GET', `/endpoints?prefix=${name}`);
    expect(body.items[0].split.shadows).toEqual([]);
  });

  it('are pinned with the revision, stay when a split does not name them, and end with an empty list', async () => {
    const name = await tests.create();
    const put = async (body: object) => (await tests.put(name, body)).body;
    const first = await put({ arms: ONE, shadows: [shadow('next', 500, 'support@champion')] });
    expect(shown(first)).toEqual([['next', 500, 'support@1']]);
    expect(shown(await put({ arms: [arm('a', 5000), arm('b', 5000)] }))).toEqual(shown(first));
    const third = await put({ arms: ONE, shadows: [shadow('x', 1), shadow('next', 10_000, 'support@3')] });
    expect(shown(third)).toEqual([
      ['x', 1, 'support@2'],
      ['next', 10_000, 'support@3'],
    ]);
    expect(shown(await put({ arms: ONE, shadows: [] }))).toEqual([]);
    const { body } = await tests.registry.call('GET', `/endpoints/${name}/splits`);
    expect(body.items.map((item: any) => shown(item).length)).toEqual([0, 2, 1, 1]);
    expect(shown((await tests.get(name)).split)).toEqual([]);
    expect(await tests.changes(name)).toBe(4);
  });

  it('come back with a rollback, also where they could not be put in force anew', async () => {
    const name = await tests.create();
    await seedChain(tests.registry, 'retired');
    const shadows = [shadow('next', 500, 'retired@1')];
    await tests.put(name, { arms: ONE, shadows });
    await tests.registry.database.client.query(
      `UPDATE version SET archived_at = now()
        WHERE entry_id = (SELECT id FROM entry WHERE kind = 'chain' AND name = 'retired')`,
    );
    await tests.put(name, { arms: ONE, shadows: [] });
    expect((await tests.put(name, { arms: ONE, shadows })).body.code).toBe('REFERENCE_ARCHIVED');
    const { status, body } = await tests.rollback(name, { revision: 1 });
    expect([status, shown(body)]).toEqual([200, [['next', 500, 'retired@1']]]);
    // Nor do they stop a split that does not name them.
    expect(shown((await tests.put(name, { arms: [arm('b', 10_000)] })).body)).toEqual(shown(body));
  });

  it('are previewed with what would change, and with the model endpoints they would not reach', async () => {
    const name = await tests.create();
    await tests.put(name, { arms: ONE, shadows: [shadow('next', 500), shadow('gone', 1)] });
    const { body } = await tests.preview(name, {
      arms: ONE,
      shadows: [shadow('next', 900), shadow('new', 5)],
    });
    expect(
      body.shadowChanges.map(({ shadow: s, from, to }: any) => [s, from?.sampleBps, to?.sampleBps]),
    ).toEqual([
      ['gone', 1, undefined],
      ['new', undefined, 5],
      ['next', 500, 900],
    ]);
    expect(shown(body)).toHaveLength(2);
    expect([body.movedBuckets, body.passedOver]).toEqual([0, []]);
    expect((await tests.get(name)).split.revision).toBe(1);
  });

  it('are refused where no model endpoint of theirs is cleared for what the endpoint carries', async () => {
    const name = await tests.create();
    const { status, body } = await tests.put(name, { arms: ONE, shadows: [shadow('out', 1, 'elsewhere@1')] });
    expect([status, body.code, body.details.path]).toEqual([409, 'NOT_CLEARED', '/shadows/0/chain']);
    expect((await tests.get(name)).split).toBeNull();
  });

  it.each([
    ['a share of nothing', [shadow('s', 0)]],
    ['more than all', [shadow('s', 10_001)]],
    ['a share in parts', [shadow('s', 0.5)]],
    ['a share as text', [shadow('s', '500')]],
    ['no share', [{ name: 's', chain: 'support@1' }]],
    ['no chain', [{ name: 's', sampleBps: 1 }]],
    ['a name of an arm', [shadow('a', 1)]],
    ['a name twice', [shadow('s', 1), shadow('s', 2)]],
    ['too many', ['s', 't', 'u', 'v', 'w'].map((name) => shadow(name, 1))],
    ['a field that there is not', [{ ...shadow('s', 1), weightBps: 1 }]],
    ['no list', shadow('s', 1)],
    ['null', null],
    ['a list in a list', [[shadow('s', 1)]]],
  ])('are refused with %s, and nothing changes', async (_, shadows) => {
    const name = await tests.create();
    const { status, body } = await tests.put(name, { arms: ONE, shadows });
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect((await tests.get(name)).split).toBeNull();
  });

  it('are refused with a chain version that is not there', async () => {
    const name = await tests.create();
    const { status, body } = await tests.put(name, { arms: ONE, shadows: [shadow('s', 1, 'support@99')] });
    expect([status, body.code]).toEqual([422, 'REFERENCE_NOT_FOUND']);
  });

  it('cannot be changed or deleted in the database', async () => {
    const { client } = tests.registry.database;
    for (const sql of ['UPDATE shadow SET sample_bps = 1', 'DELETE FROM shadow', 'TRUNCATE shadow'])
      await expect(client.query(sql)).rejects.toThrow(/immutable|never|append/i);
  });
});

describe('the rows of shadows', () => {
  let tests: EndpointTests;
  const day = { from: '2026-11-20T00:00:00Z', to: '2026-11-21T00:00:00Z' };
  const original = inferenceRow({ startedAt: '2026-11-20T01:00:00.000Z', arm: 'control' });
  const copy = inferenceRow({
    startedAt: '2026-11-20T01:00:00.010Z',
    arm: 'next',
    shadowOf: original.id,
    latencyMs: 900,
  });
  const hit = inferenceRow({
    startedAt: '2026-11-20T02:00:00.000Z',
    arm: 'control',
    cacheHit: true,
    latencyMs: 1,
  });
  beforeAll(async () => {
    tests = await EndpointTests.start();
    await insertInferences(tests.registry.database.client, [original, copy, hit]);
  });
  afterAll(() => tests.registry.close());
  const list = async (query: Record<string, string>) =>
    (await tests.registry.call('GET', `/inferences?${new URLSearchParams({ ...day, ...query })}`)).body;
  const ids = async (query: Record<string, string>) => (await list(query)).items.map(({ id }: any) => id);

  it('are not listed unless asked for, alone, with the others, or by what they are a copy of', async () => {
    expect(await ids({})).toEqual([hit.id, original.id]);
    expect(await ids({ shadows: 'include' })).toEqual([hit.id, copy.id, original.id]);
    expect(await ids({ shadows: 'only' })).toEqual([copy.id]);
    expect(await ids({ shadowOf: original.id })).toEqual([copy.id]);
    expect(await ids({ shadowOf: copy.id })).toEqual([]);
    expect((await list({ shadows: 'yes' })).code).toBe('VALIDATION_FAILED');
    expect((await list({ shadowOf: 'x' })).code).toBe('VALIDATION_FAILED');
  });

  it('say what they are a copy of, and rows say whether the cache answered', async () => {
    const get = async (id: string) => (await tests.registry.call('GET', `/inferences/${id}`)).body;
    expect(await get(copy.id)).toMatchObject({ shadowOf: original.id, cacheHit: null });
    expect(await get(original.id)).toMatchObject({ shadowOf: null, cacheHit: null });
    expect(await get(hit.id)).toMatchObject({ shadowOf: null, cacheHit: true });
  });

  it('are a group of their own in a summary, and latencies are those of model calls', async () => {
    const query = new URLSearchParams({ ...day, endpoint: 'support-bot', groupBy: 'chainVersion' });
    const { body } = await tests.registry.call('GET', `/inferences/summary?${query}`);
    const seen = body.groups.map((group: any) => [
      group.shadow,
      group.requests,
      group.cacheHits,
      group.latencyMs.p50,
    ]);
    expect(seen).toEqual([
      [false, 2, 1, 200],
      [true, 1, 0, 900],
    ]);
  });
});

describe('the cache of an endpoint', () => {
  let tests: EndpointTests;
  beforeAll(async () => {
    tests = await EndpointTests.start();
  });
  afterAll(() => tests.registry.close());

  it('is off, can be switched on and off, and gateways are told', async () => {
    const name = await tests.create(ONE);
    expect((await tests.get(name)).cacheTtlSeconds).toBeNull();
    const patch = async (cacheTtlSeconds: unknown) =>
      (await tests.registry.call('PATCH', `/endpoints/${name}`, { cacheTtlSeconds })).body;
    expect((await patch(300)).cacheTtlSeconds).toBe(300);
    expect((await tests.get(name)).cacheTtlSeconds).toBe(300);
    expect((await patch(null)).cacheTtlSeconds).toBeNull();
    expect(await tests.changes(name)).toBe(3);
    const created = await tests.registry.call('POST', '/endpoints', { name: 'cached', cacheTtlSeconds: 60 });
    expect([created.status, created.body.cacheTtlSeconds]).toEqual([201, 60]);
  });

  it.each([0, -1, 604_801, 1.5, '60', true, [60]])('refuses %j', async (cacheTtlSeconds) => {
    const { status, body } = await tests.registry.call('POST', '/endpoints', {
      name: 'bad',
      cacheTtlSeconds,
    });
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
  });
});
