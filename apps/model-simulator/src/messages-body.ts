import type { BodyContext } from './body.js';

/** The answer as one message, with the fields Anthropic's API sends. Half of a long prompt counts as cached. */
export function wholeMessage(context: BodyContext): string {
  const { request, answer, id } = context;
  const text = answer.tokens.join('');
  const block =
    request.tool === undefined
      ? { type: 'text', text, citations: null }
      : { type: 'tool_use', id: toolUseId(id), name: request.tool, input: parsed(text) };
  return JSON.stringify({
    id,
    type: 'message',
    role: 'assistant',
    model: request.model,
    content: [block],
    ...stop(context),
    usage: { ...promptUsage(context), output_tokens: answer.tokens.length, service_tier: 'standard' },
  });
}

/** As `streamFrames`, in Anthropic's events. */
export function messageFrames(context: BodyContext): (from: number, to: number) => string {
  const { request, answer, id } = context;
  const { tokens } = answer;
  const isCall = request.tool !== undefined;
  const message = {
    id,
    type: 'message',
    role: 'assistant',
    model: request.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { ...promptUsage(context), output_tokens: 1 },
  };
  const block = isCall
    ? { type: 'tool_use', id: toolUseId(id), name: request.tool, input: {} }
    : { type: 'text', text: '' };
  return (from, to) => {
    let text = '';
    if (from === 0) {
      text += event('message_start', { message });
      text += event('content_block_start', { index: 0, content_block: block });
      text += event('ping', {});
    }
    for (let index = from; index < to; index++) {
      const piece = tokens[index]!;
      const delta = isCall
        ? { type: 'input_json_delta', partial_json: piece }
        : { type: 'text_delta', text: piece };
      text += event('content_block_delta', { index: 0, delta });
    }
    if (to < tokens.length) return text;
    text += event('content_block_stop', { index: 0 });
    text += event('message_delta', { delta: stop(context), usage: { output_tokens: tokens.length } });
    return text + event('message_stop', {});
  };
}

function promptUsage({ answer: { promptTokens } }: BodyContext): object {
  const cached = promptTokens >= 1024 ? Math.floor(promptTokens / 2) : 0;
  return {
    input_tokens: promptTokens - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
  };
}

function stop({ request, answer }: BodyContext): object {
  const said = answer.isRefusal ? 'refusal' : 'end_turn';
  const reasons = { stop: request.tool === undefined ? said : 'tool_use', length: 'max_tokens' };
  return {
    stop_reason: answer.stopReason === null ? reasons[answer.finishReason] : 'stop_sequence',
    stop_sequence: answer.stopReason,
  };
}

function event(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

function toolUseId(id: string): string {
  return `toolu_${id}`;
}

/** Cut by the limit it may be no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
