import { runHex } from '../../runs/run-id.js';
import type { RunRecord } from '../../runs/run-record.js';
import { runArtifactUri } from './artifact-uri.js';

export const RUN_STATUS_NUMBERS = { RUNNING: 1, SCHEDULED: 2, FINISHED: 3, FAILED: 4, KILLED: 5 } as const;

export type ShownRun = Pick<
  RunRecord,
  | 'id'
  | 'serial'
  | 'experimentNumber'
  | 'artifactLocation'
  | 'name'
  | 'status'
  | 'startedAt'
  | 'endedAt'
  | 'createdBy'
  | 'deletedAt'
>;

/** MLflow's message `RunInfo`. */
export function runInfoMessage(run: ShownRun): object {
  const id = runHex(run.id);
  return {
    run_id: id,
    run_uuid: id,
    run_name: run.name,
    experiment_id: String(run.experimentNumber),
    user_id: run.createdBy,
    status: run.status,
    start_time: run.startedAt?.getTime(),
    end_time: run.endedAt?.getTime(),
    artifact_uri: runArtifactUri(run.experimentNumber, run.artifactLocation, run.id),
    lifecycle_stage: run.deletedAt === null ? 'active' : 'deleted',
  };
}
