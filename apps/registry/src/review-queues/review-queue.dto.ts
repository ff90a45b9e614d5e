import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsOptional,
  IsString,
  IsUUID,
  Length,
  MaxLength,
} from 'class-validator';
import { EXPERIMENT_REF, IsExperimentRef } from '../experiments/is-experiment-ref.js';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import {
  ITEM_STATUSES,
  QUEUE_KINDS,
  QUEUE_LIMITS,
  type ItemStatus,
  type QueueKind,
  type ReviewItem,
  type ReviewQueue,
} from './review-queue.js';

const NAME = {
  description: 'Its name, unique in the experiment, whatever its case; of a user queue, the user.',
  example: 'complaints of the week',
} as const;
const KIND = {
  description: '`user`: the worklist of one person, who answers all questions of the experiment.',
  enum: QUEUE_KINDS,
  example: 'custom',
} as const;
const USERS = {
  description: 'Who reviews: any of them may complete an item. Kept in lower case.',
  type: 'array',
  items: { type: 'string' },
  example: ['ada', 'grace'],
} as const;
const TRACE_IDS = {
  description: 'Ids of traces of the experiment.',
  type: 'array',
  items: { type: 'string' },
  minItems: 1,
  maxItems: QUEUE_LIMITS.items,
  example: ['tr-0af7651916cd43dd8448eb211c80319c'],
} as const;

export class CreateReviewQueueDto {
  @ApiProperty(EXPERIMENT_REF)
  @IsExperimentRef()
  experimentId!: string;

  @ApiProperty({ ...NAME, maxLength: QUEUE_LIMITS.name })
  @IsString()
  @Length(1, QUEUE_LIMITS.name)
  name!: string;

  @ApiProperty(KIND)
  @IsIn(QUEUE_KINDS)
  kind!: QueueKind;

  @ApiPropertyOptional({ ...USERS, maxItems: QUEUE_LIMITS.users })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(QUEUE_LIMITS.users)
  @IsString({ each: true })
  @Length(1, QUEUE_LIMITS.user, { each: true })
  users?: string[];

  @ApiPropertyOptional({
    description: 'Ids of label schemas of the experiment: its questions.',
    type: [String],
    items: { type: 'string', format: 'uuid' },
    example: [],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(QUEUE_LIMITS.labelSchemas)
  @IsUUID(undefined, { each: true })
  labelSchemaIds?: string[];
}

export class UpdateReviewQueueDto {
  @ApiPropertyOptional({ ...NAME, maxLength: QUEUE_LIMITS.name })
  @IfSent()
  @IsString()
  @Length(1, QUEUE_LIMITS.name)
  name?: string;

  @ApiPropertyOptional({
    description: 'Who owns it from now on.',
    maxLength: QUEUE_LIMITS.user,
    example: 'grace',
  })
  @IfSent()
  @IsString()
  @Length(1, QUEUE_LIMITS.user)
  owner?: string;

  @ApiPropertyOptional({ ...USERS, maxItems: QUEUE_LIMITS.users })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(QUEUE_LIMITS.users)
  @IsString({ each: true })
  @Length(1, QUEUE_LIMITS.user, { each: true })
  users?: string[];

  @ApiPropertyOptional({
    description: 'Ids of label schemas of the experiment. They can change only while the queue is empty.',
    type: [String],
    items: { type: 'string', format: 'uuid' },
    example: [],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(QUEUE_LIMITS.labelSchemas)
  @IsUUID(undefined, { each: true })
  labelSchemaIds?: string[];
}

export class ListReviewQueuesQuery extends PageQuery {
  @ApiProperty(EXPERIMENT_REF)
  @IsExperimentRef()
  experimentId!: string;

  @ApiPropertyOptional({ description: 'Only queues of this user.', example: 'ada' })
  @IsOptional()
  @IsString()
  @Length(1, QUEUE_LIMITS.user)
  user?: string;

  @ApiPropertyOptional({ description: 'Only queues that hold this trace.' })
  @IsOptional()
  @IsString()
  @MaxLength(250)
  traceId?: string;
}

export class ReviewQueueDto {
  @ApiProperty({
    description: 'Identifier, a UUIDv7. MLflow clients know it as `rq-` and its 32 digits.',
    format: 'uuid',
  })
  id!: string;

  @ApiProperty({ description: 'Number of its experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty(NAME)
  name!: string;

  @ApiProperty(KIND)
  kind!: QueueKind;

  @ApiProperty(USERS)
  users!: string[];

  @ApiProperty({
    description: 'Its questions; empty for a user queue, which asks all of the experiment.',
    type: [String],
    items: { type: 'string', format: 'uuid' },
  })
  labelSchemaIds!: string[];

  @ApiProperty({ description: 'When it was made.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who made it, or owns it now.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export class TraceIdsDto {
  @ApiProperty(TRACE_IDS)
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(QUEUE_LIMITS.items)
  @IsString({ each: true })
  @Length(1, 250, { each: true })
  traceIds!: string[];
}

export class ListReviewItemsQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Only items that are so far.', enum: ITEM_STATUSES })
  @IsOptional()
  @IsIn(ITEM_STATUSES)
  status?: ItemStatus;
}

export class UpdateReviewItemDto {
  @ApiProperty({ description: 'What became of it.', enum: ITEM_STATUSES, example: 'complete' })
  @IsIn(ITEM_STATUSES)
  status!: ItemStatus;
}

export class ReviewItemDto {
  @ApiProperty({ description: 'Id of the trace.', example: 'tr-0af7651916cd43dd8448eb211c80319c' })
  traceId!: string;

  @ApiProperty({ description: 'How far its review is.', enum: ITEM_STATUSES, example: 'complete' })
  status!: ItemStatus;

  @ApiProperty({ description: 'Who completed or declined it.', nullable: true, type: String, example: 'ada' })
  completedBy!: string | null;

  @ApiProperty({ description: 'When.', format: 'date-time', nullable: true, type: String })
  completedAt!: string | null;

  @ApiProperty({ description: 'When it was added.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export class ReviewItemsDto {
  @ApiProperty({ description: 'The items, in the order given.', type: [ReviewItemDto] })
  items!: ReviewItemDto[];
}

export function queueDto({
  createdAt,
  updatedAt,
  users,
  labelSchemaIds,
  ...queue
}: ReviewQueue): ReviewQueueDto {
  return {
    ...queue,
    users: [...users],
    labelSchemaIds: [...labelSchemaIds],
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}

export function itemDto({
  traceId,
  status,
  completedBy,
  completedAt,
  createdAt,
  updatedAt,
}: ReviewItem): ReviewItemDto {
  return {
    traceId,
    status,
    completedBy,
    completedAt: completedAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}
