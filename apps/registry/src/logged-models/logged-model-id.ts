import { parseRunId } from '../runs/run-id.js';

/** The `model_id` of the MLflow protocol. */
export function loggedModelHex(id: string): string {
  return `m-${id.replaceAll('-', '')}`;
}

/** The UUID of a logged model from `m-<32 hexadecimal digits>`; undefined when it is not one. */
export function parseLoggedModelId(given: string): string | undefined {
  return given.startsWith('m-') ? parseRunId(given.slice(2)) : undefined;
}
