import { ApiProperty, ApiPropertyOptional, OmitType, PartialType } from '@nestjs/swagger';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  Length,
  Max,
  MaxLength,
  Min,
} from 'class-validator';
import { DATA_CLASSES, DEFAULT_DATA_CLASS, type DataClass } from '#libs/core/clearance/clearance.js';
import { ReasonInput } from '../access-events/access-event.dto.js';
import { IfSent, IsExpectedRevision, IsName } from '../http/body-rules.js';
import { IsRfc3339 } from '../http/timestamps.js';

/** What a key may be used for. */
export const API_KEY_ACTIONS = ['resolve', 'invoke'] as const;
export type ApiKeyAction = (typeof API_KEY_ACTIONS)[number];

/** How long the secrets before a rotation stay good, in seconds: a day. */
const DEFAULT_OVERLAP_S = 86_400;
const MAX_OVERLAP_S = 90 * DEFAULT_OVERLAP_S;

export class CreateApiKeyDto extends ReasonInput {
  @ApiProperty({
    description: 'Name, unique in the workspace; rows and limits call the key by it. It never changes.',
    example: 'ticket-system',
  })
  @IsName()
  name!: string;

  @ApiPropertyOptional({
    description: 'For people.',
    type: String,
    nullable: true,
    example: 'The ticket system in production.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  description?: string | null;

  @ApiPropertyOptional({
    description: 'Team that uses it: costs and limits can be told by team.',
    type: String,
    nullable: true,
    example: 'support',
  })
  @IsOptional()
  @IsString()
  @Length(1, 128)
  team?: string | null;

  @ApiProperty({
    description:
      '`invoke`: chat completions and what else generates. `resolve`: which chain version a unit gets.',
    enum: API_KEY_ACTIONS,
    isArray: true,
    example: ['invoke', 'resolve'],
  })
  @IsArray()
  @ArrayMinSize(1)
  @ArrayUnique({ message: 'an action is listed twice; list every action once' })
  @IsIn(API_KEY_ACTIONS, { each: true })
  actions!: ApiKeyAction[];

  @ApiPropertyOptional({
    description:
      'Serving endpoints it may use, by name. `null` or absent: all of the workspace, also those to come.',
    type: [String],
    nullable: true,
    example: null,
  })
  @IsOptional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(1000)
  @ArrayUnique({ message: 'an endpoint is listed twice; list every endpoint once' })
  @IsString({ each: true })
  @Length(1, 128, { each: true })
  endpoints?: string[] | null;

  @ApiPropertyOptional({
    description: 'The most sensitive class of data it may send.',
    enum: DATA_CLASSES,
    default: DEFAULT_DATA_CLASS,
  })
  @IfSent()
  @IsIn(DATA_CLASSES)
  clearance?: DataClass;

  @ApiPropertyOptional({
    description: 'From when on it is refused. `null` or absent: never.',
    format: 'date-time',
    type: String,
    nullable: true,
    example: '2099-12-31T00:00:00Z',
  })
  @IsOptional()
  @IsRfc3339()
  expiresAt?: string | null;
}

/** Fields that may change; lists are given as a whole. */
export class UpdateApiKeyDto extends PartialType(OmitType(CreateApiKeyDto, ['name'] as const), {
  skipNullProperties: false,
}) {
  @ApiPropertyOptional({
    description: 'The revision you have seen. If another is in force by now: 409, and nothing changes.',
    example: 1,
  })
  @IsExpectedRevision()
  expectedRevision?: number;
}

export class RotateApiKeyDto extends ReasonInput {
  @ApiPropertyOptional({
    description: 'How long the secrets before this one stay good, in seconds. 0: they end at once.',
    minimum: 0,
    maximum: MAX_OVERLAP_S,
    default: DEFAULT_OVERLAP_S,
  })
  @IfSent()
  @IsInt()
  @Min(0)
  @Max(MAX_OVERLAP_S)
  overlapSeconds: number = DEFAULT_OVERLAP_S;
}

export class RevokeApiKeyDto extends ReasonInput {}

export class ApiKeySecretDto {
  @ApiProperty({ description: 'How its text begins.', example: 'ck_5f0c91be' })
  prefix!: string;

  @ApiProperty({ description: 'When it was made.', format: 'date-time', type: String })
  createdAt!: string;

  @ApiProperty({ description: 'Who made it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({
    description: 'From when on it is refused, because another has taken its place; null for the current one.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  expiresAt!: string | null;
}

export class ApiKeyDto {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Name.', example: 'ticket-system' })
  name!: string;

  @ApiProperty({ description: 'For people.', type: String, nullable: true })
  description!: string | null;

  @ApiProperty({ description: 'Team that uses it.', type: String, nullable: true })
  team!: string | null;

  @ApiProperty({ description: 'What it may be used for.', enum: API_KEY_ACTIONS, isArray: true })
  actions!: ApiKeyAction[];

  @ApiProperty({
    description: 'Serving endpoints it may use; null: all.',
    type: [String],
    nullable: true,
  })
  endpoints!: string[] | null;

  @ApiProperty({ description: 'The most sensitive class of data it may send.', enum: DATA_CLASSES })
  clearance!: DataClass;

  @ApiProperty({ description: 'Its secrets that are still good, newest first.', type: [ApiKeySecretDto] })
  secrets!: ApiKeySecretDto[];

  @ApiProperty({
    description: 'From when on it is refused; null: never.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  expiresAt!: Date | null;

  @ApiProperty({
    description: 'When it was revoked, for good; null while it is not.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  revokedAt!: Date | null;

  @ApiProperty({
    description: 'When a gateway last saw it, give or take a minute; null: never.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  lastUsedAt!: Date | null;

  @ApiProperty({ description: 'Grows by one with every change.', example: 1 })
  revision!: number;

  @ApiProperty({ description: 'When it was created.', format: 'date-time', type: String })
  createdAt!: Date;

  @ApiProperty({ description: 'Who created it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time', type: String })
  updatedAt!: Date;
}

export class ApiKeyWithSecretDto extends ApiKeyDto {
  @ApiProperty({
    description: 'What callers send as bearer token. Shown this once; only its SHA-256 is kept.',
    example: 'ck_5f0c91be_Q0h4bXBsZU9ubHktbm90LWEtcmVhbC1rZXktMDAwMDA',
  })
  secret!: string;
}
