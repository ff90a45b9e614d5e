import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arm, EndpointTests, HALVES, moved } from './support/endpoints.js';
import { chainOf, givenModelEndpoint, givenVersion, textPrompt } from './support/entries.js';
import type { TestRegistry } from './support/registry.js';
import { seedAlias, seedChain } from './support/serving.js';

describe('splits', () => {
  let registry: TestRegistry;
  let put: EndpointTests['put'];
  let preview: EndpointTests['preview'];
  let rollback: EndpointTests['rollback'];
  let get: EndpointTests['get'];
  let assigned: EndpointTests['assigned'];
  let create: EndpointTests['create'];
  let changes: EndpointTests['changes'];
  beforeAll(async () => {
    ({ registry, put, preview, rollback, get, assigned, create, changes } = await EndpointTests.start());
  });
  afterAll(() => registry.close());

  describe('a split', () => {
    it('pins what its references mean at that moment; an alias moved later changes nothing', async () => {
      const name = await create();
      const { status, body } = await put(name, {
        arms: [arm('a', 2500, 'support@champion'), arm('b', 7500, 'support@2')],
        reason: 'first',
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        revision: 1,
        salt: expect.stringMatching(/^\S{12}$/),
        overrides: [],
        overrideCount: 0,
        movedBuckets: 0,
        rollbackOf: null,
        reason: 'first',
        createdBy: 'anonymous',
      });
      expect(
        body.arms.map((one: any) => [one.name, one.weightBps, one.chain.name, one.chain.version]),
      ).toEqual([
        ['a', 2500, 'support', 1],
        ['b', 7500, 'support', 2],
      ]);
      await seedAlias(registry, 'support', 'champion', 2);
      expect((await get(name)).split).toEqual(body);
      await seedAlias(registry, 'support', 'champion', 1);
    });

    it('serves chains registered over HTTP, pinned whatever later happens to alias and version', async () => {
      await givenModelEndpoint(registry);
      await givenVersion(registry, 'prompts', 'hello', textPrompt());
      for (const seed of [1, 2])
        await givenVersion(
          registry,
          'chains',
          'greeter',
          chainOf('hello@1', {
            generate: { modelEndpoint: 'gpu-pool', model: 'tiny', parameters: { seed } },
          }),
        );
      await registry.call('PUT', '/chains/greeter/aliases/champion', { version: 1 });
      const name = await create([arm('a', 10_000, 'greeter@champion')]);
      const before = await get(name);
      expect(before.split.arms[0].chain).toMatchObject({ name: 'greeter', version: 1 });
      expect((await registry.call('PUT', '/chains/greeter/aliases/champion', { version: 2 })).status).toBe(
        200,
      );
      expect(await get(name)).toEqual(before);
      await registry.call('POST', '/chains/greeter/archive');
      expect(await get(name)).toEqual(before);
      const refused = await put(name, { arms: [arm('a', 10_000, 'greeter@champion')] });
      expect([refused.status, refused.body.code]).toEqual([422, 'REFERENCE_ARCHIVED']);
    });

    it('accepts a chain that is already pinned, and refuses a digest that is another', async () => {
      const name = await create(HALVES);
      const { chain } = (await get(name)).split.arms[0];
      expect((await put(name, { arms: [arm('a', 10_000, chain)] })).status).toBe(200);
      const other = { ...chain, digest: `sha256:${'0'.repeat(64)}` };
      const { status, body } = await put(name, { arms: [arm('a', 10_000, other)] });
      expect([status, body.code]).toEqual([422, 'DIGEST_MISMATCH']);
    });

    it('is immutable in the database itself, arms too', async () => {
      const name = await create(HALVES);
      const before = await get(name);
      for (const statement of [
        `UPDATE split SET salt = 'x'`,
        `UPDATE split SET overrides = '{"u": "a"}'`,
        'DELETE FROM split',
        'TRUNCATE split CASCADE',
        'UPDATE arm SET weight_bps = 0',
        `UPDATE arm SET ranges = '[]'`,
        'UPDATE arm SET chain_version_id = chain_version_id',
        'DELETE FROM arm',
        'TRUNCATE arm',
      ])
        await expect(registry.database.client.query(statement)).rejects.toThrow(/append-only/);
      expect(await get(name)).toEqual(before);
    });

    it('moves exactly 2000 buckets from 50/50 to 40/40/20, only into the new arm', async () => {
      const name = await create(HALVES);
      const before = (await get(name)).split;
      const { body } = await put(name, {
        arms: [arm('a', 4000), arm('b', 4000, 'support@2'), arm('c', 2000, 'support@3')],
      });
      expect(body).toMatchObject({ revision: 2, movedBuckets: 2000, salt: before.salt });
      expect(moved(before, body)).toHaveLength(2000);
      expect(new Set(moved(before, body).map(([, to]) => to))).toEqual(new Set(['c']));
    });

    it('moves nobody when arms are reordered, or serve another version', async () => {
      const name = await create([arm('a', 3000), arm('b', 3000), arm('c', 4000)]);
      const before = (await get(name)).split;
      const { body } = await put(name, {
        arms: [arm('c', 4000, 'support@3'), arm('a', 3000), arm('b', 3000)],
      });
      expect(body.movedBuckets).toBe(0);
      expect(moved(before, body)).toEqual([]);
    });

    it('keeps its history, newest first, every revision readable as it was', async () => {
      const name = await create();
      const made = [];
      for (let i = 1; i <= 5; i++)
        made.push((await put(name, { arms: [arm('a', i), arm('b', 10_000 - i)] })).body);
      const first = (await registry.call('GET', `/endpoints/${name}/splits?limit=3`)).body;
      const second = (
        await registry.call('GET', `/endpoints/${name}/splits?limit=3&cursor=${first.nextCursor}`)
      ).body;
      const listed = [...first.items, ...second.items];
      expect(listed.map((split: any) => split.revision)).toEqual([5, 4, 3, 2, 1]);
      expect(second.nextCursor).toBeNull();
      const { overrides: _, ...summary } = made[0];
      expect(listed[4]).toEqual(summary);
      expect((await registry.call('GET', `/endpoints/${name}/splits/2`)).body).toEqual(made[1]);
    });

    it('is told to the gateways, once per revision, archive and restore', async () => {
      const name = await create();
      expect(await changes(name)).toBe(0);
      await put(name, { arms: HALVES });
      await preview(name, { arms: HALVES });
      await put(name, { arms: [arm('a', 10_001)] });
      expect(await changes(name)).toBe(1);
      await registry.call('POST', `/endpoints/${name}/archive`);
      await registry.call('POST', `/endpoints/${name}/archive`);
      expect(await changes(name)).toBe(2);
      await registry.call('POST', `/endpoints/${name}/restore`);
      expect(await changes(name)).toBe(3);
    });
  });

  describe('under concurrency', () => {
    it('20 writers that expect the same revision: exactly one wins, 19 are shown the revision in force', async () => {
      const name = await create(HALVES);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          put(name, { arms: [arm('a', 5000 - i), arm('b', 5000 + i)], expectedRevision: 1 }),
        ),
      );
      const won = answers.filter(({ status }) => status === 200);
      expect(won).toHaveLength(1);
      const lost = answers.filter(({ status }) => status === 409);
      expect(lost).toHaveLength(19);
      const { overrides: _, ...current } = won[0]!.body;
      for (const { body } of lost)
        expect([body.code, body.details]).toEqual([
          'REVISION_CONFLICT',
          { expectedRevision: 1, currentRevision: 2, current },
        ]);
    });

    it('20 writers that expect nothing: 20 consecutive revisions, each derived from the one before', async () => {
      const name = await create();
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          put(name, { arms: [arm('a', i * 500), arm('b', 10_000 - i * 500)] }),
        ),
      );
      const splits = answers.map(({ body }) => body).sort((a, b) => a.revision - b.revision);
      expect(splits.map((split) => split.revision)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
      for (let i = 1; i < 20; i++) {
        const less = (index: number) => splits[index].arms[0].weightBps;
        expect(moved(splits[i - 1], splits[i])).toHaveLength(Math.abs(less(i) - less(i - 1)));
        expect(splits[i].movedBuckets).toBe(Math.abs(less(i) - less(i - 1)));
      }
    });

    it('the first split may be expected to be the first', async () => {
      const name = await create();
      expect((await put(name, { arms: HALVES, expectedRevision: 0 })).status).toBe(200);
      expect((await put(name, { arms: HALVES, expectedRevision: 0 })).status).toBe(409);
    });
  });

  describe('a preview', () => {
    it.each([
      ['a new arm', [arm('a', 4000), arm('b', 4000, 'support@2'), arm('c', 2000)]],
      ['an arm that goes', [arm('b', 10_000, 'support@2')]],
      ['all new arms', [arm('x', 1), arm('y', 9999)]],
      ['other versions', [arm('a', 5000, 'support@3'), arm('b', 5000, 'support@2')]],
    ])('says what then happens, and changes nothing: %s', async (_, arms) => {
      const name = await create(HALVES);
      const before = await get(name);
      const request = { arms, overrides: [{ unit: 'u', arm: arms[0]!.name }] };
      const said = await preview(name, request);
      expect(said.status).toBe(200);
      expect(await get(name)).toEqual(before);
      const { body } = await put(name, request);
      expect(said.body.arms).toEqual(body.arms);
      expect(said.body.movedBuckets).toBe(body.movedBuckets);
      expect(said.body.unchangedShare).toBe(1 - body.movedBuckets / 10_000);
      const listed = said.body.movements.flatMap(({ from, to, buckets }: any) =>
        Array<string>(buckets).fill(`${from},${to}`),
      );
      const happened = moved(before.split, body);
      expect(listed.sort()).toEqual(happened.map(String).sort());
      expect(said.body.overrideChanges).toEqual([{ unit: 'u', from: null, to: arms[0]!.name }]);
    });

    it('names the arms that keep their units but serve them another version', async () => {
      const name = await create(HALVES);
      const { body } = await preview(name, { arms: [arm('a', 5000, 'support@3'), HALVES[1]!] });
      expect(body.movements).toEqual([]);
      expect(body.versionChanges).toMatchObject([{ arm: 'a', from: { version: 1 }, to: { version: 3 } }]);
    });

    it('of a new salt gives the expected share, which is what happens to units', async () => {
      const name = await create(HALVES);
      const units = Array.from({ length: 60 }, (_, i) => `user-${i}`);
      const before = await Promise.all(units.map((unit) => assigned(name, unit)));
      const request = { arms: HALVES, salt: 'reshuffle' };
      const { body } = await preview(name, request);
      expect(body).toMatchObject({
        saltChanged: true,
        movements: [],
        movedBuckets: 5000,
        unchangedShare: 0.5,
        note: expect.stringMatching(/hash/),
      });
      expect((await put(name, request)).body).toMatchObject({ movedBuckets: 5000, salt: 'reshuffle' });
      const after = await Promise.all(units.map((unit) => assigned(name, unit)));
      const movedUnits = before.filter(({ arm: was }, i) => was !== after[i].arm).length;
      expect(movedUnits).toBeGreaterThan(10);
      expect(movedUnits).toBeLessThan(50);
    });

    it('of a first split moves nobody and draws no salt', async () => {
      const name = await create();
      expect((await preview(name, { arms: HALVES })).body).toMatchObject({
        currentRevision: 0,
        salt: null,
        saltChanged: false,
        movedBuckets: 0,
        unchangedShare: 1,
        movements: [
          { from: null, to: 'a', buckets: 5000, share: 0.5, ranges: [[0, 5000]] },
          { from: null, to: 'b', buckets: 5000, share: 0.5, ranges: [[5000, 10_000]] },
        ],
      });
    });

    it('refuses what the PUT refuses', async () => {
      const name = await create(HALVES);
      expect((await preview(name, { arms: [arm('a', 1)] })).status).toBe(400);
      expect((await preview(name, { arms: HALVES, expectedRevision: 7 })).status).toBe(409);
    });
  });

  describe('a rollback', () => {
    it('is a new revision that returns every unit to the arm it had, overrides and salt included', async () => {
      const name = await create();
      await put(name, { arms: HALVES, overrides: [{ unit: 'vip', arm: 'b' }] });
      const units = ['vip', ...Array.from({ length: 40 }, (_, i) => `user-${i}`)];
      const before = await Promise.all(units.map((unit) => assigned(name, unit)));
      await put(name, { arms: [arm('x', 9000), arm('a', 1000)], salt: 'other', overrides: [] });
      await put(name, { arms: [arm('b', 10_000, 'support@3')] });
      const { status, body } = await rollback(name, {
        revision: 1,
        reason: 'x was worse',
        expectedRevision: 3,
      });
      expect([status, body.revision, body.rollbackOf, body.reason]).toEqual([200, 4, 1, 'x was worse']);
      const first = (await registry.call('GET', `/endpoints/${name}/splits/1`)).body;
      for (const field of ['arms', 'salt', 'overrides']) expect(body[field]).toEqual(first[field]);
      const after = await Promise.all(units.map((unit) => assigned(name, unit)));
      expect(after).toEqual(before.map((one) => ({ ...one, splitRevision: 4 })));
    });

    it('is refused for a revision that never was, or against another revision than expected', async () => {
      const name = await create(HALVES);
      const missing = await rollback(name, { revision: 2 });
      expect([missing.status, missing.body.message]).toEqual([404, expect.stringMatching(/last is 1/)]);
      expect((await rollback(name, { revision: 1, expectedRevision: 5 })).status).toBe(409);
      expect((await rollback(name, { revision: 0 })).status).toBe(400);
    });

    it('is refused when a chain version of that revision has been archived since', async () => {
      await seedChain(registry, 'fleeting');
      const name = await create([arm('a', 10_000, 'fleeting@1')]);
      await put(name, { arms: HALVES });
      await registry.database.client.query(
        `UPDATE version SET archived_at = now() WHERE entry_id = (SELECT id FROM entry WHERE name = 'fleeting')`,
      );
      const { status, body } = await rollback(name, { revision: 1 });
      expect([status, body.code]).toEqual([422, 'REFERENCE_ARCHIVED']);
      expect((await get(name)).split.revision).toBe(2);
    });
  });

  describe('overrides', () => {
    it('pin a unit to an arm whatever its bucket, a weight of zero included', async () => {
      const name = await create();
      await put(name, {
        arms: [arm('a', 10_000), arm('test', 0, 'support@3')],
        overrides: [{ unit: 'tester', arm: 'test' }],
      });
      expect(await assigned(name, 'tester')).toMatchObject({
        arm: 'test',
        assignment: 'override',
        chain: { version: 3 },
      });
      expect(await assigned(name, 'someone')).toMatchObject({ arm: 'a', assignment: 'split' });
    });

    it('stay when they are not sent, except those of arms that are gone; an empty list clears them', async () => {
      const name = await create();
      const overrides = [
        { unit: '__proto__', arm: 'a' },
        { unit: 'é"\\', arm: 'b' },
        { unit: 'user', arm: 'b' },
      ];
      expect((await put(name, { arms: HALVES, overrides })).body.overrides).toEqual(
        [...overrides].sort((x, y) => (x.unit < y.unit ? -1 : 1)),
      );
      const withoutB = { arms: [arm('a', 5000), arm('c', 5000)] };
      expect((await preview(name, withoutB)).body.overrideChanges).toEqual([
        { unit: 'user', from: 'b', to: null },
        { unit: 'é"\\', from: 'b', to: null },
      ]);
      expect((await put(name, withoutB)).body.overrides).toEqual([{ unit: '__proto__', arm: 'a' }]);
      expect(await assigned(name, '__proto__')).toMatchObject({ arm: 'a', assignment: 'override' });
      expect((await put(name, { ...withoutB, overrides: [] })).body.overrides).toEqual([]);
    });

    it('may be 10 000, not one more', async () => {
      const name = await create();
      const overrides = Array.from({ length: 10_001 }, (_, i) => ({ unit: `user-${i}`, arm: 'a' }));
      expect((await put(name, { arms: HALVES, overrides })).status).toBe(400);
      const { status, body } = await put(name, { arms: HALVES, overrides: overrides.slice(1) });
      expect([status, body.overrideCount, body.overrides.length]).toEqual([200, 10_000, 10_000]);
    });
  });
});
