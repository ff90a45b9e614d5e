import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import {
  isText,
  MAX_ASSESSMENT_NAME,
  SOURCE_TYPES,
  type AssessmentError,
  type AssessmentKind,
} from './assessment.js';

/** What a client says. */
export interface NewAssessment {
  /** Made from the content where the client gives none, so that a trace sent twice has it once. */
  readonly assessmentId?: string | undefined;
  readonly kind: AssessmentKind;
  readonly name: string;
  /** JSON text, kept exactly. */
  readonly value: string | null;
  readonly error: AssessmentError | null;
  readonly sourceType: string;
  readonly sourceId: string | null;
  readonly rationale: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly spanId: string | null;
  readonly overrides: string | null;
  readonly valid: boolean;
  readonly createdMs: number;
  readonly updatedMs: number;
}

export interface Assessment extends NewAssessment {
  readonly assessmentId: string;
  readonly traceId: string;
}

export const ASSESSMENT_COLUMNS = `
  a.trace, a.assessment_id AS "assessmentId", t.trace_id AS "traceId", a.kind, a.name, a.value::text AS value, a.error,
  a.source_type AS "sourceType", a.source_id AS "sourceId", a.rationale, a.metadata, a.span_id AS "spanId", a.overrides, a.valid,
  a.created_ms AS "createdMs", a.updated_ms AS "updatedMs"`;

/** In order of time, by trace. */
export async function readAssessments(
  manager: EntityManager,
  serials: readonly number[],
): Promise<Map<number, Assessment[]>> {
  const rows: (Assessment & { trace: number })[] = await manager.query(
    `SELECT ${ASSESSMENT_COLUMNS} FROM assessment a JOIN trace t ON t.serial = a.trace
      WHERE a.trace = ANY($1) ORDER BY a.trace, a.created_ms, a.assessment_id`,
    [serials],
  );
  return Map.groupBy(rows, (row) => row.trace);
}

/** Gives assessments that come with a whole trace their ids. */
export function assessmentsOfNewTrace(
  traceId: string,
  given: readonly NewAssessment[],
): (NewAssessment & { assessmentId: string })[] {
  const withIds = given.map((assessment, index) => ({
    ...assessment,
    assessmentId:
      assessment.assessmentId ||
      `a-${createHash('sha256')
        .update(JSON.stringify([traceId, index, assessment]))
        .digest('hex')
        .slice(0, 32)}`,
  }));
  return [...new Map(withIds.map((assessment) => [assessment.assessmentId, assessment])).values()];
}

export async function upsertAssessments(
  tx: EntityManager,
  trace: { readonly serial: number; readonly experiment: number },
  assessments: readonly (NewAssessment & { assessmentId: string })[],
): Promise<void> {
  if (assessments.length === 0) return;
  assessments.forEach(assertAssessment);
  const column = <T>(read: (row: NewAssessment & { assessmentId: string }) => T): T[] =>
    assessments.map(read);
  await tx.query(
    `INSERT INTO assessment (trace, experiment, assessment_id, kind, name, value, number_value, error, source_type, source_id,
                             rationale, metadata, span_id, overrides, valid, created_ms, updated_ms)
     SELECT $1, $2, id, kind, name, value, number_value, error, source_type, source_id, rationale, metadata::jsonb, span_id,
            overrides, valid, created_ms, updated_ms
       FROM unnest($3::text[], $4::text[], $5::text[], $6::json[], $7::float8[], $8::json[], $9::text[], $10::text[], $11::text[],
                   $12::text[], $13::text[], $14::text[], $15::boolean[], $16::bigint[], $17::bigint[])
            AS given (id, kind, name, value, number_value, error, source_type, source_id, rationale, metadata, span_id, overrides,
                      valid, created_ms, updated_ms)
      ORDER BY id
     ON CONFLICT ON CONSTRAINT assessment_pk DO UPDATE SET
       experiment = excluded.experiment, kind = excluded.kind, name = excluded.name, value = excluded.value,
       number_value = excluded.number_value, error = excluded.error, source_type = excluded.source_type,
       source_id = excluded.source_id, rationale = excluded.rationale, metadata = excluded.metadata, span_id = excluded.span_id,
       overrides = excluded.overrides, valid = excluded.valid, created_ms = excluded.created_ms, updated_ms = excluded.updated_ms`,
    [
      trace.serial,
      trace.experiment,
      column((row) => row.assessmentId),
      column((row) => row.kind),
      column((row) => row.name),
      column((row) => row.value),
      column((row) => numberOf(row.value)),
      column((row) => row.error && JSON.stringify(row.error)),
      column((row) => row.sourceType),
      column((row) => row.sourceId),
      column((row) => row.rationale),
      column((row) => JSON.stringify(row.metadata)),
      column((row) => row.spanId),
      column((row) => row.overrides),
      column((row) => row.valid),
      column((row) => row.createdMs),
      column((row) => row.updatedMs),
    ],
  );
}

/** Numbers, and the yes and no of judges, so that they have an average. */
function numberOf(value: string | null): number | null {
  if (value === null) return null;
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed === 'number') return parsed;
  if (parsed === true || parsed === 'yes') return 1;
  if (parsed === false || parsed === 'no') return 0;
  return null;
}

const MAX_TEXT = 100_000;

/** @throws DomainError VALIDATION_FAILED. */
export function assertAssessment(assessment: NewAssessment & { assessmentId: string }): void {
  const { assessmentId, name, sourceType, sourceId, rationale, value, error, metadata, spanId, overrides } =
    assessment;
  if (!/^[\w.:-]{1,250}$/.test(assessmentId))
    refuse('/assessmentId', 'must have 1 to 250 letters, digits, "_", ".", ":" or "-"');
  if (name === '' || name.length > MAX_ASSESSMENT_NAME)
    refuse('/name', `must have 1 to ${MAX_ASSESSMENT_NAME} characters`);
  if (!SOURCE_TYPES.includes(sourceType)) refuse('/sourceType', `must be one of ${SOURCE_TYPES.join(', ')}`);
  if (value === null && error === null)
    refuse('/value', 'is missing: say a value, or the error that there is none');
  if (rationale !== null && rationale.length > MAX_TEXT)
    refuse('/rationale', `must have at most ${MAX_TEXT} characters`);
  const texts = [name, sourceId, rationale, spanId, overrides, ...Object.entries(metadata).flat()];
  if (texts.some((text) => text !== null && !isText(text))) refuse('', 'contains a NUL or a lone surrogate');
  // json takes escapes that it cannot search.
  if (/\\u(0000|d[89a-f])/i.test(value ?? '') && !isSearchable(JSON.parse(value!)))
    refuse('/value', 'contains a NUL or a lone surrogate');
}

function isSearchable(value: unknown): boolean {
  if (typeof value === 'string') return isText(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, inner]) => isText(key) && isSearchable(inner));
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The assessment is not valid: ${path || '/'} ${message}.`, [
    { path, message },
  ]);
}
