import { badRequest } from '../http/gateway-error.js';
import { isFields, textOf, withExtra, type CanonicalRequest, type Fields } from '../providers/canonical.js';

/** Said in other words in a chat completion. */
const TRANSLATED: ReadonlySet<string> = new Set([
  'messages',
  'system',
  'tools',
  'tool_choice',
  'stop_sequences',
  'metadata',
  'output_config',
  'stream',
]);

/** Anthropic's own, for which a chat completion has no word. What is unknown to both passes through. */
const ANTHROPICS_OWN: ReadonlySet<string> = new Set([
  'cache_control',
  'container',
  'context_management',
  'diagnostics',
  'inference_geo',
  'mcp_servers',
  'service_tier',
  'speed',
  'thinking',
  'user_profile_id',
  'workspace_id',
]);

/**
 * The chat completion that is asked for by the body of `POST /v1/messages`; what it cannot say is kept under EXTRA.
 * @throws GatewayError 400 naming the field that has the wrong type.
 */
export function chatFieldsOf(body: Fields): CanonicalRequest {
  const fields: Fields = {};
  const extra: Fields = {};
  for (const name in body) {
    if (TRANSLATED.has(name) || name === '__proto__') continue;
    (ANTHROPICS_OWN.has(name) ? extra : fields)[name] = body[name];
  }
  fields['messages'] = [...systemMessage(body['system']), ...conversation(body['messages'])];
  if (body['stop_sequences'] !== undefined) fields['stop'] = body['stop_sequences'];
  if (body['stream'] !== undefined) {
    fields['stream'] = body['stream'];
    fields['stream_options'] = { include_usage: true };
  }
  tools(body, fields);
  metadata(body['metadata'], fields);
  outputConfig(body['output_config'], fields, extra);
  return withExtra(fields, extra);
}

function systemMessage(system: unknown): Fields[] {
  if (system === undefined || system === null || system === '') return [];
  return [{ role: 'system', content: partsOf(system, 'system') }];
}

function conversation(messages: unknown): Fields[] {
  if (messages === undefined || messages === null) return [];
  if (!Array.isArray(messages)) throw bad('messages', 'must be a list of messages');
  return (messages as unknown[]).flatMap((message, index) => {
    const at = `messages[${index}]`;
    if (!isFields(message) || typeof message['role'] !== 'string')
      throw bad(at, 'must be an object with a "role" as text');
    const { role, content } = message;
    if (role === 'assistant') return [assistantMessage(content, at)];
    return role === 'user'
      ? userMessages(content, at)
      : [{ role, content: partsOf(content, `${at}.content`) }];
  });
}

/** Results of tools are messages of their own there, and follow the calls at once. */
function userMessages(content: unknown, at: string): Fields[] {
  if (typeof content === 'string') return [{ role: 'user', content }];
  const blocks = blocksAt(content, `${at}.content`);
  const results = blocks.filter(isToolResult).map((block) => {
    const { type: _, tool_use_id, content: result, ...extra } = block;
    const said = result === undefined || result === null ? '' : partsOf(result, `${at}.content`);
    return withExtra({ role: 'tool', tool_call_id: tool_use_id, content: said }, extra);
  });
  const parts = blocks.filter((block) => !isToolResult(block)).map(partOf);
  if (parts.length === 0 && results.length > 0) return results;
  return [...results, { role: 'user', content: parts }];
}

function isToolResult({ type }: Fields): boolean {
  return type === 'tool_result';
}

function assistantMessage(content: unknown, at: string): Fields {
  if (typeof content === 'string') return { role: 'assistant', content };
  const parts: Fields[] = [];
  const calls: Fields[] = [];
  const thoughts: Fields[] = [];
  for (const block of blocksAt(content, `${at}.content`))
    switch (block['type']) {
      case 'tool_use': {
        const { type: _, id, name, input, ...extra } = block;
        const called = { name, arguments: JSON.stringify(input ?? {}) };
        calls.push(withExtra({ id, type: 'function', function: called }, extra));
        break;
      }
      case 'thinking':
      case 'redacted_thinking':
        thoughts.push(block);
        break;
      default:
        parts.push(partOf(block));
    }
  const message: Fields = { role: 'assistant', content: parts.length === 0 ? null : parts };
  if (calls.length > 0) message['tool_calls'] = calls;
  return withExtra(message, thoughts.length > 0 ? { thinking_blocks: thoughts } : {});
}

function partsOf(content: unknown, at: string): string | Fields[] {
  return typeof content === 'string' ? content : blocksAt(content, at).map(partOf);
}

function blocksAt(content: unknown, at: string): Fields[] {
  if (!Array.isArray(content)) throw bad(at, 'must be text or a list of content blocks');
  for (const [index, block] of (content as unknown[]).entries())
    if (!isFields(block) || typeof block['type'] !== 'string')
      throw bad(`${at}[${index}]`, 'must be a content block, an object with a "type" as text');
  return content as Fields[];
}

/** A content part; a block without a counterpart stays as it is. */
function partOf(block: Fields): Fields {
  switch (block['type']) {
    case 'text': {
      const { type, text, ...extra } = block;
      return withExtra({ type, text }, extra);
    }
    case 'image': {
      const { type: _, source, ...extra } = block;
      const url = isFields(source) ? urlOf(source) : undefined;
      return url === undefined ? block : withExtra({ type: 'image_url', image_url: { url } }, extra);
    }
    case 'document': {
      const { type: _, source, title, ...extra } = block;
      if (!isFields(source) || source['type'] !== 'base64') return block;
      const named = textOf(title) === undefined ? {} : { filename: title };
      return withExtra({ type: 'file', file: { file_data: urlOf(source), ...named } }, extra);
    }
    default:
      return block;
  }
}

function urlOf(source: Fields): string | undefined {
  const { type, url, media_type, data } = source;
  if (type === 'url' && typeof url === 'string') return url;
  if (type !== 'base64' || typeof media_type !== 'string' || typeof data !== 'string') return undefined;
  return `data:${media_type};base64,${data}`;
}

function tools({ tools: given, tool_choice: choice }: Fields, fields: Fields): void {
  if (given !== undefined && given !== null) {
    if (!Array.isArray(given)) throw bad('tools', 'must be a list of tools');
    fields['tools'] = (given as unknown[]).map((tool, index) => {
      if (!isFields(tool)) throw bad(`tools[${index}]`, 'must be an object');
      return toolOf(tool);
    });
  }
  if (!isFields(choice)) return;
  if (choice['disable_parallel_tool_use'] === true) fields['parallel_tool_calls'] = false;
  const words: Fields = { auto: 'auto', any: 'required', none: 'none' };
  const type = String(choice['type']);
  fields['tool_choice'] =
    type === 'tool'
      ? { type: 'function', function: { name: choice['name'] } }
      : Object.hasOwn(words, type)
        ? words[type]
        : choice;
}

/** Tools that carry a type are Anthropic's own, and stay as they are. */
function toolOf(tool: Fields): Fields {
  const { type, name, description, input_schema, strict, ...extra } = tool;
  if (type !== undefined && type !== null && type !== 'custom') return tool;
  const described = {
    name,
    ...(description !== undefined && { description }),
    parameters: input_schema,
    ...(strict !== undefined && { strict }),
  };
  return withExtra(
    { type: 'function', function: described },
    type === undefined ? extra : { type, ...extra },
  );
}

/** `user_id` is the end user, and so the unit of last resort; the rest is the gateway's, as of a chat completion. */
function metadata(given: unknown, fields: Fields): void {
  if (given === undefined || given === null) return;
  if (!isFields(given)) throw bad('metadata', 'must be an object');
  fields['metadata'] = given;
  if (given['user_id'] !== undefined && given['user_id'] !== null) fields['user'] = given['user_id'];
}

function outputConfig(config: unknown, fields: Fields, extra: Fields): void {
  if (config === undefined || config === null) return;
  if (!isFields(config)) throw bad('output_config', 'must be an object');
  const { effort, format, ...rest } = config;
  if (typeof effort === 'string') fields['reasoning_effort'] = effort;
  if (isFields(format) && format['type'] === 'json_schema')
    fields['response_format'] = {
      type: 'json_schema',
      json_schema: { name: 'answer', schema: format['schema'], strict: true },
    };
  for (const _ in rest) extra['output_config'] = rest;
}

function bad(param: string, what: string): Error {
  return badRequest(param.startsWith('messages') ? 'bad_messages' : 'bad_type', `"${param}" ${what}.`, param);
}
