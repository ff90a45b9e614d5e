import { ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';
import { BUCKETS, MAX_ARMS, type BucketRange } from '#libs/core/assignment/split.js';
import type { Reference } from '#libs/core/content/types.js';
import { IfSent, IsExpectedRevision, IsName } from '../http/body-rules.js';
import { IsReference } from './is-reference.js';

export const MAX_OVERRIDES = 10_000;
/** Each costs up to as much as the endpoint itself. */
const MAX_SHADOWS = 4;
const MAX_REVISION = 2_147_483_647;
const SEEN_REVISION = 'The revision in force as you have seen it, 0 for none. If it is another by now: 409.';

export class PinnedChainDto {
  @ApiProperty({ description: 'Name of the chain.', example: 'support-reply' })
  name!: string;

  @ApiProperty({ description: 'Number of the version.', example: 1 })
  version!: number;

  @ApiProperty({ description: 'Digest of its content.', example: `sha256:${'5f'.repeat(32)}` })
  digest!: string;
}

export class ArmInput {
  @ApiProperty({
    description: 'Unique in the split. An arm keeps its units by its name.',
    example: 'control',
  })
  @IsName()
  name!: string;

  @ApiProperty({
    description:
      'The chain version. An alias or number is pinned now; moving the alias later changes nothing.',
    oneOf: [{ type: 'string' }, { $ref: getSchemaPath(PinnedChainDto) }],
    example: 'support-reply@champion',
  })
  @IsReference()
  chain!: Reference;

  @ApiProperty({
    description: 'Share of the units in basis points. 0: only units with an override.',
    minimum: 0,
    maximum: BUCKETS,
    example: 5000,
  })
  @IsInt({ message: 'must be a whole number of basis points, 0 to 10000' })
  @Min(0)
  @Max(BUCKETS)
  weightBps!: number;
}

export class ShadowInput {
  @ApiProperty({
    description: 'Unique among the arms and shadows of the split; the `arm` of its rows.',
    example: 'next-model',
  })
  @IsName()
  name!: string;

  @ApiProperty({
    description: 'The chain version that gets the copies, pinned like that of an arm.',
    oneOf: [{ type: 'string' }, { $ref: getSchemaPath(PinnedChainDto) }],
    example: 'support-reply@champion',
  })
  @IsReference()
  chain!: Reference;

  @ApiProperty({
    description: 'Share of the units whose requests are copied to it, in basis points.',
    minimum: 1,
    maximum: BUCKETS,
    example: 500,
  })
  @IsInt({ message: 'must be a whole number of basis points, 1 to 10000' })
  @Min(1)
  @Max(BUCKETS)
  sampleBps!: number;
}

export class OverrideDto {
  @ApiProperty({ description: 'The unit.', example: 'user-42' })
  @IsString()
  unit!: string;

  @ApiProperty({ description: 'Name of the arm it is pinned to.', example: 'candidate' })
  @IsString()
  arm!: string;
}

class ChangeDto {
  @ApiPropertyOptional({
    description: 'Why.',
    type: String,
    nullable: true,
    example: 'The new prompt, for one unit in ten.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(1000)
  reason?: string | null;

  @ApiPropertyOptional({
    description: SEEN_REVISION,
    example: 0,
  })
  @IsExpectedRevision()
  expectedRevision?: number;
}

export class PutSplitDto extends ChangeDto {
  @ApiProperty({
    description: 'Arms; their weights sum to exactly 10000.',
    type: [ArmInput],
    example: [
      { name: 'control', chain: 'support-reply@1', weightBps: 9000 },
      { name: 'candidate', chain: 'support-reply@champion', weightBps: 1000 },
    ],
  })
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_ARMS)
  @IsObject({ each: true, message: 'each must be an object with name, chain and weightBps' })
  @ValidateNested({ each: true })
  @Type(() => ArmInput)
  arms!: ArmInput[];

  @ApiPropertyOptional({
    description:
      'Give one only to reshuffle all units on purpose. Absent: the salt stays; the first split draws one.',
    example: 'autumn-reshuffle',
  })
  @IfSent()
  @Matches(/^[\x21-\x7e]{1,64}$/, { message: 'must have 1 to 64 visible ASCII characters without spaces' })
  salt?: string;

  @ApiPropertyOptional({
    description:
      'Units pinned to an arm, whatever their bucket; replaces the list before. Absent: the list before stays, without units of arms that are gone.',
    type: [OverrideDto],
    maxItems: MAX_OVERRIDES,
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(MAX_OVERRIDES)
  @IsObject({ each: true, message: 'each must be an object with unit and arm' })
  @ValidateNested({ each: true })
  @Type(() => OverrideDto)
  overrides?: OverrideDto[];

  @ApiPropertyOptional({
    description:
      'Chain versions that get copies of requests and answer nobody; replaces the list before. Absent: the list before stays.',
    type: [ShadowInput],
    maxItems: MAX_SHADOWS,
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(MAX_SHADOWS)
  @IsObject({ each: true, message: 'each must be an object with name, chain and sampleBps' })
  @ValidateNested({ each: true })
  @Type(() => ShadowInput)
  shadows?: ShadowInput[];
}

export class RollbackDto extends ChangeDto {
  @ApiPropertyOptional({ description: SEEN_REVISION, example: 1 })
  declare expectedRevision?: number;

  @ApiProperty({ description: 'The revision to restore.', example: 1 })
  @IsInt()
  @Min(1)
  @Max(MAX_REVISION)
  revision!: number;
}

export class SplitParams {
  @ApiProperty({ description: 'Name of the endpoint.', example: 'support-bot' })
  @IsString()
  name!: string;

  @ApiProperty({ description: 'Number of the revision.', example: 1 })
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(MAX_REVISION)
  revision!: number;
}

export class AssignmentQuery {
  @ApiProperty({ description: 'The unit: a conversation, user or tenant id.', example: 'user-42' })
  @IsString()
  unit!: string;
}

export const RANGES = {
  description: 'Buckets the arm owns: sorted half-open intervals [start, end).',
  type: 'array',
  items: { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 2 },
  example: [[0, 5000]],
} as const;

export class ArmDto {
  @ApiProperty({ description: 'Name.', example: 'control' })
  name!: string;

  @ApiProperty({ description: 'Share of the units in basis points.', example: 5000 })
  weightBps!: number;

  @ApiProperty(RANGES)
  ranges!: BucketRange[];

  @ApiProperty({ description: 'The pinned chain version.', type: PinnedChainDto })
  chain!: PinnedChainDto;
}

export class ShadowDto {
  @ApiProperty({ description: 'Name; the `arm` of its rows.', example: 'next-model' })
  name!: string;

  @ApiProperty({
    description:
      'Share of the units whose requests are copied: those with murmur3_x86_32(salt + ":" + name + ":" + unit) mod 10000 below it; without a unit, that share of the requests at random.',
    example: 500,
  })
  sampleBps!: number;

  @ApiProperty({ description: 'The pinned chain version.', type: PinnedChainDto })
  chain!: PinnedChainDto;
}

export class SplitSummaryDto {
  @ApiProperty({ description: 'Number of the revision: 1, 2, 3…', example: 2 })
  revision!: number;

  @ApiProperty({ description: 'Bucket of a unit: murmur3_x86_32(salt + ":" + unit) mod 10000.' })
  salt!: string;

  @ApiProperty({ description: 'Arms, in the order they were given.', type: [ArmDto] })
  arms!: ArmDto[];

  @ApiProperty({ description: 'Shadows, in the order they were given.', type: [ShadowDto] })
  shadows!: ShadowDto[];

  @ApiProperty({ description: 'Number of units pinned to an arm.', example: 0 })
  overrideCount!: number;

  @ApiProperty({
    description:
      'Buckets that changed their arm against the revision before; where the salt changed, the expected number.',
    example: 2000,
  })
  movedBuckets!: number;

  @ApiProperty({ description: 'The revision this one restored.', type: Number, nullable: true })
  rollbackOf!: number | null;

  @ApiProperty({ description: 'Why.', type: String, nullable: true })
  reason!: string | null;

  @ApiProperty({ description: 'When it came into force.', format: 'date-time', type: String })
  createdAt!: Date;

  @ApiProperty({ description: 'Who made it.', example: 'ada' })
  createdBy!: string;
}

export class SplitDto extends SplitSummaryDto {
  @ApiProperty({ description: 'Units pinned to an arm, in order of the units.', type: [OverrideDto] })
  overrides!: OverrideDto[];
}

export class AssignmentDto {
  @ApiProperty({ description: 'The unit.', example: 'user-42' })
  unit!: string;

  @ApiProperty({ description: 'Revision of the split in force.', example: 2 })
  splitRevision!: number;

  @ApiProperty({ description: 'Bucket of the unit, 0 to 9999.', example: 4711 })
  bucket!: number;

  @ApiProperty({ description: 'How the arm was found.', enum: ['split', 'override'] })
  assignment!: 'split' | 'override';

  @ApiProperty({ description: 'Name of the arm.', example: 'control' })
  arm!: string;

  @ApiProperty({ description: 'The chain version that answers.', type: PinnedChainDto })
  chain!: PinnedChainDto;
}
