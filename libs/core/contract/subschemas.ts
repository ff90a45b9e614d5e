type Schema = Record<string, unknown>;

/** Beyond it a schema takes a gateway too long to compile. */
const MAX_SUBSCHEMAS = 1_000;
/** Each may be what a reference begins at. */
const MAX_NAMED = 50;
/** Names of fields that must be there take less. */
const REQUIRED_PER_PART = 20;

/** Keywords whose value is data, and no schema. */
const DATA: ReadonlySet<string> = new Set([
  'enum',
  'const',
  'default',
  'examples',
  'required',
  'dependentRequired',
]);
/** Keywords whose value has schemas by name. */
const MAPS: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
]);
/** Keywords whose schemas are held against the same value. */
const IN_PLACE: ReadonlySet<string> = new Set([
  'allOf',
  'anyOf',
  'oneOf',
  'not',
  'if',
  'then',
  'else',
  'dependentSchemas',
]);

/**
 * Everything inside a schema that may be one, itself first: what stands under keywords that JSON Schema does not
 * know is a schema too as soon as a `$ref` points there.
 */
export function subschemasOf(schema: object): Schema[] {
  const found: Schema[] = [];
  const pending: unknown[] = [schema];
  while (pending.length > 0) {
    const next = pending.pop();
    if (Array.isArray(next)) for (const item of next) pending.push(item);
    else if (isSchema(next)) {
      found.push(next);
      for (const keyword in next) {
        const value = next[keyword];
        if (DATA.has(keyword)) continue;
        if (MAPS.has(keyword) && isSchema(value)) pending.push(Object.values(value));
        else pending.push(value);
      }
    }
  }
  return found;
}

/** @throws Error for a schema that is too large, or against which nothing can be held because it has no end. */
export function assertEnds(schema: object): void {
  const subschemas = subschemasOf(schema);
  const length = subschemas.reduce((sum, subschema) => sum + 1 + partsOf(subschema), 0);
  if (length > MAX_SUBSCHEMAS)
    throw new Error(`it has ${length} subschemas, more than ${MAX_SUBSCHEMAS}; make it smaller`);
  assertNoneInData(subschemas);
  const endless = endlessReference(schema);
  if (endless !== undefined)
    throw new Error(
      `"$ref": "${endless.slice(0, 200)}" leads back to itself without going down into the value, and has no end`,
    );
}

/** What else of a subschema is compiled piece by piece: `true` and `false` inside it, and lists of dependent fields. */
function partsOf(subschema: Schema): number {
  let parts = 0;
  for (const keyword in subschema) {
    const value = subschema[keyword];
    if (keyword === 'dependentRequired' || keyword === 'dependencies') {
      for (const names of isSchema(value) ? Object.values(value) : [])
        parts += Array.isArray(names) ? names.length : 0;
      continue;
    }
    if (keyword === 'required' && Array.isArray(value)) parts += value.length / REQUIRED_PER_PART;
    if (DATA.has(keyword)) continue;
    const inner = MAPS.has(keyword) && isSchema(value) ? Object.values(value) : value;
    if (Array.isArray(inner)) for (const item of inner) parts += typeof item === 'boolean' ? 1 : 0;
  }
  return Math.ceil(parts);
}

/** @throws Error for a reference into data, as an example is: what stands there is not among the subschemas, and not counted. */
function assertNoneInData(subschemas: readonly Schema[]): void {
  const known = new Set<unknown>(subschemas);
  // A reference may begin at any of them that has a name.
  const bases = subschemas.filter((subschema, index) => index === 0 || '$id' in subschema);
  if (bases.length > MAX_NAMED)
    throw new Error(`more than ${MAX_NAMED} of its subschemas have an "$id"; refer to them by "#/$defs/…"`);
  for (const subschema of subschemas)
    for (const keyword of ['$ref', '$dynamicRef']) {
      const reference = subschema[keyword];
      if (typeof reference !== 'string') continue;
      const pointer = reference.slice(reference.indexOf('#'));
      for (const base of bases) {
        const target = pointedAt(base, pointer);
        if (target !== undefined && typeof target !== 'boolean' && !known.has(target))
          throw new Error(
            `"${keyword}": "${reference.slice(0, 200)}" leads to data and not to a schema; put that under "$defs"`,
          );
      }
    }
}

/**
 * A reference that leads back to itself without going down into the value: held against anything, the schema has no end.
 * Those that go down, as a tree's, end with the value.
 * @returns undefined where there is none. Only references by JSON Pointer are followed.
 */
function endlessReference(root: object): string | undefined {
  const done = new Set<Schema>();
  const onPath = new Set<Schema>();
  const visit = (schema: unknown, by: string): string | undefined => {
    if (!isSchema(schema) || done.has(schema)) return undefined;
    if (onPath.has(schema)) return by;
    onPath.add(schema);
    const reference = schema['$ref'] ?? schema['$dynamicRef'];
    const targets: [unknown, string][] =
      typeof reference === 'string' ? [[pointedAt(root, reference), reference]] : [];
    for (const keyword of IN_PLACE)
      for (const inner of listed(keyword, schema[keyword])) targets.push([inner, by]);
    for (const [target, name] of targets) {
      const endless = visit(target, name);
      if (endless !== undefined) return endless;
    }
    onPath.delete(schema);
    done.add(schema);
    return undefined;
  };
  for (const schema of subschemasOf(root)) {
    const endless = visit(schema, '');
    if (endless !== undefined) return endless;
  }
  return undefined;
}

function listed(keyword: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return MAPS.has(keyword) && isSchema(value) ? Object.values(value) : [value];
}

/** RFC 6901, as a fragment. */
function pointedAt(root: object, reference: string): unknown {
  if (reference !== '#' && !reference.startsWith('#/')) return undefined;
  let at: unknown = root;
  for (const part of reference.split('/').slice(1)) {
    const name = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, name) ? (at as Schema)[name] : undefined;
  }
  return at;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // ajv says what is wrong with it
  }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
