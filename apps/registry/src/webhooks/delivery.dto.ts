import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import { PageQuery } from '../http/page.js';
import { EVENT_TYPES, type EventType } from './event-types.js';

export const DELIVERY_STATUSES = ['PENDING', 'DELIVERED', 'FAILED'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

export class ListDeliveriesQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Only those in this state.', enum: DELIVERY_STATUSES })
  @IsOptional()
  @IsIn(DELIVERY_STATUSES)
  status?: DeliveryStatus;
}

export class AttemptDto {
  @ApiProperty({
    description: '1, 2, 3…; one is missing where the registry died during it.',
    type: 'integer',
    example: 1,
  })
  number!: number;

  @ApiProperty({ description: 'When it began.', format: 'date-time' })
  startedAt!: string;

  @ApiProperty({ description: 'How long it took.', type: 'integer', example: 41 })
  durationMs!: number;

  @ApiProperty({ description: 'What the receiver answered.', type: 'integer', nullable: true, example: 503 })
  responseStatus!: number | null;

  @ApiProperty({
    description: 'The beginning of its body.',
    type: String,
    nullable: true,
    example: 'try later',
  })
  responseExcerpt!: string | null;

  @ApiProperty({ description: 'Why there was no answer.', type: String, nullable: true, example: null })
  error!: string | null;
}

export class DeliveryDto {
  @ApiProperty({
    description: 'Sent as `webhook-id` and `X-MLflow-Delivery-Id`; stays the same over all attempts.',
    format: 'uuid',
  })
  id!: string;

  @ApiProperty({
    description: 'Type of the event.',
    enum: EVENT_TYPES,
    example: 'model_version_alias.created',
  })
  event!: EventType;

  @ApiProperty({
    description:
      '`FAILED`: given up after 18 attempts in about two days, or because the receiver answered 410.',
    enum: DELIVERY_STATUSES,
  })
  status!: DeliveryStatus;

  @ApiProperty({ description: 'Attempts begun so far.', type: 'integer', example: 1 })
  attempts!: number;

  @ApiProperty({
    description: 'When it is tried next; while an attempt is under way, when that counts as lost.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  nextAttemptAt!: string | null;

  @ApiProperty({ description: 'When the event happened.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({
    description: 'When it was delivered or given up.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  finishedAt!: string | null;
}

export class DeliveryDetailDto extends DeliveryDto {
  @ApiProperty({
    description: 'The bytes that are sent and signed.',
    example: '{"type":"model_version_alias.created"}',
  })
  body!: string;

  @ApiProperty({ description: 'What became of each attempt, oldest first.', type: [AttemptDto] })
  log!: AttemptDto[];
}
