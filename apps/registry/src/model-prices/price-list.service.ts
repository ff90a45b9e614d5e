import { readFileSync } from 'node:fs';
import { Inject, Injectable } from '@nestjs/common';
import type { TokenPrices } from '#libs/core/cost/cost.js';
import {
  mergePriceLists,
  readPriceList,
  SHIPPED_PRICES,
  type ListedPrices,
} from '#libs/core/cost/price-list.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';

/** What vendors ask: the list that ships with this version, and over it the operator's own file, read once. */
@Injectable()
export class PriceListService {
  private readonly prices: readonly ListedPrices[];

  /** @throws Error where the operator's file cannot be read, or holds what is no list of prices. */
  constructor(@Inject(SETTINGS_TOKEN) { CATENA_PRICE_FILE: file }: Settings) {
    this.prices = mergePriceLists(SHIPPED_PRICES, file === undefined ? [] : readOwn(file));
  }

  /** Ordered by vendor and model. */
  list(vendor: string | undefined): ListedPrices[] {
    return this.prices.filter((entry) => vendor === undefined || entry.vendor === vendor);
  }

  /**
   * The prices of models, by name.
   * @throws DomainError VALIDATION_FAILED: the vendor is not listed, or does not have one of the models.
   */
  of(vendor: string, models: readonly string[]): Record<string, TokenPrices> {
    const listed = new Map(this.list(vendor).map((entry) => [entry.model, entry]));
    const missing = models.filter((model) => !listed.has(model));
    if (missing.length > 0) {
      const problem =
        listed.size === 0
          ? `there is no vendor "${vendor}" in the list of prices; GET /api/v1/model-prices shows it`
          : `the list of prices of "${vendor}" does not have "${missing[0]}"; give its prices in modelPrices`;
      throw new DomainError('VALIDATION_FAILED', `/pricesFrom: ${problem}.`, [
        { path: '/pricesFrom', message: problem },
      ]);
    }
    return Object.fromEntries(
      models.map((model) => {
        const {
          vendor: _vendor,
          model: _model,
          date: _date,
          source: _source,
          ...prices
        } = listed.get(model)!;
        return [model, prices];
      }),
    );
  }
}

function readOwn(file: string): ListedPrices[] {
  try {
    return readPriceList(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new Error(`CATENA_PRICE_FILE: ${file} is no list of prices.`, { cause: error });
  }
}
