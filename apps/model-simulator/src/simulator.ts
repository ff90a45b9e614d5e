import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Protocol } from './body.js';
import { SimulatorError } from './errors.js';
import { completeOptions, type SimulatorOptions } from './options.js';
import { Replica } from './replica.js';

const MAX_BODY_BYTES = 64 * 1024 * 1024;

export interface Simulator {
  /** Base URL without path: a model endpoint's replica is `${url}/v1`. */
  readonly url: string;
  readonly port: number;
  /** What arrived, newest last; the last 1000 only. For tests that ask what a gateway sent. */
  readonly received: readonly ReceivedRequest[];
  stats(): { running: number; waiting: number; finished: number; aborted: number };
  close(): Promise<void>;
}

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
}

/**
 * Starts one simulated replica inside this process.
 * @throws OptionsError when an option is out of range.
 */
export async function createSimulator(given: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const options = completeOptions(given);
  const replica = new Replica(options);
  const received: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    handle(request, response, replica, options, received).catch((error: unknown) =>
      answerError(request, response, error),
    );
  });
  server.requestTimeout = 0;
  server.keepAliveTimeout = 75_000;
  const port = await listen(server, options);
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`,
    port,
    received,
    stats: () => replica.stats(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        replica.stop();
      }),
  };
}

function listen(server: Server, { host, port }: SimulatorOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  replica: Replica,
  options: SimulatorOptions,
  received: ReceivedRequest[],
): Promise<void> {
  const path = request.url!.split('?', 1)[0]!;
  if (path.startsWith('/v1/')) authorize(request, options.apiKey);
  switch (`${request.method} ${path}`) {
    case 'GET /health':
    case 'GET /ping':
      response.writeHead(200, { 'content-length': 0 }).end();
      return;
    case 'GET /version':
      json(response, { version: '0.10.2-simulator' });
      return;
    case 'GET /metrics':
      response
        .writeHead(200, { 'content-type': replica.metrics.contentType })
        .end(await replica.metrics.text());
      return;
    case 'GET /v1/models':
      json(response, replica.listModels());
      return;
    case 'POST /v1/chat/completions':
    case 'POST /v1/completions':
    case 'POST /v1/messages':
    case 'POST /v1/embeddings': {
      const bytes = await readBody(request);
      if (options.instant && path !== '/v1/embeddings') {
        replica.answerAtOnce(bytes, response);
        return;
      }
      const body = parseBody(bytes);
      received.push({ path, headers: request.headers, body });
      if (received.length > 1000) received.shift();
      replica.generate(PROTOCOLS[path]!, body, request, response);
      return;
    }
    case 'POST /v1/load_lora_adapter':
      response.end(replica.loadAdapter(parseBody(await readBody(request))));
      return;
    case 'POST /v1/unload_lora_adapter':
      response.end(replica.unloadAdapter(parseBody(await readBody(request))));
      return;
    default:
      json(response, { detail: 'Not Found' }, 404);
  }
}

const PROTOCOLS: Readonly<Record<string, Protocol>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'text',
  '/v1/messages': 'messages',
  '/v1/embeddings': 'embeddings',
};

function speaksMessages(request: IncomingMessage): boolean {
  return request.url!.startsWith('/v1/messages');
}

function authorize(request: IncomingMessage, apiKey: string): void {
  const { headers } = request;
  if (speaksMessages(request) && headers['anthropic-version'] === undefined)
    throw new SimulatorError(400, 'invalid_request_error', 'anthropic-version: header is required');
  const isKnown =
    headers.authorization === `Bearer ${apiKey}` ||
    (speaksMessages(request) && headers['x-api-key'] === apiKey);
  if (apiKey !== '' && !isKnown) throw new SimulatorError(401, 'Unauthorized', 'Unauthorized');
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES)
      throw new SimulatorError(413, 'BadRequestError', 'The body is larger than 64 MiB.');
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

function parseBody(bytes: Buffer): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new SimulatorError(400, 'BadRequestError', `JSON decode error: ${(error as Error).message}`);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new SimulatorError(400, 'BadRequestError', 'The body must be a JSON object.');
  return body as Record<string, unknown>;
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  const body = JSON.stringify(value);
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body);
}

function answerError(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.destroyed || response.headersSent) {
    response.destroy();
    return;
  }
  const known =
    error instanceof SimulatorError
      ? error
      : new SimulatorError(
          500,
          'InternalServerError',
          error instanceof Error ? error.message : String(error),
        );
  const body = speaksMessages(request) ? known.messagesBody : known.body;
  response
    .writeHead(known.status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...known.headers,
    })
    .end(body);
}
