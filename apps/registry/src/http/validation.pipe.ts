import { ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Problem } from '#libs/core/content/validate.js';

/** Request DTOs: unknown fields refused, every problem named with its JSON Pointer. */
export function validationPipe(): ValidationPipe {
  return new ValidationPipe({
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
