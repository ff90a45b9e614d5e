import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
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

  it('answers a method that a path does not have with 405, and says which it has', async () => {
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const { status, body, headers } = await registry.call(method, '/prompts');
      expect([status, headers.get('allow')], method).toEqual([405, 'GET, HEAD, POST']);
      expect(body).toMatchObject({
        code: 'METHOD_NOT_ALLOWED',
        message: expect.stringMatching(/GET, HEAD, POST/),
        requestId: expect.any(String),
      });
    }
    const unknown = await registry.call('GET', '/promts');
    expect([unknown.status, unknown.body.message]).toEqual([404, expect.stringContaining('/docs')]);
  });

  it.each(['toString', 'hasOwnProperty', 'constructor', 'valueOf'])(
    'refuses the unknown field %s, though every JavaScript object has it',
    async (field) => {
      const created = await registry.call('POST', '/prompts', { name: `unknown-${field}`, [field]: 1 });
      expect([created.status, created.body.message]).toEqual([
        400,
        expect.stringContaining(`/${field} is an unknown field`),
      ]);
      const nested = await registry.call('PUT', '/endpoints/e/split', {
        arms: [{ name: 'a', chain: 'c@1', weightBps: 10_000, [field]: 1 }],
      });
      expect([nested.status, nested.body.message]).toEqual([
        400,
        expect.stringContaining(`/arms/0/${field} is an unknown field`),
      ]);
      const query = await registry.call('GET', `/prompts?${field}=1`);
      expect(query.status).toBe(400);
    },
  );

  it('names a bad field once, in words about that field', async () => {
    const { body } = await registry.call('GET', '/prompts?limit=abc');
    expect(body.details).toEqual([{ path: '/limit', message: 'must be an integer number' }]);
    const range = await registry.call('GET', '/prompts?limit=0');
    expect(range.body.message).toBe('The request is not valid: /limit must not be less than 1.');
  });

  it('refuses a huge list of bad elements quickly and in few words', async () => {
    const replicas = Array.from({ length: 60_000 }, () => ({ a: 1, b: 2 }));
    const started = performance.now();
    const { status, body } = await registry.call('POST', '/model-endpoints', {
      name: 'huge',
      protocol: 'openai',
      models: ['m'],
      replicas,
    });
    expect(status).toBe(400);
    expect(JSON.stringify(body).length).toBeLessThan(10_000);
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  it('says what to do about a body that cannot be decompressed', async () => {
    for (const body of ['not gzip', gzipSync('{"name":"cut"}').subarray(0, 20)]) {
      const response = await fetch(`${registry.url}/api/v1/prompts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        body,
      });
      expect([response.status, await response.json()]).toEqual([
        400,
        expect.objectContaining({
          code: 'INVALID_JSON',
          message: expect.stringContaining('content-encoding'),
        }),
      ]);
    }
  });

  it.each([
    [
      'a request line that is none',
      'GET /api/v1/prompts/a b HTTP/1.1\r\nhost: x\r\n\r\n',
      400,
      'MALFORMED_REQUEST',
    ],
    ['an unknown method', 'FOO /api/v1/prompts HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    [
      'headers beyond the limit',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      431,
      'HEADERS_TOO_LARGE',
    ],
  ])(
    'answers %s, which never becomes a request, in the shape of every error',
    async (_, bytes, status, code) => {
      const answer = await sendRaw(registry.url, bytes);
      expect(answer.split('\r\n')[0]).toMatch(`HTTP/1.1 ${status} `);
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toEqual({
        code,
        message: expect.any(String),
        requestId: expect.any(String),
      });
    },
  );
});

function sendRaw(url: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    socket.on('error', reject).on('close', () => resolve(answer));
  });
}
