import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say, startChatStack, type ChatStack } from './support/chat.js';

const PLACES = 8;
const ANSWER_MS = 100;
const QUEUE_TIMEOUT_MS = 500;
const LOAD_MS = 6000;

interface Asked {
  readonly status: number;
  readonly tookMs: number;
  readonly retryAfter: number;
  readonly endedAt: number;
}

describe('three times the load that the model endpoint bears', () => {
  let stack: ChatStack;
  beforeAll(async () => {
    stack = await startChatStack(
      { CATENA_QUEUE_TIMEOUT_MS: String(QUEUE_TIMEOUT_MS) },
      { ttftMs: ANSWER_MS, tokensPerSecond: 0, maxNumSeqs: PLACES, answerTokens: 10 },
    );
    await stack.rows.setModelEndpoint('few', {
      replicas: [`${stack.simulator.url}/v1`],
      credential: 'sk-model-endpoint',
      maxConcurrencyPerReplica: PLACES,
    });
    await stack.serve('few', { generate: { modelEndpoint: 'few', model: 'small' } });
  });
  afterAll(() => stack.close());

  async function ask(stream: boolean): Promise<Asked> {
    const startedAt = performance.now();
    const response = await stack.post({ ...say('Hi'), model: 'few', stream });
    const text = await response.text();
    const endedAt = performance.now();
    if (response.status === 200) expect(text).toContain(stream ? '[DONE]' : '"choices"');
    return {
      status: response.status,
      tookMs: endedAt - startedAt,
      retryAfter: Number(response.headers.get('retry-after') ?? Number.NaN),
      endedAt,
    };
  }

  /** Answers per second when every place is always taken and nobody waits. */
  async function capacity(): Promise<number> {
    const end = performance.now() + 2000;
    let answered = 0;
    await Promise.all(
      Array.from({ length: PLACES }, async () => {
        while (performance.now() < end) {
          await ask(answered % 2 === 0);
          answered++;
        }
      }),
    );
    return answered / 2;
  }

  const quantile = (values: number[], q: number) =>
    values.sort((a, b) => a - b)[Math.floor(q * (values.length - 1))]!;

  it('is answered at nine tenths of its capacity at least, within the time that may be waited; the rest is told at once', async () => {
    const before = await capacity();
    const startedAt = performance.now();
    const all: Promise<Asked>[] = [];
    for (let elapsed = 0; elapsed < LOAD_MS; elapsed = performance.now() - startedAt) {
      while (all.length < (elapsed / 1000) * before * 3) all.push(ask(all.length % 2 === 0));
      await sleep(5);
    }
    const asked = await Promise.all(all);
    const good = asked.filter(({ status }) => status === 200);
    const refused = asked.filter(({ status }) => status !== 200);

    // The machine is shared: it may have become slower meanwhile, for reasons of its own.
    const perSecond = Math.min(before, await capacity());
    const inTime = good.filter(({ endedAt }) => endedAt < startedAt + LOAD_MS);
    expect(inTime.length / (LOAD_MS / 1000) / perSecond).toBeGreaterThan(0.9);
    const slow = quantile(
      good.map(({ tookMs }) => tookMs),
      0.95,
    );
    expect(slow).toBeLessThan(2 * (QUEUE_TIMEOUT_MS + ANSWER_MS));

    expect(refused.length).toBeGreaterThan(asked.length / 2);
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
    for (const { retryAfter } of refused) {
      expect(retryAfter).toBeGreaterThanOrEqual(1);
      expect(retryAfter).toBeLessThanOrEqual(60);
    }
    // Not after having waited in vain.
    const waitedMs = quantile(
      refused.map(({ tookMs }) => tookMs),
      0.5,
    );
    expect(waitedMs).toBeLessThan(QUEUE_TIMEOUT_MS / 4);
  });

  it('leaves nothing behind: the next request is answered as if nothing had been', async () => {
    const { status, tookMs } = await ask(false);
    expect(status).toBe(200);
    expect(tookMs).toBeLessThan(ANSWER_MS + 200);
  });
});
