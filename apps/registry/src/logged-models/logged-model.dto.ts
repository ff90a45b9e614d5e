import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsObject, IsOptional, IsString, IsUUID, Length, MaxLength } from 'class-validator';
import { IfSent } from '../http/body-rules.js';
import { Verbatim } from '../http/verbatim.js';
import { metricValueJson } from '../metrics/metric-value.js';
import type { LoggedModelRecord } from './logged-model-record.js';
import { LOGGED_MODEL_STATUSES, type LoggedModelStatus } from './logged-model.entity.js';
import { LOGGED_MODEL_LIMITS } from './logged-model.rules.js';

const PAIRS = { type: 'object', additionalProperties: { type: 'string' } } as const;
const EXAMPLE_ID = '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c';

export class CreateLoggedModelDto {
  @ApiPropertyOptional({
    description: 'UUID or number of the experiment. Absent: that of the source run, else "Default".',
    example: '1',
  })
  @IfSent()
  @IsString()
  experiment?: string;

  @ApiPropertyOptional({
    description: 'What people call it; need not be unique. Absent: a name is made.',
    minLength: 1,
    maxLength: LOGGED_MODEL_LIMITS.name,
    example: 'ticket-router',
  })
  @IfSent()
  @IsString()
  @Length(1, LOGGED_MODEL_LIMITS.name)
  name?: string;

  @ApiPropertyOptional({
    description: 'What kind of model it is.',
    type: String,
    nullable: true,
    maxLength: LOGGED_MODEL_LIMITS.modelType,
    example: 'classifier',
  })
  @IsOptional()
  @IsString()
  @MaxLength(LOGGED_MODEL_LIMITS.modelType)
  modelType?: string | null;

  @ApiPropertyOptional({
    description: 'Run that makes it.',
    type: String,
    format: 'uuid',
    nullable: true,
    example: null,
  })
  @IsOptional()
  @IsUUID('all')
  sourceRunId?: string | null;

  @ApiPropertyOptional({ description: 'Params, set for ever.', ...PAIRS, example: { max_depth: '4' } })
  @IfSent()
  @Verbatim()
  @IsObject()
  params?: Record<string, string>;

  @ApiPropertyOptional({ description: 'Free labels, key to value.', ...PAIRS, example: { team: 'support' } })
  @IfSent()
  @Verbatim()
  @IsObject()
  tags?: Record<string, string>;
}

export class UpdateLoggedModelDto {
  @ApiPropertyOptional({
    description: 'READY once its artifacts are there, FAILED if they will never be.',
    enum: LOGGED_MODEL_STATUSES,
    example: 'READY',
  })
  @IfSent()
  @IsIn(LOGGED_MODEL_STATUSES)
  status?: LoggedModelStatus;

  @ApiPropertyOptional({
    description: 'What to say about the status. Null clears it.',
    type: String,
    nullable: true,
    maxLength: LOGGED_MODEL_LIMITS.statusMessage,
  })
  @IsOptional()
  @IsString()
  @MaxLength(LOGGED_MODEL_LIMITS.statusMessage)
  statusMessage?: string | null;

  @ApiPropertyOptional({
    description: 'Merged into the tags: a string sets the tag, null removes it, others stay.',
    type: 'object',
    additionalProperties: { type: 'string', nullable: true },
    example: { team: 'support', draft: null },
  })
  @IfSent()
  @Verbatim()
  @IsObject()
  tags?: Record<string, string | null>;
}

export class LogModelParamsDto {
  @ApiProperty({ description: 'Params to add; one that is there already keeps its value.', ...PAIRS })
  @Verbatim()
  @IsObject()
  params!: Record<string, string>;
}

export class ModelMetricDto {
  @ApiProperty({ description: 'Name of the metric.', example: 'accuracy' })
  key!: string;

  @ApiProperty({
    description: 'A number; or "NaN", "Infinity", "-Infinity".',
    oneOf: [{ type: 'number' }, { type: 'string', enum: ['NaN', 'Infinity', '-Infinity'] }],
    example: 0.91,
  })
  value!: number | string;

  @ApiProperty({
    description: 'Step; beyond 2^53 its digits.',
    oneOf: [{ type: 'integer' }, { type: 'string' }],
    example: 3,
  })
  step!: number | string;

  @ApiProperty({
    description: 'Milliseconds since 1970; beyond 2^53 its digits.',
    oneOf: [{ type: 'integer' }, { type: 'string' }],
    example: 1_795_305_600_000,
  })
  timeMs!: number | string;

  @ApiProperty({ description: 'Run that logged it.', format: 'uuid', example: EXAMPLE_ID })
  runId!: string;

  @ApiProperty({
    description: 'Dataset it was computed on.',
    type: String,
    nullable: true,
    example: 'tickets',
  })
  datasetName!: string | null;

  @ApiProperty({ description: 'Digest of that dataset.', type: String, nullable: true, example: 'a1b2c3d4' })
  datasetDigest!: string | null;
}

export class RegistrationDto {
  @ApiProperty({ description: 'Name of the registered model.', example: 'ticket-router' })
  name!: string;

  @ApiProperty({ description: 'Number of the version.', example: 2 })
  number!: number;
}

export class LoggedModelDto {
  @ApiProperty({ description: 'Id of the logged model, a UUIDv7.', format: 'uuid', example: EXAMPLE_ID })
  id!: string;

  @ApiProperty({ description: 'Id of its experiment.', format: 'uuid', example: EXAMPLE_ID })
  experimentId!: string;

  @ApiProperty({ description: 'Number of its experiment.', example: 1 })
  experimentNumber!: number;

  @ApiProperty({ description: 'What people call it.', example: 'ticket-router' })
  name!: string;

  @ApiProperty({ description: 'Where it is in its life.', enum: LOGGED_MODEL_STATUSES, example: 'READY' })
  status!: LoggedModelStatus;

  @ApiProperty({ description: 'What is said about the status.', type: String, nullable: true, example: null })
  statusMessage!: string | null;

  @ApiProperty({
    description: 'What kind of model it is.',
    type: String,
    nullable: true,
    example: 'classifier',
  })
  modelType!: string | null;

  @ApiProperty({ description: 'Run that made it.', type: String, format: 'uuid', nullable: true })
  sourceRunId!: string | null;

  @ApiProperty({
    description:
      'Run that made it, as a client of the MLflow protocol named it, where there is none such here.',
    type: String,
    nullable: true,
    example: null,
  })
  foreignRun!: string | null;

  @ApiProperty({ description: 'Params.', ...PAIRS, example: { max_depth: '4' } })
  params!: Record<string, string>;

  @ApiProperty({ description: 'Free labels, key to value.', ...PAIRS, example: { team: 'support' } })
  tags!: Record<string, string>;

  @ApiProperty({
    description: 'What runs measured of it, in order of name and time.',
    type: [ModelMetricDto],
  })
  metrics!: ModelMetricDto[];

  @ApiProperty({ description: 'Versions of registered models made of it.', type: [RegistrationDto] })
  registrations!: RegistrationDto[];

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it.', example: 'ana' })
  createdBy!: string;

  @ApiProperty({ description: 'When status, params, tags or lifecycle last changed.', format: 'date-time' })
  updatedAt!: string;

  @ApiProperty({
    description: 'When it was deleted; null while it is not.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  deletedAt!: string | null;
}

export function loggedModelDto(model: LoggedModelRecord): LoggedModelDto {
  const { artifactLocation: _, createdAt, updatedAt, deletedAt, metrics, registrations, ...shown } = model;
  return {
    ...shown,
    metrics: metrics.map((metric) => ({ ...metric, value: metricValueJson(metric.value) })),
    registrations: [...registrations],
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
    deletedAt: deletedAt?.toISOString() ?? null,
  };
}
