import { Injectable } from '@nestjs/common';
import type { Caller } from '../http/caller.js';
import {
  assessmentDto,
  type AssessmentDto,
  type AssessmentsDto,
  type CreateAssessmentDto,
  type UpdateAssessmentDto,
} from './assessment.dto.js';
import { AssessmentService } from './assessment.service.js';

/** Assessments as the native API shows them. */
@Injectable()
export class AssessmentAnswers {
  constructor(private readonly assessments: AssessmentService) {}

  async list(caller: Caller, traceId: string): Promise<AssessmentsDto> {
    return { items: (await this.assessments.list(caller, traceId)).map(assessmentDto) };
  }

  async create(caller: Caller, traceId: string, given: CreateAssessmentDto): Promise<AssessmentDto> {
    const made = await this.assessments.create(caller, traceId, {
      kind: given.kind,
      name: given.name,
      value: JSON.stringify(given.value),
      error: null,
      sourceType: given.sourceType ?? 'HUMAN',
      sourceId: given.sourceId ?? caller.actor,
      rationale: given.rationale ?? null,
      metadata: given.metadata ?? {},
      spanId: given.spanId ?? null,
      overrides: given.overrides ?? null,
      valid: true,
    });
    return assessmentDto(made);
  }

  async update(
    caller: Caller,
    traceId: string,
    id: string,
    patch: UpdateAssessmentDto,
  ): Promise<AssessmentDto> {
    const { name, rationale, metadata, valid } = patch;
    const value = patch.value === undefined ? undefined : JSON.stringify(patch.value);
    const given = { name, value, rationale, metadata, valid };
    return assessmentDto(await this.assessments.update(caller, traceId, id, given));
  }
}
