import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { DATA_CLASSES, DEFAULT_DATA_CLASS, type DataClass } from '#libs/core/clearance/clearance.js';
import { PAYLOADS, type Payloads } from '#libs/core/clearance/payloads.js';
import { IfSent, IsName } from '../http/body-rules.js';
import { NamedQuery } from '../http/named-query.js';
import { SplitDto, SplitSummaryDto } from './split.dto.js';

/** A week: answers older than that are another model's. */
const MAX_CACHE_TTL_SECONDS = 604_800;

export class EndpointQuery extends NamedQuery {
  @ApiPropertyOptional({
    description: 'Only endpoints whose split in force has an arm with a version of this chain.',
    example: 'support-reply',
  })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  chain?: string;
}

export class UpdateEndpointDto {
  @ApiPropertyOptional({
    description: 'For people. `null`: none.',
    type: String,
    nullable: true,
    example: 'Answers the tickets of the web shop.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  description?: string | null;

  @ApiPropertyOptional({
    description:
      'What its requests carry at least; each may say that it carries more. They reach only model endpoints cleared for that.',
    enum: DATA_CLASSES,
    default: DEFAULT_DATA_CLASS,
  })
  @IfSent()
  @IsIn(DATA_CLASSES)
  dataClass?: DataClass;

  @ApiPropertyOptional({
    description:
      'What rows keep of requests, answers and metadata. `hash`: their SHA-256 and length only. `hash-restricted`: so of requests that carry restricted data.',
    enum: PAYLOADS,
    default: 'full',
  })
  @IfSent()
  @IsIn(PAYLOADS)
  payloads?: Payloads;

  @ApiPropertyOptional({
    description:
      'How long gateways keep its answers, in seconds, to give them to the same request again, without a model call and without cost. `null`: not at all. Another time begins with an empty cache.',
    type: 'integer',
    nullable: true,
    minimum: 1,
    maximum: MAX_CACHE_TTL_SECONDS,
    default: null,
    example: 300,
  })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(MAX_CACHE_TTL_SECONDS)
  cacheTtlSeconds?: number | null;
}

export class CreateEndpointDto extends UpdateEndpointDto {
  @ApiProperty({ description: 'Name that applications call. It never changes.', example: 'support-bot' })
  @IsName()
  name!: string;
}

class EndpointFields {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Name that applications call.', example: 'support-bot' })
  name!: string;

  @ApiProperty({ description: 'For people.', type: String, nullable: true })
  description!: string | null;

  @ApiProperty({ description: 'What its requests carry at least.', enum: DATA_CLASSES })
  dataClass!: DataClass;

  @ApiProperty({ description: 'What rows keep of requests, answers and metadata.', enum: PAYLOADS })
  payloads!: Payloads;

  @ApiProperty({
    description: 'How long gateways keep its answers, in seconds; null: not at all.',
    type: 'integer',
    nullable: true,
  })
  cacheTtlSeconds!: number | null;

  @ApiProperty({ description: 'When it was created.', format: 'date-time', type: String })
  createdAt!: Date;

  @ApiProperty({ description: 'Who created it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({
    description: 'When its fields, its split or its archiving last changed.',
    format: 'date-time',
    type: String,
  })
  updatedAt!: Date;

  @ApiProperty({
    description: 'When it was archived; null while it is served.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  archivedAt!: Date | null;
}

export class EndpointDto extends EndpointFields {
  @ApiProperty({ description: 'The split in force; null before the first.', type: SplitDto, nullable: true })
  split!: SplitDto | null;
}

export class EndpointItemDto extends EndpointFields {
  @ApiProperty({
    description: 'The split in force, without its overrides; null before the first.',
    type: SplitSummaryDto,
    nullable: true,
  })
  split!: SplitSummaryDto | null;
}
