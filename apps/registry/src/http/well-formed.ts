import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { NextFunction, Request, Response } from 'express';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Problem } from '#libs/core/content/problems.js';

/**
 * Refuses what would not be stored as it was sent, anywhere in the path, query or body: NUL (PostgreSQL text cannot
 * hold it), lone surrogates (UTF-8 cannot spell them), numbers beyond a double (JSON has no Infinity), and the key
 * `__proto__` (which copying an object loses).
 */
export function refuseIllFormedText(request: Request, _response: Response, next: NextFunction): void {
  const problem =
    find(request.query, '/query') ??
    (request.body === undefined ? undefined : find(request.body, '')) ??
    findInPath(request.path);
  next(
    problem &&
      new DomainError('VALIDATION_FAILED', `${problem.path || '/'} ${problem.message}; remove it.`, [
        problem,
      ]),
  );
}

/** For body-parser's `verify`: it would replace bytes that are not UTF-8 without a word. */
export function refuseIllFormedBytes(
  _request: IncomingMessage,
  _response: ServerResponse,
  body: Buffer,
  encoding: string,
): void {
  if (encoding === 'utf-8' && !isUtf8(body))
    throw new DomainError('INVALID_JSON', 'The body is not valid UTF-8; encode it as UTF-8.');
}

function findInPath(path: string): Problem | undefined {
  return path.includes('%00') ? { path: '/path', message: BAD_TEXT } : undefined;
}

const MAX_DEPTH = 200;
const TOO_DEEP = `is nested more than ${MAX_DEPTH} levels deep`;
const BAD_TEXT = 'contains a NUL byte or a lone surrogate';

function isBad(text: string): boolean {
  return text.includes('\0') || !text.isWellFormed();
}

/** The path is put together only where there is a problem: this runs over every value of every request. */
function find(value: unknown, path: string, depth = 0): Problem | undefined {
  if (typeof value === 'string') return isBad(value) ? { path, message: BAD_TEXT } : undefined;
  if (typeof value === 'number')
    return Number.isFinite(value) ? undefined : { path, message: 'is a number beyond the range of a double' };
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > MAX_DEPTH) return { path: '', message: TOO_DEEP };
  for (const key of Object.keys(value)) {
    if (isBad(key)) return { path, message: `has a key that ${BAD_TEXT}` };
    if (key === '__proto__') return { path, message: 'has the key "__proto__"' };
    const found = find((value as Record<string, unknown>)[key], '', depth + 1);
    if (found === undefined) continue;
    if (found.message === TOO_DEEP) return found;
    const below = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}${found.path}`;
    return { ...found, path: path + below };
  }
  return undefined;
}
