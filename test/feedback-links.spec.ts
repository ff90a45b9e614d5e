import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { eventually, startTestGateway, type TestGateway } from './support/gateway.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { TEST_ENCRYPTION_KEYS } from './support/keys.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

describe('feedback links', () => {
  let registry: TestRegistry;
  let gateway: TestGateway;
  const soon = () => new Date(Date.now() + 3_600_000).toISOString();
  const link = async (fields: object, from = registry) => {
    const { status, body } = await from.call('POST', '/feedback-links', { expiresAt: soon(), ...fields });
    expect([status, body.message]).toEqual([201, undefined]);
    // The registry knows the gateways by CATENA_GATEWAY_URL; the one under test has a port of its own.
    expect(body.url).toMatch(/^https:\/\/llm\.example\.com\/base\/v1\/feedback\/links\//);
    return body.url.replace('https://llm.example.com/base', gateway.url) as string;
  };
  const press = (url: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  const stored = async (name: string) =>
    (
      await registry.database.client.query(
        `SELECT * FROM feedback WHERE name = $1 ORDER BY given_at, event_id`,
        [name],
      )
    ).rows;

  beforeAll(async () => {
    registry = await startTestRegistry({
      CATENA_GATEWAY_URL: 'https://llm.example.com/base/',
      CATENA_FOLLOW_INTERVAL_MS: '3600000',
    });
    gateway = await startTestGateway(registry.database.url, {
      settings: { CATENA_ALLOWED_HOSTS: 'shop.example.com' },
    });
    // From now on a key is asked for; links go without.
    await registry.call('POST', '/api-keys', { name: 'k', actions: ['invoke'] });
  });
  afterAll(async () => {
    await gateway.close();
    await registry.close();
  });

  it('let whoever holds one judge, and change their mind: the last press counts, once', async () => {
    const row = inferenceRow({ startedAt: new Date(Date.now() - 5000).toISOString() });
    await insertInferences(registry.database.client, [row]);
    const url = await link({ inferenceId: row.id, name: 'linked', kind: 'boolean', sourceId: 'customer-7' });
    for (const value of [true, false, true, true, false]) {
      const answer = await press(url, { value, comment: 'c' });
      expect(answer.status).toBe(202);
      await sleep(2);
    }
    await eventually(async () => (await stored('linked')).length === 5);
    await registry.app.get(FollowerLoop).catchUp();
    const rows = await stored('linked');
    expect(rows.map((each) => [each.number_value, each.latest])).toEqual([
      [1, false],
      [0, false],
      [1, false],
      [1, false],
      [0, true],
    ]);
    expect(rows[4]).toMatchObject({
      source: 'human',
      source_id: 'customer-7',
      comment: 'c',
      matched_inference_id: row.id,
    });
    const counting = await registry.call('GET', `/feedback?inferenceId=${row.id}&latest=true`);
    expect(counting.body.items).toHaveLength(1);
  });

  it('show a form that says what is asked, runs nothing, and changes nothing until it is sent', async () => {
    const url = await link({ unit: 'u', name: 'rating', kind: 'category', values: ['good', `<b>"bad"</b>`] });
    for (const method of ['GET', 'HEAD', 'GET']) {
      const page = await fetch(url, { method });
      expect(page.status).toBe(200);
      expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'/);
      expect(page.headers.get('cache-control')).toBe('no-store');
      const text = await page.text();
      expect(text).not.toMatch(/<b>|<script|src=/);
      if (method === 'GET') expect(text).toMatch(/<h1>rating<\/h1>[^]*&lt;b&gt;&quot;bad&quot;/);
    }
    const sent = await fetch(url, { method: 'POST', body: new URLSearchParams({ value: 'good' }) });
    expect([sent.status, await sent.text()]).toEqual([200, expect.stringContaining('Thank you')]);
    await eventually(async () => (await stored('rating')).length > 0);
    expect((await stored('rating')).map((each) => each.text_value)).toEqual(['good']);
  });

  it('are refused with the reason: changed, expired, of a key that is gone, or of another purpose', async () => {
    const url = await link({ unit: 'u', name: 'refused', kind: 'number', values: [1, 2] });
    const code = async (response: Response) => [response.status, ((await response.json()) as any).error.code];
    const [base, keyId, payload, signature] = /^(.*\/)(\w+)\.([\w-]+)\.([\w-]+)$/.exec(url)!.slice(1);
    const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify({ ...claims, u: 'other' })).toString('base64url');
    for (const token of [
      `${keyId}.${forged}.${signature}`,
      `${keyId}.${payload}.${signature}A`,
      `${keyId}.${payload}`,
      'x',
    ])
      expect(await code(await press(base + token, { value: 1 }))).toEqual([403, 'link_forged']);
    expect(await code(await press(`${base}gone.${payload}.${signature}`, { value: 1 }))).toEqual([
      403,
      'link_key_unknown',
    ]);
    const brief = await link({
      unit: 'u',
      name: 'refused',
      kind: 'number',
      expiresAt: new Date(Date.now() + 300).toISOString(),
    });
    await sleep(350);
    expect(await code(await press(brief, { value: 1 }))).toEqual([410, 'link_expired']);
    const page = await fetch(brief);
    expect([page.status, await page.text()]).toEqual([410, expect.stringMatching(/was good until/)]);
    for (const [body, message] of [
      [{ value: 3 }, /one of \[1,2\]/],
      [{ value: 'a' }, /must be a number/],
      [{ value: 1, name: 'x' }, /the link says the rest/],
      [{}, /with "value"/],
    ] as const) {
      const answer = await press(url, body);
      expect([answer.status, ((await answer.json()) as any).error.message]).toEqual([
        400,
        expect.stringMatching(message),
      ]);
    }
    expect(await stored('refused')).toEqual([]);
  });

  it('stay good when the encryption keys are rotated', async () => {
    const next = `next:${Buffer.alloc(32, 9).toString('base64')}`;
    const old = await link({ unit: 'u', name: 'rotated', kind: 'boolean' });
    const rotated = await startTestGateway(registry.database.url, {
      settings: { CATENA_ENCRYPTION_KEYS: `${next},${TEST_ENCRYPTION_KEYS}` },
    });
    expect((await press(old.replace(gateway.url, rotated.url), { value: true })).status).toBe(202);
    await rotated.close();
  });

  it('answer browsers of other origins', async () => {
    const url = await link({ unit: 'u', name: 'cors', kind: 'boolean' });
    const origin = 'https://shop.example.com';
    const preflight = await fetch(url, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
    expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type');
    for (const body of [{ value: true }, { value: 7 }])
      expect((await press(url, body, { origin })).headers.get('access-control-allow-origin')).toBe('*');
  });

  it('take only so many presses a minute', async () => {
    const url = await link({ unit: 'u', name: 'flood', kind: 'boolean' });
    const codes: number[] = [];
    for (let i = 0; i < 40; i++) codes.push((await press(url, { value: true })).status);
    expect(codes.filter((status) => status === 202).length).toBeGreaterThanOrEqual(30);
    expect(codes.at(-1)).toBe(429);
  });

  it('are made only for what makes sense', async () => {
    const good = { unit: 'u', name: 'n', kind: 'boolean', expiresAt: soon() };
    for (const [fields, path] of [
      [{ unit: undefined }, ''],
      [{ kind: undefined }, '/kind'],
      [{ values: [true] }, '/values'],
      [{ kind: 'category', values: [] }, '/values'],
      [{ expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
      [{ expiresAt: '2999-01-01T00:00:00Z' }, '/expiresAt'],
      [{ eventId: 'e' }, '/eventId'],
    ] as const) {
      const { status, body } = await registry.call('POST', '/feedback-links', { ...good, ...fields });
      expect([status, body.details?.[0].path]).toEqual([400, path]);
    }
  });
});
