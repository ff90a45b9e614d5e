import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsInt,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
} from 'class-validator';
import { IsTags } from '../entries/tags.js';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import { Verbatim } from '../http/verbatim.js';
import { MAX_DATASET_NAME } from './evaluation-dataset.service.js';
import type { DatasetRecord, DatasetSchema, EvaluationDataset } from './evaluation-dataset.js';

const TAGS = { type: 'object', additionalProperties: { type: 'string' } } as const;
const FREE = { type: 'object', additionalProperties: true } as const;
const NUMBERS = { type: 'integer', minimum: 0 } as const;

export class CreateEvaluationDatasetDto {
  @ApiProperty({
    description: 'Its name; need not be unique.',
    maxLength: MAX_DATASET_NAME,
    example: 'support cases',
  })
  @IsString()
  @Length(1, MAX_DATASET_NAME)
  name!: string;

  @ApiPropertyOptional({ description: 'Free labels, key to value.', ...TAGS, example: { team: 'support' } })
  @IfSent()
  @Verbatim()
  @IsTags(false)
  tags?: Record<string, string>;

  @ApiPropertyOptional({
    description: 'Numbers of experiments that use it.',
    type: [Number],
    items: NUMBERS,
    example: [0],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(100)
  @IsInt({ each: true })
  @Min(0, { each: true })
  @Max(2_147_483_647, { each: true })
  experimentNumbers?: number[];
}

export class UpdateEvaluationDatasetDto {
  @ApiProperty({
    description: 'Merged into the tags: a string sets the tag, null removes it, others stay.',
    type: 'object',
    additionalProperties: { type: 'string', nullable: true },
    example: { team: 'support', draft: null },
  })
  @Verbatim()
  @IsTags(true)
  tags!: Record<string, string | null>;
}

export class ListEvaluationDatasetsQuery extends PageQuery {
  @ApiPropertyOptional({
    description: "Only datasets that match, such as `name LIKE 'support%' AND tags.team = 'support'`.",
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  filter?: string;

  @ApiPropertyOptional({
    description: 'Number of an experiment that uses them, or its id.',
    type: String,
    example: '0',
  })
  @IsOptional()
  @IsString()
  @Matches(/^([0-9]{1,10}|[0-9a-fA-F-]{36})$/, { message: 'must be the UUID of an experiment or its number' })
  experimentId?: string;
}

export class UpsertRecordsDto {
  @ApiProperty({
    description:
      'Records: `inputs`, and perhaps `outputs`, `expectations`, `tags` and `source`. One with the inputs of another changes that one.',
    type: 'array',
    items: FREE,
    minItems: 1,
    maxItems: 10_000,
    example: [{ inputs: { question: 'Where is my parcel?' }, expectations: { mentions: 'tracking' } }],
  })
  @Verbatim()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(10_000)
  records!: unknown[];
}

export class UpsertedRecordsDto {
  @ApiProperty({ description: 'Records that are new.', type: 'integer', example: 1 })
  inserted!: number;

  @ApiProperty({ description: 'Records that were there.', type: 'integer', example: 0 })
  updated!: number;
}

export class EvaluationDatasetDto {
  @ApiProperty({
    description: 'Identifier, a UUIDv7. MLflow clients know it as `d-` and its 32 digits.',
    format: 'uuid',
  })
  id!: string;

  @ApiProperty({ description: 'Its name.', example: 'support cases' })
  name!: string;

  @ApiProperty({ description: 'Free labels, key to value.', ...TAGS, example: { team: 'support' } })
  tags!: Record<string, string>;

  @ApiProperty({
    description: 'Fields of its records and their types; null before the first.',
    ...FREE,
    nullable: true,
    example: null,
  })
  schema!: DatasetSchema | null;

  @ApiProperty({ description: 'How many records it has.', type: 'integer', example: 12 })
  recordCount!: number;

  @ApiProperty({ description: 'Changes whenever its records do.', example: '5f2b1c3d' })
  digest!: string;

  @ApiProperty({
    description: 'Numbers of experiments that use it.',
    type: [Number],
    items: NUMBERS,
    example: [0],
  })
  experimentNumbers!: number[];

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it, where that was said.', type: String, nullable: true })
  createdBy!: string | null;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export class DatasetRecordDto {
  @ApiProperty({
    description: 'Identifier, a UUIDv7. MLflow clients know it as `dr-` and its 32 digits.',
    format: 'uuid',
  })
  id!: string;

  @ApiProperty({ description: 'What goes in.', ...FREE, example: { question: 'Where is my parcel?' } })
  inputs!: unknown;

  @ApiProperty({
    description: 'What came out, any JSON.',
    nullable: true,
    oneOf: [FREE, { type: 'string' }],
    example: null,
  })
  outputs!: unknown;

  @ApiProperty({
    description: 'What should come out.',
    ...FREE,
    nullable: true,
    example: { mentions: 'tracking' },
  })
  expectations!: unknown;

  @ApiProperty({ description: 'Free labels, key to value.', ...FREE, nullable: true, example: {} })
  tags!: unknown;

  @ApiProperty({ description: 'Where it comes from.', ...FREE, nullable: true, example: null })
  source!: unknown;

  @ApiProperty({ description: 'When it was added.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export function datasetDto(dataset: EvaluationDataset): EvaluationDatasetDto {
  const { experiments, updatedBy: _, createdAt, updatedAt, ...rest } = dataset;
  return {
    ...rest,
    experimentNumbers: [...experiments],
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}

export function recordDto(record: DatasetRecord): DatasetRecordDto {
  const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text));
  return {
    id: record.id,
    inputs: parsed(record.inputs),
    outputs: parsed(record.outputs),
    expectations: parsed(record.expectations),
    tags: parsed(record.tags),
    source: parsed(record.source),
    createdAt: record.createdAt.toISOString(),
    updatedAt: record.updatedAt.toISOString(),
  };
}
