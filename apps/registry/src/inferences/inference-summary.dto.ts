import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, MaxLength } from 'class-validator';
import type { ContractOutcome } from '#libs/core/contract/ladder.js';
import { IsTimestamp } from './time-range.js';

export type SummaryGroup = 'chainVersion' | 'arm';
const GROUPS: readonly SummaryGroup[] = ['chainVersion', 'arm'];

export class SummaryQuery {
  @IsTimestamp('Not before this time.', '2026-11-22T00:00:00Z')
  from!: string;

  @IsTimestamp('Before this time; at most 31 days after `from`.', '2026-11-23T00:00:00Z')
  to!: string;

  @ApiProperty({ description: 'The serving endpoint.', example: 'support-bot' })
  @IsString()
  @MaxLength(128)
  endpoint!: string;

  @ApiPropertyOptional({ description: 'What is compared.', enum: GROUPS, default: 'chainVersion' })
  @IsOptional()
  @IsIn(GROUPS)
  groupBy: SummaryGroup = 'chainVersion';
}

export class PercentilesDto {
  @ApiProperty({ description: 'Median in ms; null without a measurement.', type: Number, nullable: true })
  p50!: number | null;

  @ApiProperty({ description: '95th percentile in ms.', type: Number, nullable: true })
  p95!: number | null;
}

export class SummaryGroupDto {
  @ApiProperty({ description: 'The arm; null when grouped by version.', type: String, nullable: true })
  arm!: string | null;

  @ApiProperty({ description: 'The chain; null when grouped by arm.', type: String, nullable: true })
  chain!: string | null;

  @ApiProperty({ description: 'Its version; null when grouped by arm.', type: Number, nullable: true })
  chainVersion!: number | null;

  @ApiProperty({
    description:
      'Whether these are copies of requests, which answered nobody: they are a group of their own.',
    example: false,
  })
  shadow!: boolean;

  @ApiProperty({ description: 'All requests.', example: 500 })
  requests!: number;

  @ApiProperty({ description: 'Answered.', example: 496 })
  ok!: number;

  @ApiProperty({ description: 'Failed, those interrupted by the death of a gateway included.', example: 3 })
  errors!: number;

  @ApiProperty({ description: 'Given up by the caller.', example: 1 })
  cancelled!: number;

  @ApiProperty({ description: 'Answered without a model call.', example: 40 })
  cacheHits!: number;

  @ApiProperty({
    description: 'Share of valid answers among those held against an output contract; null without any.',
    type: Number,
    nullable: true,
    example: 0.98,
  })
  schemaValidRate!: number | null;

  @ApiProperty({
    description:
      'How many met the output contract which way, or did not; see `contractOutcome` of an inference.',
    type: 'object',
    additionalProperties: { type: 'integer' },
    example: { valid: 470, repaired: 18, reasked: 7, violated: 1 },
  })
  contractOutcomes!: Partial<Record<ContractOutcome, number>>;

  @ApiProperty({
    description: 'Time to the whole answer, of requests that a model answered.',
    type: PercentilesDto,
  })
  latencyMs!: PercentilesDto;

  @ApiProperty({
    description: 'Time to the first content, of requests that a model answered.',
    type: PercentilesDto,
  })
  ttftMs!: PercentilesDto;

  @ApiProperty({ description: 'Prompt tokens.', example: 120_000 })
  inputTokens!: number;

  @ApiProperty({ description: 'Completion tokens.', example: 30_000 })
  outputTokens!: number;

  @ApiProperty({ description: 'Cost in micro-USD.', example: 36_000 })
  costMicroUsd!: number;
}

export class SummaryDto {
  @ApiProperty({
    description: 'One entry per group, in order of its name or version.',
    type: [SummaryGroupDto],
  })
  groups!: SummaryGroupDto[];
}
