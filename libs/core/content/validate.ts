import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { compilePrompt, TemplateError } from '../template/template.js';
import { DomainError } from '../errors/catalogue.js';
import { CONTENT_SCHEMAS, type Kind } from './schemas.js';
import type { ChainContent, Reference, StoredPrompt } from './types.js';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

const ajv = new Ajv2020({
  allErrors: true,
  discriminator: true,
  strict: true,
  strictRequired: false,
  allowUnionTypes: true,
});

const validators: Record<Kind, ValidateFunction> = {
  prompt: ajv.compile(CONTENT_SCHEMAS.prompt),
  model: ajv.compile(CONTENT_SCHEMAS.model),
  chain: ajv.compile(CONTENT_SCHEMAS.chain),
};

export interface Problem {
  /** JSON Pointer (RFC 6901) of the offending value. */
  readonly path: string;
  readonly message: string;
}

/**
 * Checks the content of a version as a caller wrote it (references not yet pinned).
 * @throws DomainError VALIDATION_FAILED with `details`: a list of `Problem`.
 */
export function validateContent(kind: Kind, content: unknown): void {
  const validate = validators[kind];
  if (!validate(content)) refuse(kind, describe(validate.errors ?? []));
  if (kind === 'prompt') checkTemplate(content as StoredPrompt);
  if (kind === 'chain') checkChain(content as ChainContent<Reference>);
}

function checkTemplate(content: StoredPrompt): void {
  if (content.type === 'mlflow') return;
  try {
    compilePrompt(content);
  } catch (error) {
    if (error instanceof TemplateError)
      refuse('prompt', [{ path: '', message: error.message.replace(/\.$/, '') }]);
    throw error;
  }
}

function checkChain(content: ChainContent<Reference>): void {
  const steps = [...(content.steps?.before ?? []), ...(content.steps?.after ?? [])];
  const repeated = steps.find(
    (step, index) => steps.findIndex((other) => other.name === step.name) !== index,
  );
  if (repeated)
    refuse('chain', [
      { path: '/steps', message: `two steps are named "${repeated.name}"; give each its own name` },
    ]);
  [content.generate, ...(content.fallbacks ?? [])].forEach(({ extraBody = {} }, index) => {
    const field = GATEWAY_FIELDS.find((name) => Object.hasOwn(extraBody, name));
    if (field)
      refuse('chain', [
        {
          path: `${index === 0 ? '/generate' : `/fallbacks/${index - 1}`}/extraBody/${field}`,
          message: 'is set by the gateway itself; remove it',
        },
      ]);
  });
  if (content.output) checkOutputSchema(content.output.schema);
}

/** Fields of the upstream body that never come from `extraBody`; taken there, they would be lost without a word. */
const GATEWAY_FIELDS = ['model', 'messages', 'stream'] as const;

function checkOutputSchema(schema: object): void {
  try {
    compileOutputSchema(schema);
  } catch (error) {
    refuse('chain', [
      {
        path: '/output/schema',
        message: `not a usable JSON Schema: ${error instanceof Error ? error.message : String(error)}`,
      },
    ]);
  }
}

/**
 * Compiles an output contract's JSON Schema.
 * @throws Error when it is not a valid schema or refers outside itself.
 */
export function compileOutputSchema(schema: object): (value: unknown) => boolean {
  const { $schema = DIALECT } = schema as { $schema?: unknown };
  if ($schema !== DIALECT)
    throw new Error(`write it in draft 2020-12, and "$schema" as "${DIALECT}" or not at all`);
  // A compiler of its own per schema: `$id`s of different chains must not meet, and nothing is kept alive.
  const validate = new Ajv2020({
    strict: false,
    validateFormats: false,
    code: { regExp: linearRegExp },
  }).compile(schema);
  // ajv's own word: its validators would answer with promises, which count as true and reject where nobody listens.
  if ('$async' in validate) throw new Error('"$async" is not JSON Schema; remove it');
  return (value) => {
    try {
      return validate(value);
    } catch (error) {
      // The stack ran out: the schema, or the value, refers to itself without end.
      if (error instanceof RangeError) return false;
      throw error;
    }
  };
}

/**
 * Why no gateway of this release can serve a chain; undefined when it can. A version may hold steps that only a
 * later release runs: it can be registered and compared, but never put behind an endpoint and run without them.
 */
export function servingProblem(content: ChainContent): string | undefined {
  const step = content.steps?.before?.[0] ?? content.steps?.after?.[0];
  return step && `step "${step.name}" has type "${step.type}", which this release cannot run`;
}

function refuse(kind: Kind, problems: readonly Problem[]): never {
  const said = problems.map((problem) => `${problem.path || '/'} ${problem.message}`).join('; ');
  throw new DomainError('VALIDATION_FAILED', `The ${kind} content is not valid: ${said}.`, problems);
}

/** ajv's errors as one sentence per offending value, the noise of failed `anyOf`/`oneOf` branches left out. */
export function describe(errors: readonly ErrorObject[]): Problem[] {
  const problems = new Map<string, Problem>();
  for (const error of errors) {
    if (error.keyword === 'anyOf' || error.keyword === 'oneOf') continue;
    const problem = { path: pathOf(error), message: sentence(error) };
    problems.set(`${problem.path} ${problem.message}`, problem);
  }
  const all = [...problems.values()];
  return (
    all.length > 0 ? all : errors.map((error) => ({ path: pathOf(error), message: sentence(error) }))
  ).slice(0, 20);
}

function pathOf({ keyword, instancePath, params }: ErrorObject): string {
  return keyword === 'discriminator' ? `${instancePath}/${params['tag']}` : instancePath;
}

function sentence(error: ErrorObject): string {
  switch (error.keyword) {
    case 'additionalProperties':
      return `has the unknown field "${error.params['additionalProperty']}"; remove it`;
    case 'required':
      return `lacks the field "${error.params['missingProperty']}"`;
    case 'enum':
      return `must be one of ${JSON.stringify(error.params['allowedValues'])}`;
    case 'const':
      return `must be ${JSON.stringify(error.params['allowedValue'])}`;
    case 'discriminator':
      return 'must be one of the known values';
    default:
      return error.message ?? error.keyword;
  }
}

/**
 * Patterns of a contract meet whatever a model writes, inside a process that serves everybody: a backtracking engine
 * would let `^(a+)+$` stop all of them. RE2's syntax has no backreferences and no look-around; those are refused.
 * https://github.com/google/re2/wiki/Syntax
 */
const linearRegExp = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
    // ajv tells patterns apart by their text.
    return { test: (text: string) => compiled.matcher(text).find(), toString: () => pattern };
  },
  // Only for ajv's stand-alone code, which is not made here.
  { code: '' },
);
