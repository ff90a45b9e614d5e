import { Injectable } from '@nestjs/common';
import { AssessmentService, type AssessmentPatch } from '../../assessments/assessment.service.js';
import { message, text } from '../protocol/fields.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import {
  ASSESSMENT_FIELDS,
  assessmentMessage,
  readAssessment,
  readError,
  readValue,
  type AssessmentRequest,
} from './assessment-message.js';

const IDS = { trace_id: text({ required: true }), assessment_id: text({ required: true }) };
const ONE = '/traces/{trace_id}/assessments/{assessment_id}';

/** `/traces/…/assessments`. */
@Injectable()
export class AssessmentRoutes {
  constructor(private readonly assessments: AssessmentService) {}

  register(routes: MlflowRoutes): void {
    const { assessments } = this;
    routes.add({
      method: 'POST',
      path: '/traces/{trace_id}/assessments',
      version: 3,
      fields: {
        trace_id: text({ required: true }),
        assessment: message(ASSESSMENT_FIELDS, { required: true }),
      },
      handle: async (caller, { trace_id, assessment }) => ({
        assessment: assessmentMessage(await assessments.create(caller, trace_id, readAssessment(assessment))),
      }),
    });
    routes.add({
      method: 'GET',
      path: ONE,
      version: 3,
      fields: IDS,
      handle: async (caller, { trace_id, assessment_id }) => ({
        assessment: assessmentMessage(await assessments.get(caller, trace_id, assessment_id)),
      }),
    });
    routes.add({
      method: 'PATCH',
      path: ONE,
      version: 3,
      fields: {
        ...IDS,
        assessment: message(ASSESSMENT_FIELDS, { required: true }),
        // `google.protobuf.FieldMask`: names in lowerCamelCase, separated by commas.
        update_mask: text({ required: true }),
      },
      handle: async (caller, { trace_id, assessment_id, assessment, update_mask }) => {
        const patch = readPatch(assessment, update_mask);
        return {
          assessment: assessmentMessage(await assessments.update(caller, trace_id, assessment_id, patch)),
        };
      },
    });
    routes.add({
      method: 'DELETE',
      path: ONE,
      version: 3,
      fields: IDS,
      handle: (caller, { trace_id, assessment_id }) => assessments.delete(caller, trace_id, assessment_id),
    });
  }
}

function readPatch(given: AssessmentRequest, mask: string): AssessmentPatch {
  const paths = new Set(
    mask.split(',').map((path) => path.trim().replaceAll(/[A-Z]/g, (l) => `_${l.toLowerCase()}`)),
  );
  return {
    kind: paths.has('expectation') ? 'expectation' : paths.has('feedback') ? 'feedback' : undefined,
    name: paths.has('assessment_name') ? given.assessment_name : undefined,
    value: paths.has('expectation') || paths.has('feedback') ? readValue(given) : undefined,
    error: paths.has('feedback') ? readError(given) : undefined,
    rationale: paths.has('rationale') ? (given.rationale ?? null) : undefined,
    metadata: paths.has('metadata') ? given.metadata : undefined,
    valid: paths.has('valid') ? given.valid : undefined,
  };
}
