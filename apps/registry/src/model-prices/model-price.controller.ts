import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../http/errors.doc.js';
import { ModelPriceListDto, ModelPriceQuery } from './model-price.dto.js';
import { PriceListService } from './price-list.service.js';

@ApiTags('model endpoints')
@Controller('api/v1/model-prices')
export class ModelPriceController {
  constructor(private readonly prices: PriceListService) {}

  @Get()
  @ApiOperation({
    summary: 'List what vendors ask for their models',
    description:
      'The list that ships with this version, each entry with the day and the place it was read, and over it the file that CATENA_PRICE_FILE names. A model endpoint takes prices from it with `pricesFrom`.',
  })
  @ApiOkResponse({ description: 'The prices.', type: ModelPriceListDto })
  @ApiErrors('VALIDATION_FAILED')
  list(@Query() query: ModelPriceQuery): ModelPriceListDto {
    return { items: this.prices.list(query.vendor) };
  }
}
