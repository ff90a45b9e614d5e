import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';
import { createModelEndpoint, seedAlias, seedChain } from './support/serving.js';

const arm = (name: string, weightBps: number, chain: unknown = 'support@1') => ({ name, chain, weightBps });
const HALVES = [arm('a', 5000), arm('b', 5000, 'support@2')];

describe('serving endpoints and splits', () => {
  let registry: TestRegistry;
  let count = 0;
  const put = (name: string, body: object) => registry.call('PUT', `/endpoints/${name}/split`, body);
  const preview = (name: string, body: object) =>
    registry.call('POST', `/endpoints/${name}/split/preview`, body);
  const rollback = (name: string, body: object) =>
    registry.call('POST', `/endpoints/${name}/split/rollback`, body);
  const get = async (name: string) => (await registry.call('GET', `/endpoints/${name}`)).body;
  const assigned = async (name: string, unit: string) =>
    (await registry.call('GET', `/endpoints/${name}/assignment?unit=${encodeURIComponent(unit)}`)).body;

  async function create(arms?: object[]): Promise<string> {
    const name = `endpoint-${++count}`;
    expect((await registry.call('POST', '/endpoints', { name })).status).toBe(201);
    if (arms) expect((await put(name, { arms })).status).toBe(200);
    return name;
  }

  async function changes(name: string): Promise<number> {
    const { rows } = await registry.database.client.query(
      `SELECT count(*)::integer AS n FROM change c JOIN endpoint e ON e.id = c.noun_id
        WHERE c.noun = 'endpoint' AND e.name = $1`,
      [name],
    );
    return rows[0].n;
  }

  /** Owner of every bucket. */
  function owners(split: any): string[] {
    const found = Array<string>(10_000).fill('');
    for (const { name, ranges } of split.arms)
      for (const [start, end] of ranges) found.fill(name, start, end);
    return found;
  }
  const moved = (before: any, after: any) => {
    const [was, is] = [owners(before), owners(after)];
    return was.map((owner, bucket) => [owner, is[bucket]!] as const).filter(([from, to]) => from !== to);
  };

  beforeAll(async () => {
    registry = await startTestRegistry();
    await createModelEndpoint(registry, 'gpu');
    for (let i = 0; i < 3; i++) await seedChain(registry, 'support');
    await seedAlias(registry, 'support', 'champion', 1);
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
});
