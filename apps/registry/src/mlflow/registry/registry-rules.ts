import { MAX_STORED_TAGS } from '../../entries/tags.js';
import { STAGES, type Stage } from '../../entries/versions/version-note.entity.js';
import { MAX_VERSION_NUMBER } from '../../entries/versions/version-number.js';
import { invalidValue, missingValue, MlflowError } from '../protocol/mlflow-error.js';
import { assertLength, assertName, type Pair } from '../tracking/log-rules.js';

// What MLflow 3.17 asks of names, tags, aliases and stages (mlflow/utils/validation.py), in the words its clients know.

const MAX_TAG_KEY = 250;
const MAX_TAG_VALUE = 100_000;
const MAX_ALIAS = 255;
const MAX_DESCRIPTION = 5000;

/** The tag that holds the template of a prompt version. */
export const PROMPT_TEXT_TAG = 'mlflow.prompt.text';

export function assertModelName(name: string, parameter = 'name'): void {
  if (name.trim() === '') throw missingValue(parameter);
  if (/[/:]/.test(name))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid model name '${name}'. Names cannot contain '/' or ':'.`,
    );
  if (name === '.' || name.startsWith('..'))
    throw invalidValue(
      parameter,
      name,
      `Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '${name}'`,
    );
}

/** The tags by key; of a key given twice, the last value counts. */
export function checkedTags(tags: readonly Pair[]): Record<string, string> {
  if (tags.length > MAX_STORED_TAGS)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `There are ${tags.length} tags; at most ${MAX_STORED_TAGS} are allowed.`,
    );
  for (const tag of tags) assertTag(tag);
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
}

export function assertTag({ key, value }: Pair): void {
  assertTagKey(key);
  assertLength('key', key, MAX_TAG_KEY);
  // Code points, as MLflow counts; counted only where it matters.
  if (value.length <= MAX_TAG_VALUE || Array.from(value).length <= MAX_TAG_VALUE) return;
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    key === PROMPT_TEXT_TAG
      ? `Prompt text exceeds max length of ${MAX_TAG_VALUE} characters.`
      : `'value' exceeds the maximum length of ${MAX_TAG_VALUE} characters`,
  );
}

export function assertTagKey(key: string): void {
  // Copying an object of tags would lose it.
  if (key === '__proto__') throw invalidValue('key', key, 'This key cannot be stored.');
  assertName(key, 'key');
}

/** "" is no description, as MLflow's clients send it. */
export function checkedDescription(given: string | undefined): string | null {
  assertLength('description', given ?? '', MAX_DESCRIPTION);
  return given === undefined || given === '' ? null : given;
}

/** 0, which no version has, for numbers that are too large or negative. */
export function versionNumber(text: string): number {
  if (!/^\s*[+-]?\d+\s*$/.test(text))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Parameter 'version' must be an integer, got '${text}'.`,
    );
  const number = Number(text);
  return number >= 1 && number <= MAX_VERSION_NUMBER ? number : 0;
}

export function assertAlias(alias: string): void {
  if (!/^[\p{L}\p{N}_-]*$/u.test(alias))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid alias name: '${alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-).`,
    );
  assertLength('Registered model alias name', alias, MAX_ALIAS);
}

export const isLatest = (alias: string): boolean => alias.toLowerCase() === 'latest';

/** Bare numbers are ours to refuse: `name@3` is version 3 in every reference. */
export function assertNewAlias(alias: string): void {
  assertAlias(alias);
  if (isLatest(alias))
    throw new MlflowError('INVALID_PARAMETER_VALUE', "'latest' alias name (case insensitive) is reserved.");
  if (/^v\d+$/i.test(alias))
    throw new MlflowError('INVALID_PARAMETER_VALUE', `Version alias name '${alias}' is reserved.`);
  if (/^[0-9]+$/.test(alias))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid alias name: '${alias}'. A bare number is a version; add a letter.`,
    );
}

export function stageOf(given: string): Stage {
  const stage = STAGES.find((known) => known.toLowerCase() === given.toLowerCase());
  if (stage) return stage;
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `Invalid Model Version stage: ${given}. Value must be one of ${STAGES.join(', ')}.`,
  );
}
