import type { NextFunction, Request, Response } from 'express';
import { DomainError } from '#libs/core/errors/catalogue.js';

/**
 * Refuses NUL and lone surrogates anywhere in the path, query or body: PostgreSQL text cannot hold the one,
 * UTF-8 cannot spell the other, and replacing them silently would store something the caller did not send.
 */
export function refuseIllFormedText(request: Request, _response: Response, next: NextFunction): void {
  const bad =
    find(request.query, '/query') ??
    (request.body === undefined ? undefined : find(request.body, '')) ??
    findInPath(request.path);
  next(
    bad === undefined
      ? undefined
      : new DomainError(
          'VALIDATION_FAILED',
          `${bad || '/'} contains a NUL byte or a lone surrogate; remove it.`,
          [{ path: bad, message: 'contains a NUL byte or a lone surrogate' }],
        ),
  );
}

function findInPath(path: string): string | undefined {
  return path.includes('%00') ? '/path' : undefined;
}

const MAX_DEPTH = 200;

function find(value: unknown, path: string, depth = 0): string | undefined {
  if (typeof value === 'string') return value.includes('\0') || !value.isWellFormed() ? path : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > MAX_DEPTH)
    throw new DomainError(
      'VALIDATION_FAILED',
      `The body is nested more than ${MAX_DEPTH} levels deep; flatten it.`,
    );
  for (const [key, child] of Object.entries(value)) {
    if (key.includes('\0') || !key.isWellFormed()) return path;
    const found = find(child, `${path}/${key}`, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
