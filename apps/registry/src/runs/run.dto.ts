import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  IsUUID,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';
import { KINDS, type Kind } from '#libs/core/content/schemas.js';
import { IsTags } from '../entries/tags.js';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import { IsRfc3339 } from '../http/timestamps.js';
import { Verbatim } from '../http/verbatim.js';
import { LatestMetricDto } from '../metrics/metric.dto.js';
import type { Lifecycle } from '../search/run-query.js';
import { RUN_STATUSES, type RunStatus } from './run.entity.js';
import { MAX_RUN_NAME } from './run.rules.js';

const LIFECYCLES: readonly Lifecycle[] = ['active', 'deleted', 'all'];
const EXAMPLE_ID = '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c';
const TAGS = { type: 'object', additionalProperties: { type: 'string' } } as const;
const NAME = {
  description: 'What people call it; need not be unique. One is made when absent.',
  minLength: 1,
  maxLength: MAX_RUN_NAME,
  example: 'nightly evaluation 2026-11-22',
} as const;

/** A version that a run evaluates. */
export class VersionGivenDto {
  @ApiProperty({ description: 'What it is a version of.', enum: KINDS, enumName: 'Kind', example: 'chain' })
  @IsIn(KINDS)
  kind!: Kind;

  @ApiProperty({ description: 'Name of the prompt, model or chain.', example: 'support-reply' })
  @IsString()
  @Length(1, 256)
  name!: string;

  @ApiPropertyOptional({
    description: 'Number of the version; this or `alias`.',
    type: 'integer',
    example: 1,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(2_147_483_647)
  version?: number;

  @ApiPropertyOptional({
    description: 'Alias of the version; the version it points at now is kept.',
    maxLength: 255,
  })
  @IfSent()
  @IsString()
  @Length(1, 255)
  alias?: string;
}

export class CreateRunDto {
  @ApiPropertyOptional({
    description: 'UUID or number of the experiment; "Default", number 0, when absent.',
    example: '0',
  })
  @IfSent()
  @IsString()
  @Matches(/^([0-9]{1,10}|[0-9a-fA-F-]{36})$/, { message: 'must be the UUID of an experiment or its number' })
  experimentId?: string;

  @ApiPropertyOptional(NAME)
  @IfSent()
  @IsString()
  @Length(1, MAX_RUN_NAME)
  name?: string;

  @ApiPropertyOptional({
    description: 'Where it stands.',
    enum: RUN_STATUSES,
    enumName: 'RunStatus',
    default: 'RUNNING',
  })
  @IfSent()
  @IsIn(RUN_STATUSES)
  status?: RunStatus;

  @ApiPropertyOptional({
    description: 'When it started; now when absent.',
    format: 'date-time',
    example: '2026-11-22T18:00:00Z',
  })
  @IfSent()
  @IsRfc3339()
  startedAt?: string;

  @ApiPropertyOptional({
    description: 'Free labels, key to value. At most 100.',
    ...TAGS,
    example: { team: 'support' },
  })
  @IfSent()
  @Verbatim()
  @IsTags(false)
  tags?: Record<string, string>;

  @ApiPropertyOptional({
    description: 'The run this one is part of; none when absent or null.',
    type: String,
    format: 'uuid',
    nullable: true,
    example: null,
  })
  @IsOptional()
  @IsUUID('all', { message: 'must be the UUID of a run' })
  parentRunId?: string | null;

  @ApiPropertyOptional({
    description: 'The prompt, model and chain versions it evaluates. At most 50.',
    type: [VersionGivenDto],
    maxItems: 50,
    example: [{ kind: 'chain', name: 'support-reply', version: 1 }],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(50)
  @ValidateNested({ each: true })
  @Type(() => VersionGivenDto)
  versions?: VersionGivenDto[];
}

export class UpdateRunDto {
  @ApiPropertyOptional({ ...NAME, description: 'What people call it. Absent: unchanged.' })
  @IfSent()
  @IsString()
  @Length(1, MAX_RUN_NAME)
  name?: string;

  @ApiPropertyOptional({
    description: 'Where it stands. The last write wins, also when two clients end one run.',
    enum: RUN_STATUSES,
    enumName: 'RunStatus',
    example: 'FINISHED',
  })
  @IfSent()
  @IsIn(RUN_STATUSES)
  status?: RunStatus;

  @ApiPropertyOptional({
    description: 'When it ended. Absent: unchanged; null: cleared.',
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-11-22T18:20:00Z',
  })
  @IsOptional()
  @IsRfc3339()
  endedAt?: string | null;

  @ApiPropertyOptional({
    description: 'The run this one is part of. Absent: unchanged; null: none.',
    type: String,
    format: 'uuid',
    nullable: true,
    example: null,
  })
  @IsOptional()
  @IsUUID('all', { message: 'must be the UUID of a run' })
  parentRunId?: string | null;

  @ApiPropertyOptional({
    description: 'The versions it evaluates, in place of those before. Absent: unchanged.',
    type: [VersionGivenDto],
    maxItems: 50,
    example: [{ kind: 'chain', name: 'support-reply', version: 1 }],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(50)
  @ValidateNested({ each: true })
  @Type(() => VersionGivenDto)
  versions?: VersionGivenDto[];
}

export class RunParams {
  @ApiProperty({ description: 'Id of the run.', format: 'uuid' })
  @IsUUID('all', { message: 'must be the UUID of a run' })
  id!: string;
}

export class RunTagParams extends RunParams {
  @ApiProperty({ description: 'Key of the tag.', maxLength: 250, example: 'team' })
  @IsString()
  key!: string;
}

export class ListRunsQuery extends PageQuery {
  @ApiPropertyOptional({
    description: 'Only of this experiment (UUID or number), by their start, latest first.',
    example: '0',
  })
  @IsOptional()
  @IsString()
  @MaxLength(36)
  experimentId?: string;

  @ApiPropertyOptional({ description: 'Which runs.', enum: LIFECYCLES, default: 'active' })
  @IsOptional()
  @IsIn(LIFECYCLES)
  lifecycle: Lifecycle = 'active';
}

/** A run without what it logged. */
export class RunDto {
  @ApiProperty({
    description: 'Id of the run, a UUIDv7; without hyphens it is the `run_id` of the MLflow protocol.',
    format: 'uuid',
    example: EXAMPLE_ID,
  })
  id!: string;

  @ApiProperty({ description: 'Id of its experiment.', format: 'uuid' })
  experimentId!: string;

  @ApiProperty({ description: 'Number of its experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty({ description: 'What people call it.', example: 'nightly evaluation 2026-11-22' })
  name!: string;

  @ApiProperty({
    description: 'Where it stands.',
    enum: RUN_STATUSES,
    enumName: 'RunStatus',
    example: 'RUNNING',
  })
  status!: RunStatus;

  @ApiProperty({ description: 'When it started.', type: String, format: 'date-time', nullable: true })
  startedAt!: string | null;

  @ApiProperty({ description: 'When it ended.', type: String, format: 'date-time', nullable: true })
  endedAt!: string | null;

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it.', example: 'ana' })
  createdBy!: string;

  @ApiProperty({
    description: 'When its name, status, times or lifecycle last changed.',
    format: 'date-time',
  })
  updatedAt!: string;

  @ApiProperty({
    description: 'When it was deleted; null while it is not.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  deletedAt!: string | null;
}

const RUN_DATA = {
  metrics: {
    description: 'The latest value of every metric, by key: of the greatest step, then time, then value.',
    type: 'object',
    additionalProperties: { $ref: getSchemaPath(LatestMetricDto) },
    example: { accuracy: { value: 0.93, step: 100, timeMs: 1795365600000 } },
  },
  params: { description: 'Params by key.', ...TAGS, example: { temperature: '0.2' } },
  tags: { description: 'Tags by key.', ...TAGS, example: { team: 'support' } },
} as const;

/** A run with the latest value of every metric. */
@ApiExtraModels(LatestMetricDto)
export class RunWithMetricsDto extends RunDto {
  @ApiProperty(RUN_DATA.metrics)
  metrics!: Record<string, LatestMetricDto>;
}

/** A run with the latest value of what it logged. */
export class RunWithDataDto extends RunWithMetricsDto {
  @ApiProperty(RUN_DATA.params)
  params!: Record<string, string>;

  @ApiProperty(RUN_DATA.tags)
  tags!: Record<string, string>;

  @ApiProperty({
    description: 'The run it is part of: tag mlflow.parentRunId.',
    type: String,
    format: 'uuid',
    nullable: true,
  })
  parentRunId!: string | null;
}

/** A version that a run evaluated. */
export class EvaluatedVersionDto {
  @ApiProperty({ description: 'What it is a version of.', enum: KINDS, enumName: 'Kind', example: 'chain' })
  kind!: Kind;

  @ApiProperty({ description: 'Name of the prompt, model or chain.', example: 'support-reply' })
  name!: string;

  @ApiProperty({ description: 'Number of the version.', type: 'integer', example: 1 })
  version!: number;
}

/** Everything about a run but its metric histories and artifacts. */
export class RunDetailDto extends RunWithDataDto {
  @ApiProperty({ description: 'The versions it evaluated.', type: [EvaluatedVersionDto] })
  versions!: EvaluatedVersionDto[];
}
