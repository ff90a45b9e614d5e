import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** PostgreSQL's integer ends here. */
export const MAX_VERSION_NUMBER = 2_147_483_647;

/**
 * Injects the version number of the path's `:number`. Not a pipe, because the global pipe comes first and would
 * have made 1000 of "1e3".
 */
export const VersionNumber = createParamDecorator((_: unknown, context: ExecutionContext): number =>
  parseVersionNumber(String(context.switchToHttp().getRequest<Request>().params['number'])),
);

/** @throws DomainError VALIDATION_FAILED unless it is a positive decimal number; NOT_FOUND beyond any version. */
export function parseVersionNumber(text: string): number {
  if (!/^[1-9][0-9]*$/.test(text))
    throw new DomainError(
      'VALIDATION_FAILED',
      `"${text.slice(0, 64)}" is not a version number: write 1, 2, 3…`,
      [{ path: '/number', message: 'must be a version number: 1, 2, 3…' }],
    );
  const number = Number(text);
  if (number > MAX_VERSION_NUMBER)
    throw new DomainError('NOT_FOUND', `There is no version ${text.slice(0, 64)}.`);
  return number;
}
