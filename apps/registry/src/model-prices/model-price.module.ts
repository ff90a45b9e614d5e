import { Module } from '@nestjs/common';
import { ModelPriceController } from './model-price.controller.js';
import { PriceListService } from './price-list.service.js';

@Module({ controllers: [ModelPriceController], providers: [PriceListService], exports: [PriceListService] })
export class ModelPriceModule {}
