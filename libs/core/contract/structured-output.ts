import type { Protocol } from '../content/protocol.js';

/**
 * How a model endpoint is asked for JSON by a schema: in the field of its protocol (`response_format` of OpenAI's, as
 * vLLM, SGLang, llama.cpp and Ollama take it too; `output_config` of Anthropic's), in vLLM's own `structured_outputs`,
 * as any JSON with the schema in words, or in words alone.
 */
export const STRUCTURED_OUTPUTS = ['response_format', 'structured_outputs', 'json_object', 'prompt'] as const;

export type StructuredOutput = (typeof STRUCTURED_OUTPUTS)[number];

export const DEFAULT_STRUCTURED_OUTPUT: StructuredOutput = 'response_format';

/** What servers of a protocol can know. */
const BY_PROTOCOL: Readonly<Record<Protocol, readonly StructuredOutput[]>> = {
  openai: STRUCTURED_OUTPUTS,
  'azure-openai': ['response_format', 'json_object', 'prompt'],
  anthropic: ['response_format', 'prompt'],
};

/** Why servers of a protocol cannot be asked that way; undefined where they can. */
export function structuredOutputProblem(protocol: Protocol, given: StructuredOutput): string | undefined {
  const known = BY_PROTOCOL[protocol];
  if (known.includes(given)) return undefined;
  return `"${given}" is not known to model endpoints that speak ${protocol}; use one of ${known.join(', ')}`;
}
