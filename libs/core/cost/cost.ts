export interface TokenPrices {
  /** micro-USD per million prompt tokens; integer. 500 000 is 0.50 USD per million. */
  readonly inputMicroUsdPerMillionTokens: number;
  /** micro-USD per million completion tokens; integer. */
  readonly outputMicroUsdPerMillionTokens: number;
}

const MAX_EXACT = Number.MAX_SAFE_INTEGER - 500_000;

/**
 * Cost of one model call in micro-USD, rounded half up to a whole number.
 * BigInt where doubles would round: tokens × price passes 2^53 long before either does.
 */
export function costMicroUsd(prices: TokenPrices, inputTokens: number, outputTokens: number): number {
  const exact =
    inputTokens * prices.inputMicroUsdPerMillionTokens + outputTokens * prices.outputMicroUsdPerMillionTokens;
  if (exact < MAX_EXACT) return Math.floor((exact + 500_000) / 1_000_000);
  const scaled =
    BigInt(inputTokens) * BigInt(prices.inputMicroUsdPerMillionTokens) +
    BigInt(outputTokens) * BigInt(prices.outputMicroUsdPerMillionTokens);
  return Number((scaled + 500_000n) / 1_000_000n);
}
