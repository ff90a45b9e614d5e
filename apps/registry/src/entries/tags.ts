import { ValidateBy, type ValidationOptions } from 'class-validator';

export const MAX_TAGS = 100;
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

/** What tags become under a patch: named ones are set, null ones removed, the others stay. */
export function mergeTags(
  tags: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null>> | null,
): Record<string, string> {
  if (patch === null) return {};
  const merged = new Map<string, string>(Object.entries(tags));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, value);
  }
  return Object.fromEntries(merged);
}
