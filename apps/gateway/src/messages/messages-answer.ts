import { countOf, isFields, listOf, textOf, toolInputOf, type Fields } from '../providers/canonical.js';

const STOP_REASONS: Readonly<Record<string, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
};

/** Why a choice ended, in Anthropic's words, and the stop text that was met, where the server tells it. */
export function stopOf({ finish_reason: reason, stop_reason: met }: Fields): Fields {
  const said = typeof reason === 'string' ? reason : 'stop';
  if (said === 'stop' && typeof met === 'string')
    return { stop_reason: 'stop_sequence', stop_sequence: met, stop_details: null };
  return {
    stop_reason: Object.hasOwn(STOP_REASONS, said) ? STOP_REASONS[said] : said,
    stop_sequence: null,
    stop_details: null,
  };
}

/** OpenAI counts cached tokens inside `prompt_tokens`, Anthropic beside `input_tokens`. */
export function usageOf(usage: unknown): Fields {
  const given = isFields(usage) ? usage : {};
  const details = isFields(given['prompt_tokens_details']) ? given['prompt_tokens_details'] : {};
  const read = countOf(details['cached_tokens']);
  const written = countOf(details['cache_creation_tokens']);
  const thought = isFields(given['completion_tokens_details'])
    ? given['completion_tokens_details']['reasoning_tokens']
    : undefined;
  return {
    input_tokens: Math.max(0, countOf(given['prompt_tokens']) - read - written),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: read,
    output_tokens: countOf(given['completion_tokens']),
    ...(typeof thought === 'number' && { output_tokens_details: { thinking_tokens: countOf(thought) } }),
  };
}

/** Who called a tool: the model itself. */
export const DIRECT = { type: 'direct' };

/** Ids of messages begin with `msg_` here. */
export function messageId(id: unknown): string {
  const text = textOf(id) ?? '';
  return text.startsWith('msg_') ? text : `msg_${text.replace(/^chatcmpl-/, '')}`;
}

/** The message a chat completion is worth: its first choice. */
export function messageOf(completion: Fields): Fields {
  const choice = listOf(completion['choices'])[0] ?? {};
  return {
    id: messageId(completion['id']),
    type: 'message',
    role: 'assistant',
    model: completion['model'],
    content: contentOf(isFields(choice['message']) ? choice['message'] : {}),
    ...stopOf(choice),
    container: null,
    usage: usageOf(completion['usage']),
  };
}

function contentOf(message: Fields): Fields[] {
  let blocks = listOf(message['thinking_blocks']);
  const thought = reasoningOf(message);
  if (blocks.length === 0 && thought) blocks.push({ type: 'thinking', thinking: thought, signature: '' });
  blocks = blocks.concat(listOf(message['content_blocks']));
  const text = textOf(message['content']) ?? textOf(message['refusal']);
  if (text) blocks.push({ type: 'text', text, citations: null });
  for (const call of listOf(message['tool_calls'])) {
    const called = isFields(call['function']) ? call['function'] : {};
    blocks.push({
      type: 'tool_use',
      id: call['id'],
      name: called['name'],
      input: toolInputOf(called['arguments']),
      caller: DIRECT,
    });
  }
  return blocks;
}

/** vLLM renamed it. */
export function reasoningOf(message: Fields): string | undefined {
  return textOf(message['reasoning_content']) ?? textOf(message['reasoning']);
}
