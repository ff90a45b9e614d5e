import type { DomainError } from '#libs/core/errors/catalogue.js';
import { parseRunId } from '../../runs/run-id.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { ExperimentRef } from '../../experiments/experiment.service.js';

/** The run that a client names, whichever way it spells it. @throws MlflowError RESOURCE_DOES_NOT_EXIST. */
export function runIdOf(given: string): string {
  const id = parseRunId(given);
  if (id === undefined) throw noSuchRun(given);
  return id;
}

/** `experiment_id` as Python's `int` reads it; "" is experiment 0. @throws MlflowError INVALID_PARAMETER_VALUE. */
export function experimentRefOf(given: string): ExperimentRef & { readonly number: number } {
  if (given === '') return { number: 0 };
  if (!/^\s*[+-]?\d+\s*$/.test(given))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid experiment ID '${given.slice(0, 128)}'. Experiment ID must be a valid integer.`,
    );
  return { number: Number(given) };
}

/** Says what a service refused about a run as MLflow says it; clients read these messages. */
export async function aboutRun<T>(given: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isRefusal(error, 'NOT_FOUND')) throw noSuchRun(given);
    if (isRefusal(error, 'DELETED'))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `The run ${given} must be in the 'active' state. Current state is deleted.`,
      );
    throw error;
  }
}

/** As `aboutRun`, for a tag that is to be removed. */
export async function aboutRunTag<T>(given: string, work: Promise<T>): Promise<T> {
  return aboutRun(given, work.catch(rethrowMissingTag(`run with id ${given}`)));
}

/** Says what a service refused about an experiment as MLflow says it. */
export async function aboutExperiment<T>(ref: { readonly number: number }, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isRefusal(error, 'NOT_FOUND')) throw noSuchExperiment(ref);
    if (isRefusal(error, 'DELETED'))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `The experiment ${ref.number} must be in the 'active' state. Current state is deleted.`,
      );
    throw error;
  }
}

/** As `aboutExperiment`, for a tag that is to be removed. */
export async function aboutExperimentTag<T>(ref: { readonly number: number }, work: Promise<T>): Promise<T> {
  return aboutExperiment(ref, work.catch(rethrowMissingTag(`experiment with id ${ref.number}`)));
}

export function noSuchRun(given: string): MlflowError {
  return new MlflowError('RESOURCE_DOES_NOT_EXIST', `Run with id=${given.slice(0, 256)} not found`);
}

export function noSuchExperiment(ref: { readonly number: number }): MlflowError {
  return new MlflowError('RESOURCE_DOES_NOT_EXIST', `No Experiment with id=${ref.number} exists`);
}

function rethrowMissingTag(owner: string): (error: unknown) => never {
  return (error) => {
    const key = isRefusal(error, 'NOT_FOUND') ? (detailsOf(error)['key'] as string | undefined) : undefined;
    if (key === undefined) throw error;
    throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `No tag with name: ${key} in ${owner}`);
  };
}

export function detailsOf(error: DomainError): Record<string, unknown> {
  return (error.details ?? {}) as Record<string, unknown>;
}
