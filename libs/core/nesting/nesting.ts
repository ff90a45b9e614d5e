/**
 * JSON is read at any depth but written, compared and validated only as deep as the stack goes; how deep that is
 * depends on who calls. What comes from outside is held to this many levels, which no stack has trouble with.
 */
export const MAX_NESTING = 512;

/** A level costs at least two characters, so that shorter JSON need not be looked at. */
const MIN_LENGTH = 2 * MAX_NESTING;

/**
 * Whether a parsed JSON value has more than `MAX_NESTING` levels of lists and objects.
 * @param length of the text it was parsed from, in bytes or characters.
 */
export function nestsTooDeeply(value: unknown, length: number): boolean {
  return length > MIN_LENGTH && isDeeper(value, MAX_NESTING);
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) {
    for (const item of value) if (isDeeper(item, levels - 1)) return true;
    return false;
  }
  const fields = value as Readonly<Record<string, unknown>>;
  for (const name in fields) if (isDeeper(fields[name], levels - 1)) return true;
  return false;
}
