import type { TokenParts } from './cost.js';

/** Tokens of an answer, each null where the server does not tell it. */
export interface TokenUsage extends TokenParts {
  /** All of the prompt. */
  readonly inputTokens: number | null;
  /** All of the completion, reasoning included. */
  readonly outputTokens: number | null;
}

type Fields = Readonly<Record<string, unknown>>;

export const NO_USAGE: TokenUsage = {
  inputTokens: null,
  outputTokens: null,
  cachedInputTokens: null,
  cacheWriteInputTokens: null,
  reasoningTokens: null,
};

/** Largest value of PostgreSQL's integer; a server that tells more tells nonsense. */
const MAX_INTEGER = 2_147_483_647;

/**
 * Reads `usage` of a chat completion. What servers put where, beside OpenAI's own names:
 * - tokens written to a cache have no name of OpenAI's; proxies write `cache_write_tokens` or `cache_creation_tokens`
 *   into the details, or Anthropic's `cache_creation_input_tokens` beside them;
 * - xAI and Gemini count reasoning beside `completion_tokens`, which OpenAI includes it in. The total tells which:
 *   https://github.com/vercel/ai/pull/12425, https://github.com/UKGovernmentBEIS/inspect_ai/issues/5528
 */
export function readUsage(value: unknown): TokenUsage {
  if (!isFields(value)) return NO_USAGE;
  const inputTokens = countOf(value['prompt_tokens']);
  const outputTokens = countOf(value['completion_tokens']);
  const prompt = value['prompt_tokens_details'];
  const completion = value['completion_tokens_details'];
  const reasoningTokens =
    (isFields(completion) ? countOf(completion['reasoning_tokens']) : null) ??
    countOf(value['reasoning_tokens']);
  return {
    inputTokens,
    outputTokens:
      reasoningTokens !== null && liesBeside(reasoningTokens, inputTokens, outputTokens, value)
        ? countOf(outputTokens! + reasoningTokens)
        : outputTokens,
    cachedInputTokens:
      (isFields(prompt) ? countOf(prompt['cached_tokens']) : null) ??
      countOf(value['cache_read_input_tokens']),
    cacheWriteInputTokens:
      (isFields(prompt)
        ? (countOf(prompt['cache_write_tokens']) ?? countOf(prompt['cache_creation_tokens']))
        : null) ?? countOf(value['cache_creation_input_tokens']),
    reasoningTokens,
  };
}

/** Whether reasoning is counted beside the completion and not in it. Without a total: where it does not fit in. */
function liesBeside(
  reasoning: number,
  input: number | null,
  output: number | null,
  { total_tokens }: Fields,
): boolean {
  if (reasoning === 0 || output === null) return false;
  const total = countOf(total_tokens);
  return total === null || input === null ? reasoning > output : total === input + output + reasoning;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function countOf(value: unknown): number | null {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_INTEGER
    ? (value as number)
    : null;
}
