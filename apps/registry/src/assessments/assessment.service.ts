import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { AssessmentError, AssessmentKind } from './assessment.js';
import {
  ASSESSMENT_COLUMNS,
  readAssessments,
  upsertAssessments,
  type Assessment,
  type NewAssessment,
} from './assessment-rows.js';

export interface AssessmentPatch {
  /** What the value is taken for; it cannot change. */
  readonly kind?: AssessmentKind | undefined;
  readonly name?: string | undefined;
  /** JSON text. */
  readonly value?: string | null | undefined;
  readonly error?: AssessmentError | null | undefined;
  readonly rationale?: string | null | undefined;
  /** Added to what is there. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly valid?: boolean | undefined;
}

interface TraceKey {
  readonly serial: number;
  readonly experiment: number;
}

/** Judgements on traces and their spans. */
@Injectable()
export class AssessmentService {
  constructor(private readonly database: DataSource) {}

  /**
   * One that overrides another makes that one invalid.
   * @throws DomainError NOT_FOUND (the trace, or the assessment it overrides), VALIDATION_FAILED.
   */
  async create(
    caller: Caller,
    traceId: string,
    given: Omit<NewAssessment, 'assessmentId' | 'createdMs' | 'updatedMs'> & {
      readonly createdMs?: number | undefined;
    },
  ): Promise<Assessment> {
    const now = Date.now();
    const assessment = {
      ...given,
      assessmentId: `a-${v7().replaceAll('-', '')}`,
      createdMs: given.createdMs ?? now,
      updatedMs: now,
    };
    await this.database.transaction(async (tx) => {
      const trace = await lockTrace(tx, caller, traceId);
      if (assessment.overrides !== null) {
        const [, changed]: [unknown, number] = await tx.query(
          `UPDATE assessment SET valid = false WHERE trace = $1 AND assessment_id = $2`,
          [trace.serial, assessment.overrides],
        );
        if (changed === 0) throw noSuchAssessment(traceId, assessment.overrides);
      }
      await upsertAssessments(tx, trace, [assessment]);
    });
    return { ...assessment, traceId };
  }

  /** In order of time. @throws DomainError NOT_FOUND (the trace). */
  async list(caller: Caller, traceId: string): Promise<Assessment[]> {
    const [trace]: { serial: number }[] = await this.database.query(
      `SELECT serial FROM trace WHERE workspace_id = $1 AND trace_id = $2`,
      [caller.workspaceId, traceId],
    );
    if (trace === undefined) throw noSuchTraceOf(traceId);
    return (await readAssessments(this.database.manager, [trace.serial])).get(trace.serial) ?? [];
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, traceId: string, assessmentId: string): Promise<Assessment> {
    const [found]: Assessment[] = await this.database.query(
      `SELECT ${ASSESSMENT_COLUMNS} FROM assessment a JOIN trace t ON t.serial = a.trace
        WHERE t.workspace_id = $1 AND t.trace_id = $2 AND a.assessment_id = $3`,
      [caller.workspaceId, traceId, assessmentId],
    );
    if (found === undefined) {
      await this.list(caller, traceId);
      throw noSuchAssessment(traceId, assessmentId);
    }
    return found;
  }

  /** Its kind, source and span stay. @throws DomainError NOT_FOUND, VALIDATION_FAILED. */
  async update(
    caller: Caller,
    traceId: string,
    assessmentId: string,
    patch: AssessmentPatch,
  ): Promise<Assessment> {
    return this.database.transaction(async (tx) => {
      const trace = await lockTrace(tx, caller, traceId);
      const all = (await readAssessments(tx, [trace.serial])).get(trace.serial) ?? [];
      const existing = all.find((assessment) => assessment.assessmentId === assessmentId);
      if (existing === undefined) throw noSuchAssessment(traceId, assessmentId);
      if (patch.kind !== undefined && patch.kind !== existing.kind)
        throw new DomainError(
          'VALIDATION_FAILED',
          `Cannot update ${patch.kind} value on an assessment that is ${existing.kind === 'expectation' ? 'an' : 'a'} ${existing.kind}.`,
        );
      const sent = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
      const changed: Assessment = {
        ...existing,
        ...sent,
        metadata: { ...existing.metadata, ...patch.metadata },
        updatedMs: Date.now(),
      };
      await upsertAssessments(tx, trace, [changed]);
      return changed;
    });
  }

  /** What it overrode becomes valid again. One that is not there is as good as deleted. @throws DomainError NOT_FOUND (the trace). */
  async delete(caller: Caller, traceId: string, assessmentId: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const trace = await lockTrace(tx, caller, traceId);
      const [rows]: [{ overrides: string | null }[], number] = await tx.query(
        `DELETE FROM assessment WHERE trace = $1 AND assessment_id = $2 RETURNING overrides`,
        [trace.serial, assessmentId],
      );
      const overridden = rows[0]?.overrides;
      if (overridden)
        await tx.query(`UPDATE assessment SET valid = true WHERE trace = $1 AND assessment_id = $2`, [
          trace.serial,
          overridden,
        ]);
    });
  }
}

/** Assessments of one trace are written one after the other, and never for a trace that is being deleted. */
async function lockTrace(tx: EntityManager, caller: Caller, traceId: string): Promise<TraceKey> {
  const [trace]: TraceKey[] = await tx.query(
    `SELECT serial, experiment FROM trace WHERE workspace_id = $1 AND trace_id = $2 FOR NO KEY UPDATE`,
    [caller.workspaceId, traceId],
  );
  if (trace === undefined) throw noSuchTraceOf(traceId);
  return trace;
}

const noSuchTraceOf = (traceId: string): DomainError =>
  new DomainError(
    'NOT_FOUND',
    `Trace with ID '${traceId.slice(0, 250)}' not found; search the traces to see which are.`,
  );

const noSuchAssessment = (traceId: string, assessmentId: string): DomainError =>
  new DomainError(
    'NOT_FOUND',
    `Assessment with ID '${assessmentId.slice(0, 250)}' not found for trace '${traceId.slice(0, 250)}'.`,
  );
