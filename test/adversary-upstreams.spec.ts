import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReplicaLanes } from '../apps/gateway/src/dispatch/replica-lanes.js';
import { startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';

const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const chunk = (...choices: unknown[]) =>
  event({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices });
const delta = (content: string, finish: string | null = null) =>
  chunk({ index: 0, delta: { content }, finish_reason: finish });
const DONE = 'data: [DONE]\n\n';
const PATHS = ['/v1/chat/completions', '/v1/messages', '/v1/responses', '/v1/completions'] as const;

describe('against hostile model endpoints', () => {
  let stack: ChatStack;
  let onRequest: (response: ServerResponse) => void;
  const rejections: unknown[] = [];
  const onRejection = (error: unknown) => rejections.push(error);
  const server = createServer((request, response) => {
    request.resume();
    onRequest(response);
  });
  beforeAll(async () => {
    process.on('unhandledRejection', onRejection);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    stack = await startChatStack({ CATENA_IDLE_TIMEOUT_MS: '5000' });
    for (const protocol of ['openai', 'anthropic']) {
      await stack.rows.setModelEndpoint(protocol, {
        replicas: [base],
        maxConcurrencyPerReplica: 4,
        protocol,
      });
      await stack.serve(protocol, { generate: { modelEndpoint: protocol, model: 'small' } });
    }
  });
  afterAll(async () => {
    process.off('unhandledRejection', onRejection);
    server.closeAllConnections();
    server.close();
    await stack.close();
  });
  const busy = () =>
    ['openai', 'anthropic'].reduce(
      (sum, name) =>
        sum +
        stack.gateway.gateway.app.get(ReplicaLanes, { strict: false }).find(name)!.replicas[0]!.outstanding,
      0,
    );
  const ask = (path: string, model: string, more: object = {}) =>
    fetch(stack.gateway.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        max_tokens: 5,
        ...(path === '/v1/responses'
          ? { input: 'x' }
          : path === '/v1/completions'
            ? { prompt: 'x' }
            : { messages: [{ role: 'user', content: 'x' }] }),
        ...more,
      }),
    });
  const streams =
    (...parts: string[]) =>
    (response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const part of parts) response.write(part);
      response.end();
    };
  const answers = (body: string) => (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);

  it.each(['a\\u0000b', '\\ud800', 'x'.repeat(100_000)])(
    'odd text %# everywhere keeps its row',
    async (odd) => {
      for (const stream of [false, true]) {
        onRequest = stream
          ? streams(
              `data: {"id":"${odd}","choices":[{"index":0,"delta":{"content":"${odd}"},"finish_reason":"${odd}"}]}\n\n`,
              DONE,
            )
          : answers(
              `{"id":"${odd}","model":"${odd}","choices":[{"index":0,"message":{"content":"${odd}"},"finish_reason":"${odd}"}],"usage":{"prompt_tokens":1}}`,
            );
        const answer = await fetch(`${stack.gateway.url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: `{"model":"openai","stream":${stream},"metadata":{"a":"${odd}","${odd}":1},"messages":[{"role":"user","content":"${odd}"}],"${odd}":"${odd}"}`,
        });
        await answer.text();
        const id = answer.headers.get('x-catena-inference-id');
        const row = await stack.row(id);
        console.log(
          stream,
          answer.status,
          row?.status,
          row?.error_code,
          String(row?.finish_reason).slice(0, 20),
          String(row?.metadata ?? '').slice(0, 40),
        );
      }
    },
  );

  it('200 000 silent events before the first content are passed on', async () => {
    onRequest = streams(event({ id: 'c', choices: [] }).repeat(200_000), delta('a'), delta('', 'stop'), DONE);
    const answer = await ask('/v1/chat/completions', 'openai', { stream: true });
    const text = await answer.text();
    expect([answer.status, text.includes('[DONE]')]).toEqual([200, true]);
  });

  it('an answer of 200 000 content blocks is passed on by /v1/messages', async () => {
    onRequest = answers(
      JSON.stringify({
        id: 'c',
        choices: [
          {
            index: 0,
            message: { content: 'a', content_blocks: Array.from({ length: 200_000 }, () => ({})) },
            finish_reason: 'stop',
          },
        ],
      }),
    );
    const answer = await ask('/v1/messages', 'openai');
    await answer.text();
    expect(answer.status).toBe(200);
  });

  it('200 000 logprobs in one chunk are passed on by /v1/responses', async () => {
    onRequest = streams(
      chunk({
        index: 0,
        delta: { content: 'a' },
        logprobs: { content: Array.from({ length: 200_000 }, () => ({})) },
        finish_reason: 'stop',
      }),
      DONE,
    );
    const answer = await ask('/v1/responses', 'openai', { stream: true });
    expect(await answer.text()).toContain('response.completed');
  });

  it('a stream of many small lists stalls nobody', async () => {
    const one = '{"choices":[{"delta":{"a":[0]}}]}';
    onRequest = streams(
      ...Array.from({ length: 4 }, () => event(one).repeat(10_000)),
      delta('', 'stop'),
      DONE,
    );
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const startedMs = performance.now();
    const answer = await ask('/v1/chat/completions', 'openai', { stream: true });
    await answer.text();
    delay.disable();
    const tookMs = performance.now() - startedMs;
    console.log(
      `40 000 chunks of 37 bytes: ${tookMs.toFixed(0)} ms, longest stall ${(delay.max / 1e6).toFixed(0)} ms`,
    );
    onRequest = streams(
      ...Array.from({ length: 4 }, () => event('{"choices":[{"delta":{"a":0}}]}').repeat(10_000)),
      delta('', 'stop'),
      DONE,
    );
    const againMs = performance.now();
    await (await ask('/v1/chat/completions', 'openai', { stream: true })).text();
    console.log(`without lists: ${(performance.now() - againMs).toFixed(0)} ms`);
    expect(tookMs).toBeLessThan(4 * (performance.now() - againMs));
  }, 60_000);

  it('fuzzed answers are no 500, keep their row and give their place back', async () => {
    let seed = Number(process.env['SEED'] ?? 7);
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
    const ODD = [
      null,
      0,
      -1,
      1e308,
      '',
      'a',
      '\ud800',
      [],
      {},
      [null],
      [[]],
      [{}],
      { index: 0 },
      true,
      { constructor: 1, toString: 2, hasOwnProperty: 3, length: 1e9 },
      'x'.repeat(2000),
      JSON.parse('{"__proto__":{"a":1}}'),
    ];
    const mutate = (value: any, p: number): any => {
      if (random(100) < p) return ODD[random(ODD.length)];
      if (Array.isArray(value)) return value.map((one) => mutate(one, p));
      if (value && typeof value === 'object')
        return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, mutate(one, p)]));
      return value;
    };
    const base = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm' };
    const SEEDS: Record<string, any[]> = {
      openai: [
        { ...base, choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
        {
          ...base,
          choices: [
            {
              index: 0,
              delta: { content: 'a', reasoning_content: 'r', refusal: null },
              logprobs: {
                content: [{ token: 'a', logprob: -1, top_logprobs: [{ token: 'b', logprob: 1 }] }],
              },
              finish_reason: null,
            },
          ],
        },
        {
          ...base,
          choices: [
            {
              index: 0,
              delta: {
                tool_calls: [
                  { index: 0, id: 't', type: 'function', function: { name: 'f', arguments: '{}' } },
                ],
                thinking_blocks: [{ type: 'thinking', thinking: 't', signature: 's' }],
                content_blocks: [{ type: 'x' }],
              },
              finish_reason: null,
            },
          ],
        },
        { ...base, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
        {
          ...base,
          choices: [],
          usage: {
            prompt_tokens: 1,
            completion_tokens: 2,
            total_tokens: 3,
            prompt_tokens_details: { cached_tokens: 1 },
            completion_tokens_details: { reasoning_tokens: 1 },
          },
        },
      ],
      anthropic: [
        {
          type: 'message_start',
          message: {
            id: 'm',
            type: 'message',
            role: 'assistant',
            model: 'm',
            content: [],
            usage: { input_tokens: 1, output_tokens: 1, cache_read_input_tokens: 1 },
          },
        },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'a' } },
        { type: 'content_block_stop', index: 0 },
        {
          type: 'content_block_start',
          index: 1,
          content_block: { type: 'tool_use', id: 't', name: 'f', input: {} },
        },
        { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{}' } },
        { type: 'content_block_stop', index: 1 },
        { type: 'content_block_start', index: 2, content_block: { type: 'thinking', thinking: '' } },
        { type: 'content_block_delta', index: 2, delta: { type: 'thinking_delta', thinking: 'a' } },
        { type: 'content_block_delta', index: 2, delta: { type: 'signature_delta', signature: 'a' } },
        { type: 'content_block_stop', index: 2 },
        {
          type: 'message_delta',
          delta: { stop_reason: 'end_turn', stop_sequence: null },
          usage: { output_tokens: 3 },
        },
        { type: 'message_stop' },
      ],
    };
    const WHOLE: Record<string, any> = {
      openai: {
        ...base,
        object: 'chat.completion',
        choices: [
          {
            index: 0,
            message: {
              role: 'assistant',
              content: 'a',
              reasoning_content: 'r',
              tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{}' } }],
              thinking_blocks: [{ type: 'thinking', thinking: 't', signature: 's' }],
              content_blocks: [{ type: 'x' }],
            },
            logprobs: { content: [{ token: 'a', logprob: -1, top_logprobs: [{ token: 'b', logprob: 1 }] }] },
            finish_reason: 'stop',
          },
        ],
        usage: { prompt_tokens: 1, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } },
      },
      anthropic: {
        id: 'm',
        type: 'message',
        role: 'assistant',
        model: 'm',
        content: [
          { type: 'text', text: 'a' },
          { type: 'tool_use', id: 't', name: 'f', input: {} },
          { type: 'thinking', thinking: 'a', signature: 's' },
          { type: 'server_tool_use', x: 1 },
        ],
        stop_reason: 'end_turn',
        stop_sequence: null,
        usage: { input_tokens: 1, output_tokens: 1, output_tokens_details: { thinking_tokens: 1 } },
      },
    };
    const bad: unknown[] = [];
    const ids: [string, string][] = [];
    const started = performance.now();
    let count = 0;
    while (performance.now() - started < Number(process.env['FUZZ_MS'] ?? 9_000)) {
      const model = ['openai', 'anthropic'][random(2)]!;
      const path = PATHS[random(4)]!;
      const stream = random(2) === 1;
      const sent = stream
        ? SEEDS[model]!.map((one) => event(JSON.stringify(mutate(one, 6)))).join('') +
          (model === 'openai' ? DONE : '')
        : JSON.stringify(mutate(WHOLE[model], 6));
      onRequest = stream ? streams(sent) : answers(sent);
      const answer = await ask(path, model, { stream });
      const text = await answer.text();
      const id = answer.headers.get('x-catena-inference-id');
      count++;
      if (answer.status === 500 || text.includes('internal_error') || !id)
        bad.push([path, model, stream, answer.status, sent.slice(0, 1500), text.slice(0, 300)]);
      else ids.push([id, sent]);
      if (bad.length > 3) break;
    }
    await sleep(50);
    console.log(`${count} fuzzed, ${bad.length} bad`, JSON.stringify(bad, null, 1).slice(0, 6000));
    await eventually(
      async () =>
        (
          await stack.database.client.query('SELECT count(*)::int AS n FROM inference WHERE id = ANY($1)', [
            ids.map(([id]) => id),
          ])
        ).rows[0].n === ids.length,
      8_000,
      100,
    ).catch(async () => {
      const { rows } = await stack.database.client.query('SELECT id FROM inference WHERE id = ANY($1)', [
        ids.map(([id]) => id),
      ]);
      const held = new Set(rows.map(({ id }: any) => id));
      const lost = ids.filter(([id]) => !held.has(id));
      console.log(
        'LOST',
        lost.length,
        lost.slice(0, 3).map(([, sent]) => sent.slice(0, 1500)),
      );
      bad.push('lost rows');
    });
    expect(busy()).toBe(0);
    expect(rejections).toEqual([]);
    expect(bad).toEqual([]);
  }, 60_000);
});
