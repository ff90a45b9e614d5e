import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsOptional, IsString, IsUUID, MaxLength } from 'class-validator';
import {
  FEEDBACK_KINDS,
  FEEDBACK_SOURCES,
  type FeedbackKind,
  type FeedbackSource,
} from '#libs/core/feedback/feedback-event.js';
import { MAX_EVENTS } from '#libs/core/feedback/read-feedback.js';
import { PageQuery } from '../http/page.js';
import { IsRfc3339 } from '../http/timestamps.js';

const INFERENCE_ID = '019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11';

const Text = (description: string, example?: string): PropertyDecorator =>
  ApiProperty({ description, type: String, nullable: true, ...(example !== undefined && { example }) });

/** What is sent; `readFeedback` holds it to this. */
export class FeedbackEventDto {
  @ApiPropertyOptional({
    description:
      'Names the event in the workspace, at most 256 bytes: sent again it is not stored again, whatever it says then. Made here where it is left out.',
    example: 'review-4711',
  })
  eventId?: string;

  @ApiPropertyOptional({
    description:
      'What is judged: one inference, as in header x-catena-inference-id. Exactly one of `inferenceId`, `clientRequestId` and `unit` is given.',
    format: 'uuid',
  })
  inferenceId?: string;

  @ApiPropertyOptional({
    description:
      'What is judged: the inference whose request had this id of the caller (header x-client-request-id). Where several had, the last one begun before the judgement was given.',
    example: 'order-123',
  })
  clientRequestId?: string;

  @ApiPropertyOptional({ description: 'What is judged: a conversation, user or tenant as a whole.' })
  unit?: string;

  @ApiPropertyOptional({
    description:
      'Only inferences of this serving endpoint are meant. Needed where units of several endpoints have one name.',
    example: 'support-bot',
  })
  endpoint?: string;

  @ApiProperty({
    description: 'What is judged about it. Of one name about one thing, the judgement given last counts.',
    example: 'thumbs',
  })
  name!: string;

  @ApiPropertyOptional({
    description: 'Needed for texts only; told by the value otherwise.',
    enum: FEEDBACK_KINDS,
    example: 'boolean',
  })
  kind?: FeedbackKind;

  @ApiProperty({
    description:
      'The judgement: true or false, a number, a category, a text, or the output that should have been (`correction`: text or JSON).',
    oneOf: [
      { type: 'boolean' },
      { type: 'number' },
      { type: 'string' },
      { type: 'object' },
      { type: 'array', items: {} },
    ],
    example: true,
  })
  value!: unknown;

  @ApiPropertyOptional({ description: 'Who judged.', enum: FEEDBACK_SOURCES, default: 'human' })
  source?: FeedbackSource;

  @ApiPropertyOptional({
    description: 'Which one: a reviewer, a script, a judging model.',
    example: 'reviewer-7',
  })
  sourceId?: string;

  @ApiPropertyOptional({ description: 'Why.', example: 'Right answer, friendly tone.' })
  comment?: string;

  @ApiPropertyOptional({
    description: 'Whatever else is to be kept: a flat object of texts, numbers and booleans.',
    type: 'object',
    additionalProperties: true,
    example: { channel: 'mail' },
  })
  metadata?: Record<string, string | number | boolean>;

  @ApiPropertyOptional({
    description: 'When it was given, RFC 3339; at most ten minutes ahead. Now, where it is left out.',
    format: 'date-time',
    example: '2026-11-22T09:30:00.000Z',
  })
  givenAt?: string;
}

export class FeedbackBatchDto {
  @ApiProperty({ description: `1 to ${MAX_EVENTS} events.`, type: [FeedbackEventDto] })
  events!: FeedbackEventDto[];
}

export class AcceptedEventDto {
  @ApiProperty({ description: 'Id of the event.', example: 'review-4711' })
  eventId!: string;

  @ApiProperty({
    description: '`duplicate`: an event of this id was there already; what it said stays.',
    enum: ['accepted', 'duplicate'],
  })
  status!: 'accepted' | 'duplicate';
}

export class AcceptedFeedbackDto {
  @ApiProperty({ description: 'Events that are new.', example: 1 })
  accepted!: number;

  @ApiProperty({ description: 'Events that were there already.', example: 0 })
  duplicates!: number;

  @ApiProperty({ description: 'In the order in which they were sent.', type: [AcceptedEventDto] })
  events!: readonly AcceptedEventDto[];
}

const boolean = ({ value }: { value: unknown }): unknown =>
  value === 'true' ? true : value === 'false' ? false : value;

const Only =
  (description: string, maxLength = 512): PropertyDecorator =>
  (target, property) => {
    ApiPropertyOptional({ description })(target, property);
    IsOptional()(target, property);
    IsString()(target, property);
    MaxLength(maxLength)(target, property);
  };

export class FeedbackQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Only about this inference, however it was named.', format: 'uuid' })
  @IsOptional()
  @IsUUID()
  inferenceId?: string;

  @Only('Only what named this id of a caller.')
  clientRequestId?: string;

  @Only('Only about this unit as a whole, or about inferences of it.')
  unit?: string;

  @Only('Only of this serving endpoint.', 128)
  endpoint?: string;

  @Only('Only of this name.', 128)
  name?: string;

  @ApiPropertyOptional({ description: 'true: only what has found its inference. false: only what has not.' })
  @IsOptional()
  @Transform(boolean)
  @IsBoolean({ message: 'must be true or false' })
  matched?: boolean;

  @ApiPropertyOptional({ description: 'true: only what counts. false: only what does not, or not yet.' })
  @IsOptional()
  @Transform(boolean)
  @IsBoolean({ message: 'must be true or false' })
  latest?: boolean;

  @ApiPropertyOptional({
    description:
      'Not received before this time. Mandatory, unless an inference, a request or a unit is asked for.',
    format: 'date-time',
    example: '2026-11-22T00:00:00Z',
  })
  @IsOptional()
  @IsRfc3339()
  from?: string;

  @ApiPropertyOptional({
    description: 'Received before this time; at most 31 days after `from`.',
    format: 'date-time',
    example: '2026-11-23T00:00:00Z',
  })
  @IsOptional()
  @IsRfc3339()
  to?: string;
}

export class FeedbackMatchDto {
  @ApiProperty({ description: 'The inference.', format: 'uuid', example: INFERENCE_ID })
  inferenceId!: string;

  @ApiProperty({ description: 'When it began.', format: 'date-time' })
  startedAt!: Date;

  @ApiProperty({ description: 'Its serving endpoint.', example: 'support-bot' })
  endpoint!: string;

  @Text('Its unit; null where its arm was drawn.', 'conversation-9')
  unit!: string | null;

  @ApiProperty({ description: 'Revision of the split that assigned it.', example: 3 })
  splitRevision!: number;

  @ApiProperty({ description: 'Its arm.', example: 'candidate' })
  arm!: string;

  @ApiProperty({ description: 'Its chain.', example: 'support-reply' })
  chain!: string;

  @ApiProperty({ description: 'Version of the chain.', example: 2 })
  chainVersion!: number;
}

export class FeedbackDto {
  @ApiProperty({ description: 'Id here, a UUIDv7.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Id of the event, by whoever sent it.', example: 'review-4711' })
  eventId!: string;

  @Text('The inference that it names.', INFERENCE_ID)
  inferenceId!: string | null;

  @Text("The caller's id of the request that it names.")
  clientRequestId!: string | null;

  @Text('The unit that it names.')
  unit!: string | null;

  @Text('The serving endpoint that it names.')
  endpoint!: string | null;

  @ApiProperty({ description: 'What is judged about it.', example: 'thumbs' })
  name!: string;

  @ApiProperty({ description: 'Kind of the value.', enum: FEEDBACK_KINDS })
  kind!: FeedbackKind;

  @ApiProperty({
    description: 'The judgement; a correction that is no text is the text of its JSON.',
    oneOf: [{ type: 'boolean' }, { type: 'number' }, { type: 'string' }],
    example: true,
  })
  value!: boolean | number | string;

  @ApiProperty({ description: 'Who judged.', enum: FEEDBACK_SOURCES })
  source!: FeedbackSource;

  @Text('Which one.', 'reviewer-7')
  sourceId!: string | null;

  @Text('Why.')
  comment!: string | null;

  @ApiProperty({
    description: 'Whatever else was to be kept.',
    type: 'object',
    additionalProperties: true,
    nullable: true,
  })
  metadata!: Record<string, string | number | boolean> | null;

  @ApiProperty({ description: 'When it was given.', format: 'date-time' })
  givenAt!: Date;

  @ApiProperty({ description: 'When it was received.', format: 'date-time' })
  receivedAt!: Date;

  @ApiProperty({
    description:
      'Whether it counts: of one name about one thing, the judgement given last does. null for the moment until that is decided.',
    type: Boolean,
    nullable: true,
  })
  latest!: boolean | null;

  @ApiProperty({
    description: 'The inference it was matched with; null as long as there is none.',
    type: FeedbackMatchDto,
    nullable: true,
  })
  match!: FeedbackMatchDto | null;
}
