import type { IncomingMessage } from 'node:http';
import { badRequest, GatewayError } from './gateway-error.js';

/**
 * A refused body is still read, so that the caller sees the answer instead of a connection reset; but only this
 * far. See RFC 9112 §9.6 on closing while the other side still sends.
 */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

/**
 * Reads a whole request body.
 * @throws GatewayError 415 for a compressed one; 413 when it is longer than `limitBytes`, told by its content-length or on the way, so that
 * never more than the limit is held; 400 when the connection ends before the body does.
 */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    return Promise.reject(discard(request, packed(encoding)));
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limitBytes) return Promise.reject(discard(request, tooLarge(limitBytes)));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    // Listeners stay on: what comes after the promise is settled changes nothing, and taking them off costs more.
    request.on('data', (chunk: Buffer) => {
      const before = received;
      received += chunk.length;
      if (received <= limitBytes) chunks.push(chunk);
      else if (before <= limitBytes) {
        chunks.length = 0;
        reject(discard(request, tooLarge(limitBytes)));
      }
    });
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    const cut = () =>
      reject(
        badRequest('body_incomplete', 'The connection ended before the request body did; send it again.'),
      );
    request.on('error', cut).on('close', () => {
      if (!request.complete) cut();
    });
  });
}

function discard(request: IncomingMessage, refusal: GatewayError): GatewayError {
  let discarded = 0;
  request.on('error', () => undefined);
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
