import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { DomainError, ERROR_STATUS } from '#libs/core/errors/catalogue.js';
import type { ErrorBody } from './error.filter.js';

/**
 * For the server's event `clientError`: answers what Node's parser refuses before there is a request. Without a
 * listener Node answers with a bare status line, see https://nodejs.org/api/http.html#event-clienterror.
 */
export function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const { code, message } = refusal(error.code);
  const body = JSON.stringify({ code, message, requestId: randomUUID() } satisfies ErrorBody);
  socket.end(
    `HTTP/1.1 ${ERROR_STATUS[code]} ${STATUS_CODES[ERROR_STATUS[code]]}\r\nconnection: close\r\n` +
      `content-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function refusal(code: string | undefined): DomainError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new DomainError(
        'HEADERS_TOO_LARGE',
        'The request line and headers are larger than 16384 bytes together; shorten the path, query or headers.',
      );
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new DomainError(
        'REQUEST_TIMEOUT',
        'The request did not arrive in time; send it without long pauses.',
      );
    case undefined:
    default:
      return new DomainError(
        'MALFORMED_REQUEST',
        'This is not a valid HTTP/1.1 request; percent-encode the path, and send headers and body as announced.',
      );
  }
}
