import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canonical, type Json } from '../libs/core/canonical/canonical.js';
import { MODEL_KEY, say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';

const SCHEMA = {
  type: 'object',
  properties: { action: { enum: ['refund', 'escalate'] }, note: { type: 'string', maxLength: 200 } },
  required: ['action', 'note'],
  additionalProperties: false,
};
const RIGHT = { action: 'refund', note: 'Charged twice.' };
const OUTPUT = { name: 'triage', schema: SCHEMA } as const;

/** Answers with what it is told, in order; then with the last again. */
class ScriptedModel {
  answers: unknown[] = [];
  readonly asked: any[] = [];
  private constructor(private readonly server: Server) {}

  static async start(): Promise<ScriptedModel> {
    const server = createServer();
    const model = new ScriptedModel(server);
    server.on('request', (request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      request.on('end', () => {
        model.asked.push(JSON.parse(text || '{}'));
        const answer = model.answers.length > 1 ? model.answers.shift() : model.answers[0];
        if (typeof answer === 'number') response.writeHead(answer).end('{"error":{"message":"too long"}}');
        else if (typeof answer === 'string')
          response.writeHead(200, { 'content-type': 'text/event-stream' }).end(answer);
        else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return model;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const choice = (content: unknown, more: object = {}, index = 0) => ({
  index,
  message: { role: 'assistant', content: typeof content === 'string' ? content : JSON.stringify(content) },
  finish_reason: 'stop',
  ...more,
});
const completion = (...choices: object[]) => ({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'small',
  choices,
  usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
});
const chunks = (...deltas: object[]) =>
  `${deltas
    .map(
      (part) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [part] })}\n\n`,
    )
    .join('')}data: [DONE]\n\n`;

describe('structured output', () => {
  let stack: ChatStack;
  let scripted: ScriptedModel;
  let anthropic: Anthropic;
  let number = 0;

  beforeAll(async () => {
    stack = await startChatStack({ CATENA_TOTAL_TIMEOUT_MS: '5000' }, { answerTokens: 20, jsonErrors: 0 });
    scripted = await ScriptedModel.start();
    const replicas = [`${stack.simulator.url}/v1`];
    const endpoint = (name: string, more: object) =>
      stack.rows.setModelEndpoint(name, { replicas, credential: MODEL_KEY, ...more });
    await endpoint('vllm', { structuredOutput: 'structured_outputs' });
    await endpoint('words', { structuredOutput: 'prompt' });
    await endpoint('any-json', { structuredOutput: 'json_object' });
    await endpoint('claude', { protocol: 'anthropic' });
    await endpoint('spare', {});
    await stack.rows.setModelEndpoint('scripted', { replicas: [scripted.url] });
    anthropic = new Anthropic({ baseURL: stack.gateway.url, apiKey: 'any', maxRetries: 0 });
  });
  afterAll(async () => {
    await stack.close();
    await scripted.stop();
  });
  beforeEach(() => {
    scripted.asked.length = 0;
  });

  /** An endpoint whose chain has the contract. @returns its name. */
  const serve = async (
    modelEndpoint: string,
    fault: string,
    output: { readonly [field: string]: Json } = {},
    more: { readonly [field: string]: Json } = {},
  ) => {
    const name = `contract-${++number}`;
    await stack.serve(name, {
      generate: { modelEndpoint, model: fault === '' ? 'small' : `small:fault=${fault}` },
      output: { ...OUTPUT, ...output } as Json,
      ...more,
    });
    return name;
  };
  const ask = async (model: string, more: object = {}) => {
    const response = await stack.post(say('I was charged twice.', { model, ...more }));
    const body = (await response.json()) as any;
    const row = await stack.row(response.headers.get('x-catena-inference-id'));
    return { status: response.status, body, row, rungs: row.contract_rungs as any[] };
  };
  const rungsOf = (row: any) => row.contract_rungs.map((one: any) => `${one.rung} ${one.result}`);
  const answerOf = (body: any) => JSON.parse(body.choices[0].message.content);
  /** What of a body asks for the schema. */
  const asking = ({ response_format, structured_outputs, output_config }: any) => ({
    response_format,
    structured_outputs,
    output_config,
  });
  const sent = () => stack.simulator.received.at(-1)!.body as any;

  describe('is asked for', () => {
    it('in the field of the protocol, with the schema once', async () => {
      const { status, row, body } = await ask(await serve('gpu', ''));
      expect(status).toBe(200);
      expect(sent().response_format).toEqual({
        type: 'json_schema',
        json_schema: { name: 'triage', schema: SCHEMA },
      });
      expect(JSON.stringify(sent().messages)).not.toContain('JSON');
      expect(Object.keys(answerOf(body))).toEqual(['action', 'note']);
      expect(row).toMatchObject({ contract_outcome: 'valid', schema_valid: true, attempts: 1 });
      expect(row.contract_rungs).toEqual([
        {
          rung: 'ask',
          result: 'valid',
          by: 'response_format',
          modelEndpoint: 'gpu',
          model: 'small',
          latencyMs: expect.any(Number),
          inputTokens: row.input_tokens,
          outputTokens: row.output_tokens,
          costMicroUsd: Number(row.cost_micro_usd),
        },
      ]);
    });

    it('in vLLM’s own field, where the model endpoint says so', async () => {
      const { row } = await ask(await serve('vllm', ''));
      expect(asking(sent())).toEqual({ structured_outputs: { json: SCHEMA } });
      expect(row.contract_outcome).toBe('valid');
    });

    it('in Anthropic’s', async () => {
      const { row } = await ask(await serve('claude', ''));
      expect(asking(sent())).toEqual({ output_config: { format: { type: 'json_schema', schema: SCHEMA } } });
      expect(row.contract_outcome).toBe('valid');
    });

    it.each([
      ['words', undefined],
      ['any-json', { type: 'json_object' }],
    ])('in words by %s, in the one system message at the beginning', async (modelEndpoint, format) => {
      const { row, body } = await ask(await serve(modelEndpoint, ''));
      expect(asking(sent())).toEqual({ response_format: format });
      expect(sent().messages).toEqual([
        { role: 'system', content: expect.stringContaining(canonical(SCHEMA).text) },
        { role: 'user', content: 'I was charged twice.' },
      ]);
      expect(row.contract_outcome).toBe('valid');
      expect(Object.keys(answerOf(body))).toEqual(['action', 'note']);

      const name = `contract-${++number}`;
      await stack.serve(
        name,
        { generate: { modelEndpoint, model: 'small' }, output: OUTPUT as unknown as Json },
        { type: 'chat', messages: [{ role: 'system', content: 'Be kind.' }, '{{messages}}'] },
      );
      await ask(name);
      expect(sent().messages.map((one: any) => one.role)).toEqual(['system', 'user']);
      expect(sent().messages[0].content).toMatch(/^Be kind\.\n\nAnswer with one JSON value/);
    });

    it('and wins over the format a caller asks for', async () => {
      const own = { type: 'json_schema', json_schema: { name: 'own', schema: { type: 'string' } } };
      for (const modelEndpoint of ['gpu', 'vllm', 'words']) {
        await ask(await serve(modelEndpoint, ''), { response_format: own, structured_outputs: { json: {} } });
        expect(JSON.stringify(asking(sent()))).not.toContain('own');
        expect(JSON.stringify(sent())).toContain('escalate');
      }
    });
  });

  describe('is repaired without asking again', () => {
    it.each(['json-fenced', 'json-prose', 'json-trailing-comma'])('from %s', async (fault) => {
      const { status, body, row } = await ask(await serve('gpu', fault));
      expect(status).toBe(200);
      expect(Object.keys(answerOf(body))).toEqual(['action', 'note']);
      expect(row).toMatchObject({
        contract_outcome: 'repaired',
        schema_valid: true,
        attempts: 1,
        status: 'ok',
      });
      expect(rungsOf(row)).toEqual(['ask invalid', 'repair valid']);
      expect(row.contract_rungs[0].errors[0].message).toContain('not JSON');
      expect(row.contract_rungs[1]).toMatchObject({
        by: null,
        inputTokens: null,
        latencyMs: expect.any(Number),
      });
      expect(answerOf(JSON.parse(row.response))).toEqual(answerOf(body));
    });

    it('unless the chain says no', async () => {
      const name = await serve('gpu', 'json-fenced;times=1', { repair: false });
      const { row } = await ask(name);
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask valid']);
    });

    it('in the words of every protocol', async () => {
      const name = await serve('gpu', 'json-prose');
      const message = await anthropic.messages.create({
        model: name,
        max_tokens: 200,
        messages: [{ role: 'user', content: 'I was charged twice.' }],
      });
      expect(Object.keys(JSON.parse((message.content[0] as any).text))).toEqual(['action', 'note']);
      const answer = await stack.openai.responses.create({ model: name, input: 'I was charged twice.' });
      expect(Object.keys(JSON.parse(answer.output_text))).toEqual(['action', 'note']);
      const text = await stack.openai.completions.create({ model: name, prompt: 'I was charged twice.' });
      expect(Object.keys(JSON.parse(text.choices[0]!.text))).toEqual(['action', 'note']);
    });
  });

  describe('is asked for again', () => {
    it('with the answer and what is wrong with it; all tokens are paid', async () => {
      const name = await serve('gpu', 'json-careless');
      const { status, body, row, rungs } = await ask(name);
      expect(status).toBe(200);
      expect(answerOf(body)).toMatchObject({ action: expect.stringMatching(/refund|escalate/) });
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask valid']);
      expect(row).toMatchObject({ contract_outcome: 'reasked', schema_valid: true, attempts: 2 });
      const { messages, response_format } = sent();
      expect(response_format.type).toBe('json_schema');
      expect(messages.map((one: any) => one.role)).toEqual(['user', 'assistant', 'user']);
      expect(messages[1].content).toContain('unexpected');
      expect(messages[2].content).toContain('lacks the field "action"');
      // The row keeps what was sent last.
      expect(JSON.parse(row.request).messages).toHaveLength(3);
      expect(row.input_tokens).toBe(rungs[0].inputTokens + rungs[1].inputTokens);
      expect(row.output_tokens).toBe(rungs[0].outputTokens + rungs[1].outputTokens);
      expect(Number(row.cost_micro_usd)).toBe(rungs[0].costMicroUsd + rungs[1].costMicroUsd);
      expect(row.latency_ms).toBeGreaterThanOrEqual(rungs[0].latencyMs + rungs[1].latencyMs - 1);
    });

    it('as often as the chain allows, and no more', async () => {
      for (const [maxReasks, attempts] of [
        [0, 1],
        [3, 4],
      ] as const) {
        const { status, row } = await ask(await serve('gpu', 'json-wrong', { maxReasks }));
        expect([status, row.attempts, row.contract_outcome]).toEqual([502, attempts, 'violated']);
      }
    });

    it('of a model that answers nothing at all', async () => {
      scripted.answers = [completion(choice('')), completion(choice(RIGHT))];
      const { row } = await ask(await serve('scripted', ''));
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask valid']);
      expect(scripted.asked[1].messages.map((one: any) => one.role)).toEqual(['user', 'user']);
    });

    it('and where that is refused, it is the contract that was violated, not the caller’s request that was bad', async () => {
      scripted.answers = [completion(choice('{"action":"none"}')), 400];
      const { status, body, row } = await ask(await serve('scripted', ''));
      expect([status, body.error.code]).toEqual([502, 'output_contract_violated']);
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask failed']);
      expect(row).toMatchObject({ contract_outcome: 'violated', input_tokens: 100, output_tokens: 10 });
    });

    it('but not once the time of the request is over', async () => {
      const name = await serve('gpu', 'json-wrong;ttft-ms=2000', { maxReasks: 5 });
      const startedAt = performance.now();
      const { status, body, row } = await ask(name);
      expect([status, body.error.code]).toEqual([504, 'request_timeout']);
      expect(performance.now() - startedAt).toBeLessThan(6_500);
      expect(row).toMatchObject({ contract_outcome: 'violated', schema_valid: false });
      expect(row.output_tokens).toBeGreaterThan(0);
      expect(rungsOf(row)).toHaveLength(row.attempts);
      expect(row.contract_rungs.at(-1)).toMatchObject({ rung: 'reask', errorCode: 'request_timeout' });
    }, 10_000);
  });

  describe('comes from the next model endpoint', () => {
    it('which is asked in its own way, from the beginning', async () => {
      const name = await serve(
        'gpu',
        'json-wrong',
        {},
        { fallbacks: [{ modelEndpoint: 'words', model: 'small' }] },
      );
      const { status, row, rungs } = await ask(name);
      expect(status).toBe(200);
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask invalid', 'fallback valid']);
      expect(rungs.map((one) => [one.modelEndpoint, one.by])).toEqual([
        ['gpu', 'response_format'],
        ['gpu', 'response_format'],
        ['words', 'prompt'],
      ]);
      expect(row).toMatchObject({ contract_outcome: 'fell_back', model_endpoint: 'words', attempts: 3 });
      expect(sent().messages).toHaveLength(2);
      expect(row.output_tokens).toBe(rungs.reduce((sum, one) => sum + one.outputTokens, 0));
    });

    it('which is told what was wrong with its own answer, as often as the first', async () => {
      const fallbacks = [{ modelEndpoint: 'spare', model: 'small:fault=json-careless' }];
      const { row } = await ask(await serve('gpu', 'json-wrong', {}, { fallbacks }));
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask invalid', 'fallback invalid', 'reask valid']);
      expect(row).toMatchObject({ contract_outcome: 'fell_back', attempts: 4 });
      expect(sent().messages).toHaveLength(3);
    });

    it('after a failure too, which is no fault of the contract', async () => {
      const fallbacks = [{ modelEndpoint: 'spare', model: 'small' }];
      const { row } = await ask(await serve('gpu', 'http-500', {}, { fallbacks }));
      expect(rungsOf(row)).toEqual(['ask failed', 'fallback valid']);
      expect(row.contract_rungs[0].errorCode).toBe('upstream_error');
      expect(row.contract_outcome).toBe('valid');
    });
  });

  describe('that is not to be had', () => {
    it('is a typed error with what was wrong, and the answer is in the row', async () => {
      const { status, body, row } = await ask(await serve('gpu', 'json-wrong'));
      expect(status).toBe(502);
      expect(body.error).toMatchObject({ type: 'upstream_error', code: 'output_contract_violated' });
      expect(body.error.message).toContain('lacks the field "action"');
      expect(body.error.message).not.toContain('charged');
      expect(row).toMatchObject({
        status: 'error',
        error_code: 'output_contract_violated',
        contract_outcome: 'violated',
        schema_valid: false,
        finish_reason: 'stop',
      });
      expect(row.response).toContain('unexpected');
      expect(Number(row.cost_micro_usd)).toBeGreaterThan(0);
    });

    it('has the shape of the caller’s protocol', async () => {
      const name = await serve('gpu', 'json-wrong', { maxReasks: 0 });
      const say = { model: name, max_tokens: 200, messages: [{ role: 'user' as const, content: 'Hi' }] };
      await expect(anthropic.messages.create(say)).rejects.toMatchObject({
        status: 502,
        error: { error: { code: 'output_contract_violated' } },
      });
      await expect(stack.openai.responses.create({ model: name, input: 'Hi' })).rejects.toMatchObject({
        status: 502,
        code: 'output_contract_violated',
      });
    });

    it('is called truncated where the output limit was met first, and is neither mended nor asked for again', async () => {
      const { status, body, row } = await ask(await serve('gpu', ''), { max_tokens: 3 });
      expect([status, body.error.code]).toEqual([502, 'output_truncated']);
      expect(row).toMatchObject({ contract_outcome: 'truncated', attempts: 1, finish_reason: 'length' });
      expect(row.schema_valid).toBe(false);
    });

    it('passes where it happens to be complete at the limit', async () => {
      scripted.answers = [completion(choice(RIGHT, { finish_reason: 'length' }))];
      const { status, row } = await ask(await serve('scripted', ''));
      expect([status, row.contract_outcome]).toEqual([200, 'valid']);
    });

    it('goes out all the same where the contract is not strict', async () => {
      const { status, body, row } = await ask(await serve('gpu', 'json-wrong', { strict: false }));
      expect(status).toBe(200);
      expect(body.choices[0].message.content).toContain('unexpected');
      expect(asking(sent())).toEqual({});
      expect(row).toMatchObject({ status: 'ok', contract_outcome: 'violated', schema_valid: false });
      expect(row.contract_rungs[0].by).toBeNull();
      const fenced = await ask(await serve('gpu', 'json-fenced', { strict: false }));
      expect(fenced.body.choices[0].message.content).toContain('```');
    });
  });

  describe('is not held against', () => {
    it('a refusal, which goes out as it is', async () => {
      const { status, body, row } = await ask(await serve('gpu', 'refusal'));
      expect(status).toBe(200);
      expect(body.choices[0].message).toMatchObject({
        content: null,
        refusal: expect.stringContaining('sorry'),
      });
      expect(row).toMatchObject({ contract_outcome: 'refused', schema_valid: null, attempts: 1 });
      const claude = await ask(await serve('claude', 'refusal'));
      expect([claude.status, claude.row.contract_outcome]).toEqual([200, 'refused']);
    });

    it('a call of tools', async () => {
      const { status, body, row } = await ask(await serve('gpu', 'json-wrong'), {
        tools: [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }],
        tool_choice: 'required',
      });
      expect(status).toBe(200);
      expect(body.choices[0].finish_reason).toBe('tool_calls');
      expect(row).toMatchObject({ contract_outcome: null, schema_valid: null });
      expect(rungsOf(row)).toEqual(['ask called_tools']);
    });
  });

  it('holds for every choice', async () => {
    const name = await serve('scripted', '');
    const fenced = `\`\`\`json\n${JSON.stringify(RIGHT)}\n\`\`\``;
    scripted.answers = [completion(choice(RIGHT), choice(fenced, {}, 1))];
    const repaired = await ask(name, { n: 2 });
    expect(repaired.body.choices.map((one: any) => JSON.parse(one.message.content))).toEqual([RIGHT, RIGHT]);
    expect(repaired.row.contract_outcome).toBe('repaired');

    scripted.answers = [
      completion(choice(RIGHT), choice('{}', {}, 1)),
      completion(choice(RIGHT), choice(RIGHT, {}, 1)),
    ];
    const reasked = await ask(name, { n: 2 });
    expect([reasked.status, reasked.row.contract_outcome]).toEqual([200, 'reasked']);
    expect(reasked.body.choices).toHaveLength(2);

    scripted.answers = [completion(choice(RIGHT), choice('{}', {}, 1))];
    expect((await ask(name, { n: 2 })).status).toBe(502);
  });

  describe('streamed', () => {
    const stream = async (model: string, more: object = {}) => {
      const response = await stack.post(say('I was charged twice.', { model, stream: true, ...more }));
      const text = await response.text();
      const row = await stack.row(response.headers.get('x-catena-inference-id'));
      return { response, text, row };
    };

    it('goes out as it comes, and [DONE] says that it is valid', async () => {
      const name = await serve('gpu', '');
      const { text, row } = await stream(name);
      expect(text.match(/"content":"/g)!.length).toBeGreaterThan(3);
      expect(text).toContain('[DONE]');
      expect(row).toMatchObject({ contract_outcome: 'valid', status: 'ok', streamed: true });
      const whole = await stack.openai.chat.completions
        .stream(say('Twice!', { model: name }) as never)
        .finalContent();
      expect(Object.keys(JSON.parse(whole!))).toEqual(['action', 'note']);
    });

    it.each(['json-wrong', 'json-fenced', 'json-trailing-comma'])(
      'ends with an error event and no [DONE] after %s: what is out cannot be taken back',
      async (fault) => {
        const name = await serve(
          'gpu',
          fault,
          {},
          { fallbacks: [{ modelEndpoint: 'spare', model: 'small' }] },
        );
        const { response, text, row } = await stream(name);
        expect(response.status).toBe(200);
        expect(text).not.toContain('[DONE]');
        const last = JSON.parse(text.trim().split('\n\n').at(-1)!.slice('data: '.length));
        expect(last.error).toMatchObject({ code: 'output_contract_violated' });
        expect(row).toMatchObject({
          status: 'error',
          error_code: 'output_contract_violated',
          contract_outcome: 'violated',
          schema_valid: false,
          attempts: 1,
          finish_reason: 'stop',
        });
        expect(rungsOf(row)).toEqual(['ask invalid']);
        expect(row.output_tokens).toBe(row.contract_rungs[0].outputTokens);
        expect(JSON.parse(row.response).choices[0].message.content).not.toBe('');
      },
    );

    it('fails in the official clients of every protocol', async () => {
      const name = await serve('gpu', 'json-wrong');
      const chat = stack.openai.chat.completions.stream(say('Hi', { model: name }) as never);
      await expect(chat.finalContent()).rejects.toMatchObject({ code: 'output_contract_violated' });
      const input = { model: name, max_tokens: 200, messages: [{ role: 'user' as const, content: 'Hi' }] };
      await expect(anthropic.messages.stream(input).finalMessage()).rejects.toThrow('output contract');
      const read = async (events: AsyncIterable<unknown>) => {
        const seen: any[] = [];
        for await (const event of events) seen.push(event);
        return seen;
      };
      const responses = await stack.openai.responses.create({ model: name, input: 'Hi', stream: true });
      const seen = await read(responses).catch((error: unknown) => error);
      expect(JSON.stringify(seen)).toContain('output_contract_violated');
      const text = await stack.openai.completions.create({ model: name, prompt: 'Hi', stream: true });
      await expect(read(text)).rejects.toMatchObject({ code: 'output_contract_violated' });
    });

    it('says truncated, refused and tool calls as without a stream', async () => {
      const cut = await stream(await serve('gpu', ''), { max_tokens: 3 });
      expect(cut.text).not.toContain('[DONE]');
      expect(cut.row).toMatchObject({ contract_outcome: 'truncated', error_code: 'output_truncated' });
      const refused = await stream(await serve('gpu', 'refusal'));
      expect(refused.text).toContain('[DONE]');
      expect(refused.row).toMatchObject({ contract_outcome: 'refused', status: 'ok' });
      const called = await stream(await serve('gpu', ''), {
        tools: [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }],
        tool_choice: 'required',
      });
      expect(called.text).toContain('[DONE]');
      expect(called.row).toMatchObject({ contract_outcome: null, status: 'ok' });
    });

    it('is asked for again where nothing of it has gone out yet', async () => {
      scripted.answers = [
        chunks({ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }),
        chunks(
          { index: 0, delta: { role: 'assistant', content: JSON.stringify(RIGHT) } },
          { index: 0, delta: {}, finish_reason: 'stop' },
        ),
      ];
      const { text, row } = await stream(await serve('scripted', ''));
      expect(text).toContain('[DONE]');
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask valid']);
      expect(row.contract_outcome).toBe('reasked');
    });

    it('holds for every choice', async () => {
      scripted.answers = [
        chunks(
          { index: 0, delta: { content: JSON.stringify(RIGHT) } },
          { index: 1, delta: { content: '{}' } },
          { index: 0, delta: {}, finish_reason: 'stop' },
          { index: 1, delta: {}, finish_reason: 'stop' },
        ),
      ];
      const { text, row } = await stream(await serve('scripted', ''), { n: 2 });
      expect(text).not.toContain('[DONE]');
      expect(row.contract_outcome).toBe('violated');
    });
  });

  describe('under hostile answers', () => {
    /** How long other requests wait meanwhile, at worst. */
    const whileWatching = async <T>(work: Promise<T>): Promise<readonly [T, number]> => {
      let worst = 0;
      let last = performance.now();
      const timer = setInterval(() => {
        worst = Math.max(worst, performance.now() - last - 5);
        last = performance.now();
      }, 5);
      const result = await work;
      clearInterval(timer);
      return [result, worst];
    };

    it.each([
      ['nested deeply', '{"action":'.repeat(50_000) + '1' + '}'.repeat(50_000)],
      ['of brackets', '['.repeat(500_000)],
      ['with stray quotes', `{"action":"refund","note":"${'x "y" '.repeat(100_000)}"}`],
      ['of many fences', '```json\n{"a":1}\n```\n'.repeat(20_000)],
      [
        'of very many fields',
        JSON.stringify(Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`f${i}`, i]))),
      ],
      ['larger than may be', JSON.stringify({ ...RIGHT, note: 'x'.repeat(2_000_000) })],
      ['with halves of characters and NUL', '{"\\ud800":1,"\\u0000":2}'],
    ])('%s: a typed error, a row, and nobody waits', async (_what, content) => {
      scripted.answers = [completion(choice(content))];
      const name = await serve('scripted', '', { maxReasks: 1 });
      const [{ status, body, row }, worst] = await whileWatching(ask(name));
      expect([status, body.error.code]).toEqual([502, 'output_contract_violated']);
      expect(rungsOf(row)).toEqual(['ask invalid', 'reask invalid']);
      expect(JSON.stringify(scripted.asked[1]).length).toBeLessThan(60_000);
      expect(worst).toBeLessThan(2_000);
    });

    it('a schema that evaluates exponentially often', async () => {
      const $defs: Record<string, Json> = { d0: { type: 'object' } };
      for (let level = 1; level <= 40; level++)
        $defs[`d${level}`] = {
          allOf: [{ $ref: `#/$defs/d${level - 1}` }, { $ref: `#/$defs/d${level - 1}` }],
        };
      scripted.answers = [completion(choice('{}'))];
      const name = await serve('scripted', '', { schema: { $defs, $ref: '#/$defs/d40' }, maxReasks: 0 });
      const [{ body }, worst] = await whileWatching(ask(name));
      expect(body.error.message).toContain('too large to be held against the schema');
      expect(worst).toBeLessThan(2_000);
    });

    it('more text than is looked at', async () => {
      const name = await serve('scripted', '', { schema: { type: 'object' }, maxReasks: 0 });
      scripted.answers = [completion(choice({ note: 'x'.repeat(1_000_000) }))];
      expect((await ask(name)).status).toBe(200);
      scripted.answers = [completion(choice({ note: 'x'.repeat(1_100_000) }))];
      const { status, body } = await ask(name);
      expect(status).toBe(502);
      expect(body.error.message).toContain('too large to be held against the schema');
    });

    it('a pattern made for backtracking', async () => {
      const schema = { type: 'object', properties: { a: { type: 'string', pattern: '^(a+)+$' } } };
      scripted.answers = [completion(choice({ a: `${'a'.repeat(100_000)}!` }))];
      const name = await serve('scripted', '', { schema, maxReasks: 0 });
      const [{ status }, worst] = await whileWatching(ask(name));
      expect(status).toBe(502);
      expect(worst).toBeLessThan(2_000);
    });

    it('more than 100 MB', async () => {
      const { status, row } = await ask(await serve('gpu', 'huge'));
      expect([status, row.error_code]).toEqual([502, 'upstream_too_large']);
      expect(rungsOf(row)).toEqual(['ask failed']);
    }, 20_000);
  });

  it('keeps what answers said out of rows where payloads are hashed', async () => {
    const name = await serve('gpu', 'json-wrong', { maxReasks: 0 });
    await stack.database.client.query(`UPDATE endpoint SET payloads = 'hash' WHERE name = $1`, [name]);
    // Tells the gateway.
    const chain = await stack.rows.addChain(name, {
      generate: { modelEndpoint: 'gpu', model: 'small:fault=json-wrong' },
      output: { ...OUTPUT, maxReasks: 0 } as unknown as Json,
    });
    await stack.rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }]);
    await eventually(async () => {
      const { row } = await ask(name);
      return row.contract_rungs[0].errors === undefined && row.error_message === null;
    });
  });
});
