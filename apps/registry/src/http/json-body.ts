import type { IncomingMessage } from 'node:http';
import type { NextFunction, Request, Response } from 'express';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** The routes whose body is an artifact, whatever its content-type says: a JSON file is stored, not parsed. */
const RAW_BODY_PATH = /\/artifacts\/content\/?$/i;

const JSON_TYPES = ['application/json', 'application/*+json'];

/** Whether the JSON parser reads the body of a request. */
export function isJsonBody(message: IncomingMessage): boolean {
  const request = message as Request;
  return !isRawBody(request) && Boolean(request.is(JSON_TYPES));
}

/** Refuses a body nobody would read: without this its fields would only seem to be missing. */
export function refuseOtherBodies(request: Request, _response: Response, next: NextFunction): void {
  const hasBody =
    request.header('transfer-encoding') !== undefined || Number(request.header('content-length') ?? 0) > 0;
  const isOther = hasBody && !request.is(JSON_TYPES) && !isRawBody(request);
  next(
    isOther
      ? new DomainError(
          'UNSUPPORTED_MEDIA_TYPE',
          `The body must be JSON: send it with the header "content-type: application/json", not "${request.header('content-type') ?? ''}".`,
        )
      : undefined,
  );
}

function isRawBody(request: Request): boolean {
  return request.method === 'PUT' && RAW_BODY_PATH.test(request.path);
}
