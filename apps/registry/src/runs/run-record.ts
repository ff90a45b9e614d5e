import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { Experiment } from '../experiments/experiment.entity.js';
import type { Run, RunStatus } from './run.entity.js';

/** A run and the experiment it belongs to; what it logged is read elsewhere. */
export interface RunRecord {
  readonly id: string;
  readonly serial: number;
  readonly experimentId: string;
  readonly experimentSerial: number;
  /** `experiment_id` of the MLflow protocol. */
  readonly experimentNumber: number;
  /** Of its experiment; null: the artifact store of this registry. */
  readonly artifactLocation: string | null;
  readonly name: string;
  readonly status: RunStatus;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly updatedAt: Date;
  readonly deletedAt: Date | null;
}

export function recordOf(run: Run, { id, number, artifactLocation }: Experiment): RunRecord {
  return Object.assign({ experimentId: id, experimentNumber: number, artifactLocation }, run);
}

/** Continue it with WHERE; `r` is the run, `e` its experiment. */
export const SELECT_RUN = `
  SELECT r.id, r.serial, e.id AS "experimentId", e.serial AS "experimentSerial", e.number AS "experimentNumber",
         e.artifact_location AS "artifactLocation", r.name, r.status, r.started_at AS "startedAt",
         r.ended_at AS "endedAt", r.created_at AS "createdAt", r.created_by AS "createdBy",
         r.updated_at AS "updatedAt", r.deleted_at AS "deletedAt"
    FROM run r JOIN experiment e ON e.serial = r.experiment_serial`;

/** @throws DomainError NOT_FOUND. */
export async function readRun(caller: Caller, id: string, manager: EntityManager): Promise<RunRecord> {
  const rows: RunRecord[] = await manager.query(`${SELECT_RUN} WHERE r.id = $1 AND r.workspace_id = $2`, [
    id,
    caller.workspaceId,
  ]);
  if (!rows[0]) throw noSuchRun(id);
  return rows[0];
}

/** The run with all it logged, locked to the end of the transaction. @throws DomainError NOT_FOUND; DELETED. */
export async function lockActiveRun(caller: Caller, id: string, tx: EntityManager): Promise<RunRecord> {
  const rows: RunRecord[] = await tx.query(
    `${SELECT_RUN} JOIN run_change c ON c.run = r.serial
      WHERE r.id = $1 AND r.workspace_id = $2 FOR NO KEY UPDATE OF r, c`,
    [id, caller.workspaceId],
  );
  if (!rows[0]) throw noSuchRun(id);
  assertActive(rows[0]);
  return rows[0];
}

/** @throws DomainError DELETED. */
export function assertActive(run: RunRecord): void {
  if (run.deletedAt !== null)
    throw new DomainError(
      'DELETED',
      `Run ${run.id} is deleted; restore it first (POST /api/v1/runs/${run.id}/restore).`,
      {
        id: run.id,
      },
    );
}

export function noSuchRun(id: string): DomainError {
  return new DomainError(
    'NOT_FOUND',
    `There is no run "${id.slice(0, 64)}"; list the runs, or create one first.`,
  );
}
