import type { Generation } from '#libs/core/content/types.js';
import type { ChatMessage } from '#libs/core/template/template.js';
import { EXTRA, KEPT_BACK, OUTPUT_LIMITS, type CanonicalRequest } from '../canonical.js';

type Fields = Readonly<Record<string, unknown>>;

/** The prompt is the chain's; `chat_template` would be another way to one. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set([...KEPT_BACK, 'messages', 'chat_template']);

/** Every name under which a server takes an output format (OpenAI, Anthropic, vLLM, SGLang, llama.cpp). */
const OUTPUT_FORMATS: ReadonlySet<string> = new Set([
  'response_format',
  'output_config',
  'output_format',
  'structured_outputs',
  'guided_json',
  'guided_regex',
  'guided_choice',
  'guided_grammar',
  'guided_decoding_backend',
  'guided_whitespace_pattern',
  'json_schema',
  'regex',
  'ebnf',
  'grammar',
]);

/** How many choices `canonicalRequest` asks for. */
export function choicesAsked({ extraBody, parameters }: Generation, fields: Fields): number {
  const n: unknown = extraBody?.['n'] ?? parameters?.['n'] ?? fields['n'];
  // Servers that check types loosely take the text of a number for it.
  const count = typeof n === 'string' ? Number(n) : n;
  return typeof count === 'number' && count > 1 ? count : 1;
}

/**
 * The chat completion that one generation of a chain asks for, in any provider's words. Later wins: fields of the
 * request, parameters of the chain, its extraBody, its output contract, and what the gateway itself needs.
 * Why in this order: docs/adr/0004-what-a-chain-pins.md.
 * @param fields all fields of the request.
 * @param streamOptions the request's, or undefined where the answer is not streamed.
 * @param format fields that ask for the output contract, of which there may be none; undefined without a contract.
 */
export function canonicalRequest(
  generation: Generation,
  messages: readonly ChatMessage[],
  fields: CanonicalRequest,
  streamOptions: Fields | undefined,
  format?: Fields,
): CanonicalRequest {
  const { parameters, extraBody } = generation;
  const body: CanonicalRequest = {};
  for (const name in fields) {
    if (NOT_PASSED_ON.has(name)) continue;
    // The contract is the chain's: a caller's own format would ask for something else.
    if (format && OUTPUT_FORMATS.has(name)) continue;
    body[name] = fields[name];
  }
  if (OUTPUT_LIMITS.some((name) => parameters?.[name] !== undefined || extraBody?.[name] !== undefined))
    for (const name of OUTPUT_LIMITS) delete body[name];
  Object.assign(body, parameters, extraBody);
  if (format) Object.assign(body, format);
  body['model'] = generation.model;
  body['messages'] = messages;
  if (body['stream'] !== undefined) delete body['stream'];
  if (body['stream_options'] !== undefined) delete body['stream_options'];
  if (streamOptions) {
    body['stream'] = true;
    // Without it no server tells the tokens of a stream, and the row would know neither them nor the cost.
    const pinned = extraBody?.['stream_options'] as Fields | undefined;
    body['stream_options'] = { ...streamOptions, ...pinned, include_usage: true };
  }
  if (fields[EXTRA]) body[EXTRA] = fields[EXTRA];
  return body;
}
