import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AnswerWriter } from '../apps/gateway/src/chat/answer-writer.js';
import { ChatRoutes } from '../apps/gateway/src/chat/chat.routes.js';
import { Exchange } from '../apps/gateway/src/chat/exchange.js';
import { Inference } from '../apps/gateway/src/chat/inference.js';
import { StreamRelay } from '../apps/gateway/src/chat/stream-relay.js';
import { AttemptPlanner } from '../apps/gateway/src/dispatch/attempt-planner.js';
import { ReplicaLanes } from '../apps/gateway/src/dispatch/replica-lanes.js';
import { UpstreamCall } from '../apps/gateway/src/dispatch/upstream-call.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const QUEUE_TIMEOUT_MS = 300;
const TOTAL_TIMEOUT_MS = 1_200;
const SLOTS = 2;

const ANSWER = '{"choices":[{"message":{"content":"x"}}]}';
const delta = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;

/** An exception that nobody catches fails the test run, so that each of these is about one guard. */
describe('a throw in the callback of', () => {
  let stack: ChatStack;
  let server: Server;
  let onRequest: (response: ServerResponse) => void;
  const restore: (() => void)[] = [];
  let thrown = 0;

  beforeAll(async () => {
    server = createServer((request, response) => {
      request.resume();
      onRequest(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    stack = await startChatStack({
      CATENA_QUEUE_TIMEOUT_MS: String(QUEUE_TIMEOUT_MS),
      CATENA_TOTAL_TIMEOUT_MS: String(TOTAL_TIMEOUT_MS),
      CATENA_TTFT_TIMEOUT_MS: String(QUEUE_TIMEOUT_MS),
    });
    await stack.rows.setModelEndpoint('own', { replicas: [own], maxConcurrencyPerReplica: SLOTS });
    const generate = { modelEndpoint: 'own', model: 'small' };
    await stack.serve('own', { generate, retry: { maxAttempts: 2, initialBackoffMs: 1 } });
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await stack.close();
  });
  afterEach(() => {
    for (const undo of restore.splice(0)) undo();
    thrown = 0;
  });

  /** The next call of the method throws, and no other. */
  function throwOnce(prototype: any, name: string): void {
    const method = prototype[name];
    const undo = () => void (prototype[name] = method);
    restore.push(undo);
    prototype[name] = () => {
      undo();
      thrown++;
      throw new Error('a bug');
    };
  }

  const ask = (text: string, more: object = {}, signal = AbortSignal.timeout(5_000)) =>
    fetch(`${stack.gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...say(text), model: 'own', ...more }),
      signal,
    });
  const answer = (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER);
  const stream = (response: ServerResponse, text: string) =>
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(text);
  const busy = () =>
    stack.gateway.gateway.app
      .get(ReplicaLanes, { strict: false })
      .find('own')!
      .replicas.reduce((sum, replica) => sum + replica.outstanding, 0);

  /** The row of the request that says so. */
  async function rowOf(text: string): Promise<any> {
    let found: any[] = [];
    await eventually(async () => {
      const query = `SELECT * FROM ${WHOLE_INFERENCE} WHERE strpos(request, $1) > 0`;
      found = (await stack.database.client.query(query, [`"${text}"`])).rows;
      return found.length > 0;
    });
    expect(found).toHaveLength(1);
    return found[0];
  }

  /** It threw; the row says so; nothing is held any more; the next request works. */
  async function expectEnded(
    text: string,
    row: object = { status: 'error', error_code: 'internal_error' },
  ): Promise<void> {
    await eventually(() => thrown === 1, 2_000);
    expect(await rowOf(text)).toMatchObject(row);
    await eventually(() => busy() === 0, 2_000);
    onRequest = answer;
    expect((await ask('afterwards')).status).toBe(200);
  }

  async function expectInternalError(asked: Promise<Response>): Promise<void> {
    const response = await asked;
    const body: any = await response.json();
    expect([response.status, body.error.code]).toEqual([500, 'internal_error']);
  }

  /** Takes all places of the replica. @returns what gives them back. */
  async function occupy(): Promise<() => Promise<void>> {
    const held: ServerResponse[] = [];
    onRequest = (response) => void held.push(response);
    const asked = Array.from({ length: SLOTS }, () => ask('occupies'));
    await eventually(() => held.length === SLOTS);
    return async () => {
      held.forEach(answer);
      for (const response of await Promise.all(asked)) expect(response.status).toBe(200);
    };
  }

  it('the opening: the caller hears of it', async () => {
    onRequest = answer;
    throwOnce(Exchange.prototype, 'attempt');
    await expectInternalError(ask('opening'));
    await expectEnded('opening');
  });

  it('a second attempt, which a timer began', async () => {
    onRequest = (response) => {
      throwOnce(Inference.prototype, 'sent');
      response.writeHead(500).end();
    };
    await expectInternalError(ask('retry'));
    await expectEnded('retry');
  });

  it('the queue, when it is one’s turn: the place that was given is given back', async () => {
    const free = await occupy();
    const waiting = ask('turn');
    await eventually(
      () => stack.gateway.gateway.app.get(ReplicaLanes, { strict: false }).find('own')!.queued === 1,
    );
    throwOnce(Inference.prototype, 'sent');
    await Promise.all([free(), expectInternalError(waiting)]);
    await expectEnded('turn');
  });

  it('the queue, when one has waited too long', async () => {
    const free = await occupy();
    throwOnce(Exchange.prototype, 'onFailure');
    await expectInternalError(ask('waited'));
    await free();
    await expectEnded('waited');
  });

  it('an attempt that failed', async () => {
    onRequest = (response) => response.destroy();
    throwOnce(AttemptPlanner.prototype, 'next');
    await expectInternalError(ask('failed'));
    await expectEnded('failed');
  });

  it('the end of a stream', async () => {
    onRequest = (response) => {
      stream(response, delta('a'));
      setTimeout(() => response.end(), 20);
    };
    throwOnce(StreamRelay.prototype, 'end');
    const text = await (await ask('end', { stream: true })).text();
    expect(text).toContain('internal_error');
    expect(text).not.toContain('[DONE]');
    await expectEnded('end');
  });

  it('a clock of a stream', async () => {
    onRequest = (response) => stream(response, ': nothing yet\n\n');
    throwOnce(UpstreamCall.prototype, 'giveUp');
    await expectInternalError(ask('clock', { stream: true }));
    await expectEnded('clock');
    const { services }: any = stack.gateway.gateway.app.get(ChatRoutes, { strict: false });
    expect(services.clocks.running).toBe(0);
  });

  it('the closing: the connection is cut, and the row is what was closed', async () => {
    onRequest = answer;
    throwOnce(AnswerWriter.prototype, 'sendAnswer');
    await expect(ask('closing')).rejects.toThrow('fetch failed'); // not: timed out
    await expectEnded('closing', { status: 'ok' });
  });

  it('the deadline', async () => {
    onRequest = (response) => stream(response, delta('a'));
    throwOnce(Exchange.prototype, 'fail');
    const text = await (await ask('deadline', { stream: true })).text();
    expect(text).toContain('internal_error');
    await expectEnded('deadline');
  });

  it('the caller’s leaving', async () => {
    const held: ServerResponse[] = [];
    onRequest = (response) => void held.push(response);
    throwOnce(Exchange.prototype, 'cancel');
    const controller = new AbortController();
    const asked = ask('leaving', {}, controller.signal);
    await eventually(() => held.length === 1);
    controller.abort();
    await expect(asked).rejects.toThrow();
    await expectEnded('leaving');
  });
});
