import { DomainError } from '#libs/core/errors/catalogue.js';
import {
  DEFAULT_QUESTION,
  LABEL_LIMITS,
  type LabelInput,
  type LabelSchema,
  type LabelSchemaPatch,
} from './label-schema.js';

/** @throws DomainError VALIDATION_FAILED. */
export function assertLabelSchema({ name, instruction, input }: LabelSchemaPatch): void {
  if (name !== undefined) assertName(name);
  if (instruction !== undefined && instruction !== null)
    assertLength('/instruction', instruction, 0, LABEL_LIMITS.instruction);
  if (input !== undefined) assertInput(input);
}

/** Answers that were given must go on fitting. @throws DomainError IMMUTABLE. */
export function assertChange(before: LabelSchema, { input }: LabelSchemaPatch): void {
  if (before.isDefault)
    throw new DomainError('IMMUTABLE', "The experiment's default question cannot be edited.");
  if (input === undefined) return;
  if (input.kind !== before.input.kind)
    throw new DomainError(
      'IMMUTABLE',
      `A label schema's kind of input cannot be changed after creation: it is ${before.input.kind}, not ${input.kind}.`,
    );
  if (
    input.kind === 'categorical' &&
    before.input.kind === 'categorical' &&
    input.multiSelect !== before.input.multiSelect
  )
    throw new DomainError('IMMUTABLE', 'multiSelect cannot be changed after creation.');
}

function assertName(name: string): void {
  assertLength('/name', name, 1, LABEL_LIMITS.name);
  if (name.trim().toLowerCase() === DEFAULT_QUESTION.name.toLowerCase())
    refuse('/name', `must not be "${name.slice(0, 60)}", which is reserved for the default question`);
}

/** Its shape is checked as well: it comes as free JSON. */
export function assertInput(input: LabelInput): void {
  switch (input.kind) {
    case 'passFail':
      assertMembers(input, ['positiveLabel', 'negativeLabel']);
      assertLength('/input/positiveLabel', input.positiveLabel, 1, LABEL_LIMITS.label);
      assertLength('/input/negativeLabel', input.negativeLabel, 1, LABEL_LIMITS.label);
      if (input.positiveLabel === input.negativeLabel)
        refuse('/input', 'must have a positive and a negative label that differ');
      return;
    case 'categorical':
      assertMembers(input, ['options', 'multiSelect']);
      assertOptions(input.options);
      if (typeof input.multiSelect !== 'boolean') refuse('/input/multiSelect', 'must be true or false');
      return;
    case 'numeric':
      assertMembers(input, ['minValue', 'maxValue']);
      for (const [member, value] of [
        ['minValue', input.minValue],
        ['maxValue', input.maxValue],
      ] as const)
        if (value !== null && !Number.isFinite(value)) refuse(`/input/${member}`, 'must be a number or null');
      if (input.minValue !== null && input.maxValue !== null && input.minValue >= input.maxValue)
        refuse('/input', 'must have a minValue below its maxValue');
      return;
    case 'text':
      assertMembers(input, ['maxLength']);
      if (input.maxLength !== null && !(Number.isSafeInteger(input.maxLength) && input.maxLength >= 1))
        refuse('/input/maxLength', 'must be a positive integer or null');
      return;
    default:
      refuse('/input/kind', 'must be passFail, categorical, numeric or text');
  }
}

function assertMembers(input: LabelInput, members: readonly string[]): void {
  const unknown = Object.keys(input).find((key) => key !== 'kind' && !members.includes(key));
  if (unknown !== undefined) refuse(`/input/${unknown.slice(0, 60)}`, `is not a member of ${input.kind}`);
  const missing = members.find((member) => !Object.hasOwn(input, member));
  if (missing !== undefined) refuse(`/input/${missing}`, 'must be given');
}

function assertOptions(options: unknown): void {
  if (!Array.isArray(options) || options.length < 1 || options.length > LABEL_LIMITS.options)
    refuse('/input/options', `must be a list of 1 to ${LABEL_LIMITS.options} options`);
  for (const option of options) assertLength('/input/options', option, 1, LABEL_LIMITS.label);
  if (new Set(options).size < options.length) refuse('/input/options', 'must not name an option twice');
}

function assertLength(path: string, text: unknown, least: number, most: number): void {
  if (
    typeof text !== 'string' ||
    text.length < least ||
    text.length > most ||
    text.includes('\0') ||
    !text.isWellFormed()
  )
    refuse(path, `must be text of ${least} to ${most} characters without NUL`);
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The label schema is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
