import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json } from '../libs/core/canonical/canonical.js';
import { MODEL_KEY, say, startChatStack, type ChatStack } from './support/chat.js';
import { FakeReplica } from './support/fake-replica.js';

const SCHEMA = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };

describe('the model calls of an inference', () => {
  let stack: ChatStack;
  let replica: FakeReplica;
  let number = 0;
  beforeAll(async () => {
    stack = await startChatStack({}, { answerTokens: 20 });
    replica = await FakeReplica.start();
    await stack.rows.setModelEndpoint('fails', { replicas: [replica.url] });
    await stack.rows.setModelEndpoint('spare', {
      replicas: [`${stack.simulator.url}/v1`],
      credential: MODEL_KEY,
    });
    replica.chat = 503;
  });
  afterAll(async () => {
    await stack.close();
    await replica.die();
  });

  const ask = async (
    content: { readonly [field: string]: Json },
    more: object = {},
    headers: Record<string, string> = {},
  ) => {
    const model = `called-${++number}`;
    await stack.serve(model, content);
    const response = await stack.post(say('Hello', { model, ...more }), headers);
    await response.text();
    const row = await stack.row(response.headers.get('x-catena-inference-id'));
    const { rows: calls } = await stack.database.client.query(
      'SELECT * FROM model_call WHERE inference_id = $1 ORDER BY position',
      [row.id],
    );
    return { status: response.status, row, calls };
  };
  const generate = { modelEndpoint: 'gpu', model: 'small' };
  const failing = { modelEndpoint: 'fails', model: 'small' };
  const once = { maxAttempts: 1, backoffMs: 0 };

  it('of a plain one are told by the row itself', async () => {
    const { row, calls } = await ask({ generate }, { stream: true });
    expect(row.model_calls).toBeNull();
    expect(row.dispatched_ms).toBeGreaterThan(0);
    expect(row.dispatched_ms).toBeLessThan(row.ttft_ms);
    expect(calls).toEqual([
      {
        workspace_id: row.workspace_id,
        inference_id: row.id,
        started_at: row.started_at,
        arrived: row.arrived,
        position: 1,
        step: 'ask',
        model_endpoint: 'gpu',
        model: 'small',
        replica: `${stack.simulator.url}/v1`,
        outcome: 'ok',
        http_status: null,
        error_code: null,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        cost_micro_usd: row.cost_micro_usd,
        offset_ms: row.dispatched_ms,
        latency_ms: row.latency_ms - row.dispatched_ms,
        ttft_ms: row.ttft_ms - row.dispatched_ms,
      },
    ]);
  });

  it('of one that failed and was neither tried again nor answered by another are told by the row too', async () => {
    const { status, row, calls } = await ask({ generate: failing, retry: once });
    expect([status, row.status, row.attempts, row.model_calls]).toEqual([502, 'error', 1, null]);
    expect(calls).toMatchObject([{ step: 'ask', outcome: 'failed', error_code: 'upstream_error' }]);
  });

  it('are each retry and each fallback, with what is known of it', async () => {
    const { status, row, calls } = await ask(
      {
        generate: failing,
        retry: { maxAttempts: 2, backoffMs: 1 },
        fallbacks: [{ modelEndpoint: 'spare', model: 'small' }],
      },
      { stream: true },
    );
    expect([status, row.attempts, calls.length]).toEqual([200, 3, 3]);
    const failed = {
      model_endpoint: 'fails',
      replica: replica.url,
      outcome: 'failed',
      http_status: 503,
      error_code: 'upstream_error',
      input_tokens: null,
      output_tokens: null,
      cost_micro_usd: null,
      ttft_ms: null,
    };
    expect(calls).toMatchObject([
      { position: 1, step: 'ask', ...failed },
      { position: 2, step: 'retry', ...failed },
      {
        position: 3,
        step: 'fallback',
        model_endpoint: 'spare',
        outcome: 'ok',
        http_status: 200,
        error_code: null,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        cost_micro_usd: row.cost_micro_usd,
      },
    ]);
    const [first, second, third] = calls;
    expect(first.offset_ms).toBeCloseTo(row.dispatched_ms, 2);
    expect(second.offset_ms).toBeGreaterThan(first.offset_ms + first.latency_ms - 0.01);
    expect(third.offset_ms + third.latency_ms).toBeCloseTo(row.latency_ms, 1);
    expect(third.offset_ms + third.ttft_ms).toBeCloseTo(row.ttft_ms, 1);
  });

  it('are an answer that the contract does not let through, and what came when it was asked again', async () => {
    const { row, calls } = await ask({
      generate: { modelEndpoint: 'gpu', model: 'small:fault=json-wrong' },
      output: { name: 'o', schema: SCHEMA, maxReasks: 1 },
    });
    expect(calls.map(({ step, outcome }) => [step, outcome])).toEqual([
      ['ask', 'rejected'],
      ['reask', 'rejected'],
    ]);
    const sum = (name: string) => calls.reduce((total, call) => total + Number(call[name]), 0);
    for (const name of ['input_tokens', 'output_tokens', 'cost_micro_usd'])
      expect([name, sum(name)]).toEqual([name, Number(row[name])]);
  });

  it('are in the answer of the model endpoint that nobody waits for any more', async () => {
    replica.chat = 'hang';
    const leaving = new AbortController();
    const model = `called-${++number}`;
    await stack.serve(model, {
      generate: { modelEndpoint: 'gpu', model: 'small:fault=http-503' },
      retry: once,
      fallbacks: [failing],
    });
    const left = fetch(`${stack.gateway.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(say('Hello', { model, user: model })),
      signal: leaving.signal,
    }).catch(() => undefined);
    while (replica.holding === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    leaving.abort();
    await left;
    replica.chat = 503;
    const rows = async () =>
      (await stack.database.client.query('SELECT id FROM inference WHERE unit = $1', [model])).rows;
    while ((await rows()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    const { rows: calls } = await stack.database.client.query(
      'SELECT step, outcome, error_code FROM model_call WHERE inference_id = $1 ORDER BY position',
      [(await rows())[0].id],
    );
    expect(calls).toEqual([
      { step: 'ask', outcome: 'failed', error_code: 'upstream_error' },
      { step: 'fallback', outcome: 'cancelled', error_code: 'client_closed_request' },
    ]);
  });
});

describe("the caller's own name for a request", () => {
  let stack: ChatStack;
  beforeAll(async () => {
    stack = await startChatStack({}, { answerTokens: 2 });
  });
  afterAll(() => stack.close());

  const nameOf = async (metadata: unknown, headers: Record<string, string> = {}) => {
    const response = await stack.post(say('Hello', { metadata }), headers);
    await response.text();
    expect(response.status).toBe(200);
    return (await stack.row(response.headers.get('x-catena-inference-id'))).client_request_id;
  };

  it('is the header, else the field of the metadata', async () => {
    const header = { 'x-client-request-id': 'order-4711' };
    expect(await nameOf(undefined, header)).toBe('order-4711');
    expect(await nameOf({ request_id: 'Bestellung 7 ü' })).toBe('Bestellung 7 ü');
    expect(await nameOf({ request_id: 'other' }, header)).toBe('order-4711');
    expect(await nameOf(undefined)).toBeNull();
    expect(await nameOf(undefined, { 'x-client-request-id': 'x'.repeat(512) })).toHaveLength(512);
  });

  it.each([[7], [''], ['a\0b'], ['\ud800'], ['ü'.repeat(257)], [{ a: 1 }], [null]])(
    'is not what the metadata has there but cannot be one: %.20s',
    async (field) => expect(await nameOf({ request_id: field })).toBeNull(),
  );

  it.each([[''], ['x'.repeat(513)], ['z\u00fcrich']])('is refused as header "%.20s"', async (header) => {
    const response = await stack.post(say('Hello'), { 'x-client-request-id': header });
    expect([response.status, ((await response.json()) as any).error.code]).toEqual([
      400,
      'bad_client_request_id',
    ]);
  });
});
