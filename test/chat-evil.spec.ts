import { createServer, request as httpRequest, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AnswerWriter } from '../apps/gateway/src/chat/answer-writer.js';
import { ReplicaLanes } from '../apps/gateway/src/dispatch/replica-lanes.js';
import { HttpServer } from '../apps/gateway/src/http/http-server.js';
import { SpoolService } from '../apps/gateway/src/spool/spool.service.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';

const IDLE_TIMEOUT_MS = 700;
const DONE = 'data: [DONE]\n\n';

const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const chunk = (...choices: unknown[]) =>
  event({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices });
const delta = (content: string, finish: string | null = null, index = 0) =>
  chunk({ index, delta: { content }, finish_reason: finish });
const usage = event({ id: 'c', choices: [], usage: { prompt_tokens: 5, completion_tokens: 2 } });
const nested = (levels: number) => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);

describe('a model endpoint or a caller that means harm', () => {
  let stack: ChatStack;
  let server: Server;
  let baseUrl: string;
  let onRequest: (response: ServerResponse, headers: Record<string, any>) => void;

  beforeAll(async () => {
    server = createServer((request, response) => {
      request.resume();
      onRequest(response, request.headers);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    stack = await startChatStack({ CATENA_IDLE_TIMEOUT_MS: String(IDLE_TIMEOUT_MS) });
    await stack.rows.setModelEndpoint('evil', { replicas: [baseUrl], maxConcurrencyPerReplica: 4 });
    const generate = { modelEndpoint: 'evil', model: 'small' };
    await stack.serve('evil', { generate });
    await stack.serve('evil-with-fallback', {
      generate,
      fallbacks: [{ modelEndpoint: 'gpu', model: 'small' }],
    });
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await stack.close();
  });

  const idOf = (response: Response) => response.headers.get('x-catena-inference-id');
  const codeOf = async (response: Response) => ((await response.json()) as any).error.code;
  const streams = (text: string) => (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(text);
  const answers = (body: string) => (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  const ask = (more: object = {}) => stack.post({ ...say('x'), model: 'evil', ...more });
  const lanes = () => stack.gateway.gateway.app.get(ReplicaLanes, { strict: false });
  const busy = () =>
    lanes()
      .find('evil')!
      .replicas.reduce((sum, replica) => sum + replica.outstanding, 0);

  describe('sends what should break the gateway', () => {
    it.each([
      [
        'a delta',
        '{"id":"c","choices":[{"index":0,"delta":{"__proto__":{"polluted":"yes"},"content":"a"}}]}',
      ],
      [
        'a tool call',
        '{"id":"c","choices":[{"index":0,"delta":{"content":"a","tool_calls":[{"index":0,"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}}]}}]}',
      ],
      [
        'log probabilities',
        '{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"__proto__":{"polluted":"yes"}}}]}',
      ],
    ])('keeps its own objects clean of a prototype in %s', async (_where, data) => {
      onRequest = streams(event(data) + delta('b', 'stop') + DONE);
      const response = await ask({ stream: true });
      expect(await response.text()).toContain('[DONE]');
      expect(({} as any).polluted).toBeUndefined();
      const row = await stack.row(idOf(response));
      expect(row.status).toBe('ok');
      expect(JSON.parse(row.response).choices[0].message.content).toBe('ab');
    });

    it.each([600, 6000])('refuses a chunk nested %i levels deep', async (levels) => {
      onRequest = streams(
        delta('a') +
          event(`{"id":"c","choices":[{"index":0,"delta":{"x":${nested(levels)}}}]}`) +
          delta('b', 'stop') +
          DONE,
      );
      const response = await ask({ stream: true });
      const text = await response.text();
      expect(text).toContain('upstream_malformed');
      expect(text).not.toContain('[DONE]');
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: 'upstream_malformed',
      });
    });

    it.each([600, 6000])('refuses an answer nested %i levels deep', async (levels) => {
      onRequest = answers(`{"choices":[{"message":{"content":"x"}}],"deep":${nested(levels)}}`);
      const response = await ask();
      expect([response.status, await codeOf(response)]).toEqual([502, 'upstream_malformed']);
      expect(await stack.row(idOf(response))).toMatchObject({ status: 'error' });
    });

    it('survives an error nested deeply', async () => {
      onRequest = answers(`{"detail":${nested(9000)}}`);
      const response = await ask();
      expect([response.status, await codeOf(response)]).toEqual([502, 'upstream_malformed']);
    });
  });

  it.each([513, 4387, 20_000])('refuses a request nested %i levels deep with 400', async (levels) => {
    onRequest = (response) => response.destroy();
    const body = `{"model":"evil-with-fallback","messages":[],"deep":${nested(levels)}}`;
    const response = await stack.post(body);
    expect([response.status, await codeOf(response)]).toEqual([400, 'nested_too_deeply']);
    const wide = { wide: Array.from({ length: 2000 }, () => ({ a: [1] })) };
    onRequest = answers('{"choices":[{"message":{"content":"x"}}]}');
    expect((await ask(wide)).status).toBe(200);
  });

  describe('a fault of the gateway itself', () => {
    it('ends a request whose callback throws as internal_error, and the next request works', async () => {
      const { spool }: any = stack.gateway.gateway.app.get(SpoolService, { strict: false });
      const close = spool.close;
      let thrown = 0;
      spool.close = (...args: unknown[]) => {
        spool.close = close;
        thrown++;
        throw new Error(`a bug ${String(args.length)}`);
      };
      onRequest = answers('{"choices":[{"message":{"content":"x"}}]}');
      const response = await ask();
      expect(thrown).toBe(1);
      expect([response.status, await codeOf(response)]).toEqual([500, 'internal_error']);
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: 'internal_error',
        attempts: 1,
      });
      expect((await ask()).status).toBe(200);
      expect(busy()).toBe(0);
    });

    it('ends a stream whose callback throws with an error event', async () => {
      const begin = AnswerWriter.prototype.beginStream;
      AnswerWriter.prototype.beginStream = function (this: AnswerWriter) {
        AnswerWriter.prototype.beginStream = begin;
        begin.call(this);
        throw new Error('a bug');
      };
      onRequest = streams(delta('a') + delta('b', 'stop') + DONE);
      const response = await ask({ stream: true });
      const text = await response.text();
      expect(text).toContain('internal_error');
      expect(text).not.toContain('[DONE]');
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: 'internal_error',
      });
      expect(busy()).toBe(0);
    });
  });

  describe('ends an answer early', () => {
    it.each<[string, string, object]>([
      ['closes after one of two choices', delta('a', 'stop'), { n: 2 }],
      ['says [DONE] in the middle of a choice', delta('a') + DONE, {}],
    ])('and %s: the caller gets an error event and no [DONE]', async (_what, sent, more) => {
      onRequest = streams(sent);
      const response = await ask({ stream: true, ...more });
      const text = await response.text();
      expect(text).toContain('upstream_stream_interrupted');
      expect(text).not.toContain('[DONE]');
      const row = await stack.row(idOf(response));
      expect(row).toMatchObject({ status: 'error', error_code: 'upstream_stream_interrupted' });
      expect(JSON.parse(row.response).choices[0].message.content).toBe('a');
    });

    it.each<[string, string]>([
      ['only [DONE]', DONE],
      ['a role and [DONE]', chunk({ index: 0, delta: { role: 'assistant' } }) + DONE],
      ['usage and [DONE]', usage + DONE],
    ])('with %s: there was no answer, so the fallback runs', async (_what, sent) => {
      onRequest = streams(sent);
      const refused = await ask({ stream: true });
      expect(refused.status).toBe(502);
      expect(await codeOf(refused)).toMatch(/^upstream_(malformed|stream_interrupted)$/);
      const response = await ask({ stream: true, model: 'evil-with-fallback' });
      expect(await response.text()).toContain('[DONE]');
      expect(await stack.row(idOf(response))).toMatchObject({ status: 'ok', model_endpoint: 'gpu' });
    });

    it.each<[string, string, string]>([
      ['no choice', '{"choices":[]}', 'upstream_malformed'],
      ['a choice that is null', '{"choices":[null]}', 'upstream_malformed'],
      [
        'choices and an error',
        '{"choices":[{"message":{"content":"x"}}],"error":{"message":"out of memory"}}',
        'upstream_error',
      ],
    ])('with %s in one piece', async (_what, body, code) => {
      onRequest = answers(body);
      const response = await ask();
      expect([response.status, await codeOf(response)]).toEqual([502, code]);
      expect(await stack.row(idOf(response))).toMatchObject({ status: 'error', error_code: code });
    });

    it('takes an end without [DONE] for complete when every choice asked for has ended', async () => {
      onRequest = streams(delta('a', 'stop', 0) + delta('b', 'stop', 1));
      const response = await ask({ stream: true, n: 2 });
      expect(await response.text()).toMatch(/data: \[DONE\]\n\n$/);
      expect(await stack.row(idOf(response))).toMatchObject({ status: 'ok' });
    });
  });

  it('passes over events of other names, unless they are errors', async () => {
    const ping = 'event: ping\ndata: {"type":"ping"}\n\n';
    onRequest = streams(ping + delta('a') + ping + delta('b', 'stop') + DONE);
    const response = await ask({ stream: true });
    const text = await response.text();
    expect(text).toBe(delta('a') + delta('b', 'stop') + DONE);
    onRequest = streams(`${delta('a')}event: error\ndata: {"message":"boom"}\n\n`);
    expect(await (await ask({ stream: true })).text()).toContain('upstream_malformed');
  });

  describe('tells callers nothing of the inside', () => {
    it.each<[number, boolean]>([
      [401, false],
      [403, false],
      [404, true],
      [500, true],
    ])('of a %i names the model endpoint, not its address', async (status, told) => {
      onRequest = (response) =>
        response
          .writeHead(status)
          .end(JSON.stringify({ error: { message: `Incorrect key: sk-ab***yz at ${baseUrl}` } }));
      const response = await ask();
      const { error } = (await response.json()) as any;
      expect(error.message).toContain('"evil"');
      expect(error.message).not.toContain('127.0.0.1');
      expect(error.message.includes('sk-ab')).toBe(told);
      const row = await stack.row(idOf(response));
      expect(row.error_message).toContain(baseUrl);
      expect(row.error_message).toContain('sk-ab');
    });
  });

  it('sends the credential of the replica, and prices by it, also when both change in the middle of a request', async () => {
    const seen: unknown[] = [];
    const first = createServer((request, response) => {
      request.resume();
      seen.push(['first', request.headers.authorization]);
      void stack.database.client
        .query(
          `UPDATE model_endpoint SET input_micro_usd_per_million_tokens = 2000000,
             output_micro_usd_per_million_tokens = 4000000 WHERE name = 'moving'`,
        )
        .then(() => stack.rows.setModelEndpoint('moving', { replicas: [baseUrl], credential: 'sk-new' }))
        .then(() => eventually(() => lanes().find('moving')!.replicas[0]!.baseUrl === baseUrl))
        .then(() => response.writeHead(500).end());
    });
    await new Promise<void>((resolve) => first.listen(0, '127.0.0.1', resolve));
    const { port } = first.address() as AddressInfo;
    await stack.rows.setModelEndpoint('moving', {
      replicas: [`http://127.0.0.1:${port}/v1`],
      credential: 'sk-old',
    });
    await stack.serve('moving', {
      generate: { modelEndpoint: 'moving', model: 'small' },
      retry: { maxAttempts: 2, initialBackoffMs: 1 },
    });
    onRequest = (response, headers) => {
      seen.push(['second', headers['authorization']]);
      answers(
        '{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":100,"completion_tokens":10}}',
      )(response);
    };
    const response = await ask({ model: 'moving' });
    expect(response.status).toBe(200);
    expect(await stack.row(idOf(response))).toMatchObject({ attempts: 2, cost_micro_usd: 240 });
    expect(seen).toEqual([
      ['first', 'Bearer sk-old'],
      ['second', 'Bearer sk-new'],
    ]);
    first.closeAllConnections();
    first.close();
  });

  it('names in the row what ran, not a fallback that never did', async () => {
    await stack.serve('evil-then-gone', {
      generate: { modelEndpoint: 'evil', model: 'small' },
      fallbacks: [{ modelEndpoint: 'nowhere', model: 'other' }],
    });
    onRequest = (response) => response.writeHead(500).end();
    const response = await ask({ model: 'evil-then-gone' });
    expect(response.status).toBe(503);
    const row = await stack.row(idOf(response));
    expect(row).toMatchObject({ attempts: 1, model_endpoint: 'evil', model: 'small', replica: baseUrl });
    expect(JSON.parse(row.request).model).toBe('small');
  });

  it('refuses an opening that cannot be spooled without naming a row, and counts it', async () => {
    const { spool }: any = stack.gateway.gateway.app.get(SpoolService, { strict: false });
    const { writer } = spool;
    writer.append = (...args: any[]) => {
      delete writer.append;
      setImmediate(() => args.at(-1).failed(new Error('no space')));
    };
    const response = await ask();
    expect([response.status, await codeOf(response)]).toEqual([503, 'spool_full']);
    expect(idOf(response)).toBeNull();
    expect(response.headers.get('x-request-id')).toBeTruthy();
    expect(await stack.gateway.metric('catena_requests_refused_total{code="spool_full"}')).toBe(1);
  });

  it('says 415 to a body it would have to unpack', async () => {
    const response = await fetch(`${stack.gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: gzipSync(JSON.stringify(say('x'))),
    });
    expect([response.status, await codeOf(response)]).toEqual([415, 'unsupported_encoding']);
  });

  describe('a place at the replica', () => {
    it('is free again though the replica keeps the connection open after [DONE]', async () => {
      let closed = false;
      onRequest = (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(delta('a', 'stop') + DONE);
        const timer = setInterval(() => response.write(': alive\n\n'), 50);
        response.on('close', () => {
          clearInterval(timer);
          closed = true;
        });
      };
      const response = await ask({ stream: true });
      expect(await response.text()).toContain('[DONE]');
      await eventually(() => closed && busy() === 0, 4000);
    });

    it('is free again, and the connection of the caller closed, when the caller stops reading', async () => {
      const piece = delta('x'.repeat(60_000));
      onRequest = (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        const more = () => {
          while (!response.destroyed) if (!response.write(piece)) return void response.once('drain', more);
        };
        more();
      };
      let id = '';
      let cut = false;
      const request = httpRequest(
        `${stack.gateway.url}/v1/chat/completions`,
        { method: 'POST' },
        (response) => {
          id = String(response.headers['x-catena-inference-id']);
          response.on('error', () => (cut = true)).on('close', () => (cut = true));
          response.pause();
        },
      ).on('error', () => (cut = true));
      request.end(JSON.stringify({ ...say('slow'), model: 'evil', stream: true }));
      await eventually(() => id !== '');
      await eventually(() => busy() === 0, 4 * IDLE_TIMEOUT_MS, 20);
      expect(await stack.row(id)).toMatchObject({ status: 'cancelled', error_code: 'client_closed_request' });
      request.destroy();
      await eventually(() => cut);
    });

    it('is free again when the caller never reads an answer whose end has come', async () => {
      onRequest = streams(
        Array.from({ length: 100 }, () => delta('x'.repeat(60_000))).join('') + delta('', 'stop') + DONE,
      );
      let id = '';
      const request = httpRequest(
        `${stack.gateway.url}/v1/chat/completions`,
        { method: 'POST' },
        (response) => {
          id = String(response.headers['x-catena-inference-id']);
          response.on('error', () => undefined);
          response.pause();
        },
      ).on('error', () => undefined);
      request.end(JSON.stringify({ ...say('slow'), model: 'evil', stream: true }));
      await eventually(() => id !== '');
      await eventually(() => busy() === 0, 4 * IDLE_TIMEOUT_MS, 20);
      const { sockets }: any = stack.gateway.gateway.app.get(HttpServer, { strict: false });
      request.socket!.pause();
      await eventually(
        () => [...sockets].every((socket: any) => socket.writableLength === 0),
        4 * IDLE_TIMEOUT_MS,
        20,
      );
      await sleep(1);
      request.destroy();
    });
  });
});
