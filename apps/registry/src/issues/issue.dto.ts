import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsOptional,
  IsString,
  IsUUID,
  Length,
  MaxLength,
  MinLength,
  ValidateIf,
} from 'class-validator';
import { EXPERIMENT_REF, IsExperimentRef } from '../experiments/is-experiment-ref.js';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import {
  ISSUE_LIMITS,
  ISSUE_SEVERITIES,
  ISSUE_STATUSES,
  type Issue,
  type IssueSeverity,
  type IssueStatus,
} from './issue.js';

const SEVERITY = {
  description: 'How bad it is.',
  enum: ISSUE_SEVERITIES,
  nullable: true,
  example: 'high',
} as const;
const NAME = { description: 'What it is, in short.', example: 'Invents parcel numbers' } as const;
const DESCRIPTION = {
  description: 'What it is, in full.',
  example: 'Asked for a parcel without a number, the answer names one that does not exist.',
} as const;
const STATUS = { description: 'What became of it.', enum: ISSUE_STATUSES, example: 'pending' } as const;

export class CreateIssueDto {
  @ApiProperty(EXPERIMENT_REF)
  @IsExperimentRef()
  experimentId!: string;

  @ApiProperty({ ...NAME, maxLength: ISSUE_LIMITS.name })
  @IsString()
  @Length(1, ISSUE_LIMITS.name)
  name!: string;

  @ApiProperty({ ...DESCRIPTION, maxLength: ISSUE_LIMITS.text })
  @IsString()
  @Length(1, ISSUE_LIMITS.text)
  description!: string;

  @ApiPropertyOptional({ ...STATUS, default: 'pending' })
  @IfSent()
  @IsIn(ISSUE_STATUSES)
  status?: IssueStatus;

  @ApiPropertyOptional(SEVERITY)
  @IsOptional()
  @IsIn(ISSUE_SEVERITIES)
  severity?: IssueSeverity | null;

  @ApiPropertyOptional({
    description: 'Why it happens.',
    type: [String],
    example: ['no tool to look parcels up'],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(ISSUE_LIMITS.list)
  @IsString({ each: true })
  @MinLength(1, { each: true })
  @MaxLength(ISSUE_LIMITS.text, { each: true })
  rootCauses?: string[];

  @ApiPropertyOptional({
    description: 'What kinds of issue it is.',
    type: [String],
    example: ['hallucination'],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(ISSUE_LIMITS.list)
  @IsString({ each: true })
  @MinLength(1, { each: true })
  @MaxLength(ISSUE_LIMITS.text, { each: true })
  categories?: string[];

  @ApiPropertyOptional({
    description: 'Id of the run that found it.',
    format: 'uuid',
    nullable: true,
    type: String,
    example: null,
  })
  @IsOptional()
  @IsUUID()
  sourceRunId?: string | null;
}

export class UpdateIssueDto {
  @ApiPropertyOptional({ ...NAME, maxLength: ISSUE_LIMITS.name })
  @IfSent()
  @IsString()
  @Length(1, ISSUE_LIMITS.name)
  name?: string;

  @ApiPropertyOptional({ ...DESCRIPTION, maxLength: ISSUE_LIMITS.text })
  @IfSent()
  @IsString()
  @Length(1, ISSUE_LIMITS.text)
  description?: string;

  @ApiPropertyOptional({ ...STATUS, example: 'resolved' })
  @IfSent()
  @IsIn(ISSUE_STATUSES)
  status?: IssueStatus;

  @ApiPropertyOptional({ ...SEVERITY, description: 'How bad it is; null takes it away.' })
  @ValidateIf((_, value) => value !== undefined && value !== null)
  @IsIn(ISSUE_SEVERITIES)
  severity?: IssueSeverity | null;
}

export class ListIssuesQuery extends PageQuery {
  @ApiPropertyOptional({
    ...EXPERIMENT_REF,
    description: 'Only those of this experiment: its number, or the id.',
  })
  @IsOptional()
  @IsExperimentRef()
  experimentId?: string;

  @ApiPropertyOptional({
    description: "Only issues that match, such as `status = 'pending'`; fields: `status`, `source_run_id`.",
    example: "status = 'pending'",
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  filter?: string;

  @ApiPropertyOptional({
    description: 'Counts the traces of each; those with more come first among equally severe ones.',
    type: Boolean,
    default: false,
  })
  @IsOptional()
  @Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value))
  @IsBoolean()
  withTraceCount?: boolean;
}

export class IssueDto {
  @ApiProperty({
    description: 'Identifier, a UUIDv7. MLflow clients know it as `iss-` and its 32 digits.',
    format: 'uuid',
  })
  id!: string;

  @ApiProperty({ description: 'Number of its experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty(NAME)
  name!: string;

  @ApiProperty(DESCRIPTION)
  description!: string;

  @ApiProperty(STATUS)
  status!: IssueStatus;

  @ApiProperty(SEVERITY)
  severity!: IssueSeverity | null;

  @ApiProperty({ description: 'Why it happens.', type: [String], example: ['no tool to look parcels up'] })
  rootCauses!: string[];

  @ApiProperty({ description: 'What kinds of issue it is.', type: [String], example: ['hallucination'] })
  categories!: string[];

  @ApiProperty({ description: 'Id of the run that found it.', format: 'uuid', nullable: true, type: String })
  sourceRunId!: string | null;

  @ApiPropertyOptional({
    description: 'Traces whose assessments name it; where they were asked for.',
    type: 'integer',
    example: 12,
  })
  traceCount?: number;

  @ApiProperty({ description: 'When it was reported.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who reported it.', nullable: true, type: String, example: 'ada' })
  createdBy!: string | null;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export function issueDto({ createdAt, updatedAt, rootCauses, categories, ...issue }: Issue): IssueDto {
  return {
    ...issue,
    rootCauses: [...rootCauses],
    categories: [...categories],
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}
