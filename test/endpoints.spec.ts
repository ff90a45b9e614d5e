import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arm, EndpointTests, HALVES } from './support/endpoints.js';
import type { TestRegistry } from './support/registry.js';
import { createModelEndpoint, seedChain } from './support/serving.js';

describe('serving endpoints', () => {
  let registry: TestRegistry;
  let put: EndpointTests['put'];
  let preview: EndpointTests['preview'];
  let rollback: EndpointTests['rollback'];
  let get: EndpointTests['get'];
  let create: EndpointTests['create'];
  beforeAll(async () => {
    ({ registry, put, preview, rollback, get, create } = await EndpointTests.start());
  });
  afterAll(() => registry.close());

  describe('an endpoint', () => {
    it('is created, described, listed by prefix and chain, and its name is taken for ever', async () => {
      await seedChain(registry, 'billing');
      for (const name of ['shop-b', 'shop-a', 'shop-c']) await registry.call('POST', '/endpoints', { name });
      await put('shop-a', { arms: [arm('a', 9000, 'billing@1'), arm('b', 1000)] });
      await put('shop-b', { arms: [arm('a', 10_000, 'billing@1')] });
      await put('shop-b', { arms: [arm('a', 10_000)] });
      const names = async (query: string) =>
        (await registry.call('GET', `/endpoints?${query}`)).body.items.map((item: any) => item.name);
      expect(await names('prefix=shop-')).toEqual(['shop-a', 'shop-b', 'shop-c']);
      expect(await names('chain=billing')).toEqual(['shop-a']);
      const { items } = (await registry.call('GET', '/endpoints?chain=billing')).body;
      const { overrides: _, ...summary } = (await get('shop-a')).split;
      expect(items[0].split).toEqual(summary);
      const patched = await registry.call('PATCH', '/endpoints/shop-c', { description: 'text' });
      expect(patched.body).toMatchObject({ description: 'text', split: null });
      expect(
        (await registry.call('PATCH', '/endpoints/shop-c', { description: null })).body.description,
      ).toBeNull();
      expect((await registry.call('POST', '/endpoints', { name: 'shop-a' })).body.code).toBe(
        'ALREADY_EXISTS',
      );
    });

    it('takes no split while archived, and comes back with the one it had', async () => {
      const name = await create(HALVES);
      const before = await get(name);
      expect((await registry.call('POST', `/endpoints/${name}/archive`)).body.archivedAt).not.toBeNull();
      for (const answer of [
        await put(name, { arms: HALVES }),
        await rollback(name, { revision: 1 }),
        await preview(name, { arms: HALVES }),
        await registry.call('PATCH', `/endpoints/${name}`, { description: 'x' }),
      ])
        expect([answer.status, answer.body.code]).toEqual([409, 'ARCHIVED']);
      const { body } = await registry.call('POST', `/endpoints/${name}/restore`);
      expect(body).toEqual({ ...before, updatedAt: body.updatedAt });
    });
  });

  describe('model endpoints in use', () => {
    const archive = (name: string) => registry.call('POST', `/model-endpoints/${name}/archive`);

    it('cannot be archived or lose a model while a split in force generates there, also as a fallback', async () => {
      await createModelEndpoint(registry, 'spare', ['small', 'large']);
      await seedChain(registry, 'with-fallback', {
        fallbacks: [{ model: 'small', modelEndpoint: 'spare' }],
      });
      const name = await create([arm('a', 10_000), arm('b', 0, 'with-fallback@1')]);
      const refused = await archive('spare');
      expect([refused.status, refused.body.code]).toEqual([409, 'IN_USE']);
      expect(refused.body.details).toEqual({
        endpoints: [name],
        uses: [{ endpoint: name, arm: 'b', chain: 'with-fallback@1', model: 'small' }],
      });
      const path = '/model-endpoints/spare';
      const { status, body } = await registry.call('PATCH', path, { models: ['large'] });
      expect([status, body.message]).toEqual([409, expect.stringContaining(`"small" cannot go`)]);
      expect((await registry.call('PATCH', path, { models: ['small', 'new'] })).status).toBe(200);

      await put(name, { arms: [arm('a', 10_000)] });
      expect((await archive('spare')).status).toBe(200);
      const again = await rollback(name, { revision: 1 });
      expect([again.status, again.body.code]).toEqual([422, 'REFERENCE_ARCHIVED']);
    });

    it('are needed by the restore of an endpoint', async () => {
      await createModelEndpoint(registry, 'shortlived', ['m']);
      await seedChain(registry, 'short', { generate: { model: 'm', modelEndpoint: 'shortlived' } });
      const name = await create([arm('a', 10_000, 'short@1')]);
      await registry.call('POST', `/endpoints/${name}/archive`);
      expect((await archive('shortlived')).status).toBe(200);
      const restored = await registry.call('POST', `/endpoints/${name}/restore`);
      expect([restored.status, restored.body.message]).toEqual([
        422,
        expect.stringMatching(/archived; restore it/),
      ]);
      await registry.call('POST', '/model-endpoints/shortlived/restore');
      expect((await registry.call('POST', `/endpoints/${name}/restore`)).status).toBe(200);
    });

    it('must exist, and serve the model, when a split is made', async () => {
      await createModelEndpoint(registry, 'narrow', ['other']);
      await seedChain(registry, 'misfit', { generate: { model: 'm', modelEndpoint: 'narrow' } });
      await seedChain(registry, 'lost', { generate: { model: 'm', modelEndpoint: 'nowhere' } });
      const misfit = await put(await create(), { arms: [arm('a', 10_000, 'misfit@1')] });
      expect([misfit.status, misfit.body.message]).toEqual([
        422,
        expect.stringMatching(/does not serve "m"; it serves "other"/),
      ]);
      const lost = await put(await create(), { arms: [arm('a', 10_000, 'lost@1')] });
      expect([lost.status, lost.body.message]).toEqual([
        422,
        expect.stringMatching(/no model endpoint "nowhere"/),
      ]);
    });

    it('are never lost to a race: archiving against 10 splits leaves no split in force without its model endpoint', async () => {
      for (let round = 0; round < 5; round++) {
        const modelEndpoint = `racing-${round}`;
        await createModelEndpoint(registry, modelEndpoint, ['m']);
        await seedChain(registry, modelEndpoint, { generate: { model: 'm', modelEndpoint } });
        const names = await Promise.all(Array.from({ length: 10 }, () => create()));
        const [archived, ...splits] = await Promise.all([
          archive(modelEndpoint),
          ...names.map((name) => put(name, { arms: [arm('a', 10_000, `${modelEndpoint}@1`)] })),
        ]);
        const served = splits.filter(({ status }) => status === 200).length;
        // Whoever came first: with a split in force the archiving is refused, and after it the splits are.
        expect([archived.status, served]).toEqual(served > 0 ? [409, served] : [200, 0]);
      }
    });
  });

  describe('bad input', () => {
    const weights = (...list: unknown[]) => ({
      arms: list.map((weightBps, i) => ({ name: `arm-${i}`, chain: 'support@1', weightBps })),
    });
    it.each<[string, object, number, RegExp]>([
      ['no arms', {}, 400, /arms must be an array/],
      ['an empty list of arms', { arms: [] }, 400, /at least 1/],
      ['101 arms', weights(10_000, ...Array<number>(100).fill(0)), 400, /no more than 100/],
      ['weights that sum to less', weights(5000, 4999), 400, /sum to 9999 .* exactly 10000/],
      ['weights that sum to more', weights(5000, 5001), 400, /sum to 10001/],
      ['a float', weights(5000.5, 4999.5), 400, /whole number of basis points/],
      ['a negative weight', weights(10_001, -1), 400, /less than 0/],
      ['a weight as text', weights('10000'), 400, /whole number/],
      ['a weight of null', weights(null), 400, /whole number/],
      ['an arm twice', { arms: [arm('a', 5000), arm('a', 5000)] }, 400, /"a" is listed twice/],
      ['an arm that is a list', { arms: [[]] }, 400, /object with name/],
      ['an odd arm name', { arms: [arm('a b', 10_000)] }, 400, /letters, digits/],
      ['an arm name with a line break', { arms: [arm('a\nb', 10_000)] }, 400, /letters, digits/],
      ['a NUL in an arm name', { arms: [arm('a\0', 10_000)] }, 400, /NUL/],
      ['a chain without version', { arms: [arm('a', 10_000, 'support')] }, 400, /support@champion/],
      ['a chain as number', { arms: [arm('a', 10_000, 7)] }, 400, /support@champion/],
      ['a chain as list', { arms: [arm('a', 10_000, [])] }, 400, /support@champion/],
      [
        'an unknown chain',
        { arms: [arm('a', 10_000, 'nothing@1')] },
        422,
        /\/arms\/0\/chain.*no chain version/,
      ],
      [
        'an unknown version',
        { arms: [arm('a', 10_000, 'support@99')] },
        422,
        /no chain version "support@99"/,
      ],
      ['a version beyond int4', { arms: [arm('a', 10_000, 'support@99999999999')] }, 422, /no chain version/],
      ['version 0', { arms: [arm('a', 10_000, 'support@0')] }, 422, /no chain version/],
      ['an unknown alias', { arms: [arm('a', 10_000, 'support@nobody')] }, 422, /no chain version/],
      ['a salt with a space', { arms: HALVES, salt: 'a b' }, 400, /visible ASCII/],
      ['an empty salt', { arms: HALVES, salt: '' }, 400, /visible ASCII/],
      ['a salt of null', { arms: HALVES, salt: null }, 400, /visible ASCII/],
      ['an override to no arm', { arms: HALVES, overrides: [{ unit: 'u', arm: 'z' }] }, 400, /no arm "z"/],
      [
        'a unit twice',
        { arms: HALVES, overrides: [1, 2].map(() => ({ unit: 'u', arm: 'a' })) },
        400,
        /\/overrides\/1: .*twice/,
      ],
      ['an empty unit', { arms: HALVES, overrides: [{ unit: '', arm: 'a' }] }, 400, /empty/],
      [
        'a unit of 10 kB',
        { arms: HALVES, overrides: [{ unit: 'x'.repeat(10_000), arm: 'a' }] },
        400,
        /10000 bytes; the limit is 512/,
      ],
      ['a unit with NUL', { arms: HALVES, overrides: [{ unit: 'a\0', arm: 'a' }] }, 400, /NUL/],
      ['a unit as number', { arms: HALVES, overrides: [{ unit: 7, arm: 'a' }] }, 400, /must be a string/],
      ['overrides as object', { arms: HALVES, overrides: { u: 'a' } }, 400, /must be an array/],
      ['overrides of null', { arms: HALVES, overrides: null }, 400, /must be an array/],
      ['a reason of 1001 characters', { arms: HALVES, reason: 'x'.repeat(1001) }, 400, /1000/],
      ['a revision as text', { arms: HALVES, expectedRevision: '1' }, 400, /integer/],
      ['an unknown field', { arms: HALVES, colour: 'red' }, 400, /unknown field/],
      [
        'an unknown field of an arm',
        { arms: [{ ...arm('a', 10_000), x: 1 }] },
        400,
        /arms\/0\/x is an unknown/,
      ],
    ])('refuses %s and says how to mend it', async (_, request, status, message) => {
      const name = await create();
      const answer = await put(name, request);
      expect([answer.status, answer.body.message]).toEqual([status, expect.stringMatching(message)]);
      expect((await get(name)).split).toBeNull();
    });

    it.each([
      ['an unknown endpoint', 'GET', '/endpoints/nobody', undefined, 404],
      ['the split of an unknown endpoint', 'PUT', '/endpoints/nobody/split', { arms: HALVES }, 404],
      ['the splits of an unknown endpoint', 'GET', '/endpoints/nobody/splits', undefined, 404],
      ['an odd name', 'POST', '/endpoints', { name: 'a/b c' }, 400],
      ['a name that is a number', 'POST', '/endpoints', { name: 7 }, 400],
      ['an odd name in the path', 'GET', '/endpoints/..%2F%E2%82%AC', undefined, 404],
      ['a broken cursor', 'GET', '/endpoints?cursor=%25', undefined, 400],
      [
        'a cursor of another list',
        'GET',
        `/endpoints?cursor=${Buffer.from('7').toString('base64url')}`,
        undefined,
        400,
      ],
      ['a page of 0', 'GET', '/endpoints?limit=0', undefined, 400],
      ['includeArchived=maybe', 'GET', '/endpoints?includeArchived=maybe', undefined, 400],
    ])('answers a 4xx to %s', async (_, method, path, request, status) => {
      expect((await registry.call(method, path, request)).status).toBe(status);
    });

    it('answers a 4xx to odd units and revisions in the path', async () => {
      const name = await create(HALVES);
      for (const [path, status] of [
        ['assignment', 400],
        ['assignment?unit=', 400],
        ['assignment?unit=%00', 400],
        [`assignment?unit=${'x'.repeat(10_000)}`, 400],
        ['assignment?unit=a&unit=b', 400],
        ['splits/0', 400],
        ['splits/x', 400],
        ['splits/1.5', 400],
        ['splits/99999999999', 400],
        ['splits/2', 404],
        [`splits?cursor=${Buffer.from('9007199254740991').toString('base64url')}`, 200],
      ] as const)
        expect([path, (await registry.call('GET', `/endpoints/${name}/${path}`)).status]).toEqual([
          path,
          status,
        ]);
    });

    it('refuses an archived chain version, and one of an archived chain', async () => {
      const { client } = registry.database;
      await seedChain(registry, 'old');
      await client.query(
        `UPDATE version SET archived_at = now() WHERE entry_id = (SELECT id FROM entry WHERE name = 'old')`,
      );
      await seedChain(registry, 'retired');
      await client.query(`UPDATE entry SET archived_at = now() WHERE name = 'retired'`);
      for (const chain of ['old@1', 'retired@1']) {
        const { status, body } = await put(await create(), { arms: [arm('a', 10_000, chain)] });
        expect([status, body.code]).toEqual([422, 'REFERENCE_ARCHIVED']);
        expect(body.message).toMatch(/archived; name another one, or restore it/);
      }
    });

    it('refuses a chain with steps that no gateway can run yet', async () => {
      await seedChain(registry, 'stepped', { steps: { before: [{ name: 'mask', type: 'pii' }] } });
      const { status, body } = await put(await create(), { arms: [arm('a', 10_000, 'stepped@1')] });
      expect([status, body.message]).toEqual([400, expect.stringMatching(/"mask" has type "pii"/)]);
    });
  });
});
