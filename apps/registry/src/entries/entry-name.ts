import { ENTRY_NAME_PATTERNS, type Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** Of any kind. */
export const MAX_NAME = 256;

const PATTERNS: Record<Kind, RegExp> = {
  prompt: new RegExp(ENTRY_NAME_PATTERNS.prompt, 'u'),
  model: new RegExp(ENTRY_NAME_PATTERNS.model, 'u'),
  chain: new RegExp(ENTRY_NAME_PATTERNS.chain, 'u'),
};

/** What a name must be, by kind, as one half of a sentence. */
export const NAME_RULES: Record<Kind, string> = {
  prompt:
    'must have 1 to 256 characters: letters, digits, ".", "_" or "-", and neither begin with ".." nor be "."',
  model:
    'must have 1 to 256 characters, not only blanks, without "/", ":" and control characters, and neither begin with ".." nor be "."',
  chain:
    'must have 1 to 128 characters: letters, digits, ".", "_" or "-", and begin and end with a letter or digit',
};

/** @throws DomainError VALIDATION_FAILED. */
export function refuseBadName(kind: Kind, name: string): void {
  if (PATTERNS[kind].test(name)) return;
  const message = NAME_RULES[kind];
  throw new DomainError('VALIDATION_FAILED', `The request is not valid: /name ${message}.`, [
    { path: '/name', message },
  ]);
}
