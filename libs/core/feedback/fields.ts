import type { Problem } from '../content/problems.js';

/** RFC 3339 §5.6. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;
/** Bytes. */
const MAX_TIME = 64;
/** Told of one request: whoever sends more wrong fields than that learns of the others next time. */
export const MAX_PROBLEMS = 20;

/** The fields of what a caller sent, and what is wrong with them. Null is as good as absent. */
export class Fields {
  readonly problems: Problem[] = [];
  private readonly refused = new Set<string>();

  constructor(
    private readonly given: Readonly<Record<string, unknown>>,
    private readonly path: string,
  ) {}

  get(name: string): unknown {
    return Object.hasOwn(this.given, name) ? this.given[name] : undefined;
  }

  has(name: string): boolean {
    return (this.get(name) ?? null) !== null;
  }

  refuse(name: string, message: string): void {
    const path = name === '' ? this.path : `${this.path}/${name}`;
    if (this.problems.length >= MAX_PROBLEMS || this.refused.has(path)) return;
    this.refused.add(path);
    this.problems.push({ path, message });
  }

  refuseUnknown(known: ReadonlySet<string>): void {
    for (const name of Object.keys(this.given)) {
      if (this.problems.length >= MAX_PROBLEMS) return;
      if (!known.has(name)) this.refuse(name.slice(0, 100), 'is an unknown field; remove it');
    }
  }

  /** A text of 1 character or more. */
  text(name: string, maxBytes: number): string | null {
    const value = this.get(name) ?? null;
    if (value === null) return null;
    const problem = wrongText(value, maxBytes) ?? (value === '' ? 'must not be empty' : undefined);
    if (problem !== undefined) {
      this.refuse(name, problem);
      return null;
    }
    return value as string;
  }

  /** A point in time, in milliseconds since 1970. */
  time(name: string): number | null {
    const text = this.text(name, MAX_TIME);
    if (text === null) return null;
    const timeMs = TIME.test(text) ? Date.parse(text) : Number.NaN;
    if (timeMs >= 0) return timeMs;
    this.refuse(name, 'must be an RFC 3339 time since 1970, such as 2026-11-22T09:30:00Z');
    return null;
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T | null {
    const value = this.get(name) ?? null;
    if (value === null || values.includes(value as T)) return value as T | null;
    this.refuse(name, `must be one of ${values.map((each) => `"${each}"`).join(', ')}`);
    return null;
  }
}

/** What is wrong with a text; undefined where nothing is. */
export function wrongText(value: unknown, maxBytes: number): string | undefined {
  if (typeof value !== 'string') return 'must be a text';
  if (Buffer.byteLength(value) > maxBytes) return `must have at most ${maxBytes} bytes of UTF-8`;
  if (value.includes('\0') || !value.isWellFormed())
    return 'contains a NUL byte or a lone surrogate; remove it';
  return undefined;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
