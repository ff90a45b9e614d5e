import type { ChatRequest } from '../chat/chat-request.js';
import { countOf, isFields, listOf, textOf, type Fields } from '../providers/canonical.js';

/** What a response says of the request it answers. */
export function echoOf({ fields }: ChatRequest): Fields {
  return {
    object: 'response',
    error: null,
    instructions: null,
    metadata: isFields(fields['metadata']) ? fields['metadata'] : {},
    parallel_tool_calls: fields['parallel_tool_calls'] ?? true,
    temperature: fields['temperature'] ?? null,
    tool_choice: fields['tool_choice'] ?? 'auto',
    tools: listOf(fields['tools']).map(({ type, function: described, ...rest }) =>
      isFields(described) ? { type, ...described } : { type, ...rest },
    ),
    top_p: fields['top_p'] ?? null,
    max_output_tokens: fields['max_completion_tokens'] ?? null,
    previous_response_id: null,
    store: false,
  };
}

export function responseId(id: unknown): string {
  return `resp_${idOf(id)}`;
}

/** The part of an id after what tells its kind. */
export function idOf(id: unknown): string {
  return (textOf(id) ?? '').replace(/^(chatcmpl-|msg_)/, '');
}

/** The response a chat completion is worth: its first choice. */
export function responseOf(completion: Fields, request: ChatRequest): Fields {
  const choice = listOf(completion['choices'])[0] ?? {};
  const message = isFields(choice['message']) ? choice['message'] : {};
  const id = idOf(completion['id']);
  const output: Fields[] = [];
  const thought = textOf(message['reasoning_content']) ?? textOf(message['reasoning']);
  if (thought) output.push(reasoningItem(`rs_${id}`, thought));
  const text = textOf(message['content']);
  if (text) output.push(messageItem(`msg_${id}`, text, logprobsOf(choice['logprobs'])));
  for (const call of listOf(message['tool_calls'])) {
    const called = isFields(call['function']) ? call['function'] : {};
    output.push(callItem(call['id'], called['name'], textOf(called['arguments']) ?? ''));
  }
  return {
    ...echoOf(request),
    id: responseId(completion['id']),
    created_at: completion['created'],
    model: completion['model'],
    output,
    ...endOf(choice['finish_reason']),
    usage: usageOf(completion['usage']),
  };
}

/** How a response ended. */
export function endOf(finishReason: unknown): Fields {
  const reason =
    finishReason === 'length'
      ? 'max_output_tokens'
      : finishReason === 'content_filter'
        ? 'content_filter'
        : undefined;
  return reason === undefined
    ? { status: 'completed', incomplete_details: null }
    : { status: 'incomplete', incomplete_details: { reason } };
}

export function messageItem(id: string, text: string, logprobs: unknown[]): Fields {
  const part = { type: 'output_text', text, annotations: [], logprobs };
  return { id, type: 'message', role: 'assistant', status: 'completed', content: [part] };
}

export function reasoningItem(id: string, text: string): Fields {
  return { id, type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text }] };
}

export function callItem(callId: unknown, name: unknown, given: string, status = 'completed'): Fields {
  return {
    id: `fc_${String(callId)}`,
    type: 'function_call',
    status,
    call_id: callId,
    name,
    arguments: given,
  };
}

/** Of a choice or a delta, token by token. */
export function logprobsOf(logprobs: unknown): Fields[] {
  return isFields(logprobs) ? listOf(logprobs['content']) : [];
}

export function usageOf(usage: unknown): Fields | null {
  if (!isFields(usage)) return null;
  const prompt = isFields(usage['prompt_tokens_details']) ? usage['prompt_tokens_details'] : {};
  const completion = isFields(usage['completion_tokens_details']) ? usage['completion_tokens_details'] : {};
  const input = countOf(usage['prompt_tokens']);
  const output = countOf(usage['completion_tokens']);
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: countOf(prompt['cached_tokens']),
      cache_write_tokens: countOf(prompt['cache_creation_tokens'] ?? prompt['cache_write_tokens']),
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: countOf(completion['reasoning_tokens']) },
    total_tokens: input + output,
  };
}
