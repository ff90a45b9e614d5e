import fc from 'fast-check';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bucketOf } from '../libs/core/assignment/assign.js';
import { digestOf } from '../libs/core/canonical/canonical.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually, startTestGateway, type TestGateway } from './support/gateway.js';
import { ServingRows, type VersionRow } from './support/serving-rows.js';

describe('resolve', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let rows: ServingRows;
  let one: VersionRow & { prompt: VersionRow };
  let two: VersionRow & { prompt: VersionRow };
  beforeAll(async () => {
    database = await createTestDatabase();
    rows = new ServingRows(database.client);
    const prompt = {
      type: 'chat',
      messages: [{ role: 'system', content: 'Grüezi "Ünit" 🚀' }, '{{messages}}'],
    };
    one = await rows.addChain('support', {}, prompt);
    two = await rows.addChain('support', { retry: { maxAttempts: 2 } }, prompt);
    await rows.setSplit(
      'tickets',
      [
        { name: 'control', weightBps: 6000, chain: one },
        { name: 'treatment', weightBps: 4000, chain: two },
      ],
      { salt: 'pepper', overrides: { 'vip@example.com': 'treatment', Ünit: 'treatment' } },
    );
    gateway = await startTestGateway(database.url);
  });
  afterAll(async () => {
    await gateway.close();
    await database.drop();
  });

  it('names the arm of a unit, with the chain version and digest that are pinned', async () => {
    const { status, body, headers } = await gateway.get('/v1/resolve/tickets?unit=user-1');
    const bucket = bucketOf('pepper', 'user-1');
    const chain = bucket < 6000 ? one : two;
    expect(status).toBe(200);
    expect(body).toEqual({
      endpoint: 'tickets',
      splitRevision: 1,
      bucket,
      arm: bucket < 6000 ? 'control' : 'treatment',
      assignment: 'split',
      sticky: true,
      chain: { name: 'support', version: chain.version, digest: chain.digest },
    });
    expect(headers.get('cache-control')).toBe('no-cache');
  });

  it('assigns any unit as the formula says, and every time the same', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).filter((unit) => !unit.includes('\0')),
        async (unit) => {
          const { body } = await gateway.get(`/v1/resolve/tickets?unit=${encodeURIComponent(unit)}`);
          expect(body).toMatchObject({
            bucket: bucketOf('pepper', unit),
            arm: bucketOf('pepper', unit) < 6000 ? 'control' : 'treatment',
          });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('gives an overridden unit its arm', async () => {
    for (const unit of ['vip@example.com', 'Ünit']) {
      const { body } = await gateway.get(`/v1/resolve/tickets?unit=${encodeURIComponent(unit)}`);
      expect(body).toMatchObject({ arm: 'treatment', assignment: 'override', sticky: true });
    }
  });

  it('takes the unit from the header too, and refuses two that differ', async () => {
    const header = { 'x-catena-unit': Buffer.from('Ünit').toString('latin1') };
    const byHeader = await gateway.get('/v1/resolve/tickets', header);
    expect(byHeader.body).toMatchObject({ arm: 'treatment', assignment: 'override', sticky: true });
    expect(byHeader.headers.get('vary')).toBe('x-catena-unit');
    const { body } = await gateway.get('/v1/resolve/tickets?unit=%C3%9Cnit', header);
    expect(body).toEqual(byHeader.body);
    const differ = await gateway.get('/v1/resolve/tickets?unit=user-1', header);
    expect([differ.status, differ.body.error.code]).toEqual([400, 'ambiguous_unit']);
    const bad = await gateway.get('/v1/resolve/tickets', { 'x-catena-unit': '' });
    expect([bad.status, bad.body.error.code]).toEqual([400, 'bad_unit']);
  });

  it('reads + in a unit as a space, as form encoding does', async () => {
    const { body } = await gateway.get('/v1/resolve/tickets?unit=a+b');
    expect(body.bucket).toBe(bucketOf('pepper', 'a b'));
  });

  it('draws an arm by weight without a unit, says that it is not sticky, and forbids to keep the answer', async () => {
    const arms: string[] = [];
    for (let i = 0; i < 400; i++) {
      const { body, headers } = await gateway.get('/v1/resolve/tickets');
      expect(body).toMatchObject({ assignment: 'random', sticky: false });
      expect([headers.get('cache-control'), headers.get('etag')]).toEqual(['no-store', null]);
      arms.push(body.arm);
    }
    // 400 draws of 60 %: 240 ± 9.8; five standard deviations.
    expect(Math.abs(arms.filter((arm) => arm === 'control').length - 240)).toBeLessThan(49);
  });

  it('includes the pinned chain and prompt byte for byte as they were registered', async () => {
    const response = await fetch(`${gateway.url}/v1/resolve/tickets?unit=user-1&include=config`);
    const text = await response.text();
    const chain = bucketOf('pepper', 'user-1') < 6000 ? one : two;
    expect(text).toContain(`"config":{"chain":${chain.text},"prompt":${chain.prompt.text}}`);
    expect(digestOf(chain.text)).toBe(JSON.parse(text).chain.digest);
    expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(text)));
  });

  it('answers 304 to a caller who has the answer of this snapshot, and 200 after a change', async () => {
    const path = '/v1/resolve/tickets?unit=user-1';
    const etag = (await gateway.get(path)).headers.get('etag')!;
    expect(etag).toMatch(/^"[0-9a-f-]{36}-\d+"$/);
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*'])
      expect((await gateway.get(path, { 'if-none-match': tag })).status).toBe(304);
    expect((await gateway.get(path, { 'if-none-match': '"other"' })).status).toBe(200);
    await rows.setSplit('other', [{ name: 'all', weightBps: 10_000, chain: one }]);
    await eventually(async () => (await gateway.get('/v1/resolve/other')).status === 200);
    const changed = await gateway.get(path, { 'if-none-match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
  });

  it.each([
    ['an empty unit', 'unit=', 'bad_unit', 'leave it out'],
    ['a unit without value', 'unit', 'bad_unit', 'leave it out'],
    ['a unit of 10 kB', `unit=${'x'.repeat(10_000)}`, 'bad_unit', 'limit is 512'],
    ['a NUL byte', 'unit=a%00b', 'bad_unit', 'NUL'],
    ['a broken escape', 'unit=%E0%A4%A', 'bad_percent_encoding', 'encodeURIComponent'],
    ['a unit given twice', 'unit=a&unit=b', 'repeated_parameter', 'once'],
    ['an unknown include', 'unit=a&include=all', 'bad_include', '"config"'],
    ['an unknown parameter', 'user=a', 'unknown_parameter', '"unit"'],
  ])('refuses %s with 400 and says how to mend it', async (_what, query, code, said) => {
    const { status, body } = await gateway.get(`/v1/resolve/tickets?${query}`);
    expect([status, body.error.code]).toEqual([400, code]);
    expect(body.error.message).toContain(said);
  });

  it('takes a unit of exactly 512 bytes', async () => {
    const unit = 'ü'.repeat(256);
    expect((await gateway.get(`/v1/resolve/tickets?unit=${encodeURIComponent(unit)}`)).status).toBe(200);
  });

  it.each(['nobody', '', 'a%2Fb', '__proto__', '%00'])(
    'answers 404 for the endpoint "%s" and names it',
    async (name) => {
      const { status, body } = await gateway.get(`/v1/resolve/${name}?unit=a`);
      expect([status, body.error.code]).toEqual([404, 'model_not_found']);
      expect(body.error.message).toContain(`"${decodeURIComponent(name)}"`);
    },
  );

  it('lists serving endpoints as models, so that the official client reads them', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none' });
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toContain('tickets');
    expect(ids).toEqual([...ids].sort());
    expect(await client.models.retrieve('tickets')).toEqual({
      id: 'tickets',
      object: 'model',
      created: expect.closeTo(Date.now() / 1000, -3),
      owned_by: 'catena',
    });
    await expect(client.models.retrieve('nobody')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });
});
