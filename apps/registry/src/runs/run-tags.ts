import { KINDS, type Kind } from '#libs/core/content/schemas.js';

/** Tags of the MLflow protocol that are more than labels. */
export const RUN_NAME_TAG = 'mlflow.runName';
export const PARENT_TAG = 'mlflow.parentRunId';

/** `catena.chain`, `catena.prompt` and `catena.model` name the versions a run evaluated. */
export function versionTag(kind: Kind): string {
  return `catena.${kind}`;
}

export const VERSION_TAGS: ReadonlyMap<string, Kind> = new Map(
  KINDS.map((kind) => [versionTag(kind), kind] as const),
);

/** Whether writing this tag changes more than a row of `run_tag`. */
export function isSpecialTag(key: string): boolean {
  return key === RUN_NAME_TAG || VERSION_TAGS.has(key);
}
