import { ValidateBy } from 'class-validator';
import { pricesProblem } from '#libs/core/cost/price-list.js';

const MAX_MODELS = 100;

/** Accepts an object of model names and their token prices. */
export const IsModelPrices = (): PropertyDecorator =>
  ValidateBy({
    name: 'isModelPrices',
    validator: {
      validate: (value: unknown) => problemOf(value) === undefined,
      defaultMessage: (given) => problemOf(given?.value) ?? '',
    },
  });

function problemOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'must be an object of model names and their prices';
  const entries = Object.entries(value);
  if (entries.length > MAX_MODELS) return `must have at most ${MAX_MODELS} models`;
  for (const [model, prices] of entries) {
    const problem = pricesProblem(prices);
    if (problem !== undefined) return `the prices of "${model.slice(0, 256)}": ${problem}`;
  }
  return undefined;
}
