import { DomainError } from '#libs/core/errors/catalogue.js';

/** In UTF-16 code units, as everywhere; both protocols share them. */
export const MAX_EXPERIMENT_NAME = 500;
export const MAX_EXPERIMENT_TAG_KEY = 250;
export const MAX_EXPERIMENT_TAG_VALUE = 20_000;
export const MAX_EXPERIMENT_TAGS = 1_000;
const MAX_ARTIFACT_LOCATION = 2_048;

// The index of names admits no more than 2 700 bytes; 500 characters have 2 000 at most.
/** @throws DomainError VALIDATION_FAILED unless it can name an experiment. */
export function assertExperimentName(name: string): void {
  if (name.trim() === '' || name.length > MAX_EXPERIMENT_NAME || !isText(name))
    refuse('/name', `must have 1 to ${MAX_EXPERIMENT_NAME} characters, not all of them spaces and no NUL`);
}

/** @throws DomainError VALIDATION_FAILED unless both parts can be stored. */
export function assertExperimentTag(key: string, value: string): void {
  if (key === '' || key.length > MAX_EXPERIMENT_TAG_KEY || !isText(key))
    refuse('/tags', `has the key "${key.slice(0, 60)}"; a key has 1 to ${MAX_EXPERIMENT_TAG_KEY} characters`);
  if (value.length > MAX_EXPERIMENT_TAG_VALUE || !isText(value))
    refuse('/tags', `has a value at "${key}" of more than ${MAX_EXPERIMENT_TAG_VALUE} characters`);
}

/** @throws DomainError VALIDATION_FAILED for more tags than an experiment may have. */
export function assertTagCount(tags: Readonly<Record<string, string>>): void {
  const count = Object.keys(tags).length;
  if (count > MAX_EXPERIMENT_TAGS)
    refuse('/tags', `would be ${count} tags; an experiment has at most ${MAX_EXPERIMENT_TAGS}`);
}

/** @throws DomainError VALIDATION_FAILED unless it is a URI without query or fragment, to which paths can be added. */
export function assertArtifactLocation(location: string): void {
  const isUri = /^[a-z][a-z0-9+.-]*:/i.test(location) || location.startsWith('/');
  if (!isUri || /[?#]/.test(location) || location.length > MAX_ARTIFACT_LOCATION || !isText(location))
    refuse(
      '/artifactLocation',
      `must be a URI of at most ${MAX_ARTIFACT_LOCATION} characters without query and fragment, such as s3://bucket/experiments`,
    );
}

function isText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The request is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
