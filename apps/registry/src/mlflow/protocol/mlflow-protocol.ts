import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Injectable, Logger } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { asWritten } from './as-written.js';
import { camelCase } from './fields.js';
import { Streamed, writeJson, Written } from './json-writer.js';
import { parseLenient } from './lenient-json.js';
import { MlflowCallers, type MlflowCaller } from './mlflow-caller.js';
import { MlflowError, toMlflowError } from './mlflow-error.js';
import { MlflowRoutes, type Exchange, type Route } from './mlflow-routes.js';
import { readBody, requireJson } from './request-body.js';

/** What belongs to MLflow's protocol even where no route is. */
const OURS = /^\/(ajax-)?api\/[23]\.0\/mlflow/;

/**
 * Serves the table of routes. It stands before the middlewares of the native API, whose rules for bodies differ, and
 * outside Nest's controllers and pipes, which would cost more than all the rest of a `log-metric`.
 */
@Injectable()
export class MlflowProtocol {
  private readonly logger = new Logger('mlflow');

  constructor(
    private readonly routes: MlflowRoutes,
    private readonly callers: MlflowCallers,
  ) {}

  /** The Express middleware. */
  middleware(maxBodyBytes: number): (request: Request, response: Response, next: NextFunction) => void {
    return (request, response, next) => {
      const { url } = request;
      const mark = url.indexOf('?');
      const asked = mark === -1 ? url : url.slice(0, mark);
      // Some clients add their path to an address that ends in a slash.
      const path = asked.startsWith('//') ? asked.replace(/^\/+/, '/') : asked;
      const found = this.routes.find(request.method, path);
      if ('target' in found) {
        const query = new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1));
        const exchange: Exchange = { request, response, params: found.params, query };
        this.serve(found.target, exchange, maxBodyBytes).catch((error: unknown) =>
          this.fail(exchange, error),
        );
        return;
      }
      if (found.length === 0 && !OURS.test(path)) {
        next();
        return;
      }
      if (found.length > 0) response.setHeader('allow', found.join(', '));
      answerError(request, response, unrouted(request.method, path, found));
    };
  }

  private async serve(route: Route, exchange: Exchange, maxBodyBytes: number): Promise<void> {
    // Awaited only where it must be: most callers are known without asking.
    const { anyWorkspace } = route.kind === 'raw' ? route.raw : route.rpc;
    const called = this.callers.of(exchange.request, anyWorkspace);
    const caller: MlflowCaller = called instanceof Promise ? await called : called;
    if (route.kind === 'raw') {
      refuseNul(exchange.query);
      await route.raw.handle(caller, exchange);
      return;
    }
    const { rpc } = route;
    const given = fieldsOf(route, await readRequest(route, exchange, rpc.maxBodyBytes ?? maxBodyBytes));
    const answer = await rpc.handle(caller, given as never, exchange);
    const { response } = exchange;
    response.statusCode = rpc.status ?? 200;
    if (response.statusCode === 204) response.end();
    else if (answer instanceof Streamed) await stream(response, answer);
    else send(response, answer instanceof Written ? answer.text : writeJson(answer ?? {}));
  }

  private fail({ request, response }: Exchange, thrown: unknown): void {
    const error = toMlflowError(thrown);
    if (error.status >= 500) {
      const line = `${request.method} ${request.url.slice(0, 256)} failed, request ${String(response.getHeader('x-request-id'))}: `;
      const cause = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
      if (error.status === 500) this.logger.error(line + cause);
      else this.logger.warn(line + error.message);
    }
    if (response.headersSent) response.destroy();
    else answerError(request, response, error);
  }
}

interface Sent {
  readonly given: Record<string, unknown>;
  readonly body: Buffer | undefined;
}

function fieldsOf(route: Extract<Route, { kind: 'rpc' }>, { given, body }: Sent): unknown {
  try {
    return route.read(given);
  } catch (error) {
    throw asWritten(error, body);
  }
}

async function readRequest(
  route: Extract<Route, { kind: 'rpc' }>,
  { request, query, params }: Exchange,
  limit: number,
): Promise<Sent> {
  let given: Record<string, unknown>;
  let body: Buffer | undefined;
  if (query.size > 0 && (isRead(request) || (request.method === 'DELETE' && !hasBody(request))))
    given = fromQuery(query, route.repeated);
  else if (hasBody(request)) {
    requireJson(request);
    body = await readBody(request, limit);
    given = parseLenient(body);
  } else given = {};
  for (const name in params) {
    delete given[camelCase(name)];
    given[name] = decoded(params[name]!);
  }
  return { given, body };
}

/** Never POST: a page of another origin can send a form to any path, query and all. */
function isRead({ method }: Request): boolean {
  return method === 'GET' || method === 'HEAD';
}

function hasBody(request: Request): boolean {
  const { headers } = request;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Fields of RPCs are looked at one by one; raw routes read their queries themselves. */
function refuseNul(query: URLSearchParams): void {
  for (const [name, value] of query)
    if (value.includes('\0'))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Parameter '${name.slice(0, 64)}' contains a NUL byte; remove it.`,
      );
}

function fromQuery(query: URLSearchParams, repeated: ReadonlySet<string>): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  const camel = new Map([...repeated].map((name) => [camelCase(name), name]));
  for (const key of new Set(query.keys()))
    given[key] = repeated.has(key) || camel.has(key) ? query.getAll(key) : query.get(key);
  return given;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new MlflowError('BAD_REQUEST', 'The path is not valid percent-encoded UTF-8.');
  }
}

function unrouted(method: string, path: string, methods: readonly string[]): MlflowError {
  return methods.length === 0
    ? new MlflowError('ENDPOINT_NOT_FOUND', `There is no ${method} ${path.slice(0, 256)} here.`)
    : new MlflowError(
        'ENDPOINT_NOT_FOUND',
        `${method} is not possible here; use one of ${methods.join(', ')}.`,
        405,
      );
}

function answerError(request: Request, response: Response, error: MlflowError): void {
  response.statusCode = error.status;
  // Clients read the answer when they have sent all of the body: closed earlier, they would only see a broken
  // connection, and try again.
  if (!request.complete) request.resume();
  send(response, JSON.stringify({ error_code: error.code, message: error.message }));
}

/** At the pace of the reader. The first chunk is made before anything is sent: what is refused still has its status. */
async function stream(response: Response, { chunks }: Streamed): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  response.setHeader('content-type', 'application/json');
  await pipeline(
    Readable.from(
      (async function* () {
        if (first.done) return;
        yield first.value;
        yield* { [Symbol.asyncIterator]: () => iterator };
      })(),
    ),
    response,
  );
}

function send(response: Response, body: string): void {
  response.setHeader('content-type', 'application/json');
  const bytes = Buffer.from(body);
  response.setHeader('content-length', bytes.length);
  response.end(bytes);
}
