/** Prices in micro-USD per million tokens, integers: 500 000 is 0.50 USD per million. */
export interface TokenPrices {
  readonly inputMicroUsdPerMillionTokens: number;
  readonly outputMicroUsdPerMillionTokens: number;
  /** Of prompt tokens read from the server's cache. Not set: as other prompt tokens. */
  readonly cachedInputMicroUsdPerMillionTokens?: number | null;
  /** Of prompt tokens written to the server's cache. Not set: as other prompt tokens. */
  readonly cacheWriteInputMicroUsdPerMillionTokens?: number | null;
  /** Of the tokens a model thinks with. Not set: as other completion tokens. */
  readonly reasoningMicroUsdPerMillionTokens?: number | null;
}

/** Prices of a model endpoint: those of all its models, but for the models that have their own. */
export interface ModelPrices extends TokenPrices {
  /** Undefined where no model has its own. */
  readonly byModel: ReadonlyMap<string, TokenPrices> | undefined;
}

/** Tokens that have a price of their own. They are contained in the prompt tokens and the completion tokens, never beside them. */
export interface TokenParts {
  readonly cachedInputTokens: number | null;
  readonly cacheWriteInputTokens: number | null;
  readonly reasoningTokens: number | null;
}

const NO_PARTS: TokenParts = {
  cachedInputTokens: null,
  cacheWriteInputTokens: null,
  reasoningTokens: null,
};
const MAX_EXACT = Number.MAX_SAFE_INTEGER - 500_000;

export function pricesOf(prices: ModelPrices, model: string): TokenPrices {
  return prices.byModel?.get(model) ?? prices;
}

/**
 * Cost of one model call in micro-USD, rounded half up to a whole number. Every token is paid once: a part that a
 * server reports larger than its whole is taken for all of it.
 * BigInt where doubles would round: tokens × price passes 2^53 long before either does.
 * @param inputTokens all of the prompt, cached ones included.
 * @param outputTokens all of the completion, thinking included.
 */
export function costMicroUsd(
  prices: TokenPrices,
  inputTokens: number,
  outputTokens: number,
  parts: TokenParts = NO_PARTS,
): number {
  const input = prices.inputMicroUsdPerMillionTokens;
  const output = prices.outputMicroUsdPerMillionTokens;
  const cachedInput = prices.cachedInputMicroUsdPerMillionTokens ?? input;
  const cacheWrite = prices.cacheWriteInputMicroUsdPerMillionTokens ?? input;
  const reasoning = prices.reasoningMicroUsdPerMillionTokens ?? output;
  const cached = partOf(inputTokens, parts.cachedInputTokens);
  const written = partOf(inputTokens - cached, parts.cacheWriteInputTokens);
  const thought = partOf(outputTokens, parts.reasoningTokens);
  const fresh = inputTokens - cached - written;
  const said = outputTokens - thought;
  const exact =
    fresh * input + cached * cachedInput + written * cacheWrite + said * output + thought * reasoning;
  if (exact < MAX_EXACT) return Math.floor((exact + 500_000) / 1_000_000);
  const scaled =
    BigInt(fresh) * BigInt(input) +
    BigInt(cached) * BigInt(cachedInput) +
    BigInt(written) * BigInt(cacheWrite) +
    BigInt(said) * BigInt(output) +
    BigInt(thought) * BigInt(reasoning);
  return Number((scaled + 500_000n) / 1_000_000n);
}

function partOf(whole: number, part: number | null): number {
  return part === null ? 0 : Math.min(whole, part);
}
