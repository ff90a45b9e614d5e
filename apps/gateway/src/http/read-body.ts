import type { IncomingMessage } from 'node:http';
import { badRequest, GatewayError } from './gateway-error.js';

/**
 * A refused body is still read, so that the caller sees the answer instead of a connection reset; but only this
 * far. See RFC 9112 §9.6 on closing while the other side still sends.
 */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

/**
 * Reads a whole request body.
 * @throws GatewayError 413 when it is longer than `limitBytes`, told by its content-length or on the way, so that
 * never more than the limit is held; 400 when the connection ends before the body does.
 */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limitBytes) return Promise.reject(tooLarge(request, limitBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    const stop = () => {
      request.off('data', take).off('end', finish).off('error', cut).off('close', cut);
    };
    const take = (chunk: Buffer) => {
      received += chunk.length;
      if (received <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      stop();
      reject(tooLarge(request, limitBytes));
    };
    const finish = () => {
      stop();
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, received));
    };
    const cut = () => {
      stop();
      reject(
        badRequest('body_incomplete', 'The connection ended before the request body did; send it again.'),
      );
    };
    request.on('data', take).on('end', finish).on('error', cut).on('close', cut);
  });
}

function tooLarge(request: IncomingMessage, limitBytes: number): GatewayError {
  let discarded = 0;
  request.on('error', () => undefined);
  request.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > MAX_DISCARDED_BYTES) request.destroy();
  });
  return new GatewayError(
    413,
    'invalid_request_error',
    'payload_too_large',
    `The request body is larger than ${limitBytes} bytes; send less, or raise CATENA_MAX_BODY_BYTES.`,
  );
}
