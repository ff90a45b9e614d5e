import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength } from 'class-validator';
import { TokenPricesDto } from './token-prices.dto.js';

export class ModelPriceQuery {
  @ApiPropertyOptional({ description: 'Only of this vendor.', example: 'anthropic' })
  @IsOptional()
  @IsString()
  @MaxLength(128)
  vendor?: string;
}

export class ModelPriceDto extends TokenPricesDto {
  @ApiProperty({
    description: 'Who sells it; `pricesFrom` of a model endpoint names it.',
    example: 'anthropic',
  })
  vendor!: string;

  @ApiProperty({ description: 'Model, as the vendor calls it.', example: 'claude-opus-5-5' })
  model!: string;

  @ApiProperty({ description: 'When the source was read.', format: 'date', example: '2026-11-22' })
  date!: string;

  @ApiProperty({ description: 'Where the prices were read.' })
  source!: string;
}

export class ModelPriceListDto {
  @ApiProperty({ description: 'Ordered by vendor and model.', type: [ModelPriceDto] })
  items!: ModelPriceDto[];
}
