import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';

const OPENAI_USAGE = {
  prompt_tokens: 1000,
  completion_tokens: 100,
  total_tokens: 1100,
  prompt_tokens_details: { cached_tokens: 600 },
  completion_tokens_details: { reasoning_tokens: 40 },
};
const ANTHROPIC_USAGE = {
  input_tokens: 100,
  cache_read_input_tokens: 600,
  cache_creation_input_tokens: 300,
  output_tokens: 100,
};
const COMPLETION = {
  id: 'a',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'yes' }, finish_reason: 'stop' }],
  usage: OPENAI_USAGE,
};
const MESSAGE = {
  id: 'msg',
  type: 'message',
  role: 'assistant',
  model: 'claude',
  content: [{ type: 'text', text: 'yes' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: ANTHROPIC_USAGE,
};
const CHUNKS = [
  { id: 'a', choices: [{ index: 0, delta: { content: 'yes' }, finish_reason: null }] },
  { id: 'a', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
  { id: 'a', choices: [], usage: OPENAI_USAGE },
];

/** USD 5, 0.50, 6.25, 25 and 50 per million tokens. */
const PRICES = {
  inputMicroUsdPerMillionTokens: 5_000_000,
  cachedInputMicroUsdPerMillionTokens: 500_000,
  cacheWriteInputMicroUsdPerMillionTokens: 6_250_000,
  outputMicroUsdPerMillionTokens: 25_000_000,
  reasoningMicroUsdPerMillionTokens: 50_000_000,
};

describe('the cost of a row', () => {
  let stack: ChatStack;
  let server: Server;
  beforeAll(async () => {
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        if (request.url!.endsWith('/messages')) response.end(JSON.stringify(MESSAGE));
        else if (body !== '' && JSON.parse(body).stream) {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.end(
            [...CHUNKS.map((chunk) => JSON.stringify(chunk)), '[DONE]']
              .map((data) => `data: ${data}\n\n`)
              .join(''),
          );
        } else response.end(JSON.stringify(COMPLETION));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    stack = await startChatStack();
    for (const name of ['vendor', 'anthropic']) {
      const id = await stack.rows.setModelEndpoint(name, { replicas: [url], models: ['priced', 'other'] });
      const { client } = stack.database;
      const seq = await stack.gateway.metric('catena_snapshot_seq');
      await client.query(
        `UPDATE model_endpoint SET model_prices = $2, protocol = $3, input_micro_usd_per_million_tokens = 1000000,
                output_micro_usd_per_million_tokens = 2000000 WHERE id = $1`,
        [id, JSON.stringify({ priced: PRICES }), name === 'anthropic' ? 'anthropic' : 'openai'],
      );
      await client.query(
        `SELECT catena_record_change(workspace_id, 'model_endpoint', id) FROM model_endpoint WHERE id = $1`,
        [id],
      );
      await eventually(async () => (await stack.gateway.metric('catena_snapshot_seq')) > seq);
    }
    for (const [name, modelEndpoint, model] of [
      ['priced', 'vendor', 'priced'],
      ['other', 'vendor', 'other'],
      ['claude', 'anthropic', 'priced'],
    ] as const)
      await stack.serve(name, { generate: { modelEndpoint, model } });
  });
  afterAll(async () => {
    await stack.close();
    server.close();
    server.closeAllConnections();
  });

  const rowOf = async (model: string, more: object = {}) => {
    const response = await stack.post(say('x', { model, ...more }));
    await response.text();
    expect(response.status).toBe(200);
    return stack.row(response.headers.get('x-catena-inference-id'));
  };

  it.each([false, true])('takes every token once, at the price of its kind; streamed: %s', async (stream) => {
    expect(await rowOf('priced', { stream })).toMatchObject({
      input_tokens: 1000,
      cached_input_tokens: 600,
      cache_write_input_tokens: null,
      output_tokens: 100,
      reasoning_tokens: 40,
      // 400 fresh, 600 cached, 60 said, 40 thought.
      cost_micro_usd: 2000 + 300 + 1500 + 2000,
    });
  });

  it('is that of the model endpoint for a model without prices of its own', async () => {
    expect((await rowOf('other')).cost_micro_usd).toBe(1000 + 200);
  });

  it('counts what Anthropic tells beside the prompt as part of it, once', async () => {
    expect(await rowOf('claude')).toMatchObject({
      input_tokens: 1000,
      cached_input_tokens: 600,
      cache_write_input_tokens: 300,
      output_tokens: 100,
      // 100 fresh, 600 cached, 300 written, 100 said.
      cost_micro_usd: 500 + 300 + 1875 + 2500,
    });
  });
});
