import { ApiProperty, ApiPropertyOptional, OmitType, PartialType, PickType } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Length,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import { ReasonInput } from '../access-events/access-event.dto.js';
import { IfSent, IsExpectedRevision, IsName } from '../http/body-rules.js';

export const LIMIT_TARGETS = ['apiKey', 'endpoint', 'team', 'modelEndpoint'] as const;
export type LimitTarget = (typeof LIMIT_TARGETS)[number];
export const LIMIT_METRICS = ['requests', 'tokens', 'costMicroUsd'] as const;
export type LimitMetric = (typeof LIMIT_METRICS)[number];
export const LIMIT_WINDOWS = ['second', 'minute', 'hour', 'day', 'month'] as const;
export type LimitWindow = (typeof LIMIT_WINDOWS)[number];

/** Whether a window is a budget of the calendar, not the rate of a token bucket. */
export function isBudget(window: LimitWindow): boolean {
  return window === 'day' || window === 'month';
}

export class LimitTargetDto {
  @ApiProperty({ description: 'What is limited.', enum: LIMIT_TARGETS, example: 'endpoint' })
  @IsIn(LIMIT_TARGETS)
  kind!: LimitTarget;

  @ApiProperty({ description: 'Its name.', example: 'support-bot' })
  @IsString()
  @Length(1, 128)
  name!: string;
}

export class CreateLimitDto extends ReasonInput {
  @ApiProperty({
    description: 'Name, unique in the workspace. It never changes.',
    example: 'support-monthly',
  })
  @IsName()
  name!: string;

  @ApiProperty({ description: 'Whose use counts. It never changes.', type: LimitTargetDto })
  @IsObject({ message: 'must be an object' })
  @ValidateNested()
  @Type(() => LimitTargetDto)
  target!: LimitTargetDto;

  @ApiProperty({
    description: 'What is counted. It never changes.',
    enum: LIMIT_METRICS,
    example: 'costMicroUsd',
  })
  @IsIn(LIMIT_METRICS)
  metric!: LimitMetric;

  @ApiProperty({
    description:
      '`second`, `minute`, `hour`: a token bucket that holds `amount` and fills in that time. `day`, `month`: a budget of the UTC calendar. It never changes.',
    enum: LIMIT_WINDOWS,
    example: 'month',
  })
  @IsIn(LIMIT_WINDOWS)
  window!: LimitWindow;

  @ApiProperty({
    description: 'Most of it per window: requests, tokens, or micro-USD (500000000 is 500 USD).',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    example: 500_000_000,
  })
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  amount!: number;

  @ApiPropertyOptional({
    description: 'Of a budget: whether requests are refused once it is spent. `false`: it only alerts.',
    default: true,
  })
  @IfSent()
  @IsBoolean()
  hardStop?: boolean;

  @ApiPropertyOptional({
    description:
      'Of a budget: at which share of it gateways alert, in percent. `null`: never. 80 unless given.',
    type: 'integer',
    nullable: true,
    minimum: 1,
    maximum: 100,
    example: 80,
  })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(100)
  alertPercent?: number | null;
}

export class UpdateLimitDto extends PartialType(
  OmitType(CreateLimitDto, ['name', 'target', 'metric', 'window'] as const),
  { skipNullProperties: false },
) {
  @ApiPropertyOptional({
    description: 'The revision you have seen. If another is in force by now: 409, and nothing changes.',
    example: 1,
  })
  @IsExpectedRevision()
  expectedRevision?: number;
}

export class LimitDto extends PickType(CreateLimitDto, [
  'name',
  'target',
  'metric',
  'window',
  'amount',
] as const) {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Whether requests are refused beyond it.', example: true })
  hardStop!: boolean;

  @ApiProperty({
    description: 'At which share of it gateways alert, in percent; null: never.',
    type: 'integer',
    nullable: true,
  })
  alertPercent!: number | null;

  @ApiProperty({ description: 'Grows by one with every change.', example: 1 })
  revision!: number;

  @ApiProperty({ description: 'When it was created.', format: 'date-time', type: String })
  createdAt!: Date;

  @ApiProperty({ description: 'Who created it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time', type: String })
  updatedAt!: Date;
}
