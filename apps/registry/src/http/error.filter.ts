import {
  Catch,
  HttpException,
  NotFoundException,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { DomainError, ERROR_STATUS, type ErrorCode } from '#libs/core/errors/catalogue.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { unrouted } from './unrouted.js';

export interface ErrorBody {
  code: ErrorCode;
  message: string;
  details?: unknown;
  requestId: string;
}

/** The one place where an error becomes an answer. Everything it does not know is a 500 and is logged. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const response = http.getResponse<Response>();
    const requestId = String(response.getHeader('x-request-id') ?? '');
    // Services throw DomainErrors, so a NotFoundException is Nest's own: no route took the request.
    const error =
      thrown instanceof NotFoundException
        ? unrouted(http.getRequest<Request>(), response)
        : toDomainError(thrown);
    const status = ERROR_STATUS[error.code];
    if (status >= 500) {
      const { method, path } = http.getRequest<Request>();
      this.logger[status === 503 ? 'warn' : 'error'](
        { err: thrown, requestId, method, path },
        'request failed',
      );
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const body: ErrorBody = { code: error.code, message: error.message, requestId };
    if (error.details !== undefined) body.details = error.details;
    response.status(status).json(body);
  }
}

const HTTP_CODES: Readonly<Record<number, ErrorCode>> = {
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

/** Whatever was thrown, as an error of the catalogue; what nobody knows is INTERNAL. */
export function toDomainError(thrown: unknown): DomainError {
  if (thrown instanceof DomainError) return thrown;
  if (thrown instanceof HttpException) {
    // Nest wraps the errors of Express and body-parser, and with them loses what was wrong.
    const known = thrown.cause instanceof DomainError ? thrown.cause : fromParser(fieldsOf(thrown.cause));
    if (known) return known;
    const status = thrown.getStatus();
    return new DomainError(
      HTTP_CODES[status] ?? (status < 500 ? 'VALIDATION_FAILED' : 'INTERNAL'),
      thrown.message,
    );
  }
  const fields = fieldsOf(thrown);
  const known = fromParser(fields);
  if (known) return known;
  const slow = asTooSlow(fields);
  if (slow) return slow;
  if (gaveWay(fields))
    return new DomainError(
      'DATABASE_UNAVAILABLE',
      'This write and others waited for each other, and it gave way: nothing was changed. Try again.',
    );
  if (isDatabaseAway(fields))
    return new DomainError(
      'DATABASE_UNAVAILABLE',
      'The database cannot be reached at the moment; nothing was changed. Try again.',
    );
  return new DomainError('INTERNAL', 'Something went wrong on our side; the request id finds it in the log.');
}

function fieldsOf(thrown: unknown): Record<string, unknown> {
  return (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
}

/** What body-parser (its errors carry `type`, see https://github.com/expressjs/body-parser#errors) and the router refuse. */
function fromParser(fields: Record<string, unknown>): DomainError | undefined {
  switch (fields['type']) {
    case 'entity.parse.failed':
      return new DomainError(
        'INVALID_JSON',
        `The body is not valid JSON (it must be one object): ${String(fields['message'])}`,
      );
    case 'entity.too.large':
      return new DomainError(
        'PAYLOAD_TOO_LARGE',
        `The body is larger than ${String(fields['limit'])} bytes, the limit (CATENA_MAX_BODY_BYTES). Put large files into artifacts.`,
      );
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return new DomainError('UNSUPPORTED_MEDIA_TYPE', `${String(fields['message'])}; send JSON in UTF-8.`);
    case 'request.aborted':
    case 'request.size.invalid':
      return new DomainError('VALIDATION_FAILED', 'The body ended before its content-length.');
  }
  // zlib's errors have no type. https://nodejs.org/api/zlib.html#constants
  if (/^(Z_|ERR_BROTLI|BROTLI_|ERR__ERROR)/.test(String(fields['code'])))
    return new DomainError(
      'INVALID_JSON',
      `The body is not what its header content-encoding says (${String(fields['message'])}); send it uncompressed.`,
    );
  if (fields instanceof URIError)
    return new DomainError('VALIDATION_FAILED', 'The path is not valid percent-encoded UTF-8.');
  return undefined;
}

/**
 * A statement that PostgreSQL gave up (57014, query_canceled): what only reads is a search that asks too much; what writes,
 * or locks what it reads, waited for somebody else.
 */
function asTooSlow(fields: Record<string, unknown>): DomainError | undefined {
  const driver = (fields['driverError'] ?? fields) as Record<string, unknown>;
  if (driver['code'] !== '57014') return undefined;
  const query = String(fields['query'] ?? '');
  if (/^\s*(SELECT|WITH)\b/.test(query) && !/\b(INSERT INTO|UPDATE|DELETE FROM|FOR KEY SHARE)\b/.test(query))
    return new DomainError(
      'SEARCH_TOO_SLOW',
      'The database took too long to find this (CATENA_STATEMENT_TIMEOUT_MS). Search less: fewer experiments, a shorter time, or a condition that an index answers beside one on contents.',
    );
  return new DomainError(
    'DATABASE_UNAVAILABLE',
    'The database took too long, and nothing was changed. Try again.',
  );
}

/** Whether PostgreSQL ended a transaction in favour of another one: serialization_failure, deadlock_detected. */
function gaveWay(fields: Record<string, unknown>): boolean {
  const driver = (fields['driverError'] ?? fields) as Record<string, unknown>;
  return driver['code'] === '40001' || driver['code'] === '40P01';
}

/** Connection-level failures: SQLSTATE class 08, 57P0x (shutdown, starting up), 53300, and socket errors. */
function isDatabaseAway(fields: Record<string, unknown>): boolean {
  const driver = (fields['driverError'] ?? fields) as Record<string, unknown>;
  const code = String(driver['code'] ?? '');
  if (/^(08...|57P0[1-3]|53300)$/.test(code)) return true;
  if (['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'].includes(code))
    return driver['syscall'] !== undefined;
  return /Connection terminated|timeout exceeded when trying to connect/.test(
    String(driver['message'] ?? ''),
  );
}
