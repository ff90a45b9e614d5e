import { parseRunId as uuidOf } from '../../runs/run-id.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';

/** The UUID in what clients call a review queue, or another thing by its prefix; undefined where it is none. */
export function idOf(given: string, prefix = 'rq-'): string | undefined {
  return uuidOf(given.startsWith(prefix) ? given.slice(prefix.length) : given);
}

/** Says that a queue is not there as the client named it. What else is missing has details, and is told elsewhere. */
export async function aboutQueue<T>(given: string, work: (id: string) => Promise<T>): Promise<T> {
  const id = idOf(given);
  try {
    if (id !== undefined) return await work(id);
  } catch (error) {
    if (!isRefusal(error, 'NOT_FOUND') || error.details !== undefined) throw error;
  }
  throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `Review queue with id '${given.slice(0, 64)}' not found.`);
}
