import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsIn, IsOptional, IsString, Length, MaxLength } from 'class-validator';
import { IsTags } from '../entries/tags.js';
import { IfSent } from '../http/body-rules.js';
import { PageQuery, type Page } from '../http/page.js';
import { Verbatim } from '../http/verbatim.js';
import type { Lifecycle } from '../search/run-query.js';
import type { Experiment } from './experiment.entity.js';
import { MAX_EXPERIMENT_NAME } from './experiment.rules.js';

const TAGS = { type: 'object', additionalProperties: { type: 'string' } } as const;

export class CreateExperimentDto {
  @ApiProperty({
    description: 'Unique in the workspace, also among deleted experiments.',
    minLength: 1,
    maxLength: MAX_EXPERIMENT_NAME,
    example: 'support quality',
  })
  @IsString()
  @Length(1, MAX_EXPERIMENT_NAME)
  name!: string;

  @ApiPropertyOptional({
    description:
      'URI under which MLflow clients put artifacts themselves. Absent or null: the artifact store of this registry.',
    type: String,
    nullable: true,
    maxLength: 2_048,
    example: null,
  })
  @IsOptional()
  @IsString()
  @MaxLength(2_048)
  artifactLocation?: string | null;

  @ApiPropertyOptional({
    description: 'Free labels, key to value. At most 100.',
    ...TAGS,
    example: { team: 'support' },
  })
  @IfSent()
  @Verbatim()
  @IsTags(false)
  tags?: Record<string, string>;
}

export class UpdateExperimentDto {
  @ApiPropertyOptional({
    description: 'Its new name. Absent: unchanged.',
    minLength: 1,
    maxLength: MAX_EXPERIMENT_NAME,
    example: 'support quality 2026',
  })
  @IfSent()
  @IsString()
  @Length(1, MAX_EXPERIMENT_NAME)
  name?: string;

  @ApiPropertyOptional({
    description: 'Merged into the tags: a string sets the tag, null removes it, others stay.',
    type: 'object',
    additionalProperties: { type: 'string', nullable: true },
    example: { team: 'support', draft: null },
  })
  @IfSent()
  @Verbatim()
  @IsTags(true)
  tags?: Record<string, string | null>;
}

const LIFECYCLES: readonly Lifecycle[] = ['active', 'deleted', 'all'];

export class ListExperimentsQuery extends PageQuery {
  @ApiPropertyOptional({
    description:
      'Conditions on name, creation_time, last_update_time and tags, with AND, OR and parentheses.',
    maxLength: 10_000,
    example: "name LIKE 'support%' OR tags.team = 'support'",
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  filter?: string;

  @ApiPropertyOptional({
    description: 'Field to order by, with ASC or DESC; repeat it for several. Latest first when absent.',
    type: [String],
    maxItems: 20,
    example: ['name ASC'],
  })
  @IsOptional()
  @Transform(({ value }) => (typeof value === 'string' ? [value] : (value as unknown)))
  @IsString({ each: true })
  @MaxLength(1_000, { each: true })
  @ArrayMaxSize(20)
  orderBy?: string[];

  @ApiPropertyOptional({ description: 'Which experiments.', enum: LIFECYCLES, default: 'active' })
  @IsOptional()
  @IsIn(LIFECYCLES)
  lifecycle: Lifecycle = 'active';
}

export class ExperimentDto {
  @ApiProperty({ description: 'Id of the experiment, a UUIDv7.', format: 'uuid' })
  id!: string;

  @ApiProperty({
    description: 'Its number in the workspace: `experiment_id` of the MLflow protocol. 0 is "Default".',
    type: 'integer',
    example: 1,
  })
  number!: number;

  @ApiProperty({ description: 'Its name.', example: 'support quality' })
  name!: string;

  @ApiProperty({
    description:
      'URI of artifacts that clients put there themselves; null: the artifact store of this registry.',
    type: String,
    nullable: true,
  })
  artifactLocation!: string | null;

  @ApiProperty({ description: 'Free labels, key to value.', ...TAGS, example: { team: 'support' } })
  tags!: Record<string, string>;

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it.', example: 'ana' })
  createdBy!: string;

  @ApiProperty({ description: 'When its name, tags or lifecycle last changed.', format: 'date-time' })
  updatedAt!: string;

  @ApiProperty({
    description: 'When it was deleted; null while it is not.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  deletedAt!: string | null;
}

export function experimentDto(experiment: Experiment): ExperimentDto {
  return {
    id: experiment.id,
    number: experiment.number,
    name: experiment.name,
    artifactLocation: experiment.artifactLocation,
    tags: experiment.tags,
    createdAt: experiment.createdAt.toISOString(),
    createdBy: experiment.createdBy,
    updatedAt: experiment.updatedAt.toISOString(),
    deletedAt: experiment.deletedAt?.toISOString() ?? null,
  };
}

export function experimentPage({ items, nextCursor }: Page<Experiment>): Page<ExperimentDto> {
  return { items: items.map(experimentDto), nextCursor };
}
