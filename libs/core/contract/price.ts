type Schema = Readonly<Record<string, unknown>>;

/** Characters counted one by one, as the length of a text is, that take as long as a subschema. */
const CHARACTERS_PER_STEP = 16;
/** Characters of a text that is a constant that do; it is compared at once. */
const COMPARED_PER_STEP = 256;
/** Characters of another constant's JSON that do. */
const CONSTANT_PER_STEP = 4;

/** What goes over all fields of an object, or asks how many there are. */
const OVER_FIELDS = [
  'additionalProperties',
  'unevaluatedProperties',
  'propertyNames',
  'patternProperties',
  'minProperties',
  'maxProperties',
] as const;
/** Likewise over the items of a list. */
const OVER_ITEMS = ['contains', 'unevaluatedItems'] as const;
const OVER_CHARACTERS = ['minLength', 'maxLength'] as const;
/** Of no cost, or counted where it arises. */
const FREE: ReadonlySet<string> = new Set(['enum', 'default', 'examples', '$defs', 'definitions']);

/**
 * What one evaluation of a subschema costs by itself, in steps: all that it looks at, the schemas inside it included,
 * which may fail before they count. A schema that evaluates exponentially often makes anything large that is free a
 * way to stop the process.
 * @returns a function of the value that is held against it.
 */
export function priceOf(schema: Schema): (value: unknown) => number {
  const fixed = fixedPriceOf(schema);
  const fields = OVER_FIELDS.some((name) => name in schema);
  const items = OVER_ITEMS.some((name) => name in schema);
  const characters = OVER_CHARACTERS.some((name) => name in schema);
  if (!fields && !items && !characters) return () => fixed;
  return (value) => {
    if (typeof value === 'string') return characters ? fixed + value.length / CHARACTERS_PER_STEP : fixed;
    if (typeof value !== 'object' || value === null) return fixed;
    if (Array.isArray(value)) return items ? fixed + value.length : fixed;
    return fields ? fixed + Object.keys(value).length : fixed;
  };
}

function fixedPriceOf(schema: Schema): number {
  let price = 1;
  for (const keyword in schema) {
    const value = schema[keyword];
    if (keyword === 'const' && typeof value === 'string') price += value.length / COMPARED_PER_STEP;
    if (typeof value !== 'object' || value === null || FREE.has(keyword)) continue;
    if (keyword === 'const') price += JSON.stringify(value).length / CONSTANT_PER_STEP;
    else if (Array.isArray(value)) price += value.length;
    else if (keyword === 'properties') price += Object.keys(value).length / 4;
    else if (keyword === 'dependentRequired' || keyword === 'dependencies')
      for (const names of Object.values(value)) price += 1 + (Array.isArray(names) ? names.length : 0);
    else if (keyword === 'patternProperties' || keyword === 'dependentSchemas')
      price += Object.keys(value).length;
  }
  return price;
}
