import { request as httpRequest } from 'node:http';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bucketOf } from '../libs/core/assignment/assign.js';
import { MODEL_KEY, say, startChatStack, type ChatStack } from './support/chat.js';

const SCHEMA = {
  type: 'object',
  properties: { action: { enum: ['refund', 'reply'] } },
  required: ['action'],
  additionalProperties: false,
};

describe('chat completions through the gateway', () => {
  let stack: ChatStack;
  beforeAll(async () => {
    stack = await startChatStack({ CATENA_MAX_BODY_BYTES: '200000' });
    await stack.serve(
      'tickets',
      {
        generate: {
          modelEndpoint: 'gpu',
          model: 'small',
          parameters: { temperature: 0.25, max_tokens: 40 },
          extraBody: { top_k: 5, custom: { deep: true } },
        },
        output: { name: 'action', schema: SCHEMA },
      },
      {
        type: 'chat',
        messages: [{ role: 'system', content: 'Be {{tone}}. Ticket {{number}}.' }, '{{messages}}'],
      },
    );
    await stack.serve('wrong-json', {
      generate: { modelEndpoint: 'gpu', model: 'small' },
      output: { schema: { type: 'object', required: ['nothing-has-this'], properties: {} } },
    });
  });
  afterAll(() => stack.close());

  describe('the official OpenAI client', () => {
    it('gets an answer, and the row says what ran', async () => {
      const { data, response } = await stack.openai.chat.completions
        .create(say('Where is my parcel?', { user: 'user-1' }) as any)
        .withResponse();
      const answer: OpenAI.ChatCompletion = data;
      expect(answer.choices[0]!.message.content!.length).toBeGreaterThan(10);
      expect(response.headers.get('content-length')).toBeTruthy();
      expect(response.headers.get('x-catena-chain-version')).toBe('chat@1');
      expect(response.headers.get('x-catena-arm')).toBe('only');
      expect(response.headers.get('x-catena-split-revision')).toBe('1');
      expect(response.headers.get('x-request-id')).toBeTruthy();

      const row = await stack.row(response.headers.get('x-catena-inference-id'));
      const sent = stack.simulator.received.at(-1)!;
      expect(sent.headers.authorization).toBe(`Bearer ${MODEL_KEY}`);
      expect(JSON.parse(row.request)).toEqual(sent.body);
      expect(JSON.parse(row.response)).toEqual(answer);
      expect(row).toMatchObject({
        endpoint: 'chat',
        split_revision: 1,
        arm: 'only',
        chain: 'chat',
        chain_version: 1,
        chain_digest: expect.stringMatching(/^sha256:/),
        unit: 'user-1',
        sticky: true,
        assignment: 'split',
        status: 'ok',
        error_code: null,
        model_endpoint: 'gpu',
        model: 'small',
        replica: `${stack.simulator.url}/v1`,
        attempts: 1,
        streamed: false,
        finish_reason: 'stop',
        schema_valid: null,
        input_tokens: answer.usage!.prompt_tokens,
        output_tokens: answer.usage!.completion_tokens,
        cost_micro_usd: Math.round(answer.usage!.prompt_tokens * 0.5 + answer.usage!.completion_tokens * 1.5),
        ttft_ms: null,
        metadata: null,
      });
      const { prompt_tokens, completion_tokens } = answer.usage!;
      expect(Number(row.cost_micro_usd)).toBe(Math.round(prompt_tokens * 0.5 + completion_tokens * 1.5));
      expect(row.latency_ms).toBeGreaterThan(4);
    });

    it('streams, and the row holds the same answer in one piece, with tokens and time to first token', async () => {
      const { data, response } = await stack.openai.chat.completions
        .create(say('Stream me', { stream: true }) as any)
        .withResponse();
      let text = '';
      for await (const chunk of data as unknown as AsyncIterable<OpenAI.ChatCompletionChunk>) {
        expect(chunk.choices).toHaveLength(1); // the usage chunk was not asked for
        text += chunk.choices[0]!.delta.content ?? '';
      }
      expect(response.headers.get('content-type')).toContain('text/event-stream');
      expect(response.headers.get('x-accel-buffering')).toBe('no');
      const row = await stack.row(response.headers.get('x-catena-inference-id'));
      const assembled = JSON.parse(row.response);
      const whole: any = await stack.openai.chat.completions.create(say('Stream me') as any);
      expect(whole.choices[0].message.content).toBe(text);
      expect(assembled.choices).toMatchObject([
        { message: { role: 'assistant', content: text }, finish_reason: 'stop' },
      ]);
      expect(assembled).toMatchObject({ object: 'chat.completion', usage: whole.usage });
      expect(row).toMatchObject({
        status: 'ok',
        streamed: true,
        output_tokens: whole.usage.completion_tokens,
        finish_reason: 'stop',
      });
      expect(row.ttft_ms).toBeGreaterThan(3);
      expect(row.ttft_ms).toBeLessThanOrEqual(row.latency_ms);
    });

    it('gets the usage chunk of a stream when it asks for it', async () => {
      const stream: any = await stack.openai.chat.completions.create(
        say('Usage please', { stream: true, stream_options: { include_usage: true } }) as any,
      );
      let last: any;
      for await (const chunk of stream) last = chunk;
      expect(last.choices).toEqual([]);
      expect(last.usage.completion_tokens).toBeGreaterThan(0);
    });

    it.each([
      ['an unknown endpoint', { model: 'nobody' }, OpenAI.NotFoundError, 'model_not_found'],
      ['messages of the wrong type', { messages: 'hi' }, OpenAI.BadRequestError, 'bad_messages'],
      ['stream of the wrong type', { stream: 'yes' }, OpenAI.BadRequestError, 'bad_type'],
    ])('throws its own error class for %s', async (_what, fields, type, code) => {
      const call = stack.openai.chat.completions.create(say('x', fields) as any);
      await expect(call).rejects.toBeInstanceOf(type);
      await expect(call).rejects.toMatchObject({ code });
    });
  });

  describe('what the chain version pins', () => {
    it('wins over the request; what it does not pin passes through; metadata stays here', async () => {
      const response = await stack.post({
        model: 'tickets',
        messages: [{ role: 'user', content: 'Hallo' }],
        temperature: 1,
        max_completion_tokens: 999,
        top_k: 1,
        seed: 3,
        stop: ['.'],
        tools: [{ type: 'function', function: { name: 'f' } }],
        unknown_field: [1],
        user: 'user-9',
        response_format: { type: 'text' },
        metadata: { variables: { tone: 'kind', number: 7 }, shop: 'CH' },
      });
      expect(response.status).toBe(200);
      const sent = stack.simulator.received.at(-1)!.body;
      expect(sent).toEqual({
        model: 'small',
        messages: [
          { role: 'system', content: 'Be kind. Ticket 7.' },
          { role: 'user', content: 'Hallo' },
        ],
        temperature: 0.25,
        max_tokens: 40,
        top_k: 5,
        custom: { deep: true },
        seed: 3,
        stop: ['.'],
        tools: [{ type: 'function', function: { name: 'f' } }],
        unknown_field: [1],
        user: 'user-9',
        response_format: { type: 'json_schema', json_schema: { name: 'action', schema: SCHEMA } },
      });
      const row = await stack.row(response.headers.get('x-catena-inference-id'));
      expect(JSON.parse(row.metadata)).toEqual({ variables: { tone: 'kind', number: 7 }, shop: 'CH' });
      expect(row.schema_valid).toBe(true);
    });

    it('is neither another output format nor another model or prompt that a request smuggles in', async () => {
      const contract = {
        structured_outputs: { json: {} },
        guided_json: {},
        guided_regex: 'x',
        guided_choice: ['x'],
        guided_grammar: 'x',
        guided_decoding_backend: 'x',
        guided_whitespace_pattern: 'x',
        grammar: 'x',
      };
      const others = { models: ['big'], route: 'fallback', provider: { only: ['x'] }, chat_template: 'x' };
      const variables = { tone: 'kind', number: 7 };
      await stack.post({ model: 'tickets', ...contract, ...others, metadata: { variables } });
      const pinned = stack.simulator.received.at(-1)!.body;
      for (const name of Object.keys({ ...contract, ...others })) expect(pinned).not.toHaveProperty(name);
      await stack.post({ ...say('x'), ...others, guided_choice: ['x'] });
      const free = stack.simulator.received.at(-1)!.body;
      for (const name of Object.keys(others)) expect(free).not.toHaveProperty(name);
      expect(free).toHaveProperty('guided_choice');
    });

    it('says in the row when the answer breaks the output contract', async () => {
      const response = await stack.post({ ...say('x'), model: 'wrong-json', max_tokens: 2 });
      expect((await stack.row(response.headers.get('x-catena-inference-id'))).schema_valid).toBe(false);
    });

    it('takes variables as JSON text too, since OpenAI types metadata values as strings', async () => {
      const variables = JSON.stringify({ tone: 'grüezi {{tone}} 🚀', number: 1 });
      await stack.post({ model: 'tickets', messages: [], metadata: { variables } });
      expect((stack.simulator.received.at(-1)!.body as any).messages[0].content).toBe(
        'Be grüezi {{tone}} 🚀. Ticket 1.',
      );
    });
  });

  describe('the unit', () => {
    const unitOf = async (body: object, headers: Record<string, string> = {}) => {
      const response = await stack.post({ ...say('x'), ...body }, headers);
      const row = await stack.row(response.headers.get('x-catena-inference-id'));
      return { unit: row.unit, sticky: row.sticky, assignment: row.assignment, bucket: row.bucket };
    };
    const salt = async () =>
      (
        await stack.database.client.query(
          `SELECT s.salt FROM split s JOIN endpoint e ON e.id = s.endpoint_id WHERE e.name = 'chat'`,
        )
      ).rows[0].salt;

    it('comes from the header, else metadata.unit, else user', async () => {
      const all = { metadata: { unit: 'from-metadata' }, user: 'from-user' };
      expect(await unitOf(all, { 'x-catena-unit': 'from-header' })).toMatchObject({ unit: 'from-header' });
      expect(await unitOf(all)).toMatchObject({ unit: 'from-metadata' });
      expect(await unitOf({ user: 'from-user' })).toEqual({
        unit: 'from-user',
        sticky: true,
        assignment: 'split',
        bucket: bucketOf(await salt(), 'from-user'),
      });
    });

    it('is drawn at random and marked unsticky when there is none', async () => {
      expect(await unitOf({})).toMatchObject({ unit: null, sticky: false, assignment: 'random' });
    });

    it('is refused when the header is sent twice, and is not one unit made of two', async () => {
      const send = (...lines: string[]) =>
        new Promise<{ status: number; text: string }>((resolve, reject) => {
          const headers = ['host', 'localhost', ...lines.flatMap((unit) => ['x-catena-unit', unit])];
          httpRequest(`${stack.gateway.url}/v1/chat/completions`, { method: 'POST', headers }, (response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
            response.on('end', () => resolve({ status: response.statusCode!, text }));
          })
            .on('error', reject)
            .end(Buffer.from(JSON.stringify(say('x'))));
        });
      const refused = await send('one', 'two');
      expect(refused.status).toBe(400);
      expect(JSON.parse(refused.text).error).toMatchObject({
        code: 'ambiguous_unit',
        param: 'x-catena-unit',
      });
      expect((await send('Doe, Jane')).status).toBe(200);
    });

    it('may be any UTF-8 in the header', async () => {
      const unit = 'zürich-用户-🚀';
      const bytes = Buffer.from(unit).toString('latin1');
      const id = await new Promise<string>((resolve, reject) => {
        const request = httpRequest(
          `${stack.gateway.url}/v1/chat/completions`,
          { method: 'POST', headers: { 'x-catena-unit': bytes } },
          (response) => {
            response.resume();
            resolve(String(response.headers['x-catena-inference-id']));
          },
        ).on('error', reject);
        request.end(Buffer.from(JSON.stringify(say('x')))); // text would make Node send the head as UTF-8
      });
      expect(await stack.row(id)).toMatchObject({ unit, bucket: bucketOf(await salt(), unit) });
    });
  });

  describe('bad input', () => {
    const deep = (depth: number) =>
      `{"model":"chat","messages":[{"role":"user","content":""}],"x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    it.each<[string, unknown, number, string, string | null]>([
      ['JSON that ends early', '{"model":', 400, 'invalid_json', null],
      ['a list', '[]', 400, 'invalid_json', null],
      ['no model', { messages: [] }, 400, 'bad_model', 'model'],
      [
        'a message without role',
        { model: 'chat', messages: [{ content: 'x' }] },
        400,
        'bad_messages',
        'messages[0]',
      ],
      [
        'content of the wrong type',
        { model: 'chat', messages: [{ role: 'user', content: 3 }] },
        400,
        'bad_messages',
        'messages[0].content',
      ],
      ['no message at all', { model: 'chat', messages: [] }, 400, 'bad_messages', 'messages'],
      [
        'missing variables',
        { model: 'tickets', messages: [], metadata: { variables: { tone: 'x' } } },
        400,
        'bad_variables',
        'metadata.variables',
      ],
      [
        'an extra variable',
        { ...say('x'), metadata: { variables: { nobody: 1 } } },
        400,
        'bad_variables',
        'metadata.variables',
      ],
      [
        'a variable that is an object',
        { ...say('x'), metadata: { variables: { a: {} } } },
        400,
        'bad_variables',
        'metadata.variables.a',
      ],
      [
        'variables that are no JSON',
        { ...say('x'), metadata: { variables: 'oops' } },
        400,
        'bad_variables',
        'metadata.variables',
      ],
      ['metadata of the wrong type', { ...say('x'), metadata: 3 }, 400, 'bad_type', 'metadata'],
      ['a unit of 10 kB', { ...say('x'), user: 'u'.repeat(10_000) }, 400, 'bad_unit', 'user'],
      ['a unit with NUL', { ...say('x'), metadata: { unit: 'a\0b' } }, 400, 'bad_unit', 'metadata.unit'],
      [
        'half a surrogate pair as unit',
        '{"model":"chat","messages":[],"user":"\\ud800"}',
        400,
        'bad_unit',
        'user',
      ],
      ['a unit that is a number', { ...say('x'), user: 3 }, 400, 'bad_unit', 'user'],
      ['nesting without end', deep(90_000), 400, 'nested_too_deeply', null],
      ['a body over the limit', say('x'.repeat(200_001)), 413, 'payload_too_large', null],
      ['an endpoint with odd characters', { ...say('x'), model: '../\0' }, 404, 'model_not_found', 'model'],
    ])('refuses %s in words, without a row', async (_what, body, status, code, param) => {
      const before = (await stack.database.client.query('SELECT count(*)::int AS n FROM inference')).rows[0]
        .n;
      const response = await stack.post(body);
      const answer: any = await response.json();
      expect(answer.error).toMatchObject({
        code,
        param,
        type: expect.any(String),
        message: expect.any(String),
      });
      expect(response.status).toBe(status);
      expect(response.headers.get('x-catena-inference-id')).toBeNull();
      expect((await stack.database.client.query('SELECT count(*)::int AS n FROM inference')).rows[0].n).toBe(
        before,
      );
    });

    it('names missing and extra variables', async () => {
      const answer: any = await (
        await stack.post({ model: 'tickets', messages: [], metadata: { variables: { tne: 1 } } })
      ).json();
      expect(answer.error.message).toMatch(
        /missing variables: tone, number; variables the prompt does not have: tne/,
      );
    });

    it('stores text that PostgreSQL could not: NUL and lone surrogates stay JSON escapes', async () => {
      const response = await stack.post(
        '{"model":"chat","messages":[{"role":"user","content":"a\\u0000b\\ud800"}]}',
      );
      expect(response.status).toBe(200);
      const row = await stack.row(response.headers.get('x-catena-inference-id'));
      expect(JSON.parse(row.request).messages[0].content).toBe('a\0b\ud800');
    });
  });

  it('counts refusals, answers and stored rows', async () => {
    const { body } = await stack.gateway.get('/metrics');
    expect(body).toMatch(/catena_inferences_total\{status="ok"\} [1-9]/);
    expect(body).toMatch(/catena_requests_refused_total\{code="bad_unit"\} 4/);
    expect(body).toMatch(/catena_rows_shipped_total [1-9]/);
    expect(body).toMatch(/catena_spool_bytes [1-9]/);
    expect(body).toMatch(/catena_rows_quarantined_total 0/);
  });
});
