import type { EmbeddingsAsked } from './embeddings.js';
import { SimulatorError } from './errors.js';

export interface ChatMessage {
  readonly role: string;
  /** Text parts joined; images and audio count for nothing. */
  readonly text: string;
}

/** How the answer is constrained while decoding, as by vLLM's structured outputs. */
export type Constraint =
  | { readonly kind: 'none' }
  | { readonly kind: 'json' }
  | { readonly kind: 'schema'; readonly schema: unknown }
  | { readonly kind: 'choice'; readonly choices: readonly string[] };

export interface GenerationRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stop: readonly string[];
  readonly seed: number | undefined;
  readonly constraint: Constraint;
  /** Name of the function that is called instead of an answer in words. */
  readonly tool?: string;
  /** Where vectors are asked for, and no words. */
  readonly embeddings?: EmbeddingsAsked;
}

type Body = Record<string, unknown>;

/** Reads a body of `/v1/chat/completions`. @throws SimulatorError 400 as vLLM would. */
export function parseChatRequest(body: Body): GenerationRequest {
  if (!Array.isArray(body['messages'])) throw missing('messages');
  if (body['messages'].length === 0) throw badRequest('messages must not be empty.', 'messages');
  const messages = body['messages'].map(message);
  const common = parseCommon(body);
  const called = calledFunction(body);
  if (called)
    return {
      ...common,
      messages,
      tool: String(called['name']),
      constraint: { kind: 'schema', schema: called['parameters'] ?? { type: 'object' } },
    };
  return { ...common, messages, constraint: constraint(body) };
}

/** The function a request insists on; left to itself the simulator calls none. */
function calledFunction({ tools, tool_choice: choice }: Body): Body | undefined {
  const functions = Array.isArray(tools) ? (tools as Body[]).map((tool) => tool['function'] as Body) : [];
  if (choice === 'required') return functions[0];
  const named = (choice as { function?: Body } | null | undefined)?.function?.['name'];
  return named === undefined ? undefined : functions.find((described) => described?.['name'] === named);
}

/** Reads a body of `/v1/completions`: the prompt becomes one user message. @throws SimulatorError 400. */
export function parseTextRequest(body: Body): GenerationRequest {
  const prompt = Array.isArray(body['prompt']) ? body['prompt'][0] : body['prompt'];
  if (typeof prompt !== 'string') throw missing('prompt');
  return { ...parseCommon(body), messages: [{ role: 'user', text: prompt }], constraint: constraint(body) };
}

function parseCommon(body: Body): Omit<GenerationRequest, 'messages' | 'constraint'> {
  if (typeof body['model'] !== 'string') throw missing('model');
  if ((body['n'] ?? 1) !== 1) throw badRequest('This simulator generates one choice: n must be 1.', 'n');
  const stream = body['stream'] === true;
  const options = (body['stream_options'] ?? {}) as Body;
  if (!stream && (body['stream_options'] ?? undefined) !== undefined)
    throw badRequest('Stream options can only be defined when `stream=True`.', 'stream_options');
  return {
    model: body['model'],
    stream,
    includeUsage: options['include_usage'] === true,
    continuousUsage: options['include_usage'] === true && options['continuous_usage_stats'] === true,
    maxTokens: positive(body, 'max_completion_tokens') ?? positive(body, 'max_tokens'),
    minTokens: typeof body['min_tokens'] === 'number' ? body['min_tokens'] : 0,
    ignoreEos: body['ignore_eos'] === true,
    stop: stops(body['stop']),
    seed: typeof body['seed'] === 'number' ? body['seed'] : undefined,
  };
}

export function message(given: unknown, index: number): ChatMessage {
  const { role, content } = (given ?? {}) as Body;
  if (typeof role !== 'string')
    throw badRequest(`messages[${index}].role: Field required`, `messages[${index}]`);
  if (typeof content === 'string') return { role, text: content };
  if (!Array.isArray(content)) return { role, text: '' };
  const texts = (content as Body[]).flatMap((part) =>
    typeof part?.['text'] === 'string' ? [part['text']] : [],
  );
  return { role, text: texts.join('\n') };
}

function constraint(body: Body): Constraint {
  const structured = body['structured_outputs'] as Body | undefined | null;
  if (structured) {
    if (structured['json'] !== undefined) return { kind: 'schema', schema: schemaOf(structured['json']) };
    if (structured['json_object'] === true) return { kind: 'schema', schema: { type: 'object' } };
    if (Array.isArray(structured['choice']) && structured['choice'].length > 0)
      return { kind: 'choice', choices: structured['choice'].map(String) };
    throw badRequest(
      'This simulator knows structured_outputs.json, .json_object and .choice.',
      'structured_outputs',
    );
  }
  const format = body['response_format'] as Body | undefined | null;
  switch (format?.['type']) {
    case undefined:
    case 'text':
      return { kind: 'none' };
    case 'json_object':
      return { kind: 'json' };
    case 'json_schema': {
      const schema = (format?.['json_schema'] as Body | undefined)?.['schema'];
      if (typeof schema !== 'object')
        throw badRequest('response_format.json_schema.schema: Field required', 'response_format');
      return { kind: 'schema', schema };
    }
    default:
      throw badRequest(
        `response_format.type: unknown type ${JSON.stringify(format?.['type'])}`,
        'response_format',
      );
  }
}

function schemaOf(given: unknown): unknown {
  if (typeof given !== 'string') return given;
  try {
    return JSON.parse(given);
  } catch {
    throw badRequest('structured_outputs.json is not valid JSON.', 'structured_outputs');
  }
}

function stops(given: unknown): string[] {
  const list = typeof given === 'string' ? [given] : Array.isArray(given) ? given : [];
  return list.filter((text): text is string => typeof text === 'string' && text !== '');
}

export function positive(body: Body, name: string): number | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1)
    throw badRequest(`${name} must be at least 1, got ${JSON.stringify(value)}.`, name);
  return value;
}

function missing(name: string): SimulatorError {
  return badRequest(
    `1 validation error:\n  {'type': 'missing', 'loc': ('body', '${name}'), 'msg': 'Field required'}`,
    name,
  );
}

function badRequest(text: string, param: string): SimulatorError {
  return new SimulatorError(400, 'BadRequestError', text, param);
}
