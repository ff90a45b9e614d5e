import { costMicroUsd, type TokenPrices } from '#libs/core/cost/cost.js';
import { OUTPUT_LIMITS } from '../providers/canonical.js';

/** The most that a request may use, as far as it can be told before. */
export interface Demand {
  readonly promptTokens: number;
  /** Of all choices. */
  readonly outputTokens: number;
  readonly costMicroUsd: number;
  /** Of the prompt alone. */
  readonly promptCostMicroUsd: number;
}

/** Characters of European languages are some four bytes a token, those of Chinese three: more than will be used. */
const BYTES_PER_TOKEN = 3;
/** What an image costs where a model takes it in at full size; its bytes say nothing of it. */
const TOKENS_PER_INLINE_FILE = 1_500;
/** Where neither the request nor the chain limits the answer. */
const DEFAULT_OUTPUT_TOKENS = 1_024;

/** Whatever a request asks for. */
const MAX_TOKENS = 1e12;

const INLINE = ';base64,';
const QUOTE = 0x22;

/** Prompt tokens of a body, from its size: counting them takes the model's tokenizer. */
export function estimatePromptTokens(body: Buffer): number {
  let bytes = body.length;
  let files = 0;
  for (let at = body.indexOf(INLINE); at !== -1; at = body.indexOf(INLINE, at)) {
    const end = body.indexOf(QUOTE, at);
    if (end === -1) break;
    bytes -= end - at;
    files++;
    at = end;
  }
  return Math.ceil(bytes / BYTES_PER_TOKEN) + files * TOKENS_PER_INLINE_FILE;
}

type Fields = Readonly<Record<string, unknown>> | undefined;

/**
 * The longest that one choice may get, in tokens. Of the first that names it, in the order in which they win.
 * @param sources extraBody and parameters of the chain, and the fields of the request.
 */
export function maxOutputTokens(...sources: readonly Fields[]): number {
  for (const source of sources) {
    // The larger: some servers know one of the names only.
    const given = OUTPUT_LIMITS.flatMap((name) => countIn(source?.[name]) ?? []);
    if (given.length > 0) return Math.max(...given);
  }
  return DEFAULT_OUTPUT_TOKENS;
}

/** Servers that check types loosely, as vLLM does, take the text of a number for it. */
function countIn(value: unknown): number | undefined {
  const count = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof count === 'number' && count >= 0 ? count : undefined;
}

/** @param prices undefined where nothing is known of them: then it costs nothing. */
export function demandOf(
  body: Buffer,
  maxOutput: number,
  choices: number,
  prices: TokenPrices | undefined,
): Demand {
  const promptTokens = estimatePromptTokens(body);
  // Each by itself first: 0 times Infinity, which JSON can say as 1e999, is no number.
  const each = Math.min(MAX_TOKENS, maxOutput);
  const outputTokens = Math.min(MAX_TOKENS, Math.ceil(each * Math.min(MAX_TOKENS, choices)));
  return {
    promptTokens,
    outputTokens,
    ...costsOf(promptTokens, outputTokens, prices),
  };
}

export function costsOf(
  promptTokens: number,
  outputTokens: number,
  prices: TokenPrices | undefined,
): Pick<Demand, 'costMicroUsd' | 'promptCostMicroUsd'> {
  if (!prices) return { costMicroUsd: 0, promptCostMicroUsd: 0 };
  return {
    costMicroUsd: costMicroUsd(prices, promptTokens, outputTokens),
    promptCostMicroUsd: costMicroUsd(prices, promptTokens, 0),
  };
}
