import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength } from 'class-validator';
import { Verbatim } from '../../http/verbatim.js';
import { STEP, TIME_MS, VALUE } from '../../metrics/metric.dto.js';
import { LOG_LIMITS, type KeyValue, type MetricInput } from './run-log.rules.js';

/** One point of a metric. Its rules are in `checkLog`, because thousands of them are checked per second. */
export class MetricInputDto {
  @ApiProperty({ description: 'Name of the metric.', maxLength: 250, example: 'accuracy' })
  key!: string;

  @ApiProperty(VALUE)
  value!: number | string;

  @ApiPropertyOptional({ ...STEP, description: `${STEP.description} 0 when absent.` })
  step?: number | string;

  @ApiPropertyOptional({ ...TIME_MS, description: `${TIME_MS.description} Now when absent.` })
  timeMs?: number | string;

  @ApiPropertyOptional({
    description: 'The logged model that the value is about; it is then kept beside that model, too.',
    format: 'uuid',
  })
  loggedModelId?: string;

  @ApiPropertyOptional({
    description: 'Dataset that it was computed on; with `loggedModelId`.',
    maxLength: 500,
  })
  datasetName?: string;

  @ApiPropertyOptional({ description: 'Digest of that dataset.', maxLength: 500 })
  datasetDigest?: string;
}

export class ParamInputDto {
  @ApiProperty({ description: 'Name of the param.', maxLength: 250, example: 'temperature' })
  key!: string;

  @ApiProperty({ description: 'Its value, for ever.', maxLength: 6_000, example: '0.2' })
  value!: string;
}

export class TagInputDto {
  @ApiProperty({ description: 'Name of the tag.', maxLength: 250, example: 'team' })
  key!: string;

  @ApiProperty({ description: 'Its value from now on.', maxLength: 8_000, example: 'support' })
  value!: string;
}

export class LogDto {
  @ApiPropertyOptional({
    description: 'Points of metrics, at most 1 000. A point that is there already changes nothing.',
    type: [MetricInputDto],
    example: [
      { key: 'accuracy', value: 0.91, step: 1 },
      { key: 'loss', value: 0.4, step: 1 },
    ],
  })
  @IsOptional()
  @Verbatim()
  metrics?: MetricInput[];

  @ApiPropertyOptional({
    description: 'Params, at most 100. Each is set once; the same value again changes nothing.',
    type: [ParamInputDto],
    example: [{ key: 'temperature', value: '0.2' }],
  })
  @IsOptional()
  @Verbatim()
  params?: KeyValue[];

  @ApiPropertyOptional({
    description:
      'Tags, at most 100; metrics, params and tags together at most 1 000. mlflow.runName renames the run; catena.chain, catena.prompt and catena.model name the versions it evaluated, as name@3 or name@alias, separated by commas.',
    type: [TagInputDto],
    example: [{ key: 'team', value: 'support' }],
  })
  @IsOptional()
  @Verbatim()
  tags?: KeyValue[];
}

export class SetTagDto {
  @ApiProperty({ description: 'Its value from now on.', maxLength: 8_000, example: 'support' })
  @IsString()
  @MaxLength(LOG_LIMITS.tagValue)
  value!: string;
}
