import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { DATA_CLASSES, type DataClass } from '#libs/core/clearance/clearance.js';
import type { Assignment, InferenceStatus } from '#libs/core/inference/inference-row.js';
import { PageQuery } from '../http/page.js';
import { IsTimestamp } from './time-range.js';

const STATUSES: readonly InferenceStatus[] = ['ok', 'error', 'cancelled', 'interrupted'];

export class InferenceQuery extends PageQuery {
  @IsTimestamp('Not before this time.', '2026-11-22T00:00:00Z')
  from!: string;

  @IsTimestamp('Before this time; at most 31 days after `from`.', '2026-11-23T00:00:00Z')
  to!: string;

  @ApiPropertyOptional({ description: 'Only of this serving endpoint.', example: 'support-bot' })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  endpoint?: string;

  @ApiPropertyOptional({ description: 'Only of arms with this name.', example: 'candidate' })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  arm?: string;

  @ApiPropertyOptional({ description: 'Only of this chain.', example: 'support-reply' })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  chain?: string;

  @ApiPropertyOptional({ description: 'Only of this version number; usually with `chain`.', example: 1 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(2_147_483_647)
  chainVersion?: number;

  @ApiPropertyOptional({ description: 'Only of this unit.', example: 'user-42' })
  @IsOptional()
  @IsString()
  @MaxLength(512)
  unit?: string;

  @ApiPropertyOptional({ description: 'Only with this outcome.', enum: STATUSES })
  @IsOptional()
  @IsIn(STATUSES)
  status?: InferenceStatus;

  @ApiPropertyOptional({
    description: 'Only those this model endpoint answered last.',
    example: 'gpu-pool',
  })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  modelEndpoint?: string;

  @ApiPropertyOptional({ description: 'Only those that carried this class of data.', enum: DATA_CLASSES })
  @IsOptional()
  @IsIn(DATA_CLASSES)
  dataClass?: DataClass;

  @ApiPropertyOptional({ description: 'Only with this API key.', example: 'checkout' })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  apiKey?: string;

  @ApiPropertyOptional({ description: 'Only with API keys of this team.', example: 'payments' })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  team?: string;
}

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

export class InferenceItemDto {
  @ApiProperty({ description: 'UUIDv7; also in header x-catena-inference-id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'When the gateway admitted the request.', format: 'date-time', type: String })
  startedAt!: Date;

  @ApiProperty({ description: 'Serving endpoint.', example: 'support-bot' })
  endpoint!: string;

  @ApiProperty({ description: 'Revision of the split that was in force.', example: 2 })
  splitRevision!: number;

  @ApiProperty({ description: 'Arm of the split.', example: 'candidate' })
  arm!: string;

  @ApiProperty({ description: 'Chain that ran.', example: 'support-reply' })
  chain!: string;

  @ApiProperty({ description: 'Version of the chain.', example: 1 })
  chainVersion!: number;

  @ApiProperty({ description: 'Digest of the chain version.', example: `sha256:${'5f'.repeat(32)}` })
  chainDigest!: string;

  @ApiProperty({ description: 'Unit; null when none was given.', type: String, nullable: true })
  unit!: string | null;

  @ApiProperty({ description: 'Bucket, 0 to 9999.', example: 4711 })
  bucket!: number;

  @ApiProperty({ description: 'Whether the unit gets the same arm again.' })
  sticky!: boolean;

  @ApiProperty({ description: 'How the arm was found.', enum: ['split', 'override', 'random'] })
  assignment!: Assignment;

  @ApiProperty({
    description: 'What the request carried; null in rows from before there were classes.',
    enum: DATA_CLASSES,
    nullable: true,
  })
  dataClass!: DataClass | null;

  @ApiProperty({ description: 'API key it came with; null without.', type: String, nullable: true })
  apiKey!: string | null;

  @ApiProperty({ description: 'Team of that key.', type: String, nullable: true })
  team!: string | null;

  @ApiProperty({
    description: 'Outcome. `interrupted`: the gateway died before the answer was complete.',
    enum: STATUSES,
  })
  status!: InferenceStatus;

  @ApiProperty({ description: 'Code of the error.', type: String, nullable: true })
  errorCode!: string | null;

  @ApiProperty({ description: 'The error in words.', type: String, nullable: true })
  errorMessage!: string | null;

  @ApiProperty({ description: 'Model endpoint of the last attempt.', type: String, nullable: true })
  modelEndpoint!: string | null;

  @ApiProperty({ description: 'Model of the last attempt.', type: String, nullable: true })
  model!: string | null;

  @ApiProperty({ description: 'Replica of the last attempt.', type: String, nullable: true })
  replica!: string | null;

  @ApiProperty({ description: 'Requests sent upstream.', example: 1 })
  attempts!: number;

  @ApiProperty({ description: 'Whether the answer was streamed.' })
  streamed!: boolean;

  @ApiProperty({ description: 'Why generation ended.', type: String, nullable: true, example: 'stop' })
  finishReason!: string | null;

  @ApiProperty({
    description: 'Whether the answer satisfies the output contract; null without contract or answer.',
    type: Boolean,
    nullable: true,
  })
  schemaValid!: boolean | null;

  @ApiProperty({ description: 'Prompt tokens.', type: Number, nullable: true })
  inputTokens!: number | null;

  @ApiProperty({ description: 'Completion tokens.', type: Number, nullable: true })
  outputTokens!: number | null;

  @ApiProperty({
    description: 'Of the prompt tokens, those read from a cache of the server; null where it does not say.',
    type: Number,
    nullable: true,
  })
  cachedInputTokens!: number | null;

  @ApiProperty({
    description: 'Of the prompt tokens, those written to a cache of the server.',
    type: Number,
    nullable: true,
  })
  cacheWriteInputTokens!: number | null;

  @ApiProperty({
    description: 'Of the completion tokens, those the model thought with.',
    type: Number,
    nullable: true,
  })
  reasoningTokens!: number | null;

  @ApiProperty({ description: 'Cost in micro-USD.', type: Number, nullable: true })
  costMicroUsd!: number | null;

  @ApiProperty({
    description: 'From admission to the end of the answer, in ms.',
    type: Number,
    nullable: true,
  })
  latencyMs!: number | null;

  @ApiProperty({ description: 'From admission to the first content, in ms.', type: Number, nullable: true })
  ttftMs!: number | null;
}

export class InferenceDto extends InferenceItemDto {
  @ApiProperty({
    description: "The caller's metadata.",
    type: 'object',
    additionalProperties: true,
    nullable: true,
  })
  metadata!: unknown;

  @ApiProperty({
    description:
      'The body sent to the model endpoint; as text where it is not JSON. Of an endpoint with `payloads: hash`, as are metadata and response, its digest and length only.',
    type: 'object',
    additionalProperties: true,
  })
  request!: unknown;

  @ApiProperty({
    description:
      'The body received, of a stream assembled; as text where it is not JSON. Null without answer.',
    type: 'object',
    additionalProperties: true,
    nullable: true,
  })
  response!: unknown;
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

  @ApiProperty({ description: 'All requests.', example: 500 })
  requests!: number;

  @ApiProperty({ description: 'Answered.', example: 496 })
  ok!: number;

  @ApiProperty({ description: 'Failed, those interrupted by the death of a gateway included.', example: 3 })
  errors!: number;

  @ApiProperty({ description: 'Given up by the caller.', example: 1 })
  cancelled!: number;

  @ApiProperty({
    description: 'Share of valid answers among those held against an output contract; null without any.',
    type: Number,
    nullable: true,
    example: 0.98,
  })
  schemaValidRate!: number | null;

  @ApiProperty({ description: 'Time to the whole answer, of answered requests.', type: PercentilesDto })
  latencyMs!: PercentilesDto;

  @ApiProperty({ description: 'Time to the first content, of answered requests.', type: PercentilesDto })
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
