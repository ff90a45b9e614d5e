import { isUtf8 } from 'node:buffer';
import { MAX_NESTING, nestsTooDeeply } from '#libs/core/nesting/nesting.js';
import type { ChatMessage, VariableValue } from '#libs/core/template/template.js';
import { badRequest } from '../http/gateway-error.js';
import type { CanonicalRequest } from '../providers/canonical.js';
import { unitOf } from '../resolve/unit.js';
import { clientRequestIdOf } from './client-request-id.js';
import type { Ingress } from './ingress.js';

type Fields = Readonly<Record<string, unknown>>;

/** A request for a chat completion, checked. */
export interface ChatRequest {
  /** The protocol it came by, and its answer goes out by. */
  readonly ingress: Ingress;
  /** Name of the serving endpoint: the request's `model`. */
  readonly endpoint: string;
  readonly unit: string | undefined;
  /** The caller's own name for the request. */
  readonly clientRequestId: string | null;
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly messages: readonly ChatMessage[];
  readonly streamed: boolean;
  /** Whether the caller wants the usage chunk of a stream. */
  readonly wantsUsage: boolean;
  readonly streamOptions: Fields;
  /** The caller's `metadata`, as JSON text. */
  readonly metadata: string | null;
  /** What the caller says that it carries, unchecked: see `carriedClass`. */
  readonly dataClass: unknown;
  /** All fields as they came, to be passed on as far as `canonicalRequest` lets them. */
  readonly fields: CanonicalRequest;
}

const NONE: Fields = {};

/**
 * Checks the fields of a request for a chat completion.
 * @throws GatewayError 400 for what has the wrong types, naming the field.
 */
export function toChatRequest(
  fields: CanonicalRequest,
  unitHeader: string | undefined,
  idHeader: string | undefined,
  ingress: Ingress,
): ChatRequest {
  const { model, messages, stream, stream_options, metadata } = fields;
  if (typeof model !== 'string' || model === '')
    throw badRequest(
      'bad_model',
      '"model" must be the name of a serving endpoint; GET /v1/models lists them.',
      'model',
    );
  const given = optionalFields(metadata, 'metadata');
  const options = optionalFields(stream_options, 'stream_options');
  return {
    ingress,
    endpoint: model,
    unit: unitOf(unitHeader, given['unit'], fields['user']),
    clientRequestId: clientRequestIdOf(idHeader, given['request_id']),
    variables: readVariables(given['variables']),
    messages: readMessages(messages),
    streamed: optionalBoolean(stream, 'stream'),
    wantsUsage: optionalBoolean(options['include_usage'], 'stream_options.include_usage'),
    streamOptions: options,
    metadata: given === NONE ? null : JSON.stringify(given),
    dataClass: given['dataClass'],
    fields,
  };
}

/** The fields of a request body. @throws GatewayError 400 for what is no JSON object, or one nested too deeply. */
export function parseBody(body: Buffer): Record<string, unknown> {
  let parsed: unknown;
  try {
    const text = body.toString('utf8');
    // Whatever is not UTF-8 has become a replacement character.
    if (text.includes('\uFFFD') && !isUtf8(body)) throw new Error('it is not UTF-8');
    parsed = JSON.parse(text);
  } catch (error) {
    throw badRequest(
      'invalid_json',
      `The request body is not valid JSON: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
  if (!isFields(parsed))
    throw badRequest('invalid_json', 'The request body must be a JSON object with "model" and "messages".');
  if (nestsTooDeeply(parsed, body.length))
    throw badRequest(
      'nested_too_deeply',
      `The request body is nested more than ${MAX_NESTING} levels deep; flatten it.`,
    );
  return parsed;
}

function readMessages(value: unknown): readonly ChatMessage[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value))
    throw badRequest('bad_messages', '"messages" must be a list of messages; it may be empty.', 'messages');
  for (let i = 0; i < value.length; i++) {
    const message: unknown = value[i];
    if (!isFields(message) || typeof message['role'] !== 'string')
      throw badRequest(
        'bad_messages',
        `"messages[${i}]" must be an object with a "role" as text.`,
        `messages[${i}]`,
      );
    const content = message['content'];
    if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content))
      throw badRequest(
        'bad_messages',
        `"messages[${i}].content" must be text or a list of content parts.`,
        `messages[${i}].content`,
      );
  }
  return value as ChatMessage[];
}

/** OpenAI types metadata values as strings, so the variables may also come as JSON text. */
function readVariables(value: unknown): Readonly<Record<string, VariableValue>> {
  if (value === undefined || value === null) return {};
  let variables = value;
  if (typeof value === 'string') {
    try {
      variables = JSON.parse(value);
    } catch {
      throw badRequest(
        'bad_variables',
        '"metadata.variables" is text but not JSON; send an object, or the JSON text of one.',
        'metadata.variables',
      );
    }
  }
  if (!isFields(variables))
    throw badRequest(
      'bad_variables',
      '"metadata.variables" must be an object of variable names and values, or the JSON text of one.',
      'metadata.variables',
    );
  for (const name in variables) {
    const type = typeof variables[name];
    if (type !== 'string' && type !== 'number' && type !== 'boolean')
      throw badRequest(
        'bad_variables',
        `The variable "${name.slice(0, 100)}" must be a text, a number, true or false.`,
        `metadata.variables.${name.slice(0, 100)}`,
      );
  }
  return variables as Readonly<Record<string, VariableValue>>;
}

function optionalFields(value: unknown, param: string): Fields {
  if (value === undefined || value === null) return NONE;
  if (!isFields(value)) throw badRequest('bad_type', `"${param}" must be an object.`, param);
  return value;
}

function optionalBoolean(value: unknown, param: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw badRequest('bad_type', `"${param}" must be true or false.`, param);
  return value;
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
