import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './support/gateway.js';
import { idOf, PIXEL, startProtocolStack, WEATHER, type ProtocolStack } from './support/protocols.js';

describe('Anthropic’s protocol', () => {
  let stack: ProtocolStack;
  beforeAll(async () => {
    stack = await startProtocolStack();
  });
  afterAll(() => stack.close());

  describe.each(['openai-like', 'claude'])('POST /v1/messages, answered by %s', (model) => {
    const ask = {
      model,
      max_tokens: 100,
      messages: [{ role: 'user' as const, content: 'Where is my parcel?' }],
    };

    it('serves the official Anthropic client', async () => {
      const {
        data: message,
        response,
        request_id,
      } = await stack.anthropic.messages
        .create({ ...ask, system: 'Be kind.', metadata: { user_id: 'user-7' }, stop_sequences: ['zzz'] })
        .withResponse();
      expect(message).toMatchObject({
        type: 'message',
        role: 'assistant',
        stop_reason: 'end_turn',
        stop_sequence: null,
        content: [{ type: 'text' }],
      });
      expect(message.id).toMatch(/^msg_/);
      expect(request_id).toBe(response.headers.get('x-request-id'));
      expect(message.usage.input_tokens).toBeGreaterThan(0);
      expect(message.usage.output_tokens).toBeGreaterThan(0);
      const row = await stack.row(idOf(response));
      expect(row).toMatchObject({ status: 'ok', unit: 'user-7', input_tokens: message.usage.input_tokens });
      expect(JSON.parse(row.response).object).toBe('chat.completion');
    });

    it('serves its beta routes, which differ in their query', async () => {
      const message = await stack.anthropic.beta.messages.create({ ...ask, betas: ['some-beta-2026-01-01'] });
      expect(message).toMatchObject({ type: 'message', stop_reason: 'end_turn' });
    });

    it('streams to it, and the message is the same', async () => {
      const whole = await stack.anthropic.messages.create(ask);
      const stream = stack.anthropic.messages.stream(ask);
      let text = '';
      stream.on('text', (piece) => (text += piece));
      const message = await stream.finalMessage();
      expect(text).toBe((whole.content[0] as Anthropic.TextBlock).text);
      expect(message).toMatchObject({
        content: [{ type: 'text', text }],
        stop_reason: 'end_turn',
        usage: whole.usage,
      });
    });

    it('tells it the stop text that was met, and the limit', async () => {
      const { content } = await stack.anthropic.messages.create(ask);
      const stop = (content[0] as Anthropic.TextBlock).text.slice(12, 18);
      expect(await stack.anthropic.messages.create({ ...ask, stop_sequences: [stop] })).toMatchObject({
        stop_reason: 'stop_sequence',
        stop_sequence: stop,
      });
      expect(await stack.anthropic.messages.create({ ...ask, max_tokens: 2 })).toMatchObject({
        stop_reason: 'max_tokens',
      });
    });

    it('lets it call tools, streamed or not, and takes the results', async () => {
      const tools = [
        { name: 'weather', description: 'The weather.', input_schema: WEATHER as Anthropic.Tool.InputSchema },
      ];
      const called = await stack.anthropic.messages.create({ ...ask, tools, tool_choice: { type: 'any' } });
      expect(called.stop_reason).toBe('tool_use');
      const use = called.content[0] as Anthropic.ToolUseBlock;
      expect(use).toMatchObject({ type: 'tool_use', name: 'weather', input: { city: expect.any(String) } });
      const streamed = await stack.anthropic.messages
        .stream({ ...ask, tools, tool_choice: { type: 'tool', name: 'weather' } })
        .finalMessage();
      expect(streamed.content).toMatchObject([{ type: 'tool_use', name: 'weather', input: use.input }]);
      const answer = await stack.anthropic.messages.create({
        ...ask,
        tools,
        messages: [
          ...ask.messages,
          { role: 'assistant', content: called.content },
          {
            role: 'user',
            content: [
              { type: 'tool_result', tool_use_id: use.id, content: 'rain' },
              { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } },
            ],
          },
        ],
      });
      expect(answer.stop_reason).toBe('end_turn');
      expect(JSON.stringify(stack.sent().body)).toContain(PIXEL);
    });

    it('throws its own error classes, in its own shape', async () => {
      const wrong = stack.anthropic.messages.create({ ...ask, messages: 'hi' as never });
      await expect(wrong).rejects.toBeInstanceOf(Anthropic.BadRequestError);
      await expect(wrong).rejects.toMatchObject({
        status: 400,
        error: { error: { type: 'invalid_request_error', code: 'bad_messages' } },
      });
      await expect(stack.anthropic.messages.create({ ...ask, model: 'nobody' })).rejects.toBeInstanceOf(
        Anthropic.NotFoundError,
      );
      const endpoint = model === 'claude' ? 'claude' : 'gpu';
      const limited = stack.anthropic.messages.create({
        ...ask,
        model: await stack.faulty(endpoint, 'http-429'),
      });
      await expect(limited).rejects.toBeInstanceOf(Anthropic.RateLimitError);
      await expect(limited).rejects.toMatchObject({
        error: { type: 'error', error: { code: 'upstream_rate_limited' } },
      });
    });

    it('throws where a stream breaks off, and the row keeps what came', async () => {
      const endpoint = model === 'claude' ? 'claude' : 'gpu';
      const stream = stack.anthropic.messages.stream({
        ...ask,
        model: await stack.faulty(endpoint, 'cut-mid-stream;after=4'),
      });
      let text = '';
      stream.on('text', (piece) => (text += piece));
      await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIError);
      expect(text.length).toBeGreaterThan(3);
      const row = await stack.row(stream.response!.headers.get('x-catena-inference-id'));
      expect(row).toMatchObject({ status: 'error', error_code: 'upstream_reset' });
      expect(JSON.parse(row.response).choices[0].message.content).toBe(text);
    });
  });

  it('frees the replica at once when an Anthropic client leaves', async () => {
    const { aborted } = stack.simulator.stats();
    await stack.serve('slow-claude', {
      generate: { modelEndpoint: 'claude', model: 'small:tokens-per-second=5' },
    });
    const stream = stack.anthropic.messages.stream({
      model: 'slow-claude',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Hi' }],
    });
    stream.on('abort', () => undefined);
    await new Promise((resolve) => stream.once('text', resolve));
    stream.abort();
    await eventually(() => stack.simulator.stats().aborted === aborted + 1, 1000);
  });

  it('refuses what it cannot work with in its own shape, without a row', async () => {
    const rows = async () =>
      (await stack.database.client.query('SELECT count(*)::int AS n FROM inference')).rows[0].n;
    const before = await rows();
    const send = (body: string | Buffer) =>
      fetch(`${stack.gateway.url}/v1/messages`, { method: 'POST', body });
    const deep = `{"model":"claude","max_tokens":5,"messages":${'['.repeat(90_000)}${']'.repeat(90_000)}}`;
    for (const [body, code] of [
      [deep, 'nested_too_deeply'],
      ['{"model":', 'invalid_json'],
      [Buffer.from([0x22, 0xff, 0x22]), 'invalid_json'],
      ['{"messages":[]}', 'bad_model'],
      ['{"model":"claude","messages":[]}', 'bad_messages'],
      ['{"model":"claude","messages":[{"role":"user","content":[null]}]}', 'bad_messages'],
      ['{"model":"claude","metadata":{"user_id":7},"messages":[{"role":"user","content":"x"}]}', 'bad_unit'],
    ] as const) {
      const response = await send(body);
      expect([response.status, await response.json()]).toMatchObject([
        400,
        { type: 'error', error: { type: 'invalid_request_error', code, message: expect.any(String) } },
      ]);
    }
    expect(await rows()).toBe(before);
  });

  it('takes a conversation of ten thousand messages', async () => {
    const messages = Array.from({ length: 10_001 }, (_, index) => ({
      role: index % 2 === 0 ? ('user' as const) : ('assistant' as const),
      content: `Message ${index}`,
    }));
    const ask = { max_tokens: 20, messages };
    for (const model of ['openai-like', 'claude'])
      expect((await stack.anthropic.messages.create({ ...ask, model })).usage.output_tokens).toBeGreaterThan(
        0,
      );
    expect(stack.sent().body['messages']).toEqual(messages);
  });

  describe('what Anthropic’s protocol says to a model endpoint that speaks it too', () => {
    it('arrives as it was sent, beside what the chain pins', async () => {
      const messages: Anthropic.MessageParam[] = [
        { role: 'user', content: [{ type: 'text', text: 'Hi', cache_control: { type: 'ephemeral' } }] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 'signed' },
            { type: 'text', text: 'Hello.' },
          ],
        },
        { role: 'user', content: 'Bye' },
      ];
      const thinking = { type: 'enabled' as const, budget_tokens: 1024 };
      await stack.anthropic.messages.create({
        model: 'claude',
        max_tokens: 2000,
        messages,
        thinking,
        top_k: 3,
      } as never);
      expect(stack.sent().body).toEqual({ model: 'small', max_tokens: 2000, messages, thinking, top_k: 3 });
      await stack.anthropic.messages.create({ model: 'openai-like', max_tokens: 2000, messages, thinking });
      expect(stack.sent().body['messages']).toEqual([
        { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'Hello.' }] },
        { role: 'user', content: 'Bye' },
      ]);
      expect(stack.sent().body).not.toHaveProperty('thinking');
    });
  });
});
