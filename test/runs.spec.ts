import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

describe('runs', () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry();
  });
  afterAll(() => registry.close());

  it('are created and read back', async () => {
    const created = await registry.call(
      'POST',
      '/runs',
      { name: 'nightly evaluation' },
      { 'x-catena-actor': 'ana' },
    );
    expect(created.status).toBe(201);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(created.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      experimentId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      experimentNumber: 0,
      name: 'nightly evaluation',
      status: 'RUNNING',
      startedAt: time,
      endedAt: null,
      createdAt: time,
      createdBy: 'ana',
      updatedAt: time,
      deletedAt: null,
    });
    const read = await registry.call('GET', `/runs/${created.body.id}`);
    expect([read.status, read.body]).toEqual([
      200,
      {
        ...created.body,
        metrics: {},
        params: {},
        tags: { 'mlflow.runName': 'nightly evaluation' },
        parentRunId: null,
        versions: [],
      },
    ]);
  });

  it('are listed newest first, page by page, each once', async () => {
    const ids: string[] = [];
    for (let index = 0; index < 7; index++) {
      const { body } = await registry.call('POST', '/runs', { name: `page ${index}` });
      ids.unshift(body.id);
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await registry.call('GET', `/runs?limit=3${query}`);
      expect(body.items.length).toBeLessThanOrEqual(3);
      seen.push(...body.items.map((run: { id: string }) => run.id));
      cursor = body.nextCursor;
    } while (cursor !== null);
    expect(seen.slice(0, 7)).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it.each([
    ['an empty name', { name: '' }],
    ['a long name', { name: 'x'.repeat(501) }],
    ['a number', { name: 3 }],
    ['an unknown field', { name: 'x', colour: 'red' }],
    ['a NUL byte', { name: 'a\0b' }],
  ])('refuse %s', async (_, body) => {
    const answer = await registry.call('POST', '/runs', body);
    expect([answer.status, answer.body.code]).toEqual([400, 'VALIDATION_FAILED']);
  });

  it('that do not exist are 404, and ids that are none 400', async () => {
    const missing = await registry.call('GET', '/runs/019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c');
    expect([missing.status, missing.body.code]).toEqual([404, 'NOT_FOUND']);
    const none = await registry.call('GET', '/runs/abc');
    expect([none.status, none.body.code]).toEqual([400, 'VALIDATION_FAILED']);
  });

  it('refuse a cursor they did not make', async () => {
    for (const cursor of [
      'abc',
      Buffer.from('"x"').toString('base64url'),
      Buffer.from('1').toString('base64url'),
    ]) {
      const { status, body } = await registry.call('GET', `/runs?cursor=${cursor}`);
      expect([status, body.code]).toEqual([400, 'INVALID_CURSOR']);
    }
  });
});
