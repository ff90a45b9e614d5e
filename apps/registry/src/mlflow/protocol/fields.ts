import { parseInt64, type Int64 } from '../../metrics/int64.js';
import { missingValue, MlflowError, wrongType } from './mlflow-error.js';

/**
 * One field of a request: how proto-JSON spells it and what it becomes. `null` is the same as absent.
 * @template T what a handler receives
 */
export interface Field<T> {
  readonly required: boolean;
  /** Received where the field is absent. */
  readonly fallback: T;
  /** An older name of the field. */
  readonly orElse: string | undefined;
  /** Lists are read from all values of a query's key. */
  readonly repeated: boolean;
  /** @throws MlflowError INVALID_PARAMETER_VALUE that names `path`. */
  read(value: unknown, path: string): T;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type RequestOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

interface Options<T> {
  /** Absent, null and "" are refused as MLflow does: "Missing value for required parameter". */
  readonly required?: boolean;
  readonly default?: T;
  readonly orElse?: string;
}
interface NumberOptions extends Options<number> {
  readonly min?: number;
  readonly max?: number;
}
/** A field that is required or has a default is never undefined. */
type Given<T, O> = O extends { required: true } | { default: unknown } ? T : T | undefined;

function field<T, const O extends Options<T>>(
  options: O,
  read: (value: unknown, path: string) => T,
  repeated = false,
): Field<Given<T, O>> {
  return {
    required: options.required ?? false,
    fallback: options.default as Given<T, O>,
    orElse: options.orElse,
    repeated,
    read,
  };
}

export function text<const O extends Options<string> = {}>(options?: O): Field<Given<string, O>> {
  return field<string, O>(options ?? ({} as O), readText);
}

/** An int32 or int64 whose use ends at 2^53; see `long` for those that may not. */
export function integer<const O extends NumberOptions = {}>(options?: O): Field<Given<number, O>> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options ?? {};
  return field<number, O>(options ?? ({} as O), (value, path) => {
    const read = readLong(value, path);
    if (typeof read !== 'number' || read < min || read > max) throw wrongType(path, value);
    return read;
  });
}

/** An int64, exact: a number up to 2^53, beyond it decimal digits. */
export function long<const O extends Options<Int64> = {}>(options?: O): Field<Given<Int64, O>> {
  return field<Int64, O>(options ?? ({} as O), readLong);
}

export function double<const O extends Options<number> = {}>(options?: O): Field<Given<number, O>> {
  return field<number, O>(options ?? ({} as O), readDouble);
}

export function flag<const O extends Options<boolean> = {}>(options?: O): Field<Given<boolean, O>> {
  return field<boolean, O>(options ?? ({} as O), (value, path) => {
    if (typeof value === 'boolean') return value;
    if (typeof value === 'string' && /^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
    throw wrongType(path, value);
  });
}

/** An enum, by name or number; becomes the name. `choice({ ACTIVE_ONLY: 1, DELETED_ONLY: 2 })` */
export function choice<N extends string, const O extends Options<NoInfer<N>> = {}>(
  numbers: Readonly<Record<N, number>>,
  options?: O,
): Field<Given<N, O>> {
  const names = new Map<unknown, N>();
  for (const [name, number] of Object.entries<number>(numbers))
    for (const spelling of [name, number, String(number)]) names.set(spelling, name as N);
  return field<N, O>(options ?? ({} as O), (value, path) => {
    const name = names.get(value);
    if (name === undefined) throw wrongType(path, value);
    return name;
  });
}

/** A repeated field; absent = empty. */
export function list<T>(
  item: Field<T>,
  options: { required?: boolean; max?: number } = {},
): Field<Exclude<T, undefined>[]> {
  return field<Exclude<T, undefined>[], { default: Exclude<T, undefined>[] }>(
    { ...options, default: [] },
    (value, path) => {
      if (!Array.isArray(value) || value.length > (options.max ?? Infinity)) throw wrongType(path, value);
      return value.map((element, index) => item.read(element, `${path}[${index}]`) as Exclude<T, undefined>);
    },
    true,
  );
}

export function message<F extends Fields, const O extends { required?: boolean } = {}>(
  fields: F,
  options?: O,
): Field<Given<RequestOf<F>, O>> {
  const read = readerOf(fields);
  return field<RequestOf<F>, O>(options ?? ({} as O), (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(path, value);
    return read(value as Record<string, unknown>, path);
  });
}

/** A proto map with text keys; absent = empty. */
export function map<T>(item: Field<T>): Field<Record<string, T>> {
  return field<Record<string, T>, { default: Record<string, T> }>({ default: {} }, (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(path, value);
    const entries = Object.entries(value).map(([key, element]) => {
      readText(key, path);
      return [key, item.read(element, `${path}.${key}`)] as const;
    });
    return Object.fromEntries(entries);
  });
}

/** Free-form JSON (`google.protobuf.Value` or `Struct`); integers beyond 2^53 become doubles, as JSON has them. */
export function json(options: { required?: boolean } = {}): Field<unknown> {
  return field<unknown, Options<unknown>>(options, readFreeForm);
}

/** Reads all fields of an object; names it does not know are ignored. Built once per route. */
export function readerOf<F extends Fields>(
  fields: F,
): (object: Readonly<Record<string, unknown>>, path?: string) => RequestOf<F> {
  const plan = Object.entries(fields).map(([name, field]) => ({ name, camel: camelCase(name), field }));
  return (object, path) => {
    const request: Record<string, unknown> = {};
    for (const { name, camel, field } of plan) {
      let value = object[name];
      if (camel !== name && camel in object && Object.hasOwn(object, camel)) {
        if (value !== undefined)
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            `Request specifies both '${name}' and '${camel}'; provide only one of them.`,
          );
        value = object[camel];
      }
      if ((value === undefined || value === null) && field.orElse !== undefined) value = object[field.orElse];
      const isAbsent = value === undefined || value === null;
      if (field.required && (isAbsent || value === '')) throw missingValue(joined(path, name));
      request[name] = isAbsent ? field.fallback : field.read(value, joined(path, name));
    }
    return request as RequestOf<F>;
  };
}

/** Both spellings of a field: proto-JSON has snake_case and lowerCamelCase. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

const joined = (path: string | undefined, name: string): string =>
  path === undefined || path === '' ? name : `${path}.${name}`;

function readText(value: unknown, path: string): string {
  if (typeof value !== 'string') throw wrongType(path, value);
  if (value.includes('\0') || !value.isWellFormed())
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Parameter '${path}' contains a NUL byte or a lone surrogate; remove it.`,
    );
  return value;
}

function readLong(value: unknown, path: string): Int64 {
  const read =
    typeof value === 'number' && Number.isInteger(value)
      ? parseInt64(Number.isSafeInteger(value) ? value : String(BigInt(value)))
      : parseInt64(typeof value === 'bigint' ? String(value) : value);
  if (read === undefined) throw wrongType(path, value);
  return read;
}

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

function readDouble(value: unknown, path: string): number {
  // A JSON number that overflows is refused; infinity is said with the string.
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'bigint') return Number(value);
  if (value === 'NaN') return NaN;
  if (value === 'Infinity') return Infinity;
  if (value === '-Infinity') return -Infinity;
  const read = typeof value === 'string' && DECIMAL.test(value) ? Number(value) : NaN;
  if (!Number.isFinite(read)) throw wrongType(path, value);
  return read;
}

const MAX_DEPTH = 200;

function readFreeForm(value: unknown, path: string, depth = 0): unknown {
  if (typeof value === 'string') return readText(value, path);
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'number' && !Number.isFinite(value)) throw wrongType(path, String(value));
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Parameter '${path}' is nested more than ${MAX_DEPTH} levels deep.`,
    );
  if (Array.isArray(value)) return value.map((element) => readFreeForm(element, path, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [readText(key, path), readFreeForm(inner, path, depth + 1)]),
  );
}
