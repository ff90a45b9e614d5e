import { ApiProperty } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, ArrayMinSize, ArrayUnique, IsUUID } from 'class-validator';
import { LatestMetricDto } from '../../metrics/metric.dto.js';
import { RunDto } from '../run.dto.js';

export const MAX_COMPARED = 50;

export class CompareQuery {
  @ApiProperty({
    description: `The runs, separated by commas: 2 to ${MAX_COMPARED}.`,
    type: String,
    example: '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c,019aab3c-5d10-7c43-9a55-0d3c8f1a2b4d',
  })
  @Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' ? value.toLowerCase().split(',') : value,
  )
  @IsUUID('all', { each: true, message: 'must be UUIDs of runs, separated by commas' })
  @ArrayMinSize(2)
  @ArrayMaxSize(MAX_COMPARED)
  @ArrayUnique({ message: 'must not name a run twice' })
  runIds!: string[];
}

const KEY = { description: 'Its key.', example: 'temperature' } as const;

export class DifferingTextDto {
  @ApiProperty(KEY)
  key!: string;

  @ApiProperty({
    description: 'Its value in each run, in the order of `runs`; null where it is missing.',
    type: 'array',
    items: { type: 'string', nullable: true },
    example: ['0.2', null],
  })
  values!: (string | null)[];
}

export class EqualTextDto {
  @ApiProperty(KEY)
  key!: string;

  @ApiProperty({ description: 'Its value in all runs.', example: '0.2' })
  value!: string;
}

export class ComparedTextsDto {
  @ApiProperty({ description: 'Those whose value is not the same in all runs.', type: [DifferingTextDto] })
  differing!: DifferingTextDto[];

  @ApiProperty({ description: 'Those that all runs have with one value.', type: [EqualTextDto] })
  equal!: EqualTextDto[];
}

export class ComparedMetricDto {
  @ApiProperty({ description: 'Its key.', example: 'accuracy' })
  key!: string;

  @ApiProperty({
    description: 'Its latest value in each run, in the order of `runs`; null where it is missing.',
    type: 'array',
    items: { oneOf: [{ $ref: '#/components/schemas/LatestMetricDto' }, { type: 'null' }] },
  })
  values!: (LatestMetricDto | null)[];
}

export class ComparisonDto {
  @ApiProperty({ description: 'The runs, in the order asked for.', type: [RunDto] })
  runs!: RunDto[];

  @ApiProperty({ description: 'Params, by whether they differ.' })
  params!: ComparedTextsDto;

  @ApiProperty({ description: 'Latest values of metrics.', type: [ComparedMetricDto] })
  metrics!: ComparedMetricDto[];

  @ApiProperty({ description: 'Tags, by whether they differ.' })
  tags!: ComparedTextsDto;
}
