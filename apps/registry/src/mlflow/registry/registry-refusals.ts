import { MlflowError } from '../protocol/mlflow-error.js';

// MLflow's clients branch on these codes, and show or match the messages.

export const noModel = (name: string): MlflowError =>
  new MlflowError('RESOURCE_DOES_NOT_EXIST', `Registered Model with name=${name} not found`);

export const noVersion = (name: string, version: string | number): MlflowError =>
  new MlflowError('RESOURCE_DOES_NOT_EXIST', `Model Version (name=${name}, version=${version}) not found`);

/** An unknown alias is a bad parameter to MLflow, not a missing resource. */
export const noAlias = (alias: string): MlflowError =>
  new MlflowError('INVALID_PARAMETER_VALUE', `Registered model alias ${alias} not found.`);

const NOUNS = { prompt: 'Prompt', model: 'Registered Model' } as const;

export function nameTaken(name: string, wanted: keyof typeof NOUNS, holder: keyof typeof NOUNS): MlflowError {
  return new MlflowError(
    'RESOURCE_ALREADY_EXISTS',
    wanted === holder
      ? `${NOUNS[wanted]} (name=${name}) already exists.`
      : `Tried to create a ${NOUNS[wanted].toLowerCase()} with name '${name}', but the name is already taken by a ${NOUNS[holder].toLowerCase()}. MLflow does not allow creating a model and a prompt with the same name.`,
  );
}

export const badSource = (source: string, why: string): MlflowError =>
  new MlflowError('INVALID_PARAMETER_VALUE', `Invalid model version source: '${source}'. ${why}`);
