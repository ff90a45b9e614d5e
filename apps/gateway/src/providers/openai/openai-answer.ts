import { readUsage, type TokenUsage } from '#libs/core/cost/usage.js';
import { nestsTooDeeply } from '#libs/core/nesting/nesting.js';

/** What an inference row keeps of an answer. */
export interface AnswerFacts extends TokenUsage {
  readonly finishReason: string | null;
  /** As they came. */
  readonly choices: readonly Fields[];
}

type Fields = Record<string, unknown>;

/**
 * The JSON of an answer's bytes.
 * @returns undefined where they are none, or nest too deeply to be worked with.
 */
export function parseAnswer(body: Buffer): unknown {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return nestsTooDeeply(parsed, body.length) ? undefined : parsed;
  } catch {
    return undefined;
  }
}

/**
 * Reads a chat completion.
 * @returns undefined for anything that is no JSON object with at least one choice and no error.
 */
export function readAnswer(parsed: unknown): AnswerFacts | undefined {
  if (!isFields(parsed) || !Array.isArray(parsed['choices']) || carriesError(parsed)) return undefined;
  const choices = (parsed['choices'] as unknown[]).filter(isFields);
  return choices.length === 0 ? undefined : factsOf(choices, parsed['usage']);
}

/** What a row keeps of choices, as far as they came, and of the usage told. */
export function factsOf(choices: readonly Fields[], reportedUsage: unknown): AnswerFacts {
  const usage = readUsage(reportedUsage);
  return {
    finishReason: textOf(choices[0]?.['finish_reason']),
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    cachedInputTokens: usage.cachedInputTokens,
    cacheWriteInputTokens: usage.cacheWriteInputTokens,
    reasoningTokens: usage.reasoningTokens,
    choices,
  };
}

/** Whether a server put an error into what should be an answer. */
export function carriesError(answer: Fields): boolean {
  return answer['error'] !== undefined && answer['error'] !== null;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
