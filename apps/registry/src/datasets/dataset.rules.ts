import { DomainError } from '#libs/core/errors/catalogue.js';

/** Limits of MLflow, shared by both protocols; lengths are in UTF-16 code units. */
export const DATASET_LIMITS = {
  name: 500,
  digest: 36,
  sourceType: 500,
  source: 65_535,
  schema: 1_048_575,
  profile: 16_777_215,
  tagKey: 255,
  tagValue: 500,
  tags: 100,
  inputs: 1_000,
} as const;

export interface DatasetGiven {
  readonly name: string;
  readonly digest: string;
  readonly sourceType: string;
  readonly source: string;
  readonly schema?: string | null;
  readonly profile?: string | null;
}

export interface DatasetInput {
  readonly dataset: DatasetGiven;
  /** Of the use, not of the dataset: for instance `{"mlflow.data.context": "training"}`. */
  readonly tags?: Readonly<Record<string, string>>;
}

/** @throws DomainError VALIDATION_FAILED with the JSON Pointer of the first field that cannot be stored. */
export function assertDatasetInputs(inputs: readonly DatasetInput[]): void {
  if (inputs.length > DATASET_LIMITS.inputs)
    refuse('/datasets', `has ${inputs.length} elements; at most ${DATASET_LIMITS.inputs} go into one call`);
  for (const [index, { dataset, tags }] of inputs.entries()) {
    const path = `/datasets/${index}`;
    for (const field of ['name', 'digest', 'sourceType', 'source', 'schema', 'profile'] as const)
      assertText(dataset[field] ?? '', DATASET_LIMITS[field], `${path}/dataset/${field}`);
    for (const field of ['name', 'digest'] as const)
      if (dataset[field] === '') refuse(`${path}/dataset/${field}`, 'must not be empty');
    const pairs = Object.entries(tags ?? {});
    if (pairs.length > DATASET_LIMITS.tags)
      refuse(`${path}/tags`, `has more than ${DATASET_LIMITS.tags} tags`);
    for (const [key, value] of pairs) {
      assertText(key, DATASET_LIMITS.tagKey, `${path}/tags`);
      assertText(value, DATASET_LIMITS.tagValue, `${path}/tags/${key.slice(0, 60)}`);
    }
  }
}

function assertText(text: unknown, maxLength: number, path: string): void {
  if (typeof text !== 'string' || text.length > maxLength || text.includes('\0') || !text.isWellFormed())
    refuse(path, `must be a string of at most ${maxLength} characters without NUL`);
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `Nothing was written: ${path} ${message}.`, [{ path, message }]);
}
