import { createHash } from 'node:crypto';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const SECRET = /^ck_[0-9a-f]{8}_[A-Za-z0-9_-]{43}$/;

describe('API keys', () => {
  let registry: TestRegistry;
  const log: string[] = [];
  beforeAll(async () => {
    const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
    registry = await startTestRegistry({ CATENA_LOG_LEVEL: 'trace' }, logger);
    await registry.call('POST', '/endpoints', { name: 'support' });
  });
  afterAll(() => registry.close());

  const create = (name: string, fields: object = {}) =>
    registry.call('POST', '/api-keys', { name, actions: ['invoke'], ...fields }, { 'x-catena-actor': 'ada' });

  it('show their secret once, and nothing keeps more of it than its SHA-256', async () => {
    const made = await create('once', { team: 'support', reason: 'ticket 1' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: 'once',
      team: 'support',
      actions: ['invoke'],
      endpoints: null,
      clearance: 'internal',
      revision: 1,
      createdBy: 'ada',
      revokedAt: null,
      lastUsedAt: null,
      secret: expect.stringMatching(SECRET) as string,
    });
    const { secret, ...shown } = made.body;
    const rotated = (await registry.call('POST', '/api-keys/once/rotate', { reason: 'ticket 2' })).body;
    expect(rotated.secret).toMatch(SECRET);
    expect(rotated.secret).not.toBe(secret);
    for (const path of ['/api-keys', '/api-keys/once', '/api-keys/once/events']) {
      const { status, body } = await registry.call('GET', path);
      expect(status).toBe(200);
      expect(JSON.stringify(body)).not.toMatch(/ck_[0-9a-f]{8}_/);
    }
    expect(shown.secrets).toEqual([
      { prefix: secret.slice(0, 11), createdAt: shown.createdAt, createdBy: 'ada', expiresAt: null },
    ]);
    // In no column of no table, as text or as bytes.
    const { rows: tables } = await registry.database.client.query(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
    );
    const part = secret.slice(12);
    for (const { name } of tables) {
      const { rows } = await registry.database.client.query(`SELECT t::text AS text FROM "${name}" t`);
      for (const { text } of rows) {
        expect(text).not.toContain(part);
        expect(text).not.toContain(Buffer.from(part).toString('hex'));
      }
    }
    const { rows } = await registry.database.client.query(
      `SELECT encode(digest, 'hex') AS digest FROM api_key_secret ORDER BY id`,
    );
    expect(rows.map((row) => row.digest)).toEqual(
      [secret, rotated.secret].map((text) => createHash('sha256').update(text).digest('hex')),
    );
    expect(log.join('')).not.toContain(part);
  });

  it('keep a log of who changed them and why, which nobody can change', async () => {
    await create('audited', { reason: 'first' });
    await registry.call(
      'PATCH',
      '/api-keys/audited',
      { team: 'risk', reason: 'moved' },
      { 'x-catena-actor': 'bob' },
    );
    await registry.call('POST', '/api-keys/audited/rotate', { overlapSeconds: 60 });
    await registry.call('POST', '/api-keys/audited/revoke', { reason: 'leaked' });
    await registry.call('POST', '/api-keys/audited/revoke', { reason: 'again' });
    const { body } = await registry.call('GET', '/api-keys/audited/events');
    expect(body.items.map(({ action, actor, reason }: any) => [action, actor, reason])).toEqual([
      ['revoked', 'anonymous', 'leaked'],
      ['rotated', 'anonymous', null],
      ['changed', 'bob', 'moved'],
      ['created', 'ada', 'first'],
    ]);
    expect(body.items[2].detail).toEqual({ team: 'risk' });
    expect(body.items[1].detail).toMatchObject({ overlapSeconds: 60 });
    for (const sql of [`UPDATE access_event SET reason = 'x'`, 'DELETE FROM access_event'])
      await expect(registry.database.client.query(sql)).rejects.toThrow('append-only');
  });

  it('of before a rotation stay good for the overlap, and end at once without one', async () => {
    await create('turned');
    const first = (await registry.call('POST', '/api-keys/turned/rotate', { overlapSeconds: 3600 })).body;
    expect(first.secrets).toHaveLength(2);
    expect(first.secrets[0].expiresAt).toBeNull();
    const leftMs = Date.parse(first.secrets[1].expiresAt) - Date.now();
    expect(leftMs).toBeGreaterThan(3_590_000);
    expect(leftMs).toBeLessThanOrEqual(3_600_000);
    const second = (await registry.call('POST', '/api-keys/turned/rotate', { overlapSeconds: 0 })).body;
    expect(second.secrets).toHaveLength(1);
    // Without a body: a day.
    const third = (await registry.call('POST', '/api-keys/turned/rotate')).body;
    expect(Date.parse(third.secrets[1].expiresAt) - Date.now()).toBeGreaterThan(86_000_000);
  });

  it('are changed by compare-and-set, and not at all when they are revoked', async () => {
    await create('cas', { endpoints: ['support'], expiresAt: '2099-01-01T00:00:00Z' });
    const changed = await registry.call('PATCH', '/api-keys/cas', {
      endpoints: null,
      expiresAt: null,
      actions: ['resolve'],
      clearance: 'restricted',
      expectedRevision: 1,
    });
    expect(changed.body).toMatchObject({
      endpoints: null,
      expiresAt: null,
      actions: ['resolve'],
      clearance: 'restricted',
      revision: 2,
    });
    const stale = await registry.call('PATCH', '/api-keys/cas', { team: 'x', expectedRevision: 1 });
    expect([stale.status, stale.body.code]).toEqual([409, 'REVISION_CONFLICT']);
    await registry.call('POST', '/api-keys/cas/revoke');
    for (const [method, path] of [
      ['PATCH', '/api-keys/cas'],
      ['POST', '/api-keys/cas/rotate'],
    ] as const)
      expect((await registry.call(method, path, {})).body.code).toBe('ARCHIVED');
    expect((await create('cas')).body.code).toBe('ALREADY_EXISTS');
    const names = async (query: string) =>
      (await registry.call('GET', `/api-keys?prefix=cas${query}`)).body.items.map((key: any) => key.name);
    expect([await names(''), await names('&includeArchived=true')]).toEqual([[], ['cas']]);
  });

  it.each([
    ['no action', { actions: [] }, 'VALIDATION_FAILED'],
    ['another action', { actions: ['admin'] }, 'VALIDATION_FAILED'],
    ['no endpoint', { endpoints: [] }, 'VALIDATION_FAILED'],
    ['an endpoint that is not there', { endpoints: ['support', 'suport'] }, 'REFERENCE_NOT_FOUND'],
    ['a time that has passed', { expiresAt: '2020-01-01T00:00:00Z' }, 'VALIDATION_FAILED'],
    ['no time', { expiresAt: 'tomorrow' }, 'VALIDATION_FAILED'],
    ['a secret of its own', { secret: 'ck_mine' }, 'VALIDATION_FAILED'],
    ['another class', { clearance: 'secret' }, 'VALIDATION_FAILED'],
    ['a reason that is null', { reason: null }, 'VALIDATION_FAILED'],
    ['a name with a slash', { name: 'a/b' }, 'VALIDATION_FAILED'],
  ])('are refused with %s', async (_what, fields, code) => {
    const { status, body } = await create('bad', fields);
    expect([status >= 400 && status < 500, body.code]).toEqual([true, code]);
    expect((await registry.call('GET', '/api-keys/bad')).status).toBe(404);
  });
});

describe('limits', () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry();
    await registry.call('POST', '/endpoints', { name: 'support' });
  });
  afterAll(() => registry.close());
  const set = (fields: object) =>
    registry.call('POST', '/limits', {
      name: 'l',
      target: { kind: 'endpoint', name: 'support' },
      metric: 'tokens',
      window: 'minute',
      amount: 1000,
      ...fields,
    });

  it('are set, changed by compare-and-set, listed and removed; their log stays', async () => {
    const made = await set({ name: 'monthly', window: 'month', metric: 'costMicroUsd', reason: 'contract' });
    expect([made.status, made.body]).toEqual([
      201,
      expect.objectContaining({
        name: 'monthly',
        target: { kind: 'endpoint', name: 'support' },
        metric: 'costMicroUsd',
        window: 'month',
        amount: 1000,
        hardStop: true,
        alertPercent: 80,
        revision: 1,
      }),
    ]);
    const changed = await registry.call('PATCH', '/limits/monthly', {
      amount: 2000,
      hardStop: false,
      alertPercent: null,
      expectedRevision: 1,
    });
    expect(changed.body).toMatchObject({ amount: 2000, hardStop: false, alertPercent: null, revision: 2 });
    const stale = await registry.call('PATCH', '/limits/monthly', { amount: 1, expectedRevision: 1 });
    expect(stale.body.code).toBe('REVISION_CONFLICT');
    expect((await registry.call('GET', '/limits')).body.items).toHaveLength(1);
    expect((await registry.call('GET', '/limits/monthly/events')).body.items).toHaveLength(2);
    expect((await registry.call('DELETE', '/limits/monthly')).status).toBe(204);
    expect((await registry.call('GET', '/limits/monthly')).status).toBe(404);
    const { rows } = await registry.database.client.query(
      `SELECT action FROM access_event WHERE noun = 'usage_limit' ORDER BY id`,
    );
    expect(rows.map((row) => row.action)).toEqual(['created', 'changed', 'deleted']);
  });

  it('of a rate have no alert and always stop', async () => {
    expect((await set({ name: 'rate' })).body).toMatchObject({ hardStop: true, alertPercent: null });
    for (const fields of [{ hardStop: false }, { alertPercent: 50 }]) {
      expect((await set({ name: 'odd', ...fields })).body.code).toBe('VALIDATION_FAILED');
      expect((await registry.call('PATCH', '/limits/rate', fields)).body.code).toBe('VALIDATION_FAILED');
    }
  });

  it.each([
    ['a target that is not there', { target: { kind: 'endpoint', name: 'suport' } }, 'REFERENCE_NOT_FOUND'],
    ['a key that is not there', { target: { kind: 'apiKey', name: 'x' } }, 'REFERENCE_NOT_FOUND'],
    ['another kind of target', { target: { kind: 'planet', name: 'x' } }, 'VALIDATION_FAILED'],
    ['no target', { target: null }, 'VALIDATION_FAILED'],
    ['another metric', { metric: 'joules' }, 'VALIDATION_FAILED'],
    ['another window', { window: 'week' }, 'VALIDATION_FAILED'],
    ['a negative amount', { amount: -1 }, 'VALIDATION_FAILED'],
    ['half an amount', { amount: 1.5 }, 'VALIDATION_FAILED'],
    ['an amount beyond exact numbers', { amount: 2 ** 60 }, 'VALIDATION_FAILED'],
  ])('are refused with %s', async (_what, fields, code) => {
    const { status, body } = await set({ name: 'bad', ...fields });
    expect([status >= 400 && status < 500, body.code]).toEqual([true, code]);
  });
});

describe('the registry with an admin key', () => {
  const KEY = 'a'.repeat(40);
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry({ CATENA_ADMIN_KEY: KEY });
  });
  afterAll(() => registry.close());
  const get = (path: string, headers: Record<string, string> = {}) => fetch(registry.url + path, { headers });
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

  it.each([
    '/api/v1/endpoints',
    '/api/v1/api-keys',
    '/api/2.0/mlflow/experiments/search',
    '/ajax-api/2.0/mlflow/experiments/search',
    '//api/2.0/mlflow/experiments/search',
    '/v1/traces',
    '/nothing',
    '/docs-private',
  ])('answers %s with the key only', async (path) => {
    for (const authorization of [
      undefined,
      'Bearer',
      `Bearer ${KEY}x`,
      KEY,
      basic(KEY),
      basic('ada:wrong'),
    ]) {
      const response = await get(path, authorization === undefined ? {} : { authorization });
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer, Basic']);
      const body: any = await response.json();
      expect(path.includes('mlflow') ? body.error_code : body.code).toBe('UNAUTHENTICATED');
      expect(JSON.stringify(body)).not.toContain('wrong');
    }
    for (const authorization of [`Bearer ${KEY}`, `bearer ${KEY}`, basic(`ada:${KEY}`)])
      expect((await get(path, { authorization })).status).not.toBe(401);
  });

  it('tells everybody that it is there, and how it is spoken to', async () => {
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs'])
      expect((await get(path)).status).toBe(200);
  });
});
