import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import { Shadows, type ShadowFilter } from '../inferences/shadow-filter.js';
import { IsTimestamp } from '../inferences/time-range.js';

/** Widths of a point, in seconds. */
export const STEP_SECONDS = { '1m': 60, '5m': 300, '1h': 3_600, '1d': 86_400 } as const;
export type SeriesStep = keyof typeof STEP_SECONDS;

const GROUPS = ['arm', 'chainVersion', 'model'] as const;
export type SeriesGroup = (typeof GROUPS)[number];

export class SeriesQuery {
  @IsTimestamp(
    'Not before this time, rounded down to a minute, and to an hour with steps of an hour or a day.',
    '2026-11-22T00:00:00Z',
  )
  from!: string;

  @IsTimestamp(
    'Before this time, rounded up likewise: at most 31 days and 2000 steps after `from`.',
    '2026-11-23T00:00:00Z',
  )
  to!: string;

  @ApiProperty({ description: 'Width of a point, in UTC.', enum: Object.keys(STEP_SECONDS), example: '5m' })
  @IsIn(Object.keys(STEP_SECONDS))
  step!: SeriesStep;

  @ApiPropertyOptional({ description: 'One series for each of these; absent: one of all.', enum: GROUPS })
  @IsOptional()
  @IsIn(GROUPS)
  groupBy?: SeriesGroup;

  @Shadows('Whether requests of shadows, which answered nobody, are added up.', 'exclude')
  shadows: ShadowFilter = 'exclude';
}

export class TimesDto {
  @ApiProperty({ description: 'Mean in ms; null without any.', type: Number, nullable: true, example: 812.4 })
  mean!: number | null;

  @ApiProperty({ description: 'Median in ms, to 2 %.', type: Number, nullable: true, example: 740.1 })
  p50!: number | null;

  @ApiProperty({
    description: '95th percentile in ms, to 2 %.',
    type: Number,
    nullable: true,
    example: 1_730.8,
  })
  p95!: number | null;

  @ApiProperty({
    description: '99th percentile in ms, to 2 %.',
    type: Number,
    nullable: true,
    example: 2_410.5,
  })
  p99!: number | null;
}

export class SeriesPointDto {
  @ApiProperty({ description: 'Start of the step.', format: 'date-time', type: String })
  at!: Date;

  @ApiProperty({ description: 'All requests.', example: 120 })
  requests!: number;

  @ApiProperty({ description: 'Answered.', example: 117 })
  ok!: number;

  @ApiProperty({ description: 'Failed.', example: 2 })
  errors!: number;

  @ApiProperty({ description: 'Given up by the caller.', example: 1 })
  cancelled!: number;

  @ApiProperty({ description: 'Ended by the death of a gateway.', example: 0 })
  interrupted!: number;

  @ApiProperty({ description: 'Answered without a model call.', example: 10 })
  cacheHits!: number;

  @ApiProperty({ description: 'That took a fallback of their chain.', example: 0 })
  fallbacks!: number;

  @ApiProperty({ description: 'Model calls.', example: 112 })
  attempts!: number;

  @ApiProperty({
    description: 'Share of valid answers among those held against an output contract; null without any.',
    type: Number,
    nullable: true,
    example: 0.98,
  })
  schemaValidRate!: number | null;

  @ApiProperty({ description: 'Prompt tokens.', example: 24_000 })
  inputTokens!: number;

  @ApiProperty({ description: "Of them, read from a server's cache.", example: 8_000 })
  cachedInputTokens!: number;

  @ApiProperty({ description: 'Completion tokens.', example: 6_000 })
  outputTokens!: number;

  @ApiProperty({ description: 'Cost in micro-USD.', example: 7_200 })
  costMicroUsd!: number;

  @ApiProperty({
    description: 'Time to the whole answer, of requests that a model answered.',
    type: TimesDto,
  })
  latencyMs!: TimesDto;

  @ApiProperty({
    description: 'Time to the first content, of requests that a model answered.',
    type: TimesDto,
  })
  ttftMs!: TimesDto;
}

export class SeriesDto {
  @ApiProperty({
    description: 'The arm, when grouped by it.',
    type: String,
    nullable: true,
    example: 'control',
  })
  arm!: string | null;

  @ApiProperty({ description: 'The chain, when grouped by version.', type: String, nullable: true })
  chain!: string | null;

  @ApiProperty({ description: 'Its version, when grouped by version.', type: Number, nullable: true })
  chainVersion!: number | null;

  @ApiProperty({
    description: 'The last model endpoint, when grouped by model; null where none was called.',
    type: String,
    nullable: true,
  })
  modelEndpoint!: string | null;

  @ApiProperty({ description: 'The model, when grouped by model.', type: String, nullable: true })
  model!: string | null;

  @ApiProperty({ description: 'By time. Steps without requests are left out.', type: [SeriesPointDto] })
  points!: SeriesPointDto[];
}

export class SeriesListDto {
  @ApiProperty({ description: 'One per group, in order of its name.', type: [SeriesDto] })
  series!: SeriesDto[];
}
