import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { assertUsable } from '../contract/compile-contract.js';
import { compilePrompt, TemplateError } from '../template/template.js';
import { DomainError } from '../errors/catalogue.js';
import { generationsOf, taskOf } from './chain.js';
import { describe, type Problem } from './problems.js';
import { CONTENT_SCHEMAS, type Kind } from './schemas.js';
import type { ChainContent, Reference, StoredPrompt } from './types.js';

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
  const task = taskOf(content);
  generationsOf(content).forEach(({ extraBody = {} }, index) => {
    const field = GATEWAY_FIELDS[task].find((name) => Object.hasOwn(extraBody, name));
    if (field)
      refuse('chain', [
        {
          path: `${index === 0 ? `/${task}` : `/fallbacks/${index - 1}`}/extraBody/${field}`,
          message: 'is set by the gateway itself; remove it',
        },
      ]);
  });
  if (content.output) checkOutputSchema(content.output.schema);
}

/** Fields of the upstream body that never come from `extraBody`; taken there, they would be lost without a word. */
const GATEWAY_FIELDS = {
  generate: ['model', 'messages', 'stream'],
  embed: ['model', 'input', 'stream'],
} as const;

function checkOutputSchema(schema: object): void {
  try {
    assertUsable(schema);
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
