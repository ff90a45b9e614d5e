import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsInt,
  IsOptional,
  IsString,
  IsUUID,
  Length,
  Matches,
  MaxLength,
  ValidateNested,
} from 'class-validator';
import { IsTags } from '../entries/tags.js';
import { IfSent } from '../http/body-rules.js';
import { Verbatim } from '../http/verbatim.js';
import type { Int64 } from '../metrics/int64.js';
import { STEP } from '../metrics/metric.dto.js';
import { DATASET_LIMITS } from './dataset.rules.js';

const TAGS = { type: 'object', additionalProperties: { type: 'string' } } as const;
const USE_TAGS = {
  description: 'Of the use, not of the dataset.',
  ...TAGS,
  example: { 'mlflow.data.context': 'evaluation' },
} as const;

export class DatasetGivenDto {
  @ApiProperty({
    description: 'What people call it.',
    maxLength: DATASET_LIMITS.name,
    example: 'tickets-2026-11',
  })
  @IsString()
  @Length(1, DATASET_LIMITS.name)
  name!: string;

  @ApiProperty({
    description: 'With the name it says which data it is, within an experiment.',
    maxLength: DATASET_LIMITS.digest,
    example: '9f86d081',
  })
  @IsString()
  @Length(1, DATASET_LIMITS.digest)
  digest!: string;

  @ApiProperty({
    description: 'What kind of place it came from.',
    maxLength: DATASET_LIMITS.sourceType,
    example: 's3',
  })
  @IsString()
  @MaxLength(DATASET_LIMITS.sourceType)
  sourceType!: string;

  @ApiProperty({
    description: 'Where it came from; for MLflow clients a JSON document.',
    maxLength: DATASET_LIMITS.source,
    example: '{"uri":"s3://data/tickets-2026-11.parquet"}',
  })
  @IsString()
  @MaxLength(DATASET_LIMITS.source)
  source!: string;

  @ApiPropertyOptional({
    description: 'Its columns; for MLflow clients a JSON document.',
    type: String,
    nullable: true,
    maxLength: DATASET_LIMITS.schema,
    example: null,
  })
  @IsOptional()
  @IsString()
  @MaxLength(DATASET_LIMITS.schema)
  schema?: string | null;

  @ApiPropertyOptional({
    description: 'Figures about it; for MLflow clients a JSON document.',
    type: String,
    nullable: true,
    maxLength: DATASET_LIMITS.profile,
    example: '{"rows":1200}',
  })
  @IsOptional()
  @IsString()
  @MaxLength(DATASET_LIMITS.profile)
  profile?: string | null;
}

export class DatasetInputDto {
  @ApiProperty({ description: 'The dataset.' })
  @ValidateNested()
  @Type(() => DatasetGivenDto)
  dataset!: DatasetGivenDto;

  @ApiPropertyOptional(USE_TAGS)
  @IfSent()
  @Verbatim()
  @IsTags(false)
  tags?: Record<string, string>;
}

export class LoggedModelUseDto {
  @ApiProperty({ description: 'The logged model.', format: 'uuid' })
  @IsUUID('all', { message: 'must be the UUID of a logged model' })
  loggedModelId!: string;

  @ApiPropertyOptional({ description: 'Step at which it came out of the run.', type: 'integer', default: 0 })
  @IfSent()
  @IsInt()
  step?: number;
}

export class LogInputsDto {
  @ApiPropertyOptional({
    description: 'Datasets that went into the run.',
    type: [DatasetInputDto],
    maxItems: 100,
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => DatasetInputDto)
  datasets?: DatasetInputDto[];

  @ApiPropertyOptional({
    description: 'Logged models that went into the run.',
    type: [LoggedModelUseDto],
    maxItems: 100,
    example: [],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => LoggedModelUseDto)
  modelInputs?: LoggedModelUseDto[];

  @ApiPropertyOptional({
    description: 'Logged models that came out of the run.',
    type: [LoggedModelUseDto],
    maxItems: 100,
    example: [],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => LoggedModelUseDto)
  modelOutputs?: LoggedModelUseDto[];
}

export class RunInputsParams {
  @ApiProperty({ description: 'Id of the run.', format: 'uuid' })
  @IsUUID('all', { message: 'must be the UUID of a run' })
  id!: string;
}

class DatasetUseDto extends DatasetGivenDto {
  @ApiProperty({ description: 'Id of the dataset, a UUIDv7.', format: 'uuid' })
  id!: string;

  @ApiProperty(USE_TAGS)
  tags!: Readonly<Record<string, string>>;
}

class ModelUseDto {
  @ApiProperty({ description: 'The logged model.', format: 'uuid' })
  loggedModelId!: string;

  @ApiProperty(STEP)
  step!: Int64;
}

export class RunInputsDto {
  @ApiProperty({ description: 'Datasets that went into the run, by name.', type: [DatasetUseDto] })
  datasets!: readonly DatasetUseDto[];

  @ApiProperty({ description: 'Logged models that went into the run.', type: [ModelUseDto] })
  modelInputs!: readonly ModelUseDto[];

  @ApiProperty({ description: 'Logged models that came out of it, by step.', type: [ModelUseDto] })
  modelOutputs!: readonly ModelUseDto[];
}

export class DatasetsQuery {
  @ApiProperty({
    description: 'Numbers of the experiments, separated by commas; at most 20.',
    type: String,
    example: '0',
  })
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? value.split(',') : value))
  @Matches(/^[0-9]{1,9}$/, { each: true, message: 'must be numbers of experiments, separated by commas' })
  @ArrayMinSize(1)
  @ArrayMaxSize(20)
  experiments!: string[];
}

class DatasetSummaryDto {
  @ApiProperty({ description: 'Number of the experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty({ description: 'Name of the dataset.', example: 'tickets-2026-11' })
  name!: string;

  @ApiProperty({ description: 'Its digest.', example: '9f86d081' })
  digest!: string;

  @ApiProperty({
    description: 'What runs used it for: tag mlflow.data.context.',
    type: String,
    nullable: true,
  })
  context!: string | null;
}

export class DatasetSummariesDto {
  @ApiProperty({ description: 'Each once; at most 1 000.', type: [DatasetSummaryDto] })
  items!: DatasetSummaryDto[];
}
