import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import { experimentRefOf } from '../tracking/tracking-refusals.js';

/** The number of an experiment that a client names. @throws MlflowError. */
export function experimentNumber(given: string): number {
  const { number } = experimentRefOf(given);
  // No experiment has one that its column could not hold.
  if (number < 0 || number > 2_147_483_647)
    throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `No Experiment with id=${number} exists`);
  return number;
}

/** The numbers of experiments to search: those that cannot exist find nothing. @throws MlflowError. */
export function experimentNumbers(given: readonly string[]): number[] {
  return given
    .map((id) => experimentRefOf(id).number)
    .filter((number) => number >= 0 && number <= 2_147_483_647);
}

/** Says what a service refused about a tag of a trace as MLflow says it. */
export async function aboutTraceTag<T>(traceId: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const key = isRefusal(error, 'NOT_FOUND')
      ? (error.details as { key?: string } | undefined)?.key
      : undefined;
    if (key === undefined) throw error;
    throw new MlflowError(
      'RESOURCE_DOES_NOT_EXIST',
      `No trace tag with key '${key}' for trace with ID '${traceId}'`,
    );
  }
}
