import { LoggedModelService } from '../../logged-models/logged-model.service.js';
import type { LoggedModelRecord } from '../../logged-models/logged-model-record.js';
import { parseLoggedModelId } from '../../logged-models/logged-model-id.js';
import type { Caller } from '../../http/caller.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';

/** The logged model a client names. @throws MlflowError RESOURCE_DOES_NOT_EXIST. */
export function modelIdOf(given: string): string {
  const id = parseLoggedModelId(given);
  if (id === undefined) throw noSuchModel(given);
  return id;
}

/** Says what a service refused about a logged model as MLflow says it. */
export async function aboutModel<T>(given: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isRefusal(error, 'DELETED')) throw noSuchModel(given);
    if (!isRefusal(error, 'NOT_FOUND')) throw error;
    const { key } = (error.details ?? {}) as { key?: string };
    if (key === undefined) throw noSuchModel(given);
    throw new MlflowError(
      'RESOURCE_DOES_NOT_EXIST',
      `No tag with key '${key}' found for model with ID '${given}'.`,
    );
  }
}

/** One that is not deleted. */
export async function readModel(
  service: LoggedModelService,
  caller: Caller,
  given: string,
  deletedToo = false,
): Promise<LoggedModelRecord> {
  const model = await aboutModel(given, service.get(caller, modelIdOf(given)));
  if (model.deletedAt !== null && !deletedToo) throw noSuchModel(given);
  return model;
}

function noSuchModel(given: string): MlflowError {
  return new MlflowError(
    'RESOURCE_DOES_NOT_EXIST',
    `Logged model with ID '${given.slice(0, 256)}' not found.`,
  );
}
