import type { Assessment, NewAssessment } from '../../assessments/assessment-rows.js';
import { choice, flag, json, map, message, text } from '../protocol/fields.js';
import { Verbatim } from '../protocol/json-writer.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import { readTimestamp, writeTimestamp } from './proto-time.js';
import type { RequestOf } from '../protocol/fields.js';

const SOURCE_TYPE = choice({ SOURCE_TYPE_UNSPECIFIED: 0, HUMAN: 1, LLM_JUDGE: 2, CODE: 3 });
const ERROR = message({ error_code: text(), error_message: text(), stack_trace: text() });

export const ASSESSMENT_FIELDS = {
  assessment_id: text(),
  assessment_name: text(),
  trace_id: text(),
  span_id: text(),
  source: message({ source_type: SOURCE_TYPE, source_id: text() }),
  create_time: text(),
  last_update_time: text(),
  feedback: message({ value: json(), error: ERROR }),
  expectation: message({
    value: json(),
    serialized_value: message({ serialization_format: text(), value: text({ default: '' }) }),
  }),
  issue: message({ issue_name: text({ default: '' }) }),
  rationale: text(),
  error: ERROR,
  metadata: map(text({ default: '' })),
  overrides: text(),
  valid: flag(),
};

export type AssessmentRequest = RequestOf<typeof ASSESSMENT_FIELDS>;

/** @throws MlflowError INVALID_PARAMETER_VALUE. */
export function readAssessment(given: AssessmentRequest): NewAssessment {
  const kinds = (['feedback', 'expectation', 'issue'] as const).filter((kind) => given[kind] !== undefined);
  if (kinds.length !== 1)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      'Exactly one of `expectation`, `feedback`, or `issue` should be specified.',
    );
  const now = Date.now();
  return {
    assessmentId: given.assessment_id || undefined,
    kind: kinds[0]!,
    name: given.assessment_name ?? '',
    value: readValue(given),
    error: readError(given),
    sourceType: given.source?.source_type ?? 'SOURCE_TYPE_UNSPECIFIED',
    sourceId: given.source?.source_id ?? null,
    rationale: given.rationale || null,
    metadata: given.metadata,
    spanId: given.span_id || null,
    overrides: given.overrides || null,
    valid: given.valid ?? true,
    createdMs:
      given.create_time === undefined ? now : readTimestamp(given.create_time, 'assessment.create_time'),
    updatedMs:
      given.last_update_time === undefined
        ? now
        : readTimestamp(given.last_update_time, 'assessment.last_update_time'),
  };
}

/** JSON text of the value. */
export function readValue({ feedback, expectation, issue }: AssessmentRequest): string {
  if (issue !== undefined) return JSON.stringify(issue.issue_name);
  const serialized = expectation?.serialized_value;
  if (serialized === undefined) return JSON.stringify((feedback ?? expectation)?.value ?? null);
  if ((serialized.serialization_format ?? 'JSON_FORMAT') !== 'JSON_FORMAT')
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Unknown serialization format: ${serialized.serialization_format}. Only JSON_FORMAT is supported.`,
    );
  try {
    JSON.parse(serialized.value);
  } catch {
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      "The value of 'assessment.expectation.serialized_value' is not valid JSON.",
    );
  }
  return serialized.value;
}

export function readError({ feedback, error }: AssessmentRequest): NewAssessment['error'] {
  const given = feedback?.error ?? error;
  return given === undefined
    ? null
    : {
        code: given.error_code ?? '',
        message: given.error_message ?? '',
        stackTrace: given.stack_trace ?? '',
      };
}

export function assessmentMessage(assessment: Assessment): object {
  return {
    assessment_id: assessment.assessmentId,
    assessment_name: assessment.name,
    trace_id: assessment.traceId,
    span_id: assessment.spanId,
    source: { source_type: assessment.sourceType, source_id: assessment.sourceId },
    create_time: writeTimestamp(assessment.createdMs),
    last_update_time: writeTimestamp(assessment.updatedMs),
    ...valueMessage(assessment),
    rationale: assessment.rationale,
    metadata: Object.keys(assessment.metadata).length === 0 ? null : assessment.metadata,
    overrides: assessment.overrides,
    valid: assessment.valid,
  };
}

function valueMessage({ kind, name, value, error }: Assessment): object {
  const parsed: unknown = value === null ? null : JSON.parse(value);
  switch (kind) {
    case 'issue':
      return { issue: { issue_name: typeof parsed === 'string' ? parsed : name } };
    case 'feedback':
      return {
        feedback: {
          value: new Verbatim(parsed),
          error: error && {
            error_code: error.code,
            error_message: error.message,
            stack_trace: error.stackTrace || null,
          },
        },
      };
    case 'expectation':
      return {
        expectation:
          typeof parsed === 'object' && parsed !== null
            ? { serialized_value: { serialization_format: 'JSON_FORMAT', value } }
            : { value: new Verbatim(parsed) },
      };
  }
}
