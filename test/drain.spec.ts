import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { startTestGateway, temporaryDirectory } from './support/gateway.js';

describe('a gateway that stops and can wait no longer', () => {
  let stack: ChatStack;
  let dataDir: string;
  beforeAll(async () => {
    stack = await startChatStack();
    const slow = 'small:tokens-per-second=5;answer-tokens=900';
    await stack.serve('silent', { generate: { modelEndpoint: 'gpu', model: 'small:fault=stall' } });
    await stack.serve('slow', { generate: { modelEndpoint: 'gpu', model: slow } });
    dataDir = await temporaryDirectory();
  });
  afterAll(async () => {
    await stack.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('cuts what is under way and says so in the rows; of who left before, that he left', async () => {
    const settings = { CATENA_DRAIN_TIMEOUT_MS: '200' };
    const stopping = await startTestGateway(stack.database.url, { dataDir, settings });
    const ask = (model: string, unit: string, more: object = {}, signal?: AbortSignal) =>
      fetch(`${stopping.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-catena-unit': unit },
        body: JSON.stringify(say('Hi', { model, ...more })),
        signal: signal ?? null,
      }).then((response) => response.text());
    const leaves = new AbortController();
    const settled = Promise.allSettled([
      ask('silent', 'stays'),
      ask('slow', 'stays', { stream: true }),
      ask('slow', 'leaves', {}, leaves.signal),
    ]);
    await expect.poll(() => stack.simulator.received.length).toBe(3);
    leaves.abort();
    await expect.poll(() => stack.simulator.stats().aborted).toBe(1);
    await stopping.close();
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);

    const next = await startTestGateway(stack.database.url, { dataDir });
    const read = async () => {
      const { rows } = await stack.database.client.query(
        'SELECT endpoint, unit, status, error_code, error_message FROM inference ORDER BY endpoint, unit',
      );
      return rows;
    };
    await expect.poll(async () => (await read()).length, { timeout: 5000 }).toBe(3);
    await next.close();
    const cut = {
      unit: 'stays',
      status: 'cancelled',
      error_code: 'shutdown',
      error_message: expect.stringContaining('The gateway stopped'),
    };
    const left = { unit: 'leaves', status: 'cancelled', error_code: 'client_closed_request' };
    expect(await read()).toMatchObject([
      { endpoint: 'silent', ...cut },
      { endpoint: 'slow', ...left },
      { endpoint: 'slow', ...cut },
    ]);
  });
});
