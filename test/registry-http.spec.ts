import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

describe('the registry over HTTP', () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry();
  });
  afterAll(() => registry.close());

  it('is ready when the database answers', async () => {
    const response = await fetch(`${registry.url}/readyz`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
  });

  it('answers an unknown route in the shape of every error, with the request id of the caller', async () => {
    const { status, body } = await registry.call('GET', '/nothing-here', undefined, {
      'x-request-id': 'abc-1',
    });
    expect(status).toBe(404);
    expect(body).toMatchObject({ code: 'NOT_FOUND', requestId: 'abc-1' });
  });
});
