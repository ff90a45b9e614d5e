import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
} from 'class-validator';
import { IfSent } from '../http/body-rules.js';
import type { Lifecycle } from '../search/run-query.js';

const LIFECYCLES: readonly Lifecycle[] = ['active', 'deleted', 'all'];
const MAX_FILTER = 100_000;

export class SearchRunsDto {
  @ApiProperty({
    description: 'Experiments to search, by UUID or number.',
    type: [String],
    minItems: 1,
    maxItems: 1_000,
    example: ['0'],
  })
  @IsArray()
  @IsString({ each: true })
  @ArrayMinSize(1)
  @ArrayMaxSize(1_000)
  experimentIds!: string[];

  @ApiPropertyOptional({
    description:
      'Conditions on metrics, params, tags, attributes and datasets with AND, OR, NOT IN, LIKE, IS NULL and parentheses; keys with other characters than letters, digits and _ in backticks. All runs when absent.',
    maxLength: MAX_FILTER,
    example: "metrics.accuracy > 0.9 AND (params.temperature = '0.2' OR tags.team = 'support')",
  })
  @IfSent()
  @IsString()
  @MaxLength(MAX_FILTER)
  filter?: string;

  @ApiPropertyOptional({
    description:
      'Fields to order by, each with ASC or DESC; then by start, latest first. NaN and missing come last.',
    type: [String],
    maxItems: 20,
    example: ['metrics.accuracy DESC'],
  })
  @IfSent()
  @IsArray()
  @IsString({ each: true })
  @MaxLength(1_000, { each: true })
  @ArrayMaxSize(20)
  orderBy?: string[];

  @ApiPropertyOptional({ description: 'Which runs.', enum: LIFECYCLES, default: 'active' })
  @IfSent()
  @IsIn(LIFECYCLES)
  lifecycle: Lifecycle = 'active';

  @ApiPropertyOptional({
    description: 'Most runs of the page.',
    type: 'integer',
    minimum: 1,
    maximum: 1_000,
    default: 100,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(1_000)
  limit: number = 100;

  @ApiPropertyOptional({
    description: '`nextCursor` of the page before; the rest of the query must stay the same. Opaque.',
    type: String,
    nullable: true,
    maxLength: 100_000,
    example: null,
  })
  @IsOptional()
  @IsString()
  @MaxLength(100_000)
  cursor?: string | null;
}
