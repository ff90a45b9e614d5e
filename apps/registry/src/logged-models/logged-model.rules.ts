import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Problem } from '#libs/core/content/problems.js';

/** In UTF-16 code units, as everywhere; both protocols share them. */
export const LOGGED_MODEL_LIMITS = {
  name: 500,
  modelType: 500,
  statusMessage: 1_000,
  foreignRun: 250,
  key: 250,
  value: 65_535,
  pairs: 1_000,
} as const;

export type Pairs = Readonly<Record<string, string>>;

/** @throws DomainError VALIDATION_FAILED. */
export function assertModelName(name: string): void {
  if (name.trim() === '' || name.length > LOGGED_MODEL_LIMITS.name || /[/:.%"']/.test(name) || !isText(name))
    refuse('/name', `must have 1 to ${LOGGED_MODEL_LIMITS.name} characters, none of them / : . % " or '`);
}

/** @throws DomainError VALIDATION_FAILED. */
export function assertShort(path: string, text: string | null | undefined, limit: number): void {
  if (typeof text === 'string' && (text.length > limit || !isText(text)))
    refuse(path, `must have at most ${limit} characters, without NUL`);
}

/** Params or tags; in a patch of tags null removes one. @throws DomainError VALIDATION_FAILED. */
export function assertPairs(path: string, pairs: Readonly<Record<string, unknown>>): void {
  const { key: maxKey, value: maxValue, pairs: most } = LOGGED_MODEL_LIMITS;
  const entries = Object.entries(pairs);
  if (entries.length > most) refuse(path, `has ${entries.length} entries; at most ${most} are allowed`);
  for (const [key, value] of entries) {
    const said = JSON.stringify(key.slice(0, 60));
    if (key === '' || key.length > maxKey || !isText(key))
      refuse(path, `has the key ${said}; a key has 1 to ${maxKey} characters`);
    const isNone = value === null && path === '/tags';
    if (!isNone && (typeof value !== 'string' || value.length > maxValue || !isText(value)))
      refuse(
        path,
        `has a value at ${said} that is not a string of at most ${maxValue} characters without NUL`,
      );
  }
}

function isText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

function refuse(path: string, message: string): never {
  const problem: Problem = { path, message };
  throw new DomainError('VALIDATION_FAILED', `The request is not valid: ${path} ${message}.`, [problem]);
}
