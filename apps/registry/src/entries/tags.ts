import { ValidateBy, type ValidationOptions } from 'class-validator';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** In one request. */
export const MAX_TAGS = 100;
/** On one entry or version; MLflow's clients set tags one by one. */
export const MAX_STORED_TAGS = 1000;
const MAX_VALUE = 5000;
/** No colon, because a filter is written `key:value`. */
export const TAG_KEY = /^[\w./ -]{1,250}$/;

/** Why these are not tags; undefined when they are. In a patch a null value removes the tag. */
function problemOf(tags: unknown, removable: boolean): string | undefined {
  if (typeof tags !== 'object' || tags === null || Array.isArray(tags))
    return 'must be an object of strings, for instance {"team":"support"}';
  const entries: [string, unknown][] = Object.entries(tags);
  if (entries.length > MAX_TAGS) return `has ${entries.length} tags; at most ${MAX_TAGS} are allowed`;
  for (const [key, value] of entries) {
    const said = JSON.stringify(key.slice(0, 60));
    if (!TAG_KEY.test(key))
      return `has the key ${said}; a key has 1 to 250 letters, digits, spaces or any of . _ / -`;
    if (value === null && removable) continue;
    if (typeof value !== 'string' || value.length > MAX_VALUE)
      return `has a value at ${said} that is not a string of at most ${MAX_VALUE} characters`;
  }
  return undefined;
}

/** Checks a string → string map of tags; `removable` also allows null values. */
export function IsTags(removable: boolean, options?: ValidationOptions): PropertyDecorator {
  return ValidateBy(
    {
      name: 'isTags',
      validator: {
        validate: (value) => problemOf(value, removable) === undefined,
        defaultMessage: (args) => problemOf(args?.value, removable) ?? '',
      },
    },
    options,
  );
}

export type Tags = Record<string, string>;
/** What is set; null removes a tag, and null in place of the patch removes all. */
export type TagPatch = Readonly<Record<string, string | null>> | null;

/**
 * What tags become under a patch: named ones are set, null ones removed, the others stay.
 * @throws DomainError VALIDATION_FAILED when they would be too many.
 */
export function mergeTags(tags: Readonly<Tags>, patch: TagPatch | undefined): Tags {
  if (patch === undefined) return { ...tags };
  if (patch === null) return {};
  const merged = new Map<string, string>(Object.entries(tags));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, value);
  }
  if (merged.size > MAX_STORED_TAGS)
    throw new DomainError(
      'VALIDATION_FAILED',
      `There would be ${merged.size} tags; at most ${MAX_STORED_TAGS} are allowed. Remove some by sending them as null.`,
      [{ path: '/tags', message: `at most ${MAX_STORED_TAGS} tags` }],
    );
  return Object.fromEntries(merged);
}
