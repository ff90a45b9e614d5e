import {
  extraOf,
  isFields,
  listOf,
  textOf,
  toolInputOf,
  type CanonicalRequest,
  type Fields,
} from '../canonical.js';

/** The API insists on a limit; a chain should pin its own. */
const DEFAULT_MAX_TOKENS = 4096;

/** Said in other words, below. */
const TRANSLATED: ReadonlySet<string> = new Set([
  'messages',
  // It comes of messages only: as a field of its own it would get past the chain's prompt.
  'system',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'stop',
  'max_tokens',
  'max_completion_tokens',
  'user',
  'response_format',
  'reasoning_effort',
]);

/**
 * Hints without a counterpart: an answer without them is still the answer that was asked for, and the API refuses
 * a request that holds a field it does not know. What would change the shape of the answer (`n`, `logprobs`) goes
 * out, and is refused there in its own words.
 */
const HINTS: ReadonlySet<string> = new Set([
  'stream_options',
  'seed',
  'frequency_penalty',
  'presence_penalty',
  'repetition_penalty',
  'min_p',
  'logit_bias',
  'store',
  'prediction',
  'verbosity',
  'prompt_cache_key',
  'prompt_cache_retention',
  'safety_identifier',
]);

/** Values that ask for what is the case anyway. */
const NO_OPS: Readonly<Record<string, unknown>> = { n: 1, logprobs: false, top_logprobs: 0, stream: false };

/** The body of `POST /v1/messages` for a canonical request. https://platform.claude.com/docs/en/api/messages */
export function messagesBody(request: CanonicalRequest): Fields {
  const body: Fields = {};
  for (const name in request) {
    const value = request[name];
    if (TRANSLATED.has(name) || HINTS.has(name) || value === null || value === undefined) continue;
    if (Object.hasOwn(NO_OPS, name) && NO_OPS[name] === value) continue;
    body[name] = value;
  }
  const extra = extraOf(request);
  for (const name in extra) body[name] ??= extra[name];
  body['max_tokens'] = request['max_completion_tokens'] ?? request['max_tokens'] ?? DEFAULT_MAX_TOKENS;
  Object.assign(body, conversation(listOf(request['messages'])));
  const stop = request['stop'];
  if (stop !== undefined && stop !== null) body['stop_sequences'] = Array.isArray(stop) ? stop : [stop];
  if (Array.isArray(request['tools'])) body['tools'] = listOf(request['tools']).map(toolOf);
  const choice = toolChoice(request);
  if (choice) body['tool_choice'] = choice;
  const user = textOf(request['user']);
  if (user !== undefined) body['metadata'] = { user_id: user };
  outputConfig(request, body);
  return body;
}

function outputConfig(request: CanonicalRequest, body: Fields): void {
  const config: Fields = isFields(body['output_config']) ? { ...body['output_config'] } : {};
  const effort = textOf(request['reasoning_effort']);
  if (effort !== undefined) config['effort'] ??= effort;
  const format = request['response_format'];
  if (isFields(format) && format['type'] === 'json_schema' && isFields(format['json_schema']))
    config['format'] ??= { type: 'json_schema', schema: format['json_schema']['schema'] };
  else if (isFields(format) && format['type'] !== 'text') body['response_format'] = format;
  for (const _ in config) {
    body['output_config'] = config;
    return;
  }
}

/** System messages, wherever they stand, come first here; results of tools belong to the user's next turn. */
function conversation(given: readonly Fields[]): Fields {
  const system: Fields[] = [];
  const messages: Fields[] = [];
  let results: Fields[] | undefined;
  for (const message of given) {
    const { role, content } = message;
    if (role === 'system' || role === 'developer') {
      for (const block of blocksOf(content)) system.push(block);
      continue;
    }
    if (role === 'tool') {
      if (!results) {
        results = [];
        messages.push({ role: 'user', content: results });
      }
      results.push(toolResult(message));
      continue;
    }
    if (role === 'user' && results) for (const block of blocksOf(content)) results.push(block);
    else if (role === 'assistant') messages.push({ role, content: assistantContent(message) });
    else messages.push({ role, content: typeof content === 'string' ? content : blocksOf(content) });
    results = undefined;
  }
  if (system.length === 0) return { messages };
  const [only] = system;
  const isPlain = system.length === 1 && Object.keys(only!).length === 2 && only!['type'] === 'text';
  return { system: isPlain ? only!['text'] : system, messages };
}

function assistantContent(message: Fields): unknown {
  const calls = listOf(message['tool_calls']);
  const own = { ...message, ...extraOf(message) };
  const blocks = [
    // The API checks what it signed: thinking of other servers is none, and would be refused.
    ...listOf(own['thinking_blocks']).filter((block) => block['type'] !== 'thinking' || block['signature']),
    ...listOf(own['content_blocks']),
  ];
  const { content } = message;
  if (typeof content === 'string' && calls.length === 0 && blocks.length === 0) return content;
  return [...blocks, ...blocksOf(content), ...calls.map(toolUse)];
}

function toolUse(call: Fields): Fields {
  const called = isFields(call['function']) ? call['function'] : {};
  return {
    type: 'tool_use',
    id: call['id'],
    name: called['name'],
    input: toolInputOf(called['arguments']),
    ...extraOf(call),
  };
}

function toolResult(message: Fields): Fields {
  const { content } = message;
  return {
    type: 'tool_result',
    tool_use_id: message['tool_call_id'],
    content: typeof content === 'string' ? content : blocksOf(content),
    ...extraOf(message),
  };
}

/** Content as blocks. A part without a counterpart stays as it is, for it may be a block already. */
function blocksOf(content: unknown): Fields[] {
  // The API refuses empty texts.
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }];
  return listOf(content)
    .map((part) => (extraOf(part) ? { ...blockOf(part), ...extraOf(part) } : blockOf(part)))
    .filter((block) => block['type'] !== 'text' || block['text'] !== '');
}

function blockOf(part: Fields): Fields {
  switch (part['type']) {
    case 'image_url': {
      const { type: _, image_url, ...rest } = part;
      const url = isFields(image_url) ? image_url['url'] : image_url;
      return { type: 'image', source: sourceOf(String(url)), ...rest };
    }
    case 'file': {
      const { type: _, file, ...rest } = part;
      if (!isFields(file) || typeof file['file_data'] !== 'string') return part;
      const title = textOf(file['filename']);
      return { type: 'document', source: sourceOf(file['file_data']), ...(title && { title }), ...rest };
    }
    default:
      return part;
  }
}

const DATA_URL = /^data:([^;,]+)(?:;[^;,]+)*;base64,/;

function sourceOf(url: string): Fields {
  // The pattern is held against the beginning only: the rest may be megabytes.
  const found = DATA_URL.exec(url.slice(0, 256));
  if (!found) return { type: 'url', url };
  return { type: 'base64', media_type: found[1], data: url.slice(found[0].length) };
}

/** Tools that are no functions are the API's own, as a caller or a chain names them. */
function toolOf(tool: Fields): Fields {
  const { type, function: described, ...rest } = tool;
  if (type !== 'function' || !isFields(described)) return tool;
  const { name, description, parameters, ...more } = described;
  return {
    name,
    ...(description !== undefined && { description }),
    input_schema: parameters ?? { type: 'object', properties: {} },
    ...more,
    ...rest,
    ...extraOf(tool),
  };
}

function toolChoice({
  tool_choice: choice,
  parallel_tool_calls: parallel,
  tools,
}: Fields): Fields | undefined {
  const single = parallel === false ? { disable_parallel_tool_use: true } : {};
  switch (choice) {
    case undefined:
    case null:
      return parallel === false && Array.isArray(tools) ? { type: 'auto', ...single } : undefined;
    case 'auto':
      return { type: 'auto', ...single };
    case 'required':
      return { type: 'any', ...single };
    case 'none':
      return { type: 'none' };
    default:
      if (!isFields(choice)) return { type: choice };
      if (!isFields(choice['function'])) return choice;
      return { type: 'tool', name: choice['function']['name'], ...single };
  }
}
