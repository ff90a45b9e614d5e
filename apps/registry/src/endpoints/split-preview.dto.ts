import { ApiProperty } from '@nestjs/swagger';
import type { BucketRange } from '#libs/core/assignment/split.js';
import { ArmDto, PinnedChainDto, RANGES, ShadowDto } from './split.dto.js';

export class MovementDto {
  @ApiProperty({
    description: 'Arm that gives the buckets; null on the first split.',
    type: String,
    nullable: true,
  })
  from!: string | null;

  @ApiProperty({ description: 'Arm that takes them.', example: 'candidate' })
  to!: string;

  @ApiProperty({ description: 'How many buckets.', example: 1000 })
  buckets!: number;

  @ApiProperty({ description: 'Their share of the units, 0 to 1.', example: 0.1 })
  share!: number;

  @ApiProperty(RANGES)
  ranges!: readonly BucketRange[];
}

export class VersionChangeDto {
  @ApiProperty({ description: 'An arm that stays.', example: 'candidate' })
  arm!: string;

  @ApiProperty({ description: 'What its units get now.', type: PinnedChainDto })
  from!: PinnedChainDto;

  @ApiProperty({ description: 'What they would get.', type: PinnedChainDto })
  to!: PinnedChainDto;
}

export class OverrideChangeDto {
  @ApiProperty({ description: 'The unit.', example: 'user-42' })
  unit!: string;

  @ApiProperty({ description: 'Arm it is pinned to now; null: none.', type: String, nullable: true })
  from!: string | null;

  @ApiProperty({ description: 'Arm it would be pinned to; null: none.', type: String, nullable: true })
  to!: string | null;
}

export class PassedOverDto {
  @ApiProperty({ description: 'The arm, or the shadow.', example: 'candidate' })
  arm!: string;

  @ApiProperty({ description: 'Model endpoint of its chain version.', example: 'vendor' })
  modelEndpoint!: string;
}

export class ShadowChangeDto {
  @ApiProperty({ description: 'The shadow.', example: 'next-model' })
  shadow!: string;

  @ApiProperty({ description: 'As it is now; null: not there.', type: ShadowDto, nullable: true })
  from!: ShadowDto | null;

  @ApiProperty({ description: 'As it would be; null: not there.', type: ShadowDto, nullable: true })
  to!: ShadowDto | null;
}

export class SplitPreviewDto {
  @ApiProperty({ description: 'The revision in force; 0 for none.', example: 1 })
  currentRevision!: number;

  @ApiProperty({
    description: 'Salt of the split; null where one would be drawn.',
    type: String,
    nullable: true,
  })
  salt!: string | null;

  @ApiProperty({ description: 'Whether the salt would change, which reshuffles all units.' })
  saltChanged!: boolean;

  @ApiProperty({ description: 'The arms as they would be stored.', type: [ArmDto] })
  arms!: ArmDto[];

  @ApiProperty({
    description: 'Who would move, by pairs of arms. Empty where the salt changes: then units move by hash.',
    type: [MovementDto],
  })
  movements!: MovementDto[];

  @ApiProperty({
    description: 'Buckets that would change their arm; where the salt changes, the expected number.',
    example: 2000,
  })
  movedBuckets!: number;

  @ApiProperty({ description: 'Share of the units that stay in their arm, 0 to 1.', example: 0.8 })
  unchangedShare!: number;

  @ApiProperty({
    description: 'Arms that keep their units but serve them another chain version.',
    type: [VersionChangeDto],
  })
  versionChanges!: VersionChangeDto[];

  @ApiProperty({
    description: 'Overrides that would be added, removed or changed.',
    type: [OverrideChangeDto],
  })
  overrideChanges!: OverrideChangeDto[];

  @ApiProperty({ description: 'The shadows as they would be stored.', type: [ShadowDto] })
  shadows!: ShadowDto[];

  @ApiProperty({
    description: 'Shadows that would be added, removed or changed.',
    type: [ShadowChangeDto],
  })
  shadowChanges!: ShadowChangeDto[];

  @ApiProperty({
    description:
      'Model endpoints that gateways would pass over, because they are not cleared for what the endpoint carries.',
    type: [PassedOverDto],
  })
  passedOver!: PassedOverDto[];

  @ApiProperty({
    description: 'What the figures mean, where that is not plain.',
    type: String,
    nullable: true,
  })
  note!: string | null;
}
