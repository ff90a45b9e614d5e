/** Longest preview of a request or response, in characters. */
export const MAX_PREVIEW = 1000;

/**
 * What a list shows of a trace's request or response: the text of the last message of `role` where it is a
 * conversation (OpenAI's chat or responses format), else the JSON, cut.
 */
export function previewOf(value: unknown, role: 'user' | 'assistant'): string | null {
  if (value === undefined || value === null) return null;
  const parsed = typeof value === 'string' ? parseOr(value) : value;
  const messages = messagesIn(parsed);
  const last = messages?.findLast((message) => message.role === role) ?? messages?.at(-1);
  const text = (last && textOf(last.content)) || spaced(value);
  return text.length <= MAX_PREVIEW ? text : `${text.slice(0, MAX_PREVIEW - 3).toWellFormed()}...`;
}

interface Message {
  readonly role: unknown;
  readonly content: unknown;
}

function messagesIn(value: unknown): Message[] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const object = value as Record<string, unknown>;
  for (const key of ['messages', 'input', 'output']) {
    const list = object[key];
    if (Array.isArray(list) && list.length > 0) return list.filter(isMessage);
  }
  const [choice] = Array.isArray(object['choices']) ? (object['choices'] as unknown[]) : [];
  const message = (choice as { message?: unknown } | undefined)?.message;
  if (isMessage(message)) return [message];
  return 'request' in object && object['request'] !== value ? messagesIn(object['request']) : undefined;
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'role' in value && 'content' in value;
}

function textOf(content: unknown): string | undefined {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return undefined;
  for (const part of content as unknown[]) {
    if (typeof part === 'string') return part;
    const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
    if ((type === 'text' || type === 'output_text') && typeof text === 'string') return text;
  }
  return undefined;
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JSON with the spaces that Python writes, which is how clients make previews of their own. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, inner]) => `${JSON.stringify(key)}: ${spaced(inner)}`)
      .join(', ')}}`;
  return JSON.stringify(value) ?? 'null';
}
