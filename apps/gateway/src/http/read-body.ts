import type { IncomingMessage } from 'node:http';
import { badRequest, GatewayError } from './gateway-error.js';

/**
 * A refused body is still read, so that the caller sees the answer instead of a connection reset; but only this
 * far. See RFC 9112 §9.6 on closing while the other side still sends.
 */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

/**
 * Reads a whole request body. A callback and no promise: this is the way of every request, and nobody waits for more
 * than one of them.
 * @param done called once, with the body or with why there is none: 415 for a compressed one; 413 when it is longer
 * than `limitBytes`, told by its content-length or on the way, so that never more than the limit is held; 400 when
 * the connection ends before the body does. It must not throw.
 */
export function readBody(
  request: IncomingMessage,
  limitBytes: number,
  done: (body: Buffer | GatewayError) => void,
): void {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    done(discard(request, packed(encoding)));
    return;
  }
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limitBytes) {
    done(discard(request, tooLarge(limitBytes)));
    return;
  }
  const chunks: Buffer[] = [];
  let received = 0;
  let settled = false;
  const settle = (body: Buffer | GatewayError) => {
    if (settled) return;
    settled = true;
    done(body);
  };
  // Listeners stay on: what comes after it is settled changes nothing, and taking them off costs more.
  request.on('data', (chunk: Buffer) => {
    if (settled) return;
    received += chunk.length;
    if (received <= limitBytes) chunks.push(chunk);
    else {
      chunks.length = 0;
      settle(discard(request, tooLarge(limitBytes)));
    }
  });
  request.on('end', () => settle(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
  // Comes after every error too.
  request.on('close', () => {
    if (!settled) settle(cut());
  });
  request.on('error', ignore);
}

function ignore(): void {
  // An error without a listener would end the process; `close` tells the rest.
}

function cut(): GatewayError {
  return badRequest('body_incomplete', 'The connection ended before the request body did; send it again.');
}

function discard(request: IncomingMessage, refusal: GatewayError): GatewayError {
  let discarded = 0;
  request.on('error', ignore);
  request.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > MAX_DISCARDED_BYTES) request.destroy();
  });
  return refusal;
}

/** RFC 9110 §15.5.16. */
function packed(encoding: string): GatewayError {
  return new GatewayError(
    415,
    'invalid_request_error',
    'unsupported_encoding',
    `The request body is encoded as "${encoding.slice(0, 100)}"; send it without content-encoding.`,
    undefined,
    { 'accept-encoding': 'identity' },
  );
}

function tooLarge(limitBytes: number): GatewayError {
  return new GatewayError(
    413,
    'invalid_request_error',
    'payload_too_large',
    `The request body is larger than ${limitBytes} bytes; send less, or raise CATENA_MAX_BODY_BYTES.`,
  );
}
