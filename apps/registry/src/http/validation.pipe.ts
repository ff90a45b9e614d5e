import { ValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { wrapVerbatim } from './verbatim.js';
import type { Problem } from '#libs/core/content/validate.js';

/**
 * Nest's pipe deletes the keys `constructor` and `prototype` anywhere in a body without a word, so that content
 * would be stored that nobody sent. Here they are ordinary keys of free-form JSON (see `Verbatim`) and unknown
 * fields elsewhere; `__proto__` has been refused before (well-formed.ts).
 */
class StrictValidationPipe extends ValidationPipe {
  protected override stripProtoKeys(): void {}

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (typeof value !== 'object' || value === null || !metadata.metatype?.prototype)
      return super.transform(value, metadata);
    if (Array.isArray(value) && metadata.type === 'body' && metadata.metatype !== Array)
      throw new DomainError('VALIDATION_FAILED', 'The body must be a JSON object, not a list.', [
        { path: '', message: 'must be an object' },
      ]);
    // class-transformer leaves it out, so the check for unknown fields would not see it.
    if (Object.hasOwn(value, 'constructor'))
      throw new DomainError(
        'VALIDATION_FAILED',
        'The request is not valid: /constructor is an unknown field; remove it.',
        [{ path: '/constructor', message: 'is an unknown field; remove it' }],
      );
    return super.transform(wrapVerbatim(value, metadata.metatype.prototype as object), metadata);
  }
}

/** Request DTOs: unknown fields refused, every problem named with its JSON Pointer. */
export function validationPipe(): ValidationPipe {
  return new StrictValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => {
      const problems = errors.flatMap((error) => flatten(error, ''));
      const said = problems.map((problem) => `${problem.path} ${problem.message}`).join('; ');
      return new DomainError('VALIDATION_FAILED', `The request is not valid: ${said}.`, problems);
    },
  });
}

function flatten(error: ValidationError, parent: string): Problem[] {
  const path = `${parent}/${error.property}`;
  const own = Object.entries(error.constraints ?? {}).map(([rule, message]) => ({
    path,
    message: rule === 'whitelistValidation' ? 'is an unknown field; remove it' : message,
  }));
  return [...own, ...(error.children ?? []).flatMap((child) => flatten(child, path))];
}
