import type { Generation } from '#libs/core/content/types.js';
import { badRequest } from '../http/gateway-error.js';
import { KEPT_BACK, type Fields } from '../providers/canonical.js';

export type EncodingFormat = 'float' | 'base64';

const NOT_PASSED_ON: ReadonlySet<string> = new Set(KEPT_BACK);

/**
 * Checks the fields of a request for embeddings that are its own; those it shares with chat completions are checked
 * with these.
 * @throws GatewayError 400 naming the field.
 */
export function checkFields(fields: Fields): void {
  const { input, encoding_format, messages, stream } = fields;
  // vLLM would embed these in the place of the input, by a template.
  if (messages !== undefined && messages !== null)
    throw badRequest(
      'unsupported_field',
      'Embeddings are made of texts, not of "messages"; send "input".',
      'messages',
    );
  if (stream === true)
    throw badRequest('unsupported_field', 'Embeddings come in one piece; leave "stream" out.', 'stream');
  if (
    encoding_format !== undefined &&
    encoding_format !== null &&
    encoding_format !== 'float' &&
    encoding_format !== 'base64'
  )
    throw badRequest(
      'bad_encoding_format',
      '"encoding_format" must be "float" or "base64".',
      'encoding_format',
    );
  const problem = inputProblem(input);
  if (problem !== undefined)
    throw badRequest(
      'bad_input',
      `${problem}; "input" must be a text, a list of texts, a list of tokens or a list of such lists.`,
      'input',
    );
}

/** How a caller wants vectors. */
export function formatAsked({ encoding_format }: Fields): EncodingFormat {
  return encoding_format === 'base64' ? 'base64' : 'float';
}

/** How many vectors a checked input asks for. */
export function vectorsAsked({ input }: Fields): number {
  return Array.isArray(input) && typeof input[0] !== 'number' ? input.length : 1;
}

/**
 * What one embedding of a chain asks for. Later wins: fields of the request, parameters of the chain, its extraBody, and
 * what the gateway itself needs, as with chat completions.
 */
export function embeddingsBody({ model, parameters, extraBody }: Generation, fields: Fields): Fields {
  const body: Fields = {};
  for (const name in fields) if (!NOT_PASSED_ON.has(name)) body[name] = fields[name];
  return Object.assign(body, parameters, extraBody, { model, input: fields['input'] });
}

function inputProblem(input: unknown): string | undefined {
  if (typeof input === 'string') return undefined;
  if (!Array.isArray(input)) return input === undefined ? 'There is no "input"' : 'That is no list';
  if (input.length === 0) return 'The list is empty';
  const first: unknown = input[0];
  if (typeof first === 'number') return tokensProblem(input, 'input');
  for (let at = 0; at < input.length; at++) {
    const item: unknown = input[at];
    if (typeof first === 'string') {
      if (typeof item !== 'string') return `"input[${at}]" is no text, and those before it are`;
    } else if (!Array.isArray(item)) return `"input[${at}]" is neither a text nor a list of tokens`;
    else if (item.length === 0) return `"input[${at}]" is empty`;
    else {
      const problem = tokensProblem(item, `input[${at}]`);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

function tokensProblem(tokens: readonly unknown[], path: string): string | undefined {
  for (let at = 0; at < tokens.length; at++)
    if (!Number.isInteger(tokens[at]) || (tokens[at] as number) < 0) return `"${path}[${at}]" is no token`;
  return undefined;
}
