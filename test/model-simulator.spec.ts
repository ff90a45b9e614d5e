import { request as httpRequest } from 'node:http';
import { Ajv2020 } from 'ajv/dist/2020.js';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { OptionsError, parseOptions, type SimulatorOptions } from '../apps/model-simulator/src/options.js';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';

const FAST: Partial<SimulatorOptions> = { port: 0, ttftMs: 5, tokensPerSecond: 2000, jitter: 0, seed: 7 };
const ask = (content: string, more: object = {}) => ({
  model: 'sim-small',
  messages: [{ role: 'user', content }],
  ...more,
});

let simulator: Simulator;
async function start(options: Partial<SimulatorOptions> = {}): Promise<OpenAI> {
  simulator = await createSimulator({ ...FAST, ...options });
  return new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'none', maxRetries: 0 });
}
afterEach(async () => simulator.close());

async function post(body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${simulator.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

/** What a client sees on the wire: status, bytes in the pieces they came in, and how it ended. */
function wire(body: object): Promise<{ status?: number; pieces: Buffer[]; text: string; ending: string }> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let status: number | undefined;
    const finish = (ending: string) =>
      resolve({
        ...(status === undefined ? {} : { status }),
        pieces,
        text: Buffer.concat(pieces).toString(),
        ending,
      });
    const request = httpRequest(`${simulator.url}/v1/chat/completions`, { method: 'POST' }, (response) => {
      status = response.statusCode!;
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => finish('end'));
      response.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    });
    request.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    request.setTimeout(300, () => {
      finish('silence');
      request.destroy();
    });
    request.end(JSON.stringify(body));
  });
}

describe('the answer', () => {
  it('is the same for the same seed, model and messages, streamed or not, and another for another seed', async () => {
    const client = await start();
    const whole = await client.chat.completions.create(ask('Where is my parcel?') as any);
    const stream = client.chat.completions.stream(ask('Where is my parcel?', { stream: true }) as any);
    const text = whole.choices[0]!.message.content!;
    expect(await stream.finalContent()).toBe(text);
    expect(text.length).toBeGreaterThan(50);
    const other = await client.chat.completions.create(ask('Where is my parcel?', { seed: 8 }) as any);
    expect(other.choices[0]!.message.content).not.toBe(text);
  });

  it('honours max_tokens with finish reason length, and stop with finish reason stop', async () => {
    const client = await start();
    const cut = await client.chat.completions.create(ask('Hello there', { max_tokens: 4 }) as any);
    expect(cut.choices[0]!.finish_reason).toBe('length');
    expect(cut.usage!.completion_tokens).toBe(4);
    const whole = await client.chat.completions.create(ask('Hello there') as any);
    const stopped = await client.chat.completions.create(ask('Hello there', { stop: ['.'] }) as any);
    expect(stopped.choices[0]!.finish_reason).toBe('stop');
    expect(stopped.choices[0]!.message.content).toBe(whole.choices[0]!.message.content!.split('.')[0]);
  });

  it('ends a stream with a usage chunk without choices only when it was asked for', async () => {
    await start();
    const plain = await (await post(ask('Hi', { stream: true, max_tokens: 3 }))).text();
    expect(plain).not.toContain('"usage"');
    expect(plain.endsWith('data: [DONE]\n\n')).toBe(true);
    const body = ask('Hi', { stream: true, max_tokens: 3, stream_options: { include_usage: true } });
    const frames = (await (await post(body)).text()).trim().split('\n\n');
    const last = JSON.parse(frames.at(-2)!.slice('data: '.length));
    expect(last.choices).toEqual([]);
    expect(last.usage).toMatchObject({ completion_tokens: 3, total_tokens: last.usage.prompt_tokens + 3 });
    expect(frames.filter((frame) => frame.includes('"usage"'))).toHaveLength(1);
  });

  const schema = {
    type: 'object',
    properties: {
      action: { enum: ['refund_payment', 'close_account', 'dispute_charge'] },
      amount: { type: 'number', minimum: 1, exclusiveMaximum: 5, multipleOf: 0.25 },
      tags: { type: 'array', items: { enum: ['a', 'b', 'c'] }, minItems: 2, uniqueItems: true },
      summary: { type: 'string', minLength: 3, maxLength: 12 },
      who: { $ref: '#/$defs/person' },
      either: { anyOf: [{ type: 'integer', maximum: -3 }, { type: 'string' }] },
      kind: { const: 'ticket' },
      open: { type: 'boolean' },
      none: { type: 'null' },
    },
    required: ['action', 'amount', 'tags', 'summary', 'who', 'either', 'kind', 'open', 'none'],
    additionalProperties: false,
    $defs: {
      person: {
        type: 'object',
        properties: { name: { type: 'string' }, boss: { $ref: '#/$defs/person' } },
        required: ['name'],
      },
    },
  };

  it.each([
    [
      'response_format',
      (json: object) => ({
        response_format: { type: 'json_schema', json_schema: { name: 'a', schema: json } },
      }),
    ],
    ['structured_outputs', (json: object) => ({ structured_outputs: { json } })],
  ])('is an instance of the JSON schema given as %s', async (_name, wrap) => {
    await start({ jsonErrors: 1 });
    const validate = new Ajv2020({ strict: false }).compile(schema);
    for (let index = 0; index < 30; index++) {
      const response = await post(ask(`Please refund 🙂 order ${index}, it came twice.`, wrap(schema)));
      const answer = JSON.parse(((await response.json()) as any).choices[0].message.content);
      expect(validate(answer), JSON.stringify([answer, validate.errors])).toBe(true);
      expect(answer.action).toBe('refund_payment'); // the enum value the message speaks of
    }
  });

  it('without an enforced schema is wrong at the given rate, always for the same inputs', async () => {
    await start({ tokensPerSecond: 0, ttftMs: 0 });
    const validate = new Ajv2020({ strict: false }).compile(schema);
    const isValid = (text: string) => {
      try {
        return validate(JSON.parse(text));
      } catch {
        return false;
      }
    };
    const run = async (rate: number) => {
      const texts = Array.from({ length: 200 }, async (_, index) => {
        const prompt = `Answer with JSON that fits this schema: ${JSON.stringify(schema)}\nTicket ${index}: a refund`;
        const response = await post(ask(prompt, { model: `sim-small:json-errors=${rate}` }));
        return ((await response.json()) as any).choices[0].message.content as string;
      });
      return Promise.all(texts);
    };
    const [first, again, never] = [await run(0.3), await run(0.3), await run(0)];
    expect(again).toEqual(first);
    const valid = first.filter(isValid).length;
    expect(valid).toBeGreaterThan(120); // binomial(200, 0.7): 140 ± 3 standard deviations of 6.5
    expect(valid).toBeLessThan(160);
    expect(never.filter(isValid)).toHaveLength(200);
  });
});

describe('one GPU', () => {
  it('keeps to the time to first token and the tokens per second', async () => {
    await start({ ttftMs: 120, tokensPerSecond: 100 });
    const started = performance.now();
    const response = await post(ask('Hi', { stream: true, max_tokens: 20, ignore_eos: true }));
    const headersAt = performance.now() - started;
    const reader = response.body!.getReader();
    await reader.read();
    const firstAt = performance.now() - started;
    while (!(await reader.read()).done) continue;
    const total = performance.now() - started;
    expect(headersAt).toBeLessThan(100); // before the first token, as vLLM
    expect(firstAt).toBeGreaterThanOrEqual(115);
    expect(firstAt).toBeLessThan(250);
    expect(total).toBeGreaterThanOrEqual(300); // 120 + 19 × 10
    expect(total).toBeLessThan(600);
  });

  it('runs as many sequences as it has slots, the others wait their turn, and /metrics shows both', async () => {
    await start({ maxNumSeqs: 2, ttftMs: 100, tokensPerSecond: 0 });
    const order: number[] = [];
    const answers = [0, 1, 2, 3, 4].map(async (index) => {
      await post(ask(`Question ${index}`));
      order.push(index);
    });
    await expect.poll(() => simulator.stats(), { interval: 5 }).toMatchObject({ running: 2, waiting: 3 });
    const metrics = await (await fetch(`${simulator.url}/metrics`)).text();
    expect(metrics).toContain('vllm:num_requests_running{model_name="sim-small",engine="0"} 2');
    expect(metrics).toContain('vllm:num_requests_waiting{model_name="sim-small",engine="0"} 3');
    expect(metrics).toMatch(/vllm:kv_cache_usage_perc\{[^}]+\} 0\.000\d+/);
    await Promise.all(answers);
    expect(order[4]).toBe(4);
    const after = await (await fetch(`${simulator.url}/metrics`)).text();
    expect(after).toContain(
      'vllm:request_success_total{model_name="sim-small",engine="0",finished_reason="stop"} 5',
    );
    expect(after).toContain('vllm:time_to_first_token_seconds_count{model_name="sim-small",engine="0"} 5');
    expect(after).toContain('vllm:e2e_request_latency_seconds_count{model_name="sim-small",engine="0"} 5');
    expect(after).toMatch(/vllm:generation_tokens_total\{[^}]+\} [1-9]/);
  });

  it.each([true, false])('frees the slot at once when the client leaves (stream: %s)', async (stream) => {
    await start({ maxNumSeqs: 1, ttftMs: stream ? 5 : 5_000, tokensPerSecond: 1 });
    const abort = new AbortController();
    const left = fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      signal: abort.signal,
      body: JSON.stringify(ask('Hi', { stream })),
    }).then((response) => response.text());
    await expect.poll(() => simulator.stats().running, { interval: 5 }).toBe(1);
    const next = post(ask('Next', { model: 'sim-small:ttft-ms=1;tokens-per-second=0' }));
    await expect.poll(() => simulator.stats().waiting, { interval: 5 }).toBe(1);
    abort.abort();
    await expect(left).rejects.toThrow();
    expect((await next).status).toBe(200);
    expect(simulator.stats()).toMatchObject({ running: 0, waiting: 0, finished: 1, aborted: 1 });
  });
});

describe('errors', () => {
  it.each([
    [{ model: 'nope', messages: [{ role: 'user', content: 'Hi' }] }, 404, 'The model `nope` does not exist.'],
    [{ model: 'sim-small' }, 400, 'messages'],
    [{ messages: [] }, 400, 'messages must not be empty'],
    [{ model: 'sim-small', messages: [{ content: 'no role' }] }, 400, 'role'],
    [ask('Hi', { max_tokens: 0 }), 400, 'max_tokens must be at least 1'],
    [ask('Hi', { max_tokens: 1_000_000 }), 400, 'maximum context length'],
    [ask('Hi', { model: 'sim-small:fault=fire' }), 400, 'http-502-html'],
    [
      ask('Hi', {
        response_format: { type: 'json_schema', json_schema: { schema: { type: 'string', pattern: '(' } } },
      }),
      400,
      'pattern',
    ],
    [
      ask('Hi', {
        response_format: {
          type: 'json_schema',
          json_schema: { schema: { required: ['a'], properties: { a: { $ref: '#' } } } },
        },
      }),
      400,
      'nested',
    ],
  ])('have the shape of vLLM: %j', async (body, status, message) => {
    await start();
    const response = await post(body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      error: { code: status, message: expect.stringContaining(message), type: expect.any(String) },
    });
  });

  it('asks for the API key under /v1 only', async () => {
    await start({ apiKey: 'secret' });
    expect((await post(ask('Hi'))).status).toBe(401);
    expect((await post(ask('Hi'), { authorization: 'Bearer secret' })).status).toBe(200);
    expect((await fetch(`${simulator.url}/health`)).status).toBe(200);
  });

  it('lists every bad option at once, and refuses unknown flags', async () => {
    await start();
    expect(() => parseOptions(['--port', '70000', '--json-errors', 'x'])).toThrow(
      /--port.*\n.*--json-errors/,
    );
    expect(() => parseOptions(['--prot', '1'])).toThrow(OptionsError);
    expect(parseOptions(['--ttft-ms', '3', '--model', 'a', '--model', 'b'])).toMatchObject({
      ttftMs: 3,
      models: ['a', 'b'],
    });
  });
});

describe('faults', () => {
  const broken = (fault: string, more: object = {}) =>
    ask('Hi', { model: `sim-small:fault=${fault}`, ...more });
  const stream = { stream: true };

  it.each([
    ['http-429;retry-after=7', 429, '7', 'application/json'],
    ['http-503', 503, '1', 'application/json'],
    ['http-500', 500, null, 'application/json'],
    ['http-502-html', 502, null, 'text/html'],
    ['http-200-html', 200, null, 'text/html'],
    ['http-status;status=529', 529, null, 'application/json'],
  ])('%s', async (fault, status, retryAfter, type) => {
    await start();
    const response = await post(broken(fault));
    expect(response.status).toBe(status);
    expect(response.headers.get('retry-after')).toBe(retryAfter);
    expect(response.headers.get('content-type')).toContain(type);
  });

  it.each([
    ['json-fenced', /^Here is .*\n\n```json\n\{.*\}\n```$/s],
    ['json-prose', /^Sure! \{.*\}\n\nLet me know/s],
    ['json-trailing-comma', /^\{.*,\}$/s],
    ['json-wrong', /^\{"unexpected":\{.*\}\}$/s],
  ])('%s changes what is said, also where a schema is enforced', async (fault, expected) => {
    const client = await start();
    const json_schema = { name: 'a', schema: { properties: { a: { type: 'string' } }, required: ['a'] } };
    const format = { response_format: { type: 'json_schema', json_schema } };
    const whole = await client.chat.completions.create(broken(fault, format) as any);
    expect(whole.choices[0]!.message.content).toMatch(expected);
    const streamed = client.chat.completions.stream(broken(fault, format) as any);
    expect(await streamed.finalContent()).toBe(whole.choices[0]!.message.content);
  });

  it('json-careless is right when the answer comes back with what was wrong with it', async () => {
    const client = await start();
    const format = {
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { required: ['a'] } } },
    };
    const say = async (...more: object[]) => {
      const messages = [{ role: 'user', content: 'Hi' }, ...more];
      const asked = { ...broken('json-careless', format), messages };
      return JSON.parse((await client.chat.completions.create(asked as any)).choices[0]!.message.content!);
    };
    const wrong = await say();
    expect(Object.keys(wrong)).toEqual(['unexpected']);
    const corrected = await say(
      { role: 'assistant', content: JSON.stringify(wrong) },
      { role: 'user', content: 'That does not match the JSON Schema.' },
    );
    expect(Object.keys(corrected)).toEqual(['a']);
  });

  it('refusal is in a field of its own', async () => {
    const client = await start();
    const { message } = (await client.chat.completions.create(broken('refusal') as any)).choices[0]!;
    expect(message).toMatchObject({ content: null, refusal: expect.stringContaining('sorry') });
    const text = (await wire(broken('refusal', stream))).text;
    expect(text).toContain('"delta":{"refusal":');
  });

  it.each([
    ['reset', {}, { ending: 'ECONNRESET', text: '' }],
    ['stall', {}, { ending: 'silence', text: '' }],
    ['stall', stream, { ending: 'silence', text: '' }],
    ['stall-mid-stream', {}, { status: 200, ending: 'silence', text: expect.stringMatching(/^\{"id"/) }],
    ['cut-mid-stream', {}, { status: 200, ending: 'ECONNRESET', text: expect.stringMatching(/^\{"id"/) }],
    ['cut-mid-stream-fin', {}, { status: 200, ending: 'ECONNRESET', text: expect.stringMatching(/^\{"id"/) }],
    ['end-mid-stream', {}, { status: 200, ending: 'end', text: expect.stringMatching(/^\{"id".*[^}]$/) }],
    ['malformed-frame', {}, { status: 200, ending: 'end', text: expect.stringMatching(/^\{"id".*[^}]$/) }],
    ['error-frame', {}, { status: 200, ending: 'end', text: expect.stringMatching(/^\{"error"/) }],
  ])('%s %j', async (fault, more, expected) => {
    await start();
    expect(await wire(broken(fault, more))).toMatchObject(expected);
  });

  it.each([
    ['stall-mid-stream', 'silence', false],
    ['cut-mid-stream', 'ECONNRESET', false],
    ['cut-mid-stream-fin', 'ECONNRESET', false],
    ['end-mid-stream', 'end', false],
    ['error-frame', 'end', true],
    ['malformed-frame', 'end', true],
  ])('%s comes after exactly as many tokens as asked for', async (fault, ending, done) => {
    await start();
    const seen = await wire(broken(`${fault};after=5`, stream));
    expect(seen.status).toBe(200);
    expect(seen.ending).toBe(ending);
    expect(seen.text.includes('[DONE]')).toBe(done);
    const before = seen.text.split(fault === 'malformed-frame' ? 'chatcmpl-broken' : 'data: {"error"')[0]!;
    expect(before.match(/"delta":\{"content":"[^"]/g)).toHaveLength(5);
    if (fault === 'malformed-frame')
      expect(seen.text.match(/"delta":\{"content":"[^"]/g)!.length).toBeGreaterThan(5);
  });

  it('dribble sends the right bytes in single pieces', async () => {
    await start({ answerTokens: 3 });
    const right = await (
      await post(ask('Grüße 🙂', { stream: true, max_tokens: 2 }), { 'x-request-id': 'same' })
    ).text();
    const seen = await wire(
      ask('Grüße 🙂', { stream: true, max_tokens: 2, model: 'sim-small:fault=dribble' }),
    );
    const plain = (text: string) => text.replaceAll(/"(id|model)":"[^"]*"|"created":\d+/g, '');
    expect(plain(seen.text)).toBe(plain(right));
    expect(seen.pieces.length).toBeGreaterThan(seen.text.length / 20);
  });

  it('heartbeats come instead of tokens, in a stream and in an answer in one piece', async () => {
    await start();
    /** What came before the fifth heartbeat. */
    const read = async (more: object, beat: RegExp) => {
      const response = await post(broken('heartbeats;after=2', more));
      let text = '';
      for await (const piece of response.body!) {
        text += Buffer.from(piece).toString();
        if ((text.match(beat)?.length ?? 0) > 4) break;
      }
      return text;
    };
    expect((await read(stream, /: still here/g)).match(/"delta":\{"content":"[^"]/g)).toHaveLength(2);
    expect(await read({}, / /g)).toMatch(/^ +$/);
  });

  it.each([{}, stream])('huge sends more than 100 MiB %j', async (more) => {
    await start();
    const response = await post(broken('huge', more));
    let bytes = 0;
    for await (const piece of response.body!) bytes += piece.length;
    expect(bytes).toBeGreaterThan(100 * 1024 * 1024);
  });

  it('frees the slot of a stalled stream when the client leaves', async () => {
    await start({ maxNumSeqs: 1 });
    const stalled = wire(broken('stall-mid-stream', stream));
    await expect.poll(() => simulator.stats().running, { interval: 5 }).toBe(1);
    expect((await stalled).ending).toBe('silence');
    expect((await post(ask('Next'))).status).toBe(200);
  });

  it('stall;ms answers after the stall', async () => {
    await start();
    const started = performance.now();
    expect((await post(broken('stall;ms=150'))).status).toBe(200);
    expect(performance.now() - started).toBeGreaterThanOrEqual(145);
  });

  it('times=2 fails the first two, for model name and header alike', async () => {
    await start();
    const statuses = async (body: object, headers = {}) => {
      const all: number[] = [];
      for (let index = 0; index < 4; index++) all.push((await post(body, headers)).status);
      return all;
    };
    expect(await statuses(broken('http-500;times=2'))).toEqual([500, 500, 200, 200]);
    expect(await statuses(ask('Hi'), { 'x-simulator-fault': 'http-429;times=1' })).toEqual([
      429, 200, 200, 200,
    ]);
  });

  it('probability fails a share', async () => {
    await start({ ttftMs: 0, tokensPerSecond: 0 });
    const all = await Promise.all(
      Array.from({ length: 200 }, () => post(broken('http-500;probability=0.25'))),
    );
    const failed = all.filter((response) => response.status === 500).length;
    expect(failed).toBeGreaterThan(25);
    expect(failed).toBeLessThan(75);
  });
});

it('answers one fixed body at once in instant mode', async () => {
  const client = await start({ instant: true, answerTokens: 10 });
  const whole = await client.chat.completions.create(ask('Hi') as any);
  expect(whole.usage!.completion_tokens).toBe(10);
  const stream = client.chat.completions.stream(ask('Hi', { stream: true }) as any);
  expect(await stream.finalContent()).toBe(whole.choices[0]!.message.content);
});
