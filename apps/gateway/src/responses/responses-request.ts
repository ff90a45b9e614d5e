import { badRequest } from '../http/gateway-error.js';
import { isFields, listOf, textOf, type Fields } from '../providers/canonical.js';

/** Said in other words in a chat completion, or of no consequence where no answer is kept for later. */
const TRANSLATED: ReadonlySet<string> = new Set([
  'input',
  'instructions',
  'tools',
  'tool_choice',
  'max_output_tokens',
  'text',
  'reasoning',
  'include',
  'stream',
  'stream_options',
  'store',
  'truncation',
  'background',
  'previous_response_id',
  'conversation',
  'prompt',
]);

/** What needs answers that are kept: the gateway keeps rows, not conversations. */
const STATEFUL = ['previous_response_id', 'conversation', 'prompt', 'background'] as const;

/**
 * The chat completion that is asked for by the body of `POST /v1/responses`.
 * @throws GatewayError 400 naming the field that has the wrong type or needs an earlier response.
 */
export function chatFieldsOf(body: Fields): Fields {
  for (const name of STATEFUL)
    if (body[name] !== undefined && body[name] !== null && body[name] !== false)
      throw badRequest(
        'unsupported_field',
        `"${name}" is not possible here: the gateway keeps no conversations. Send all of it as "input".`,
        name,
      );
  const fields: Fields = {};
  for (const name in body) if (!TRANSLATED.has(name) && name !== '__proto__') fields[name] = body[name];
  const instructions = textOf(body['instructions']);
  fields['messages'] = [
    ...(instructions === undefined ? [] : [{ role: 'system', content: instructions }]),
    ...conversation(body['input']),
  ];
  if (body['stream'] !== undefined) {
    fields['stream'] = body['stream'];
    fields['stream_options'] = { include_usage: true };
  }
  if (typeof body['max_output_tokens'] === 'number')
    fields['max_completion_tokens'] = body['max_output_tokens'];
  if (Array.isArray(body['include']) && body['include'].includes('message.output_text.logprobs'))
    fields['logprobs'] = true;
  if (isFields(body['reasoning']) && textOf(body['reasoning']['effort']))
    fields['reasoning_effort'] = body['reasoning']['effort'];
  textFormat(body['text'], fields);
  tools(body, fields);
  return fields;
}

function conversation(input: unknown): Fields[] {
  if (input === undefined || input === null || input === '') return [];
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  if (!Array.isArray(input))
    throw badRequest('bad_type', '"input" must be text or a list of items.', 'input');
  const messages: Fields[] = [];
  for (const [index, item] of (input as unknown[]).entries()) addItem(item, `input[${index}]`, messages);
  return messages;
}

function addItem(item: unknown, at: string, messages: Fields[]): void {
  if (!isFields(item)) throw badRequest('bad_type', `"${at}" must be an object.`, at);
  const { type = 'message', role, content, call_id } = item;
  switch (type) {
    case 'message':
      if (typeof role !== 'string')
        throw badRequest('bad_messages', `"${at}" must have a "role" as text.`, at);
      messages.push({ role, content: partsOf(content, `${at}.content`) });
      return;
    case 'function_call': {
      const call = {
        id: call_id,
        type: 'function',
        function: { name: item['name'], arguments: item['arguments'] },
      };
      // Calls belong to what the model said before them, and several to one turn.
      const last = messages.at(-1);
      if (last?.['role'] !== 'assistant')
        messages.push({ role: 'assistant', content: null, tool_calls: [call] });
      else if (last['tool_calls']) (last['tool_calls'] as Fields[]).push(call);
      else last['tool_calls'] = [call];
      return;
    }
    case 'function_call_output':
      messages.push({
        role: 'tool',
        tool_call_id: call_id,
        content: partsOf(item['output'], `${at}.output`),
      });
      return;
    // What the model thought; no server takes it back in a chat completion.
    case 'reasoning':
      return;
    default:
      throw badRequest(
        'unsupported_item',
        `"${at}" is a "${String(type).slice(0, 60)}", which a conversation through the gateway cannot hold.`,
        at,
      );
  }
}

function partsOf(content: unknown, at: string): string | Fields[] {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content))
    throw badRequest('bad_messages', `"${at}" must be text or a list of parts.`, at);
  return listOf(content).map(partOf);
}

/** A content part; one without a counterpart stays as it is. */
function partOf(part: Fields): Fields {
  switch (part['type']) {
    case 'input_text':
    case 'output_text':
      return { type: 'text', text: part['text'] };
    case 'refusal':
      return { type: 'text', text: part['refusal'] };
    case 'input_image': {
      const { image_url: url, detail } = part;
      if (typeof url !== 'string') return part;
      return { type: 'image_url', image_url: { url, ...(detail !== undefined && { detail }) } };
    }
    case 'input_file': {
      const { type: _, ...file } = part;
      return { type: 'file', file };
    }
    default:
      return part;
  }
}

function textFormat(text: unknown, fields: Fields): void {
  if (!isFields(text)) return;
  if (text['verbosity'] !== undefined && text['verbosity'] !== null) fields['verbosity'] = text['verbosity'];
  const { format } = text;
  if (!isFields(format)) return;
  const { type, ...described } = format;
  fields['response_format'] = type === 'json_schema' ? { type, json_schema: described } : format;
}

function tools({ tools: given, tool_choice: choice }: Fields, fields: Fields): void {
  if (Array.isArray(given))
    fields['tools'] = listOf(given).map((tool) => {
      const { type, ...described } = tool;
      return type === 'function' ? { type, function: described } : tool;
    });
  if (choice === undefined || choice === null) return;
  fields['tool_choice'] =
    isFields(choice) && choice['type'] === 'function'
      ? { type: 'function', function: { name: choice['name'] } }
      : choice;
}
