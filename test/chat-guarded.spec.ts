import { request as httpRequest } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AnswerWriter } from '../apps/gateway/src/chat/answer-writer.js';
import { ChatRoutes } from '../apps/gateway/src/chat/chat.routes.js';
import { StreamRelay } from '../apps/gateway/src/chat/stream-relay.js';
import { AttemptPlanner } from '../apps/gateway/src/dispatch/attempt-planner.js';
import { DrainRate } from '../apps/gateway/src/dispatch/drain-rate.js';
import { ReplicaLane } from '../apps/gateway/src/dispatch/replica-lane.js';
import { ReplicaLanes } from '../apps/gateway/src/dispatch/replica-lanes.js';
import { UpstreamCall } from '../apps/gateway/src/dispatch/upstream-call.js';
import { UpstreamFailure } from '../apps/gateway/src/dispatch/upstream-failure.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';

/** Makes one call of a method throw: the first, or the one after so many. @returns how often it has thrown. */
function breakOnce(prototype: any, name: string, after = 0): () => number {
  const method = prototype[name];
  let calls = 0;
  let thrown = 0;
  prototype[name] = function (this: unknown, ...args: unknown[]) {
    if (calls++ < after) return method.apply(this, args);
    prototype[name] = method;
    thrown++;
    throw new Error(`a bug in ${name}`);
  };
  return () => thrown;
}

describe('a bug in a callback that nobody waits for', () => {
  let stack: ChatStack;
  beforeAll(async () => {
    stack = await startChatStack(
      {
        CATENA_TTFT_TIMEOUT_MS: '200',
        CATENA_QUEUE_TIMEOUT_MS: '200',
        CATENA_TOTAL_TIMEOUT_MS: '1500',
      },
      { answerTokens: 20 },
    );
    const replicas = [`${stack.simulator.url}/v1`];
    await stack.rows.setModelEndpoint('one', {
      replicas,
      credential: 'sk-model-endpoint',
      maxConcurrencyPerReplica: 1,
    });
    const models = {
      failing: 'reset',
      'failing-once': 'http-500;times=1',
      ending: 'end-mid-stream;after=0',
      silent: 'stall-mid-stream;after=0',
      stalling: 'stall',
      slow: 'stall;ms=400',
      held: 'stall-mid-stream;after=3',
    };
    for (const [name, fault] of Object.entries(models))
      await stack.serve(name, {
        generate: { modelEndpoint: 'one', model: `small:fault=${fault}` },
        ...(name === 'failing-once' && { retry: { maxAttempts: 2, initialBackoffMs: 20 } }),
      });
    await stack.serve('well', { generate: { modelEndpoint: 'one', model: 'small' } });
  });
  afterAll(() => stack.close());

  /** No place, no ticket and no clock is left behind, and the next request is answered. */
  afterEach(async () => {
    const { app } = stack.gateway.gateway;
    const lane = app.get(ReplicaLanes, { strict: false }).find('one')!;
    const { services }: any = app.get(ChatRoutes, { strict: false });
    await eventually(
      () => lane.replicas[0]!.outstanding === 0 && lane.queued === 0 && services.clocks.running === 0,
    );
    expect((await stack.post({ ...say('Hi'), model: 'well' })).status).toBe(200);
  });

  const ask = (model: string, more: object = {}) => stack.post({ ...say('Hi'), model, ...more });
  async function expectInternalError(response: Response) {
    expect([response.status, ((await response.json()) as any).error.code]).toEqual([500, 'internal_error']);
    expect(await stack.row(response.headers.get('x-catena-inference-id'))).toMatchObject({
      status: 'error',
      error_code: 'internal_error',
    });
  }

  it('an attempt fails', async () => {
    const thrown = breakOnce(AttemptPlanner.prototype, 'next');
    await expectInternalError(await ask('failing'));
    expect(thrown()).toBe(1);
  });

  it('a stream ends', async () => {
    const thrown = breakOnce(StreamRelay.prototype, 'end');
    await expectInternalError(await ask('ending', { stream: true }));
    expect(thrown()).toBe(1);
  });

  it('a clock of a stream runs out', async () => {
    const thrown = breakOnce(UpstreamCall.prototype, 'giveUp');
    await expectInternalError(await ask('silent', { stream: true }));
    expect(thrown()).toBe(1);
  });

  it('the total time is over', async () => {
    const thrown = breakOnce(UpstreamFailure.prototype, 'toError');
    await expectInternalError(await ask('stalling'));
    expect(thrown()).toBe(1);
  });

  it('the wait before a retry is over', async () => {
    const thrown = breakOnce(ReplicaLane.prototype, 'acquire', 1);
    await expectInternalError(await ask('failing-once'));
    expect(thrown()).toBe(1);
  });

  it('a replica becomes free for it, and the request that gave it free does not notice', async () => {
    const thrown = breakOnce(UpstreamCall.prototype, 'start', 1);
    const first = ask('slow');
    await eventually(() => stack.simulator.received.at(-1)?.body['model'] === 'small:fault=stall;ms=400');
    const response = await new Promise<Response>((resolve) => {
      // Inside of the time it may wait, but behind the first.
      setTimeout(() => resolve(ask('well')), 250);
    });
    await expectInternalError(response);
    expect((await first).status).toBe(200);
    expect(thrown()).toBe(1);
  });

  it('it has waited for too long', async () => {
    const first = ask('slow');
    await eventually(() => stack.simulator.received.at(-1)?.body['model'] === 'small:fault=stall;ms=400');
    const thrown = breakOnce(DrainRate.prototype, 'waitMs');
    await expectInternalError(await ask('well'));
    expect((await first).status).toBe(200);
    expect(thrown()).toBe(1);
  });

  it('the row is closed: the connection is, too, for the answer cannot be told from none', async () => {
    const thrown = breakOnce(AnswerWriter.prototype, 'sendAnswer');
    await expect(ask('well')).rejects.toThrow();
    expect(thrown()).toBe(1);
  });

  it('the caller leaves', async () => {
    const thrown = breakOnce(StreamRelay.prototype, 'partial');
    let id: string | undefined;
    const request = httpRequest(
      `${stack.gateway.url}/v1/chat/completions`,
      { method: 'POST' },
      (response) => {
        id = String(response.headers['x-catena-inference-id']);
        response.on('error', () => undefined).resume();
      },
    ).on('error', () => undefined);
    request.end(JSON.stringify({ ...say('Hi'), model: 'held', stream: true }));
    await eventually(() => id !== undefined);
    request.destroy();
    expect(await stack.row(id!)).toMatchObject({ status: 'error', error_code: 'internal_error' });
    expect(thrown()).toBe(1);
  });
});
