import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { DataValidateFunction } from 'ajv/dist/types/index.js';
import { describe, type Problem } from '../content/problems.js';
import { addBoundedFormats } from './formats.js';
import { linearRegExps } from './linear-regexp.js';
import { priceOf } from './price.js';
import { assertEnds, subschemasOf } from './subschemas.js';
import { allowWork, Allowance, MAX_WORK, spend, TooMuchWorkError, workLeft } from './work.js';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
/** Counts what is evaluated; of no schema that people write. */
const COUNTED = 'x-catena-counted';
/** The keyword that comes first of all: what fails before it has counted would be free. */
const FIRST = '$dynamicAnchor';
/** Of the second look, which finds all that is wrong. */
const DESCRIBING_WORK = 40_000;
/** Of a text that is looked up. */
const CHARACTERS_PER_STEP = 64;
/** Of a problem's path and message, in characters: names of fields are the model's, and may be of any length. */
const MAX_TEXT = 300;

/**
 * Holds a parsed answer against a contract.
 * @param allowance of all that is held against it for one request at a time.
 * @returns what is wrong with it, at most 20; nothing where it satisfies.
 */
export type ContractCheck = (answer: unknown, allowance?: Allowance) => readonly Problem[];

const NOTHING: readonly Problem[] = [];
/** Said, as this very list, of an answer that is too large to be checked. */
export const TOO_LARGE: readonly Problem[] = [
  { path: '', message: 'is too large to be held against the schema' },
];
/** The stack ran out: the schema refers to itself without end. */
const ENDLESS: readonly Problem[] = [
  { path: '', message: 'cannot be held against a schema that has no end' },
];

/** JSON Schema itself. */
const dialect = new Ajv2020({ strict: false, logger: false });

/**
 * Checks that a schema can be a contract; to be called before it is kept as one.
 * @throws Error that says what is wrong with it.
 */
export function assertUsable(schema: object): void {
  assertDialect(schema);
  assertEnds(schema);
  if (!dialect.validateSchema(schema))
    throw new Error(dialect.errorsText(dialect.errors, { dataVar: 'schema' }));
  compileContract(schema);
}

/**
 * Compiles an output contract's JSON Schema. Checks take a bounded time, and never throw.
 * @throws Error when it is not a valid schema or refers outside itself.
 */
export function compileContract(schema: object): ContractCheck {
  assertDialect(schema);
  const validate = compiled(schema, false);
  let describing: ValidateFunction | undefined;
  return (answer, allowance = new Allowance()) => {
    const work = Math.min(MAX_WORK, allowance.work);
    try {
      allowWork(work);
      if (validate(answer)) return NOTHING;
    } catch (error) {
      return unchecked(error);
    } finally {
      allowance.work -= work - workLeft();
    }
    const more = Math.min(DESCRIBING_WORK, allowance.work);
    try {
      describing ??= compiled(schema, true);
      allowWork(more);
      describing(answer);
      return bounded(describing.errors ?? []);
    } catch {
      // Too much is wrong to be told in full; that something is, is certain.
      return bounded(validate.errors ?? []);
    } finally {
      allowance.work -= more - workLeft();
      // They hold parts of the answer.
      validate.errors = null;
      if (describing) describing.errors = null;
    }
  };
}

function assertDialect(schema: object): void {
  const { $schema = DIALECT } = schema as { $schema?: unknown };
  if ($schema !== DIALECT)
    throw new Error(`write it in draft 2020-12, and "$schema" as "${DIALECT}" or not at all`);
}

function compiled(schema: object, allErrors: boolean): ValidateFunction {
  // A compiler of its own per schema: `$id`s of different chains must not meet, and nothing is kept alive.
  const ajv = new Ajv2020({
    strict: false,
    allErrors,
    logger: false,
    // See `assertUsable`: ajv would compile JSON Schema's own schema for every one of these, which takes longer than the rest.
    meta: false,
    validateSchema: false,
    // ajv tidies its code up in the square of the schema's size; V8 does it as well, and sooner.
    code: { regExp: linearRegExps(), optimize: false },
  });
  addBoundedFormats(ajv);
  ajv.addKeyword({ keyword: COUNTED, before: FIRST, errors: false, compile: counter });
  // ajv compares one by one: of 10 000 values with each other, or with the 10 000 of an enum, it would take seconds.
  ajv.removeKeyword('enum');
  ajv.addKeyword({ keyword: 'enum', schemaType: 'array', errors: true, compile: isAmong });
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (wanted: boolean, items: readonly unknown[]) => !wanted || areUnique(items),
    error: { message: 'must not have the same item twice' },
  });
  const validate = compiledBy(ajv, counted(schema));
  // ajv's own word: its validators would answer with promises, which count as true and reject where nobody listens.
  if ('$async' in validate) throw new Error('"$async" is not JSON Schema; remove it');
  return validate;
}

/** @throws what is no limit of the check's. */
function unchecked(error: unknown): readonly Problem[] {
  if (error instanceof TooMuchWorkError) return TOO_LARGE;
  if (error instanceof RangeError) return ENDLESS;
  throw error;
}

/** @throws Error in words for people where it refers outside itself. */
function compiledBy(ajv: Ajv2020, schema: object): ValidateFunction {
  try {
    return ajv.compile(schema);
  } catch (error) {
    if (!(error instanceof Ajv2020.MissingRefError)) throw error;
    throw new Error(
      `the reference "${error.missingRef.slice(0, 200)}" is to nothing inside the schema, and nothing is fetched; put it under "$defs"`,
      { cause: error },
    );
  }
}

function counter(_: unknown, subschema: object): DataValidateFunction {
  const price = priceOf(subschema as Readonly<Record<string, unknown>>);
  return (value: unknown) => {
    spend(price(value));
    return true;
  };
}

/** A copy in which every subschema counts its evaluations. */
function counted(schema: object): object {
  const copy = structuredClone(schema);
  for (const subschema of subschemasOf(copy)) subschema[COUNTED] = true;
  return copy;
}

/** Whether a value is one of these. */
function isAmong(allowedValues: readonly unknown[]): DataValidateFunction {
  const known = new Set(allowedValues.map(comparable));
  const validate: DataValidateFunction = (value: unknown) => {
    const key = comparable(value);
    // It has been written, or will be gone through to be looked up.
    if (typeof key === 'string')
      spend(typeof value === 'string' ? value.length / CHARACTERS_PER_STEP : key.length);
    const isKnown = known.has(key);
    if (!isKnown) validate.errors = [{ keyword: 'enum', params: { allowedValues } }];
    return isKnown;
  };
  return validate;
}

/** A text for a list or an object, and never one that stands for a text too; all else is itself. */
function comparable(value: unknown): unknown {
  if (typeof value === 'string') return `"${value}`;
  return typeof value === 'object' && value !== null ? keyOf(value) : value;
}

/** JSON Schema compares by value: the order of fields does not matter. */
function areUnique(items: readonly unknown[]): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = keyOf(item);
    spend(1 + text.length);
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

function keyOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(keyOf).join()}]`;
  const fields = value as Readonly<Record<string, unknown>>;
  const names = Object.keys(fields).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${keyOf(fields[name])}`).join()}}`;
}

function bounded(errors: readonly ErrorObject[]): readonly Problem[] {
  const wordsOf = new Map<unknown, string>();
  const told = errors.slice(0, 100).map((error) => inWords(error, wordsOf));
  return describe(told).map(({ path, message }) => ({ path: shortened(path), message: shortened(message) }));
}

/** @param wordsOf what was put in words before: a hundred errors may be about the same long list of values. */
function inWords(error: ErrorObject, wordsOf: Map<unknown, string>): ErrorObject {
  const { keyword, params } = error;
  if (keyword === 'false schema') return { ...error, keyword: '', message: 'is not allowed' };
  if (keyword !== 'enum' && keyword !== 'const') return error;
  const isOne = keyword === 'const';
  const allowed: unknown = isOne ? params['allowedValue'] : params['allowedValues'];
  let message = wordsOf.get(allowed);
  if (message === undefined) {
    message = shortened(`must be ${isOne ? '' : 'one of '}${JSON.stringify(allowed)}`);
    wordsOf.set(allowed, message);
  }
  return { ...error, keyword: '', message };
}

/** As every database and every server takes it. */
function shortened(text: string): string {
  const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return short.toWellFormed().replaceAll('\0', '\uFFFD');
}
