import { runHex } from '../../runs/run-id.js';

/** Where clients find the artifacts of an experiment: through this server, unless it has a location of its own. */
export function experimentLocation(number: number, location: string | null): string {
  return location ?? `mlflow-artifacts:/${number}`;
}

export function runArtifactUri(experimentNumber: number, location: string | null, runId: string): string {
  return `${experimentLocation(experimentNumber, location).replace(/\/+$/, '')}/${runHex(runId)}/artifacts`;
}
