import { SimulatorError } from './errors.js';
import { message, positive, type ChatMessage, type Constraint, type GenerationRequest } from './request.js';

type Body = Record<string, unknown>;

/** What the API takes; it refuses a request that holds anything else. */
const KNOWN: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'max_tokens',
  'system',
  'stream',
  'stop_sequences',
  'temperature',
  'top_p',
  'top_k',
  'tools',
  'tool_choice',
  'metadata',
  'thinking',
  'output_config',
  'service_tier',
  'container',
  'cache_control',
  'inference_geo',
]);

/** Gone since version 2026-10-21. https://platform.claude.com/docs/en/api/versioning */
const REMOVED = ['temperature', 'top_p', 'top_k'];

/**
 * Reads a body of Anthropic's `/v1/messages`.
 * @param version header `anthropic-version`.
 * @throws SimulatorError 400 as the API would.
 */
export function parseMessagesRequest(body: Body, version: string): GenerationRequest {
  if (version >= '2026-10-21')
    for (const name of REMOVED)
      if (body[name] !== undefined) throw refuse(`${name}: removed in this version`);
  for (const name in body) if (!KNOWN.has(name)) throw refuse(`${name}: Extra inputs are not permitted`);
  const { model, messages, stream, system, stop_sequences: stop } = body;
  if (typeof model !== 'string') throw refuse('model: Field required');
  const maxTokens = positive(body, 'max_tokens');
  if (maxTokens === undefined) throw refuse('max_tokens: Field required');
  if (!Array.isArray(messages) || messages.length === 0)
    throw refuse('messages: at least one message is required');
  if (typeof body['temperature'] === 'number' && body['temperature'] > 1)
    throw refuse('temperature: range: 0..1');
  const called = calledTool(body);
  return {
    model,
    messages: [...systemMessage(system), ...messages.map(checkedMessage)],
    stream: stream === true,
    includeUsage: true,
    continuousUsage: false,
    maxTokens,
    minTokens: 0,
    ignoreEos: false,
    stop: Array.isArray(stop) ? stop.map(String) : [],
    seed: undefined,
    constraint: called ? { kind: 'schema', schema: called['input_schema'] } : constraint(body),
    ...(called && { tool: String(called['name']) }),
  };
}

function systemMessage(system: unknown): ChatMessage[] {
  return system === undefined ? [] : [message({ role: 'system', content: system }, 0)];
}

function checkedMessage(given: unknown, index: number): ChatMessage {
  const { role, content } = (given ?? {}) as Body;
  if (role !== 'user' && role !== 'assistant')
    throw refuse(`messages.${index}.role: Input should be 'user' or 'assistant'`);
  if (typeof content !== 'string' && !Array.isArray(content))
    throw refuse(`messages.${index}.content: Field required`);
  for (const [at, block] of (typeof content === 'string' ? [] : (content as Body[])).entries()) {
    if (typeof block?.['type'] !== 'string')
      throw refuse(`messages.${index}.content.${at}: Input should be an object`);
    if (block['type'] === 'text' && block['text'] === '')
      throw refuse(`messages.${index}: text content blocks must be non-empty`);
  }
  return message(given, index);
}

/** The tool a request insists on; left to itself the simulator calls none. */
function calledTool({ tools, tool_choice: choice }: Body): Body | undefined {
  const { type, name } = (choice ?? {}) as Body;
  const known = Array.isArray(tools) ? (tools as Body[]) : [];
  if (type === 'any') return known[0];
  return type === 'tool' ? known.find((tool) => tool['name'] === name) : undefined;
}

function constraint(body: Body): Constraint {
  const format = ((body['output_config'] ?? {}) as Body)['format'] as Body | undefined | null;
  return format ? { kind: 'schema', schema: format['schema'] } : { kind: 'none' };
}

function refuse(text: string): SimulatorError {
  return new SimulatorError(400, 'invalid_request_error', text);
}
