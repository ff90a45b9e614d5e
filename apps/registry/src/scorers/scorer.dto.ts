import { ApiProperty } from '@nestjs/swagger';
import { IsString, Length, Matches, MaxLength } from 'class-validator';
import type { ScorerVersion } from './scorer.service.js';

const EXPERIMENT = {
  description: 'Number of its experiment, or the id.',
  type: String,
  example: '0',
} as const;
const IS_EXPERIMENT = { message: 'must be the UUID of an experiment or its number' };
const DEFINITION = { name: 'is_short', builtin_scorer_class: 'Guidelines' };

export class ScorerQuery {
  @ApiProperty(EXPERIMENT)
  @IsString()
  @Matches(/^([0-9]{1,10}|[0-9a-fA-F-]{36})$/, IS_EXPERIMENT)
  experimentId!: string;
}

export class RegisterScorerDto {
  @ApiProperty(EXPERIMENT)
  @IsString()
  @Matches(/^([0-9]{1,10}|[0-9a-fA-F-]{36})$/, IS_EXPERIMENT)
  experimentId!: string;

  @ApiProperty({ description: 'Its name, unique in the experiment.', maxLength: 250, example: 'is_short' })
  @IsString()
  @Length(1, 250)
  name!: string;

  @ApiProperty({
    description: 'What it does, as JSON text; only its client knows how to read it.',
    maxLength: 1_000_000,
    example: JSON.stringify(DEFINITION),
  })
  @IsString()
  @MaxLength(1_000_000)
  definition!: string;
}

export class ScorerVersionDto {
  @ApiProperty({ description: 'Id of the scorer, a UUIDv7, the same for all its versions.', format: 'uuid' })
  scorerId!: string;

  @ApiProperty({ description: 'Number of its experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty({ description: 'Its name.', example: 'is_short' })
  name!: string;

  @ApiProperty({ description: 'Number of this version, from 1.', type: 'integer', example: 1 })
  version!: number;

  @ApiProperty({ description: 'What it does, as it was registered.', example: JSON.stringify(DEFINITION) })
  definition!: string;

  @ApiProperty({ description: 'When this version was registered.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who registered it.', example: 'ada' })
  createdBy!: string;
}

export class ScorerVersionsDto {
  @ApiProperty({ description: 'The versions.', type: [ScorerVersionDto] })
  items!: ScorerVersionDto[];
}

export function scorerDto({ number, createdAt, ...scorer }: ScorerVersion): ScorerVersionDto {
  return { ...scorer, version: number, createdAt: createdAt.toISOString() };
}
