import { countOf, isFields, listOf, textOf, type Fields } from '../canonical.js';

const FINISH_REASONS: Readonly<Record<string, string>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
};

/** Why a generation ended, in OpenAI's words; a reason that is not known here stays as it is. */
export function finishReasonOf(stopReason: unknown): string | null {
  if (typeof stopReason !== 'string') return null;
  return Object.hasOwn(FINISH_REASONS, stopReason) ? FINISH_REASONS[stopReason]! : stopReason;
}

/** Anthropic counts cached tokens beside `input_tokens`, OpenAI inside `prompt_tokens`. */
export function usageOf(usage: Fields): Fields {
  const read = countOf(usage['cache_read_input_tokens']);
  const written = countOf(usage['cache_creation_input_tokens']);
  const prompt = countOf(usage['input_tokens']) + read + written;
  const completion = countOf(usage['output_tokens']);
  const details = usage['output_tokens_details'];
  const thinking = isFields(details) ? details['thinking_tokens'] : undefined;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: read, cache_creation_tokens: written },
    ...(thinking !== undefined && { completion_tokens_details: { reasoning_tokens: countOf(thinking) } }),
  };
}

/** A tool call; its arguments are text there. */
export function toolCallOf({ id, name, input }: Fields): Fields {
  return { id, type: 'function', function: { name, arguments: JSON.stringify(input ?? {}) } };
}

/** Whether a block is the model's thinking, which must come back with the conversation as it was signed. */
export function isThinking({ type }: Fields): boolean {
  return type === 'thinking' || type === 'redacted_thinking';
}

/** The chat completion a message is worth. @returns undefined for what is no message. */
export function completionOf(answer: unknown, createdS: number): Fields | undefined {
  if (!isFields(answer)) return undefined;
  // An error with status 200: left as it is, for it to be read as one.
  if (answer['type'] === 'error') return answer;
  if (answer['type'] !== 'message' || !Array.isArray(answer['content'])) return undefined;
  const blocks = listOf(answer['content']);
  const texts = blocks.filter((block) => block['type'] === 'text');
  const thoughts = blocks.filter(isThinking);
  const calls = blocks.filter((block) => block['type'] === 'tool_use');
  const others = blocks.filter(
    (block) => block['type'] !== 'text' && block['type'] !== 'tool_use' && !isThinking(block),
  );
  const reasoning = thoughts.map((block) => textOf(block['thinking']) ?? '').join('');
  const message = {
    role: 'assistant',
    content: texts.length === 0 ? null : texts.map((block) => textOf(block['text']) ?? '').join(''),
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(thoughts.length > 0 && { thinking_blocks: thoughts }),
    ...(others.length > 0 && { content_blocks: others }),
    ...(calls.length > 0 && { tool_calls: calls.map(toolCallOf) }),
  };
  const choice = {
    index: 0,
    message,
    logprobs: null,
    finish_reason: finishReasonOf(answer['stop_reason']),
    // As vLLM names the stop text that was met.
    stop_reason: answer['stop_sequence'] ?? null,
  };
  return {
    id: answer['id'],
    object: 'chat.completion',
    created: createdS,
    model: answer['model'],
    choices: [choice],
    usage: isFields(answer['usage']) ? usageOf(answer['usage']) : null,
  };
}
