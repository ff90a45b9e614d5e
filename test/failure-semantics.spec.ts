import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const SCHEMA = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };

/** A request that can be left. */
function leavable(stack: ChatStack, body: object) {
  let id: string | undefined;
  let text = '';
  const request = httpRequest(`${stack.gateway.url}/v1/chat/completions`, { method: 'POST' }, (response) => {
    id = String(response.headers['x-catena-inference-id']);
    response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    response.on('error', () => undefined);
  }).on('error', () => undefined);
  request.end(JSON.stringify(body));
  return {
    id: () => id,
    text: () => text,
    leave: () => request.destroy(),
  };
}

describe('what a failure costs', () => {
  let stack: ChatStack;
  /** Slow, and one place only. */
  let slow: Simulator;
  beforeAll(async () => {
    slow = await createSimulator({
      port: 0,
      models: ['small'],
      maxNumSeqs: 1,
      ttftMs: 20,
      tokensPerSecond: 50,
      answerTokens: 5000,
      jitter: 0,
    });
    stack = await startChatStack({}, { answerTokens: 20 });
    await stack.rows.setModelEndpoint('slow', {
      replicas: [`${slow.url}/v1`],
      maxConcurrencyPerReplica: 4,
    });
    const generate = { modelEndpoint: 'slow', model: 'small' };
    await stack.serve('slow', { generate });
    await stack.serve('slow-counted', {
      generate: { ...generate, extraBody: { stream_options: { continuous_usage_stats: true } } },
    });
  });
  afterAll(async () => {
    await stack.close();
    await slow.close();
  });

  const rowOf = async (unit: string) => {
    let row: any;
    await eventually(async () => {
      ({
        rows: [row],
      } = await stack.database.client.query(`SELECT * FROM ${WHOLE_INFERENCE} WHERE unit = $1`, [unit]));
      return row !== undefined;
    });
    return row;
  };

  describe('when the caller leaves', () => {
    it.each([true, false])('the place on the GPU is free within 50 ms (stream: %s)', async (stream) => {
      const unit = `leaver-${stream}`;
      const caller = leavable(stack, say('Tell me', { model: 'slow', stream, user: unit }));
      await eventually(() => slow.stats().running === 1 && (!stream || caller.text().length > 0));
      const leftAt = performance.now();
      caller.leave();
      await eventually(() => slow.stats().running === 0, 1000, 1);
      expect(performance.now() - leftAt).toBeLessThan(50);
      expect(await rowOf(unit)).toMatchObject({
        status: 'cancelled',
        error_code: 'client_closed_request',
        attempts: 1,
      });
    });

    it('while it waits in the queue of the server, its place there is given up as well', async () => {
      const first = leavable(stack, say('Tell me', { model: 'slow', stream: true }));
      await eventually(() => slow.stats().running === 1);
      const second = leavable(stack, say('Me too', { model: 'slow', stream: true }));
      await eventually(() => slow.stats().waiting === 1);
      const leftAt = performance.now();
      second.leave();
      await eventually(() => slow.stats().waiting === 0, 1000, 1);
      expect(performance.now() - leftAt).toBeLessThan(50);
      expect(slow.stats().running).toBe(1);
      first.leave();
      await eventually(() => slow.stats().running === 0);
    });

    it.each([
      ['slow', 'an estimate, where the server tells none before the end'],
      ['slow-counted', 'what the server told with its last chunk'],
    ])('it is billed what came (%s: %s)', async (model) => {
      const unit = `biller-${model}`;
      const caller = leavable(stack, say('Tell me a story', { model, stream: true, user: unit }));
      const contents = () => caller.text().match(/"content":"[^"]/g)?.length ?? 0;
      await eventually(() => contents() >= 8);
      caller.leave();
      const row = await rowOf(unit);
      const kept = JSON.parse(row.response);
      expect(kept.choices[0].message.content.length).toBeGreaterThan(20);
      expect(row.output_tokens).toBeGreaterThanOrEqual(8);
      expect(row.output_tokens).toBeLessThan(20);
      if (model === 'slow') {
        expect(kept.usage).toBeNull();
        expect(row.input_tokens).toBe(Math.ceil(Buffer.byteLength(row.request) / 4));
      } else {
        expect(kept.usage).toMatchObject({
          prompt_tokens: row.input_tokens,
          completion_tokens: row.output_tokens,
        });
      }
      expect(Number(row.cost_micro_usd)).toBe(Math.round(row.input_tokens * 0.5 + row.output_tokens * 1.5));
    });
  });

  it('keeps the partial answer and its tokens when a stream breaks off', async () => {
    await stack.serve('breaking', {
      generate: { modelEndpoint: 'gpu', model: 'small:fault=cut-mid-stream;after=7' },
    });
    const response = await stack.post({ ...say('Hi'), model: 'breaking', stream: true });
    expect(await response.text()).not.toContain('[DONE]');
    const row = await stack.row(response.headers.get('x-catena-inference-id'));
    expect(row).toMatchObject({ status: 'error', error_code: 'upstream_reset', output_tokens: 7 });
    expect(Number(row.cost_micro_usd)).toBeGreaterThan(0);
  });

  it('carries the output contract and the output limit of the chain to the fallback', async () => {
    await stack.rows.setModelEndpoint('spare', {
      replicas: [`${stack.simulator.url}/v1`],
      credential: 'sk-model-endpoint',
    });
    await stack.serve('carried', {
      generate: {
        modelEndpoint: 'gpu',
        model: 'small:fault=http-500',
        parameters: { max_tokens: 33, temperature: 0.5 },
      },
      fallbacks: [
        { modelEndpoint: 'spare', model: 'small', parameters: { top_p: 0.5 } },
        { modelEndpoint: 'spare', model: 'small', parameters: { max_completion_tokens: 11 } },
      ],
      output: { name: 'ok', schema: SCHEMA },
    });
    const response = await stack.post({ ...say('Hi', { max_tokens: 4000 }), model: 'carried' });
    expect(response.status).toBe(200);
    const sent = stack.simulator.received.at(-1)!.body;
    expect(sent).toMatchObject({
      max_tokens: 33,
      top_p: 0.5,
      response_format: { type: 'json_schema', json_schema: { name: 'ok', schema: SCHEMA } },
    });
    expect(sent).not.toHaveProperty('temperature');
    const row = await stack.row(response.headers.get('x-catena-inference-id'));
    expect(row).toMatchObject({ model_endpoint: 'spare', attempts: 2, schema_valid: true });
  });

  describe('retries', () => {
    it('wait as long as the server asks', async () => {
      await stack.serve('asked-to-wait', {
        generate: { modelEndpoint: 'gpu', model: 'small:fault=http-429;retry-after=1;times=1' },
        retry: { maxAttempts: 2, initialBackoffMs: 1 },
      });
      const startedAt = performance.now();
      const response = await stack.post({ ...say('Hi'), model: 'asked-to-wait' });
      expect(response.status).toBe(200);
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1000);
    });

    it('do not multiply an outage: their budget is a handful when nothing succeeds', async () => {
      await stack.rows.setModelEndpoint('outage', {
        replicas: [`${stack.simulator.url}/v1`],
        credential: 'sk-model-endpoint',
        maxConcurrencyPerReplica: 100,
      });
      const model = 'small:fault=http-429;retry-after=0;probability=1';
      await stack.serve('outage', {
        generate: { modelEndpoint: 'outage', model },
        retry: { maxAttempts: 5, initialBackoffMs: 1, maxBackoffMs: 2 },
      });
      const before = stack.simulator.received.length;
      const startedAt = performance.now();
      const answers = await Promise.all(
        Array.from({ length: 200 }, () => stack.post({ ...say('Hi'), model: 'outage' })),
      );
      const seconds = (performance.now() - startedAt) / 1000;
      expect(answers.every((answer) => answer.status === 429)).toBe(true);
      const sent = stack.simulator.received.length - before;
      expect(sent).toBeGreaterThanOrEqual(220);
      expect(sent).toBeLessThanOrEqual(220 + Math.ceil(seconds));
      expect(
        await stack.gateway.metric('catena_retries_denied_total{model_endpoint="outage"}'),
      ).toBeGreaterThan(100);
    });

    it('are all allowed while most requests succeed', async () => {
      await stack.rows.setModelEndpoint('mostly-well', {
        replicas: [`${stack.simulator.url}/v1`],
        credential: 'sk-model-endpoint',
        maxConcurrencyPerReplica: 4,
      });
      await stack.serve('mostly-well', {
        generate: {
          modelEndpoint: 'mostly-well',
          model: 'small:fault=http-503;retry-after=0;probability=0.1',
        },
        retry: { maxAttempts: 4, initialBackoffMs: 1, maxBackoffMs: 2 },
      });
      for (let round = 0; round < 50; round++) {
        const answers = await Promise.all(
          Array.from({ length: 8 }, () => stack.post({ ...say(`Hi ${round}`), model: 'mostly-well' })),
        );
        for (const answer of answers) expect(answer.status).toBe(200);
      }
    });
  });
});
