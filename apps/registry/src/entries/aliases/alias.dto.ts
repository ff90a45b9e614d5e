import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type as Convert } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { IsExpectedRevision } from '../../http/body-rules.js';
import { MAX_VERSION_NUMBER } from '../versions/version-number.js';

const MAX_REASON = 2000;
const EXPECTED_REVISION =
  'Only change it when it is at this revision; 0 when it must not exist. Else 409 with both revisions.';

export class MoveAliasDto {
  @ApiProperty({ description: 'Number of the version to point at.', type: 'integer', minimum: 1, example: 1 })
  @IsInt()
  @Min(1)
  @Max(MAX_VERSION_NUMBER)
  version!: number;

  @ApiPropertyOptional({ description: EXPECTED_REVISION, type: 'integer', minimum: 0, example: 0 })
  @IsExpectedRevision()
  expectedRevision?: number;

  @ApiPropertyOptional({
    description: 'Why; kept in the log.',
    type: String,
    nullable: true,
    maxLength: MAX_REASON,
    example: 'Won the A/B test of March.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_REASON)
  reason?: string | null;
}

export class RemoveAliasQuery {
  @ApiPropertyOptional({ description: EXPECTED_REVISION, type: 'integer', minimum: 0 })
  @Convert(() => Number)
  @IsExpectedRevision()
  expectedRevision?: number;

  @ApiPropertyOptional({ description: 'Why; kept in the log.', maxLength: MAX_REASON })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_REASON)
  reason?: string;
}

export class AliasDto {
  @ApiProperty({ description: 'The alias.', example: 'champion' })
  alias!: string;

  @ApiProperty({
    description: 'Number of the version it points at; null once it is removed.',
    type: 'integer',
    nullable: true,
    example: 3,
  })
  version!: number | null;

  @ApiProperty({
    description: 'Digest of that version.',
    type: String,
    nullable: true,
    example: `sha256:${'0'.repeat(64)}`,
  })
  digest!: string | null;

  @ApiProperty({
    description: 'Counts its moves; send it as `expectedRevision` to change only what you have seen.',
    type: 'integer',
    example: 4,
  })
  revision!: number;

  @ApiProperty({ description: 'When it was last moved.', format: 'date-time' })
  updatedAt!: string;

  @ApiProperty({ description: 'Who moved it last.', example: 'ada' })
  updatedBy!: string;
}

export class AliasMoveDto {
  @ApiProperty({ description: 'The alias.', example: 'champion' })
  alias!: string;

  @ApiProperty({ description: 'Revision the alias got by this move.', type: 'integer', example: 4 })
  revision!: number;

  @ApiProperty({
    description: 'Number of the version it pointed at before; null when it did not exist.',
    type: 'integer',
    nullable: true,
    example: 2,
  })
  fromVersion!: number | null;

  @ApiProperty({
    description: 'Number of the version it points at since; null when it was removed.',
    type: 'integer',
    nullable: true,
    example: 3,
  })
  toVersion!: number | null;

  @ApiProperty({ description: 'When.', format: 'date-time' })
  movedAt!: string;

  @ApiProperty({ description: 'Who.', example: 'ada' })
  movedBy!: string;

  @ApiProperty({ description: 'Why.', type: String, nullable: true })
  reason!: string | null;
}
