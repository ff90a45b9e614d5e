import { ValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { wrapVerbatim } from './verbatim.js';
import type { Problem } from '#libs/core/content/problems.js';

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
    const typed = wrapVerbatim(value, metadata.metatype.prototype as object);
    const problem = findMisleading(typed, '');
    if (problem) throw refusal([problem]);
    return super.transform(typed, metadata);
  }
}

/** Request DTOs: unknown fields refused, every problem named with its JSON Pointer. */
export function validationPipe(): ValidationPipe {
  return new StrictValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) =>
      refusal(errors.flatMap((error) => flatten(error, '')).slice(0, MAX_PROBLEMS)),
  });
}

const UNKNOWN = 'is an unknown field; remove it';
/** As many as help; a list of thousands of bad elements must not be answered with megabytes. */
const MAX_PROBLEMS = 20;
/** The longest list that any DTO admits. */
const MAX_ELEMENTS = 10_000;

function refusal(problems: readonly Problem[]): DomainError {
  const said = problems.map((problem) => `${problem.path} ${problem.message}`).join('; ');
  return new DomainError('VALIDATION_FAILED', `The request is not valid: ${said}.`, problems);
}

/**
 * What the validator would not refuse well: fields named as members of every object (class-validator looks its rules
 * up in a plain object, and class-transformer leaves `constructor` out, so that neither is unknown to them), and lists
 * so long that validating every element would hold up all others.
 */
function findMisleading(value: unknown, path: string): Problem | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value) && value.length > MAX_ELEMENTS)
    return { path, message: `must have at most ${MAX_ELEMENTS} elements` };
  for (const [key, child] of Object.entries(value)) {
    if (key in Object.prototype) return { path: `${path}/${key}`, message: UNKNOWN };
    const found = findMisleading(child, `${path}/${key}`);
    if (found) return found;
  }
  return undefined;
}

/** One problem per field: who sent the wrong type learns that, and not which bounds it also misses. */
function flatten(error: ValidationError, parent: string): Problem[] {
  const path = `${parent}/${error.property}`;
  const broken = Object.entries(error.constraints ?? {});
  const [rule, message] = broken.findLast(([name]) => /^is[A-Z]/.test(name)) ?? broken.at(-1) ?? [];
  if (rule !== undefined)
    return [
      { path, message: rule === 'whitelistValidation' ? UNKNOWN : withoutField(message!, error.property) },
    ];
  return (error.children ?? []).flatMap((child) => flatten(child, path));
}

/** class-validator begins its own messages with the field, which the path says already. */
function withoutField(message: string, field: string): string {
  return message.startsWith(`${field} `) ? message.slice(field.length + 1) : message;
}
