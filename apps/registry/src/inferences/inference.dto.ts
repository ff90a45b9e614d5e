import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, IsUUID, Max, MaxLength, Min } from 'class-validator';
import { DATA_CLASSES, type DataClass } from '#libs/core/clearance/clearance.js';
import { CONTRACT_OUTCOMES, type ContractOutcome } from '#libs/core/contract/ladder.js';
import type { Assignment, InferenceStatus } from '#libs/core/inference/inference-row.js';
import { PageQuery } from '../http/page.js';
import { FeedbackDto } from '../feedback/feedback.dto.js';
import { ContractRungDto } from './contract-rung.dto.js';
import { ModelCallDto } from './model-call.dto.js';
import { Shadows, type ShadowFilter } from './shadow-filter.js';
import { IsTimestamp } from './time-range.js';

const STATUSES: readonly InferenceStatus[] = ['ok', 'error', 'cancelled', 'interrupted'];

/** What there is of metadata and bodies. */
export const PAYLOAD_STATES = ['stored', 'expired', 'unavailable'] as const;
export type PayloadState = (typeof PAYLOAD_STATES)[number];

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

  @ApiPropertyOptional({
    description: 'Only those this replica answered last, by its base URL; usually with `modelEndpoint`.',
    example: 'http://10.0.0.7:8000/v1',
  })
  @IsOptional()
  @IsString()
  @MaxLength(2_048)
  replica?: string;

  @ApiPropertyOptional({
    description: 'Only those that met the output contract this way, or did not.',
    enum: CONTRACT_OUTCOMES,
  })
  @IsOptional()
  @IsIn(CONTRACT_OUTCOMES)
  contractOutcome?: ContractOutcome;

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

  @ApiPropertyOptional({
    description: "Only with this name of the caller's own for the request.",
    example: 'order-4711',
  })
  @IsOptional()
  @IsString()
  @MaxLength(512)
  clientRequestId?: string;

  @Shadows(
    'Whether the rows of shadows are listed: copies of requests that answered nobody. Not unless asked for.',
    'exclude',
  )
  shadows: ShadowFilter = 'exclude';

  @ApiPropertyOptional({
    description: 'Only the shadows of this inference.',
    format: 'uuid',
    example: '019aab9e-0b1a-7c3e-9f6f-1d2c3b4a5968',
  })
  @IsOptional()
  // In the archive ids are text.
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? value.toLowerCase() : value))
  @IsUUID()
  shadowOf?: string;
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
    description: 'The inference whose request this one got a copy of; null where a caller asked for it.',
    type: String,
    format: 'uuid',
    nullable: true,
  })
  shadowOf!: string | null;

  @ApiProperty({
    description:
      'Whether it was answered without a model call, by the answer to the same request before; null where the endpoint keeps no answers.',
    type: Boolean,
    nullable: true,
  })
  cacheHit!: boolean | null;

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
    description:
      'Whether the answer satisfies the output contract; null where none was held against one. Where it does not, the caller got an error, unless the contract is not strict.',
    type: Boolean,
    nullable: true,
  })
  schemaValid!: boolean | null;

  @ApiProperty({
    description:
      'How the output contract was met: at once (`valid`), `repaired`, `reasked`, or `fell_back` to another model endpoint because of it; or not: `violated`, `truncated` at the output limit, `refused` by the model. Null where nothing was held against one.',
    enum: CONTRACT_OUTCOMES,
    nullable: true,
    example: 'valid',
  })
  contractOutcome!: ContractOutcome | null;

  @ApiProperty({ description: 'Prompt tokens, of all answers.', type: Number, nullable: true })
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

  @ApiProperty({
    description: 'From admission to the first model call, in ms; null without one.',
    type: Number,
    nullable: true,
  })
  dispatchedMs!: number | null;

  @ApiProperty({
    description:
      "The caller's own name for the request: header x-client-request-id, else `metadata.request_id`.",
    type: String,
    nullable: true,
    example: 'order-4711',
  })
  clientRequestId!: string | null;
}

export class InferenceDto extends InferenceItemDto {
  @ApiProperty({
    description: 'What was done for the output contract, in order; null without one.',
    type: [ContractRungDto],
    nullable: true,
  })
  contractRungs!: ContractRungDto[] | null;

  @ApiProperty({
    description: 'What was asked of model endpoints, in order; null where nothing was.',
    type: [ModelCallDto],
    nullable: true,
  })
  modelCalls!: ModelCallDto[] | null;

  @ApiProperty({
    description:
      'Judgements about it, received last first; 200 at most. Those about its unit as a whole are not here.',
    type: [FeedbackDto],
  })
  feedback!: FeedbackDto[];

  @ApiProperty({
    description:
      '`expired`: metadata and bodies are null because they are no longer kept. `unavailable`: a body is null because the object store does not give it now.',
    enum: PAYLOAD_STATES,
    example: 'stored',
  })
  payload!: PayloadState;

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
    nullable: true,
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
