import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '#libs/platform/log/logger.js';
import { errorBody, GatewayError } from './gateway-error.js';

/**
 * Answers JSON with its content-length in one write. A string or a Buffer is sent as it stands, anything else is
 * encoded. Do not `setHeader` before: headers go out as one list, which Node writes without bookkeeping.
 */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers?: Readonly<Record<string, string>>,
): void {
  const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const list = [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(Buffer.byteLength(payload)),
  ];
  if (headers) for (const name in headers) list.push(name, headers[name]!);
  response.writeHead(status, list);
  response.end(payload);
}

/**
 * Answers an error; what is not a GatewayError becomes a 500 that tells nothing of the inside.
 * @param writeError its shape: OpenAI's, unless given.
 */
export function sendError(
  response: ServerResponse,
  error: unknown,
  requestId: string,
  writeError: (error: GatewayError) => string = errorBody,
): void {
  const known =
    error instanceof GatewayError
      ? error
      : new GatewayError(
          500,
          'server_error',
          'internal_error',
          `The gateway failed on this request. Its log says why, under request id ${requestId}.`,
        );
  sendJson(response, known.status, writeError(known), { ...known.headers, 'x-request-id': requestId });
}

/** Answers the error of a request; the log hears of one that is not a refusal. */
export function failRequest(
  logger: Logger,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  writeError?: (error: GatewayError) => string,
): void {
  const requestId = requestIdOf(request);
  if (!(error instanceof GatewayError))
    logger.error({ err: error, requestId, method: request.method }, 'request failed');
  if (response.headersSent) response.destroy();
  else sendError(response, error, requestId, writeError);
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/** The caller's `x-request-id` where it is usable, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  return givenRequestId(request) ?? randomUUID();
}

/** The caller's `x-request-id` where it is usable. */
export function givenRequestId(request: IncomingMessage): string | undefined {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : undefined;
}
