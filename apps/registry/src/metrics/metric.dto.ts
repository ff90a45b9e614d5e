import { ApiProperty, ApiPropertyOptional, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
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
} from 'class-validator';
import { readInt64, type Int64 } from './int64.js';
import { metricValueJson, type MetricValueJson } from './metric-value.js';
import { MAX_HISTORY_RUNS, type HistoryOrder, type RunHistory } from './metric-history.service.js';
import type { HistoryPoint } from './point-columns.js';

/** How a double is written in JSON. */
export const VALUE: ApiPropertyOptions = {
  description: 'A double; "NaN", "Infinity" and "-Infinity" are strings, because JSON has no such numbers.',
  oneOf: [{ type: 'number' }, { type: 'string', enum: ['NaN', 'Infinity', '-Infinity'] }],
  example: 0.93,
};
export const STEP: ApiPropertyOptions = {
  description: 'An integer of 64 bits; beyond 2^53 its digits, as a string.',
  oneOf: [{ type: 'integer' }, { type: 'string', pattern: '^-?[0-9]{1,19}$' }],
  example: 100,
};
export const TIME_MS: ApiPropertyOptions = {
  description: 'Milliseconds since 1970, an integer of 64 bits; beyond 2^53 its digits, as a string.',
  oneOf: [
    { type: 'integer', minimum: 0 },
    { type: 'string', pattern: '^[0-9]{1,19}$' },
  ],
  example: 1_795_365_600_000,
};

export class MetricPointDto {
  @ApiProperty(VALUE)
  value!: MetricValueJson;

  @ApiProperty(STEP)
  step!: Int64;

  @ApiProperty(TIME_MS)
  timeMs!: Int64;
}

/** The value of the greatest step, then time, then value. */
export class LatestMetricDto extends MetricPointDto {}

const IsStep =
  (description: string): PropertyDecorator =>
  (target, key) => {
    ApiPropertyOptional({ description, type: String, pattern: '^-?[0-9]{1,19}$' })(target, key);
    IsOptional()(target, key);
    Matches(/^-?[0-9]{1,18}$/, { message: 'must be an integer of at most 18 digits' })(target, key);
  };

export class HistoryParams {
  @ApiProperty({ description: 'Id of the run.', format: 'uuid' })
  @IsUUID('all', { message: 'must be the UUID of a run' })
  id!: string;
}

class MetricKeyQuery {
  @ApiProperty({ description: 'Key of the metric.', maxLength: 250, example: 'accuracy' })
  @IsString()
  @Length(1, 250)
  key!: string;

  @IsStep('Not before this step.')
  startStep?: string;

  @IsStep('Not after this step.')
  endStep?: string;
}

export class HistoryQuery extends MetricKeyQuery {
  @ApiPropertyOptional({
    description: 'Most points in the page.',
    type: 'integer',
    minimum: 1,
    maximum: 10_000,
    default: 1_000,
  })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(10_000)
  limit: number = 1_000;

  @ApiPropertyOptional({ description: '`nextCursor` of the page before. Opaque.' })
  @IsOptional()
  @IsString()
  @MaxLength(1024)
  cursor?: string;

  @ApiPropertyOptional({
    description: 'By step (fast), or by time, then step and value.',
    enum: ['step', 'time'],
    default: 'step',
  })
  @IsOptional()
  @IsIn(['step', 'time'])
  order: HistoryOrder = 'step';
}

export class SampleQuery extends MetricKeyQuery {
  @ApiProperty({
    description: `The runs, separated by commas; at most ${MAX_HISTORY_RUNS}.`,
    type: String,
    example: '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c',
  })
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? value.split(',') : value))
  @IsUUID('all', { each: true, message: 'must be UUIDs of runs, separated by commas' })
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_HISTORY_RUNS)
  runIds!: string[];

  @ApiPropertyOptional({
    description:
      'Most points per run. With more in the run, the first and last stay, and the least and greatest of every interval.',
    type: 'integer',
    minimum: 1,
    maximum: 2_500,
    default: 320,
  })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(2_500)
  points: number = 320;
}

export class RunHistoryDto {
  @ApiProperty({ description: 'Id of the run.', format: 'uuid' })
  runId!: string;

  @ApiProperty({ description: 'In order of step, time and value.', type: [MetricPointDto] })
  points!: MetricPointDto[];
}

export class SampleDto {
  @ApiProperty({ description: 'One entry per run, in order of ids.', type: [RunHistoryDto] })
  runs!: RunHistoryDto[];
}

export function pointDto({ value, step, timeMs }: HistoryPoint): MetricPointDto {
  return { value: metricValueJson(value), step, timeMs };
}

export function sampleDto(histories: readonly RunHistory[]): SampleDto {
  return { runs: histories.map(({ runId, points }) => ({ runId, points: points.map(pointDto) })) };
}

export function stepRange({ startStep, endStep }: MetricKeyQuery): { startStep?: Int64; endStep?: Int64 } {
  return {
    ...(startStep !== undefined && { startStep: readInt64(startStep) }),
    ...(endStep !== undefined && { endStep: readInt64(endStep) }),
  };
}
