import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const IDLE_TIMEOUT_MS = 700;
const MB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Megabytes in use, after the garbage is gone. */
function held(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / MB;
}

describe('sizes that nobody expects', () => {
  let stack: ChatStack;
  let announcer: Server;
  beforeAll(async () => {
    stack = await startChatStack({ CATENA_IDLE_TIMEOUT_MS: String(IDLE_TIMEOUT_MS) });
    await stack.serve('huge', { generate: { modelEndpoint: 'gpu', model: 'small:fault=huge' } });
    announcer = createServer((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 200 * MB });
      response.write('{');
    });
    await new Promise<void>((resolve) => announcer.listen(0, '127.0.0.1', resolve));
    const { port } = announcer.address() as AddressInfo;
    await stack.rows.setModelEndpoint('announcer', { replicas: [`http://127.0.0.1:${port}/v1`] });
    await stack.serve('announced', { generate: { modelEndpoint: 'announcer', model: 'small' } });
  });
  afterAll(async () => {
    announcer.closeAllConnections();
    announcer.close();
    await stack.close();
  });

  it('an answer of 100 MB is refused, its row complete, and nothing of it is kept in memory', async () => {
    const ask = async () => {
      const response = await stack.post({ ...say('x'), model: 'huge' });
      expect([response.status, ((await response.json()) as any).error.code]).toEqual([
        502,
        'upstream_too_large',
      ]);
      return response.headers.get('x-catena-inference-id');
    };
    const id = await ask();
    expect(await stack.row(id)).toMatchObject({
      status: 'error',
      error_code: 'upstream_too_large',
      attempts: 1,
    });
    const before = held();
    for (let n = 0; n < 4; n++) await ask();
    await eventually(() => held() - before < 8);
  });

  it('a stream of 100 MB ends with an error event', async () => {
    const response = await stack.post({ ...say('x'), model: 'huge', stream: true });
    let bytes = 0;
    let tail = '';
    for await (const piece of response.body!) {
      bytes += piece.length;
      tail = (tail + Buffer.from(piece).toString('latin1')).slice(-1000);
    }
    expect(bytes).toBeGreaterThan(60 * MB);
    expect(bytes).toBeLessThan(70 * MB);
    expect(tail).toContain('upstream_too_large');
    expect(tail).not.toContain('[DONE]');
    const { rows } = await (async () => {
      let found: any;
      await eventually(async () => {
        found = await stack.database.client.query(
          `SELECT status, error_code, length(response) AS length FROM ${WHOLE_INFERENCE} WHERE id = $1`,
          [response.headers.get('x-catena-inference-id')],
        );
        return found.rows.length === 1;
      }, 20_000);
      return found;
    })();
    expect(rows[0]).toMatchObject({ status: 'error', error_code: 'upstream_too_large' });
    expect(rows[0].length).toBeGreaterThan(60 * MB);
  });

  it('an answer that announces 200 MB is refused before it comes', async () => {
    const response = await stack.post({ ...say('x'), model: 'announced' });
    expect([response.status, ((await response.json()) as any).error.code]).toEqual([
      502,
      'upstream_too_large',
    ]);
    expect(await stack.row(response.headers.get('x-catena-inference-id'))).toMatchObject({
      error_code: 'upstream_too_large',
    });
  });

  it('ten thousand messages are a request like any other', async () => {
    const messages = Array.from({ length: 10_000 }, (_, n) => ({
      role: n % 2 === 0 ? 'user' : 'assistant',
      content: `Message ${n}`,
    }));
    const response = await stack.post({ model: 'chat', messages });
    expect(response.status).toBe(200);
    const row = await stack.row(response.headers.get('x-catena-inference-id'));
    expect(row.status).toBe('ok');
    expect(JSON.parse(row.request).messages).toHaveLength(10_000);
  });

  it('a caller that takes one byte at a time is let go, its replica freed, and others do not notice', async () => {
    const { port } = new URL(stack.gateway.url);
    const body = JSON.stringify({ ...say('slowly'), model: 'huge', stream: true, user: 'one-byte' });
    let bytes = 0;
    let isClosed = false;
    const socket = connect({
      port: Number(port),
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.alloc(1),
        callback: () => {
          bytes++;
          setTimeout(() => socket.resume(), 100);
          return false;
        },
      },
    });
    socket.on('close', () => (isClosed = true)).on('error', () => (isClosed = true));
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await eventually(() => stack.simulator.stats().running === 1 || bytes > 0);
    const startedAt = performance.now();
    expect((await stack.post(say('Hi'))).status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(500);
    let row: any;
    await eventually(
      async () => {
        const found = await stack.database.client.query(
          `SELECT status, error_code, length(response) AS length FROM ${WHOLE_INFERENCE} WHERE unit = 'one-byte'`,
        );
        row = found.rows[0];
        return row !== undefined;
      },
      30 * IDLE_TIMEOUT_MS,
      50,
    );
    expect(row).toMatchObject({ status: 'cancelled', error_code: 'client_closed_request' });
    expect(row.length).toBeLessThan(32 * MB);
    expect(bytes).toBeLessThan(100);
    expect(stack.simulator.stats().running).toBe(0);
    socket.destroy();
    await eventually(() => isClosed);
  });
});
