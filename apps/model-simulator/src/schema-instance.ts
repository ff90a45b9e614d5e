import { SimulatorError } from './errors.js';
import { pick, type Random } from './random.js';
import { overlap } from './text.js';

type Schema = { readonly [keyword: string]: unknown };
export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

const MAX_DEPTH = 6;

/**
 * An instance of a JSON Schema, the same for the same random stream. Covers what output contracts use: objects,
 * arrays, enum, const, strings with length and common formats, numbers with bounds, booleans, null, anyOf and
 * oneOf (first branch), allOf (merged), local $ref. `pattern` is met only when a word of the source meets it.
 * @param source text the answer is about: enum values that share words with it are preferred, strings quote it.
 */
export function instanceOf(schema: unknown, random: Random, source: string): JsonValue {
  return new Generator(schema, random, source).value(schema, 0, '');
}

class Generator {
  constructor(
    private readonly root: unknown,
    private readonly random: Random,
    private readonly source: string,
  ) {}

  value(given: unknown, depth: number, name: string): JsonValue {
    if (typeof given !== 'object' || given === null) return this.string({}, name);
    if (depth > 64) throw new SimulatorError(400, 'BadRequestError', 'The schema is nested without end.');
    const schema = this.resolve(given as Schema);
    if ('const' in schema) return schema['const'] as JsonValue;
    if (Array.isArray(schema['enum'])) return this.choice(schema['enum'] as JsonValue[]);
    const branches = schema['anyOf'] ?? schema['oneOf'];
    if (Array.isArray(branches) && branches.length > 0) return this.branch(schema, branches, depth, name);
    switch (this.type(schema)) {
      case 'object':
        return this.object(schema, depth);
      case 'array':
        return this.array(schema, depth, name);
      case 'integer':
        return this.number(schema, true);
      case 'number':
        return this.number(schema, false);
      case 'boolean':
        return this.random() < 0.5;
      case 'null':
        return null;
      default:
        return this.string(schema, name);
    }
  }

  /** The value of an enum that the text speaks of most, else any. */
  choice(values: readonly JsonValue[]): JsonValue {
    const scores = values.map((value) => (typeof value === 'string' ? overlap(value, this.source) : 0));
    const best = Math.max(...scores);
    return pick(
      this.random,
      values.filter((_, index) => scores[index] === best),
    );
  }

  private branch(schema: Schema, branches: readonly unknown[], depth: number, name: string): JsonValue {
    const constants = branches.map((branch) => (branch as Schema | null)?.['const']);
    if (constants.every((value) => typeof value === 'string')) return this.choice(constants);
    const { anyOf: _any, oneOf: _one, ...rest } = schema;
    return this.value({ ...rest, ...(branches[0] as Schema) }, depth + 1, name);
  }

  private object(schema: Schema, depth: number): JsonValue {
    const properties = (schema['properties'] ?? {}) as Record<string, unknown>;
    const required = (schema['required'] ?? []) as string[];
    const names = depth < MAX_DEPTH / 2 ? [...new Set([...Object.keys(properties), ...required])] : required;
    // Own keys only, also for a property that is called __proto__.
    return Object.fromEntries(names.map((key) => [key, this.value(properties[key], depth + 1, key)]));
  }

  private array(schema: Schema, depth: number, name: string): JsonValue[] {
    const min = whole(schema['minItems'], 0);
    const max = Math.max(min, whole(schema['maxItems'], min + 2));
    const prefix = (schema['prefixItems'] ?? []) as unknown[];
    const wanted = depth < MAX_DEPTH ? Math.max(1, prefix.length, min) : min;
    const length = Math.min(max, wanted + Math.floor(this.random() * 2));
    const items: JsonValue[] = [];
    const seen = new Set<string>();
    for (let tries = 0; items.length < length && tries < length * 20; tries++) {
      const item = this.value(prefix[items.length] ?? schema['items'] ?? { type: 'string' }, depth + 1, name);
      const key = JSON.stringify(item);
      if (schema['uniqueItems'] === true && seen.has(key)) continue;
      seen.add(key);
      items.push(item);
    }
    return items;
  }

  private number(schema: Schema, integer: boolean): number {
    const step = typeof schema['multipleOf'] === 'number' ? schema['multipleOf'] : integer ? 1 : 0.01;
    const low = bound(schema['minimum'], schema['exclusiveMinimum'], step);
    const high = bound(schema['maximum'], schema['exclusiveMaximum'], -step);
    const from = low ?? (high === undefined ? 0 : Math.min(0, high));
    const to = high ?? (low === undefined ? (integer ? 100 : 1) : low + (integer ? 100 : 1));
    const first = Math.ceil(from / step - 1e-9);
    const last = Math.max(first, Math.floor(to / step + 1e-9));
    const value = (first + Math.floor(this.random() * (last - first + 1))) * step;
    return integer ? Math.round(value) : Number(value.toFixed(6));
  }

  private string(schema: Schema, name: string): string | null {
    const formatted = this.formatted(schema['format']);
    if (formatted !== undefined) return formatted;
    const pattern = typeof schema['pattern'] === 'string' ? regExp(schema['pattern']) : undefined;
    const fit =
      pattern &&
      this.source.match(/[^\s,;()"']+/gu)?.find((word) => pattern.test(word.replace(/[.!?]$/u, '')));
    if (fit !== undefined) return fit.replace(/[.!?]$/u, '');
    if (pattern && Array.isArray(schema['type']) && schema['type'].includes('null')) return null;
    const min = whole(schema['minLength'], 0);
    const max = Math.max(min, whole(schema['maxLength'], Math.max(120, min)));
    const sentence = this.source.trim().split(/(?<=[.!?。])\s+|\n/u, 1)[0]! || name || 'none';
    // By code points, as JSON Schema counts length: a surrogate pair is never split.
    const characters = Array.from(sentence.slice(0, max * 2)).slice(0, max);
    while (characters.length < min) characters.push(this.letters('aeinorst', 1));
    return characters.join('');
  }

  private letters(alphabet: string, count: number): string {
    let text = '';
    while (text.length < count) text += alphabet[Math.floor(this.random() * alphabet.length)];
    return text;
  }

  private formatted(format: unknown): string | undefined {
    const digits = (count: number) => this.letters('0123456789', count);
    const hex = (count: number) => this.letters('0123456789abcdef', count);
    const date = () => `2026-0${1 + Math.floor(this.random() * 9)}-1${digits(1)}`;
    switch (format) {
      case 'date':
        return date();
      case 'date-time':
        return `${date()}T1${digits(1)}:00:00Z`;
      case 'time':
        return `1${digits(1)}:00:00Z`;
      case 'email':
        return `user${digits(4)}@example.com`;
      case 'uri':
        return `https://example.com/${hex(8)}`;
      case 'uuid':
        return `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
      default:
        return undefined;
    }
  }

  private type(schema: Schema): unknown {
    const type = schema['type'];
    if (Array.isArray(type)) return type[0];
    if (type !== undefined) return type;
    if ('properties' in schema || 'required' in schema) return 'object';
    if ('items' in schema || 'prefixItems' in schema) return 'array';
    if ('minimum' in schema || 'maximum' in schema) return 'number';
    return 'string';
  }

  private resolve(schema: Schema, hops = 0): Schema {
    const reference = schema['$ref'];
    if (typeof reference === 'string' && hops < 20) {
      const { $ref: _, ...rest } = schema;
      return this.resolve({ ...(pointer(this.root, reference) as Schema), ...rest }, hops + 1);
    }
    if (!Array.isArray(schema['allOf'])) return schema;
    const { allOf, ...rest } = schema;
    return (allOf as Schema[]).reduce((merged, part) => merge(merged, this.resolve(part, hops + 1)), rest);
  }
}

function merge(a: Schema, b: Schema): Schema {
  return {
    ...a,
    ...b,
    ...('properties' in a || 'properties' in b
      ? { properties: { ...(a['properties'] as object), ...(b['properties'] as object) } }
      : {}),
    required: [...new Set([...((a['required'] ?? []) as string[]), ...((b['required'] ?? []) as string[])])],
  };
}

/** Local references only (RFC 6901 after `#`). */
function pointer(root: unknown, reference: string): unknown {
  if (!reference.startsWith('#')) return {};
  let at: unknown = root;
  for (const part of decodeURIComponent(reference.slice(1)).split('/').slice(1))
    at = (at as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  return at ?? {};
}

function bound(inclusive: unknown, exclusive: unknown, step: number): number | undefined {
  if (typeof exclusive === 'number') return exclusive + step;
  return typeof inclusive === 'number' ? inclusive : undefined;
}

function regExp(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'u');
  } catch (error) {
    throw new SimulatorError(400, 'BadRequestError', `The schema has an invalid pattern: ${String(error)}`);
  }
}

function whole(value: unknown, otherwise: number): number {
  return typeof value === 'number' && value >= 0 ? Math.floor(value) : otherwise;
}
