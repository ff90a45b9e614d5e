import type { Answer } from './answer.js';
import { embeddingsBody } from './embeddings.js';
import { messageFrames, wholeMessage } from './messages-body.js';
import type { GenerationRequest } from './request.js';

/** Which protocol the request came in by: OpenAI's chat completions, completions or embeddings, or Anthropic's messages. */
export type Protocol = 'chat' | 'text' | 'messages' | 'embeddings';

/** What an answer is written from. */
export interface BodyContext {
  readonly protocol: Protocol;
  readonly request: Pick<GenerationRequest, 'model' | 'includeUsage' | 'continuousUsage' | 'tool'>;
  readonly answer: Pick<
    Answer,
    'promptTokens' | 'tokens' | 'finishReason' | 'stopReason' | 'isRefusal' | 'embeddings'
  >;
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
}

function usage(promptTokens: number, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    prompt_tokens_details: null,
  };
}

/** The answer as one JSON object, with the fields vLLM sends. */
export function wholeBody(context: BodyContext): string {
  if (context.protocol === 'messages') return wholeMessage(context);
  const { protocol, request, answer, id, created } = context;
  if (protocol === 'embeddings') return embeddingsBody(id, created, request.model, answer);
  const text = answer.tokens.join('');
  const ending = { logprobs: null, finish_reason: finishReason(context), stop_reason: answer.stopReason };
  const message = {
    role: 'assistant',
    content: request.tool === undefined && !answer.isRefusal ? text : null,
    refusal: answer.isRefusal ? text : null,
    annotations: null,
    tool_calls:
      request.tool === undefined
        ? []
        : [{ id: toolCallId(id), type: 'function', function: { name: request.tool, arguments: text } }],
    reasoning: null,
  };
  return JSON.stringify({
    id,
    object: protocol === 'chat' ? 'chat.completion' : 'text_completion',
    created,
    model: request.model,
    choices: [protocol === 'chat' ? { index: 0, message, ...ending } : { index: 0, text, ...ending }],
    service_tier: null,
    system_fingerprint: null,
    usage: usage(answer.promptTokens, answer.tokens.length),
    prompt_logprobs: null,
    kv_transfer_params: null,
  });
}

function finishReason({ request, answer }: BodyContext): string {
  return request.tool !== undefined && answer.finishReason === 'stop' ? 'tool_calls' : answer.finishReason;
}

function toolCallId(id: string): string {
  return `call_${id}`;
}

/**
 * The answer as server-sent events.
 * @returns the frames of tokens `from` (inclusive) to `to` (exclusive); with those before the first token and
 *   after the last.
 */
export function streamFrames(context: BodyContext): (from: number, to: number) => string {
  if (context.protocol === 'messages') return messageFrames(context);
  const { protocol, request, answer, id, created } = context;
  const { tokens } = answer;
  const isChat = protocol === 'chat';
  const object = isChat ? 'chat.completion.chunk' : 'text_completion';
  const head = `data: ${JSON.stringify({ id, object, created, model: request.model }).slice(0, -1)}`;
  const frame = (choice: string, count: number) => {
    const counted = request.continuousUsage
      ? `,"usage":${JSON.stringify(usage(answer.promptTokens, count))}`
      : '';
    return `${head},"choices":[{"index":0,${choice}}]${counted}}\n\n`;
  };
  const content = (text: string) => {
    if (!isChat) return `"text":${JSON.stringify(text)}`;
    if (request.tool === undefined)
      return `"delta":{"${answer.isRefusal ? 'refusal' : 'content'}":${JSON.stringify(text)}}`;
    return `"delta":{"tool_calls":[{"index":0,"function":{"arguments":${JSON.stringify(text)}}}]}`;
  };
  const call = {
    index: 0,
    id: toolCallId(id),
    type: 'function',
    function: { name: request.tool, arguments: '' },
  };
  const opening =
    request.tool === undefined
      ? '"delta":{"role":"assistant","content":""}'
      : `"delta":{"role":"assistant","content":null,"tool_calls":${JSON.stringify([call])}}`;
  const open = '"logprobs":null,"finish_reason":null';
  const closed = `"logprobs":null,"finish_reason":"${finishReason(context)}","stop_reason":${JSON.stringify(answer.stopReason)}`;
  return (from, to) => {
    let text = from === 0 && isChat ? frame(`${opening},${open}`, 0) : '';
    for (let index = from; index < to; index++)
      text += frame(`${content(tokens[index]!)},${open}`, index + 1);
    if (to < tokens.length) return text;
    text += frame(`${content('')},${closed}`, tokens.length);
    if (request.includeUsage)
      text += `${head},"choices":[],"usage":${JSON.stringify(usage(answer.promptTokens, tokens.length))}}\n\n`;
    return `${text}data: [DONE]\n\n`;
  };
}
