import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SpoolService } from '../apps/gateway/src/spool/spool.service.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

const TOTAL_TIMEOUT_MS = 4000;

/** One chunk per word, as vLLM spells them. */
const delta = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;

describe('when the model endpoint or the caller fails', () => {
  let stack: ChatStack;
  beforeAll(async () => {
    stack = await startChatStack(
      {
        CATENA_CONNECT_TIMEOUT_MS: '300',
        CATENA_HEADERS_TIMEOUT_MS: '300',
        CATENA_TTFT_TIMEOUT_MS: '500',
        CATENA_IDLE_TIMEOUT_MS: '300',
        CATENA_TOTAL_TIMEOUT_MS: String(TOTAL_TIMEOUT_MS),
      },
      { answerTokens: 20 },
    );
  });
  afterAll(() => stack.close());

  let number = 0;
  /** An endpoint whose chain asks for a faulty model. */
  async function faulty(fault: string, content: Record<string, any> = {}): Promise<string> {
    const name = `faulty-${number++}`;
    await stack.serve(name, {
      generate: { modelEndpoint: 'gpu', model: `small:fault=${fault}` },
      ...content,
    });
    return name;
  }
  const idOf = (response: Response) => response.headers.get('x-catena-inference-id');

  describe('before the first content', () => {
    it.each<[string, number, string]>([
      ['http-429;retry-after=7', 429, 'upstream_rate_limited'],
      ['http-500', 502, 'upstream_error'],
      ['http-503', 502, 'upstream_error'],
      ['http-502-html', 502, 'upstream_error'],
      ['reset', 502, 'upstream_reset'],
      ['stall', 504, 'upstream_headers_timeout'],
      ['cut-mid-stream', 502, 'upstream_reset'],
      ['cut-mid-stream-fin', 502, 'upstream_reset'],
      ['stall-mid-stream', 504, 'upstream_idle_timeout'],
      ['malformed-frame', 502, 'upstream_malformed'],
      ['error-frame', 502, 'upstream_error'],
    ])('answers %s of a whole answer with %i %s, and the row says so', async (fault, status, code) => {
      const model = await faulty(fault);
      const response = await stack.post({ ...say('Hi'), model });
      const body: any = await response.json();
      expect(body.error).toMatchObject({ code, message: expect.any(String), param: null });
      expect(body.error.message).not.toMatch(/<html|undefined/i);
      expect(response.status).toBe(status);
      if (status === 429) expect(response.headers.get('retry-after')).toBe('7');
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: code,
        attempts: 1,
        schema_valid: null,
      });
    });

    it.each<[string, number, string]>([
      ['http-500', 502, 'upstream_error'],
      ['stall', 504, 'upstream_headers_timeout'],
      ['stall-mid-stream;after=0', 504, 'upstream_ttft_timeout'],
      ['end-mid-stream;after=0', 502, 'upstream_stream_interrupted'],
      ['malformed-frame;after=0', 502, 'upstream_malformed'],
    ])('answers %s of a stream with the status %i, for nothing was sent yet', async (fault, status, code) => {
      const response = await stack.post({ ...say('Hi'), model: await faulty(fault), stream: true });
      expect(response.status).toBe(status);
      expect(((await response.json()) as any).error.code).toBe(code);
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: code,
        ttft_ms: null,
      });
    });

    it('does not show a refused credential as the problem of the caller', async () => {
      await stack.rows.setModelEndpoint('locked', {
        replicas: [`${stack.simulator.url}/v1`],
        credential: 'sk-wrong',
      });
      await stack.serve('locked', { generate: { modelEndpoint: 'locked', model: 'small' } });
      const response = await stack.post({ ...say('Hi'), model: 'locked' });
      expect(response.status).toBe(502);
      expect(((await response.json()) as any).error.code).toBe('upstream_refused_gateway');
    });

    it('passes on what the model endpoint says of a request it refuses', async () => {
      const call = stack.openai.chat.completions.create(say('Hi', { n: 2 }) as any);
      await expect(call).rejects.toBeInstanceOf(OpenAI.BadRequestError);
      await expect(call).rejects.toMatchObject({
        status: 400,
        param: 'n',
        message: expect.stringContaining('n must be 1'),
      });
    });

    it('answers 502 where nobody listens, 503 where the model endpoint is gone', async () => {
      await stack.rows.setModelEndpoint('nobody', { replicas: ['http://127.0.0.1:9/v1'] });
      await stack.serve('nobody', { generate: { modelEndpoint: 'nobody', model: 'small' } });
      const unreachable = await stack.post({ ...say('Hi'), model: 'nobody' });
      expect([unreachable.status, ((await unreachable.json()) as any).error.code]).toEqual([
        502,
        'upstream_unreachable',
      ]);
      await stack.serve('gone', { generate: { modelEndpoint: 'never-there', model: 'small' } });
      const gone = await stack.post({ ...say('Hi'), model: 'gone' });
      expect([gone.status, ((await gone.json()) as any).error.code]).toEqual([
        503,
        'model_endpoint_unavailable',
      ]);
      expect(await stack.row(idOf(gone))).toMatchObject({ status: 'error', attempts: 0, replica: null });
    });

    it('retries by the policy of the chain, and the row counts the attempts', async () => {
      const model = await faulty('http-500;times=2', { retry: { maxAttempts: 3, initialBackoffMs: 1 } });
      const response = await stack.post({ ...say('Hi'), model });
      expect(response.status).toBe(200);
      expect(await stack.row(idOf(response))).toMatchObject({ status: 'ok', attempts: 3 });
    });

    it('goes on to the fallback, and the row names the model and body that answered', async () => {
      const model = await faulty('http-500', {
        fallbacks: [{ modelEndpoint: 'gpu', model: 'small', parameters: { seed: 4 } }],
      });
      const response = await stack.post({ ...say('Hi'), model, stream: true });
      expect(response.status).toBe(200);
      expect(await response.text()).toMatch(/data: \[DONE\]\n\n$/);
      const row = await stack.row(idOf(response));
      expect(row).toMatchObject({ status: 'ok', attempts: 2, model: 'small' });
      expect(JSON.parse(row.request)).toMatchObject({ model: 'small', seed: 4, stream: true });
    });
  });

  describe('after the first content', () => {
    it.each<[string, string]>([
      ['cut-mid-stream', 'upstream_reset'],
      ['cut-mid-stream-fin', 'upstream_reset'],
      ['end-mid-stream', 'upstream_stream_interrupted'],
      ['stall-mid-stream', 'upstream_idle_timeout'],
      ['malformed-frame', 'upstream_malformed'],
      ['error-frame', 'upstream_error'],
    ])(
      'ends a stream hit by %s with an error event and no [DONE], and the row keeps what came',
      async (fault, code) => {
        const model = await faulty(`${fault};after=4`, {
          fallbacks: [{ modelEndpoint: 'gpu', model: 'small' }],
        });
        const response = await stack.post({ ...say('Hi'), model, stream: true });
        expect(response.status).toBe(200);
        const text = await response.text();
        expect(text).not.toContain('[DONE]');
        const events = text
          .trim()
          .split('\n\n')
          .map((event) => JSON.parse(event.slice('data: '.length)));
        expect(events.at(-1).error).toMatchObject({ code, message: expect.any(String) });
        const sent = events
          .slice(0, -1)
          .map((event) => event.choices[0].delta.content ?? '')
          .join('');
        expect(sent.length).toBeGreaterThan(0);
        const row = await stack.row(idOf(response));
        expect(row).toMatchObject({ status: 'error', error_code: code, attempts: 1, schema_valid: null });
        expect(JSON.parse(row.response).choices[0].message.content).toBe(sent);

        const client = stack.openai.chat.completions.create({ ...say('Hi'), model, stream: true } as any);
        await expect(
          (async () => {
            for await (const _ of (await client) as any);
          })(),
        ).rejects.toBeInstanceOf(OpenAI.APIError);
      },
    );

    it('reads a stream that dribbles in byte by byte', async () => {
      const response = await stack.post({ ...say('Grüße 🙂'), model: await faulty('dribble'), stream: true });
      expect(await response.text()).toMatch(/data: \[DONE\]\n\n$/);
      expect(await stack.row(idOf(response))).toMatchObject({ status: 'ok' });
    });
  });

  describe('with an upstream of its own', () => {
    let server: Server;
    let onRequest: (request: IncomingMessage, response: ServerResponse) => void;
    beforeAll(async () => {
      server = createServer((request, response) => {
        request.resume();
        onRequest(request, response);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      await stack.rows.setModelEndpoint('own', {
        replicas: [`http://127.0.0.1:${port}`],
        maxConcurrencyPerReplica: 3,
      });
      await stack.serve('own', { generate: { modelEndpoint: 'own', model: 'small' } });
    });
    afterAll(() => {
      server.closeAllConnections();
      server.close();
    });
    const events = (response: ServerResponse) =>
      response.writeHead(200, { 'content-type': 'text/event-stream' });

    it.each([
      ['HTML', 'text/html', '<html>hello</html>'],
      ['JSON without choices', 'application/json', '{"ok":true}'],
      ['bytes that are not UTF-8 and hold NUL', 'application/json', Buffer.from([0x7b, 0, 0xff, 0xfe])],
    ])('answers 502 for 200 with %s, and stores what came', async (_what, type, body) => {
      onRequest = (_request, response) => response.writeHead(200, { 'content-type': type }).end(body);
      const response = await stack.post({ ...say('x'), model: 'own' });
      expect([response.status, ((await response.json()) as any).error.code]).toEqual([
        502,
        'upstream_malformed',
      ]);
      const row = await stack.row(idOf(response));
      expect(row.response).toBe(body.toString('utf8').replaceAll('\0', '\uFFFD'));
    });

    it('answers a stream request that gets no stream with 502', async () => {
      onRequest = (_request, response) =>
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}');
      const response = await stack.post({ ...say('x'), model: 'own', stream: true });
      expect([response.status, ((await response.json()) as any).error.code]).toEqual([
        502,
        'upstream_malformed',
      ]);
    });

    it('passes each content on as it comes, and holds the end back until the row is spooled', async () => {
      let upstream!: ServerResponse;
      onRequest = (_request, response) => {
        upstream = events(response);
        upstream.write(delta('one'));
      };
      const response = await stack.post({ ...say('x'), model: 'own', stream: true });
      const reader = response.body!.getReader();
      const read = async () => Buffer.from((await reader.read()).value ?? []).toString();
      expect(await read()).toBe(delta('one'));
      upstream.write(delta('two'));
      expect(await read()).toBe(delta('two'));
      upstream.end(
        `${delta('', 'stop')}data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\ndata: [DONE]\n\n`,
      );
      expect(await read()).toBe(`${delta('', 'stop')}data: [DONE]\n\n`);
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'ok',
        input_tokens: 5,
        output_tokens: 2,
        finish_reason: 'stop',
      });
    });

    it('puts tool calls, reasoning and several choices together', async () => {
      const chunk = (choices: object[]) =>
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\r\n\r\n`;
      onRequest = (_request, response) => {
        events(response);
        response.write(chunk([{ index: 0, delta: { role: 'assistant' } }]));
        response.write(
          chunk([
            { index: 0, delta: { reasoning_content: 'hm' } },
            { index: 1, delta: { content: 'B' } },
          ]),
        );
        response.write(
          chunk([
            {
              index: 0,
              delta: {
                tool_calls: [
                  { index: 0, id: 'call', type: 'function', function: { name: 'f', arguments: '' } },
                ],
              },
            },
          ]),
        );
        response.write(
          chunk([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: '{"a"' } }] } }]),
        );
        response.write(
          chunk([
            {
              index: 0,
              delta: { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] },
              finish_reason: 'tool_calls',
            },
          ]),
        );
        response.end(`${chunk([{ index: 1, delta: {}, finish_reason: 'stop' }])}data: [DONE]\r\n\r\n`);
      };
      const response = await stack.post({ ...say('x'), model: 'own', stream: true });
      await response.text();
      const row = await stack.row(idOf(response));
      expect(JSON.parse(row.response).choices).toEqual([
        {
          index: 0,
          message: {
            role: 'assistant',
            content: null,
            reasoning_content: 'hm',
            tool_calls: [{ id: 'call', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
          },
          finish_reason: 'tool_calls',
        },
        { index: 1, message: { role: 'assistant', content: 'B' }, finish_reason: 'stop' },
      ]);
      expect(row).toMatchObject({ finish_reason: 'tool_calls', input_tokens: null, cost_micro_usd: null });
    });

    it.each([true, false])(
      'drops the upstream within 50 ms when the caller leaves (stream: %s), and keeps what came',
      async (stream) => {
        let left = 0;
        let arrived = false;
        onRequest = (_request, response) => {
          arrived = true;
          response.on('close', () => (left = performance.now()));
          if (stream) events(response).write(delta('partial'));
        };
        let id: string | undefined;
        const request = httpRequest(
          `${stack.gateway.url}/v1/chat/completions`,
          { method: 'POST' },
          (response) => {
            id = String(response.headers['x-catena-inference-id']);
            response.resume();
          },
        ).on('error', () => undefined);
        request.end(JSON.stringify({ ...say('leaving'), model: 'own', stream, user: `leaver-${stream}` }));
        await eventually(() => arrived && (!stream || id !== undefined));
        await sleep(20);
        const gone = performance.now();
        request.destroy();
        await eventually(() => left > 0);
        expect(left - gone).toBeLessThan(50);
        let row: any;
        await eventually(async () => {
          row = (
            await stack.database.client.query(`SELECT * FROM ${WHOLE_INFERENCE} WHERE unit = $1`, [
              `leaver-${stream}`,
            ])
          ).rows[0];
          return row !== undefined;
        });
        expect(row).toMatchObject({ status: 'cancelled', error_code: 'client_closed_request', attempts: 1 });
        if (stream) expect(JSON.parse(row.response).choices[0].message.content).toBe('partial');
        else expect(row.response).toBeNull();
      },
    );

    it('never has more requests at a replica than its limit, serves the others in order, and frees its place', async () => {
      let running = 0;
      let most = 0;
      onRequest = (_request, response) => {
        most = Math.max(most, ++running);
        setTimeout(() => {
          running--;
          response
            .writeHead(200, { 'content-type': 'application/json' })
            .end('{"choices":[{"message":{"content":"x"}}]}');
        }, 20);
      };
      const answers = await Promise.all(
        Array.from({ length: 30 }, () => stack.post({ ...say('x'), model: 'own' })),
      );
      expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200));
      expect(most).toBe(3);
    });

    it('holds the replica back when the caller reads slowly, instead of holding the answer in memory', async () => {
      const piece = delta('x'.repeat(60_000));
      let written = 0;
      let stopped = false;
      onRequest = (_request, response) => {
        events(response);
        const more = () => {
          while (written < 600 && !response.destroyed) {
            written++;
            if (!response.write(piece)) {
              stopped = true;
              response.once('drain', more);
              return;
            }
          }
        };
        more();
      };
      const request = httpRequest(
        `${stack.gateway.url}/v1/chat/completions`,
        { method: 'POST' },
        (response) => {
          response.on('error', () => undefined);
          response.pause();
        },
      ).on('error', () => undefined);
      request.end(JSON.stringify({ ...say('slow'), model: 'own', stream: true }));
      await eventually(() => stopped);
      // Buffers of the kernel grow for a while; then it stands still.
      await eventually(async () => {
        const before = written;
        await sleep(250);
        return written === before;
      });
      expect(written * piece.length).toBeLessThan(20_000_000);
      request.destroy();
    });

    it('ends a request whose total time-out passes before its opening is in the spool', async () => {
      let reached = 0;
      onRequest = (_request, response) => {
        reached++;
        response.end();
      };
      const { spool } = stack.gateway.gateway.app.get(SpoolService, { strict: false });
      const { writer } = spool as any;
      const append = writer.append.bind(writer);
      writer.append = (kind: string, ...rest: unknown[]) => {
        if (kind === 'opening') {
          delete writer.append;
          setTimeout(() => append(kind, ...rest), TOTAL_TIMEOUT_MS + 200);
        } else append(kind, ...rest);
      };
      const response = await stack.post({ ...say('x'), model: 'own' });
      expect(response.status).toBe(504);
      expect(reached).toBe(0);
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: 'request_timeout',
        attempts: 0,
      });
    });

    it('ends a request that takes longer than the total time-out', async () => {
      onRequest = (_request, response) => {
        events(response);
        const timer = setInterval(() => response.write(delta('.')), 50);
        response.on('close', () => clearInterval(timer));
      };
      const response = await stack.post({ ...say('x'), model: 'own', stream: true });
      expect(await response.text()).toMatch(/request_timeout/);
      expect(await stack.row(idOf(response))).toMatchObject({
        status: 'error',
        error_code: 'request_timeout',
      });
    });
  });
});
