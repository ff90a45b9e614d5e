import type { TokenPrices } from '#libs/core/cost/cost.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { PriceListService } from '../model-prices/price-list.service.js';
import type { CreateModelEndpointDto } from './model-endpoint.dto.js';

/** The price columns of a row; prices are given as a whole, so that what is left out is not kept from before. */
export function priceColumns(given: Partial<TokenPrices>): Required<TokenPrices> {
  return {
    inputMicroUsdPerMillionTokens: given.inputMicroUsdPerMillionTokens ?? 0,
    outputMicroUsdPerMillionTokens: given.outputMicroUsdPerMillionTokens ?? 0,
    cachedInputMicroUsdPerMillionTokens: given.cachedInputMicroUsdPerMillionTokens ?? null,
    cacheWriteInputMicroUsdPerMillionTokens: given.cacheWriteInputMicroUsdPerMillionTokens ?? null,
    reasoningMicroUsdPerMillionTokens: given.reasoningMicroUsdPerMillionTokens ?? null,
  };
}

/**
 * Prices of single models: those given; with `pricesFrom` also those of the list, for the models not given; else the
 * ones there were. Copied, so that a price changes when somebody changes it, and not with a new version of the list.
 * @throws DomainError VALIDATION_FAILED: prices of a model that is not served, or a model that is not in the list.
 */
export function modelPricesOf(
  list: PriceListService,
  { modelPrices, pricesFrom }: Pick<CreateModelEndpointDto, 'modelPrices' | 'pricesFrom'>,
  models: readonly string[],
  before: Readonly<Record<string, TokenPrices>>,
): Record<string, TokenPrices> {
  const unserved = Object.keys(modelPrices ?? {}).find((model) => !models.includes(model));
  if (unserved !== undefined) {
    const message = `"${unserved}" is not one of the models; list it there, or leave out its prices`;
    throw new DomainError('VALIDATION_FAILED', `/modelPrices: ${message}.`, [
      { path: '/modelPrices', message },
    ]);
  }
  const own = modelPrices ?? (pricesFrom === undefined ? before : {});
  const priced = models.filter((model) => Object.hasOwn(own, model));
  const listed =
    pricesFrom === undefined
      ? {}
      : list.of(
          pricesFrom,
          models.filter((model) => !Object.hasOwn(own, model)),
        );
  return { ...listed, ...Object.fromEntries(priced.map((model) => [model, own[model]!])) };
}
