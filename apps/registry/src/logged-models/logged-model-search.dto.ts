import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsOptional,
  IsString,
  Length,
  MaxLength,
  ValidateNested,
} from 'class-validator';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';

const MAX_EXPERIMENTS = 100;

export class DatasetRefDto {
  @ApiProperty({ description: 'Name of the dataset.', example: 'tickets' })
  @IsString()
  @Length(1, 500)
  name!: string;

  @ApiPropertyOptional({ description: 'Its digest. Absent: all of that name.', example: 'a1b2c3d4' })
  @IfSent()
  @IsString()
  @MaxLength(500)
  digest?: string;
}

export class SearchLoggedModelsDto extends PageQuery {
  @ApiProperty({
    description: 'UUIDs of the experiments to search.',
    type: [String],
    maxItems: MAX_EXPERIMENTS,
    example: ['019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c'],
  })
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_EXPERIMENTS)
  @IsString({ each: true })
  experimentIds!: string[];

  @ApiPropertyOptional({
    description:
      'Conditions on `name`, `model_type`, `status`, `creation_timestamp`, `metrics.…`, `params.…`, `tags.…`, with AND, OR and parentheses.',
    example: `metrics.accuracy > 0.9 AND params.max_depth = '4'`,
  })
  @IsOptional()
  @IsString()
  filter?: string;

  @ApiPropertyOptional({
    description:
      'Only metrics computed on one of these count; without a metric in the filter, only models that have any.',
    type: [DatasetRefDto],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => DatasetRefDto)
  datasets?: DatasetRefDto[];

  @ApiPropertyOptional({
    description: 'What to order by; newest first behind all.',
    type: [String],
    example: ['metrics.accuracy DESC'],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(20)
  @IsString({ each: true })
  orderBy?: string[];
}
