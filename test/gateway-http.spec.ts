import { connect } from 'node:net';
import { Agent, request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { startTestGateway, type TestGateway } from './support/gateway.js';

describe('the gateway over HTTP', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  beforeAll(async () => {
    database = await createTestDatabase();
    gateway = await startTestGateway(database.url);
  });
  afterAll(async () => {
    await gateway.close();
    await database.drop();
  });

  it('is alive and ready, and says which snapshot it holds', async () => {
    expect((await gateway.get('/healthz')).body).toEqual({ status: 'ok' });
    expect((await gateway.get('/readyz')).body).toMatchObject({ status: 'ok', snapshot: { seq: 0 } });
  });

  it('publishes metrics about its snapshot, its database and its process', async () => {
    expect(await gateway.metric('catena_database_connected')).toBe(1);
    expect(await gateway.metric('catena_snapshot_seq')).toBe(0);
    expect(await gateway.metric('catena_snapshot_age_seconds')).toBeLessThan(5);
    expect(await gateway.metric('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
  });

  it("answers an unknown route 404 in OpenAI's error shape, with the caller's request id", async () => {
    const { status, body, headers } = await gateway.get('/v1/nothing', { 'x-request-id': 'mine-1' });
    expect(status).toBe(404);
    expect(body).toEqual({
      error: {
        message: expect.stringContaining('/v1/nothing'),
        type: 'not_found_error',
        param: null,
        code: 'unknown_route',
      },
    });
    expect(headers.get('x-request-id')).toBe('mine-1');
  });

  it('answers a wrong method 405 and says which ones there are', async () => {
    const response = await fetch(`${gateway.url}/v1/models`, { method: 'DELETE' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const prefixed = await fetch(`${gateway.url}/v1/resolve/any`, { method: 'POST', body: 'x' });
    expect([prefixed.status, prefixed.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('answers HEAD as GET without a body', async () => {
    const response = await fetch(`${gateway.url}/v1/models`, { method: 'HEAD' });
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([
      200,
      '27',
      '',
    ]);
  });

  it.each([
    ['a line that is no HTTP', 'nonsense\r\n\r\n', 400],
    ['headers of 20 kB', `GET / HTTP/1.1\r\nhost: localhost\r\nbig: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    [
      'raw UTF-8 in the target',
      'GET /v1/models?ü HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
      400,
    ],
    [
      'a broken percent escape in the path',
      'GET /v1/resolve/%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
      400,
    ],
    [
      'bytes that are no UTF-8 in the path',
      'GET /v1/resolve/%ff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
      400,
    ],
    ['a target that is no path', 'OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n', 400],
  ])('refuses %s in the error shape and lives on', async (_what, bytes, status) => {
    const answer = await raw(gateway.url, bytes);
    expect(answer.split(' ')[1]).toBe(String(status));
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({
      error: { type: 'invalid_request_error', message: expect.any(String), code: expect.any(String) },
    });
    expect((await gateway.get('/healthz')).status).toBe(200);
  });

  it('takes the absolute form of a target, as RFC 9112 demands', async () => {
    const answer = await raw(
      gateway.url,
      `GET ${gateway.url}/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });

  it('lets a request in flight end when it stops, and accepts no new one', async () => {
    const other = await startTestGateway(database.url);
    const { port } = new URL(other.url);
    // In flight: its headers are not complete when the gateway begins to stop.
    const socket = connect(Number(port), '127.0.0.1');
    socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closing = other.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.write('\r\n');
    const answer = await readAll(socket);
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
    expect(answer.toLowerCase()).toContain('connection: close');
    await closing;
    await expect(fetch(`${other.url}/healthz`)).rejects.toThrow();
  });

  it('answers on open connections for a moment when it stops, says that they close, and is not ready', async () => {
    const other = await startTestGateway(database.url);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (path: string) =>
      new Promise<[number | undefined, string | undefined, unknown]>((resolve, reject) => {
        httpRequest(other.url + path, { agent }, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => (text += part));
          response.on('end', () =>
            resolve([response.statusCode, response.headers.connection, JSON.parse(text).error?.code]),
          );
        })
          .on('error', reject)
          .end();
      });
    expect(await ask('/readyz')).toEqual([200, 'keep-alive', undefined]);
    const closing = other.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await ask('/readyz')).toEqual([503, 'close', 'stopping']);
    await closing;
    agent.destroy();
  });

  it('does not wait long for connections that never sent anything', async () => {
    const other = await startTestGateway(database.url);
    const silent = connect(Number(new URL(other.url).port), '127.0.0.1');
    silent.on('error', () => undefined);
    await new Promise((resolve) => silent.once('connect', resolve));
    await other.get('/healthz');
    const startedAt = performance.now();
    await other.close();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    silent.destroy();
  });

  it('keeps connections alive between requests', async () => {
    const answer = await new Promise<string | undefined>((resolve, reject) => {
      httpRequest(`${gateway.url}/healthz`, { headers: { connection: 'keep-alive' } }, (response) => {
        response.resume();
        resolve(String(response.headers['keep-alive']));
      })
        .on('error', reject)
        .end();
    });
    expect(answer).toBe('timeout=75');
  });
});

function raw(url: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(bytes);
  return readAll(socket);
}

function readAll(socket: ReturnType<typeof connect>): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => (text += chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}
