import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import { MAX_PRICE } from '#libs/core/cost/price-list.js';
import { IfSent } from '../http/body-rules.js';

/** A price that, left out, is that of the other tokens of the prompt or the completion. */
function PartPrice(of: string, example: number): PropertyDecorator {
  return applyDecorators(
    ApiPropertyOptional({
      description: `Price of a million ${of}, in micro-USD. Left out or null: like the others.`,
      type: 'integer',
      minimum: 0,
      nullable: true,
      example,
    }),
    IsOptional(),
    IsInt(),
    Min(0),
    Max(MAX_PRICE),
  );
}

export class TokenPricesDto {
  @ApiProperty({
    description: 'Price of a million prompt tokens in micro-USD; 150000 is 0.15 USD.',
    default: 0,
    example: 150_000,
  })
  @IfSent()
  @IsInt()
  @Min(0)
  @Max(MAX_PRICE)
  inputMicroUsdPerMillionTokens: number = 0;

  @ApiProperty({
    description: 'Price of a million completion tokens in micro-USD; 600000 is 0.60 USD.',
    default: 0,
    example: 600_000,
  })
  @IfSent()
  @IsInt()
  @Min(0)
  @Max(MAX_PRICE)
  outputMicroUsdPerMillionTokens: number = 0;

  @PartPrice('prompt tokens read from the server’s cache', 15_000)
  cachedInputMicroUsdPerMillionTokens?: number | null;

  @PartPrice('prompt tokens written to the server’s cache', 187_500)
  cacheWriteInputMicroUsdPerMillionTokens?: number | null;

  @PartPrice('completion tokens the model thinks with', 600_000)
  reasoningMicroUsdPerMillionTokens?: number | null;
}
