import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsDefined, IsIn, IsOptional, IsString, Length, MaxLength } from 'class-validator';
import { IsTags } from '../entries/tags.js';
import { IfSent } from '../http/body-rules.js';
import { Verbatim } from '../http/verbatim.js';
import { ASSESSMENT_KINDS, MAX_ASSESSMENT_NAME, SOURCE_TYPES, type AssessmentKind } from './assessment.js';
import type { Assessment } from './assessment-rows.js';

const VALUE = {
  description: 'The judgement: any JSON.',
  oneOf: [
    { type: 'boolean' },
    { type: 'number' },
    { type: 'string' },
    { type: 'array', items: {} },
    { type: 'object', additionalProperties: true },
  ],
  example: true,
};
const METADATA = { type: 'object', additionalProperties: { type: 'string' } } as const;
const MAX_RATIONALE = 100_000;

export class CreateAssessmentDto {
  @ApiProperty({
    description: 'Feedback judges what happened; an expectation says what should have.',
    enum: ['feedback', 'expectation'],
    example: 'feedback',
  })
  @IsIn(['feedback', 'expectation'])
  kind!: 'feedback' | 'expectation';

  @ApiProperty({
    description: 'What is judged.',
    minLength: 1,
    maxLength: MAX_ASSESSMENT_NAME,
    example: 'correctness',
  })
  @IsString()
  @Length(1, MAX_ASSESSMENT_NAME)
  name!: string;

  @ApiProperty(VALUE)
  @Verbatim()
  @IsDefined({ message: 'must be given' })
  value!: unknown;

  @ApiPropertyOptional({
    description: 'What judged.',
    enum: SOURCE_TYPES,
    enumName: 'AssessmentSourceType',
    default: 'HUMAN',
  })
  @IfSent()
  @IsIn(SOURCE_TYPES)
  sourceType?: string;

  @ApiPropertyOptional({
    description: 'Who, or which program.',
    type: String,
    nullable: true,
    example: 'ada',
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_ASSESSMENT_NAME)
  sourceId?: string | null;

  @ApiPropertyOptional({ description: 'Why.', type: String, nullable: true, maxLength: MAX_RATIONALE })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_RATIONALE)
  rationale?: string | null;

  @ApiPropertyOptional({
    description: 'Span that is judged; the whole trace when absent.',
    type: String,
    nullable: true,
  })
  @IsOptional()
  @IsString()
  @MaxLength(64)
  spanId?: string | null;

  @ApiPropertyOptional({
    description: 'Id of the assessment that this one replaces; that one becomes invalid.',
    type: String,
    nullable: true,
  })
  @IsOptional()
  @IsString()
  @MaxLength(250)
  overrides?: string | null;

  @ApiPropertyOptional({ description: 'Free labels, key to value.', ...METADATA, example: { round: '2' } })
  @IfSent()
  @Verbatim()
  @IsTags(false)
  metadata?: Record<string, string>;
}

export class UpdateAssessmentDto {
  @ApiPropertyOptional({ description: 'What is judged.', minLength: 1, maxLength: MAX_ASSESSMENT_NAME })
  @IfSent()
  @IsString()
  @Length(1, MAX_ASSESSMENT_NAME)
  name?: string;

  @ApiPropertyOptional({ ...VALUE, example: false })
  @IfSent()
  @Verbatim()
  value?: unknown;

  @ApiPropertyOptional({
    description: 'Why. null: cleared.',
    type: String,
    nullable: true,
    maxLength: MAX_RATIONALE,
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_RATIONALE)
  rationale?: string | null;

  @ApiPropertyOptional({
    description: 'Added to the labels that are there.',
    ...METADATA,
    example: { round: '3' },
  })
  @IfSent()
  @Verbatim()
  @IsTags(false)
  metadata?: Record<string, string>;

  @ApiPropertyOptional({ description: 'Whether it counts.' })
  @IfSent()
  @IsBoolean()
  valid?: boolean;
}

export class AssessmentDto {
  @ApiProperty({ description: 'Id inside its trace.', example: 'a-019aab3c5d107c439a550d3c8f1a2b4c' })
  id!: string;

  @ApiProperty({ description: 'Id of its trace.', example: 'tr-0123456789abcdef0123456789abcdef' })
  traceId!: string;

  @ApiProperty({ description: 'What it is.', enum: ASSESSMENT_KINDS, enumName: 'AssessmentKind' })
  kind!: AssessmentKind;

  @ApiProperty({ description: 'What is judged.', example: 'correctness' })
  name!: string;

  @ApiProperty({ ...VALUE, nullable: true })
  value!: unknown;

  @ApiProperty({ description: 'Why there is no value.', type: String, nullable: true })
  error!: string | null;

  @ApiProperty({ description: 'What judged.', enum: SOURCE_TYPES, enumName: 'AssessmentSourceType' })
  sourceType!: string;

  @ApiProperty({ description: 'Who, or which program.', type: String, nullable: true, example: 'ada' })
  sourceId!: string | null;

  @ApiProperty({ description: 'Why.', type: String, nullable: true })
  rationale!: string | null;

  @ApiProperty({ description: 'Span that is judged; null: the whole trace.', type: String, nullable: true })
  spanId!: string | null;

  @ApiProperty({ description: 'Id of the assessment that it replaces.', type: String, nullable: true })
  overrides!: string | null;

  @ApiProperty({ description: 'False when another replaced it.' })
  valid!: boolean;

  @ApiProperty({ description: 'Free labels, key to value.', ...METADATA, example: {} })
  metadata!: Record<string, string>;

  @ApiProperty({ description: 'When it was made.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export class AssessmentsDto {
  @ApiProperty({ description: 'In order of time.', type: [AssessmentDto] })
  items!: AssessmentDto[];
}

export function assessmentDto(assessment: Assessment): AssessmentDto {
  return {
    id: assessment.assessmentId,
    traceId: assessment.traceId,
    kind: assessment.kind,
    name: assessment.name,
    value: assessment.value === null ? null : (JSON.parse(assessment.value) as unknown),
    error: assessment.error && (assessment.error.message || assessment.error.code || 'unknown'),
    sourceType: assessment.sourceType,
    sourceId: assessment.sourceId,
    rationale: assessment.rationale,
    spanId: assessment.spanId,
    overrides: assessment.overrides,
    valid: assessment.valid,
    metadata: assessment.metadata,
    createdAt: new Date(assessment.createdMs).toISOString(),
    updatedAt: new Date(assessment.updatedMs).toISOString(),
  };
}
