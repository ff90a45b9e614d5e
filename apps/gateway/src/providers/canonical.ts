/**
 * The form in which the gateway holds requests and answers, whatever protocol the caller and the model endpoint speak:
 * that of OpenAI's chat completions. Why this one: docs/adr/0018-one-form-inside.md.
 */
export type Fields = Record<string, unknown>;

/**
 * Fields of a request for which the canonical form has no word, beside the object they belong to. JSON leaves them
 * out, so that a provider that does not know them never sends them; the one whose words they are takes them up.
 */
export const EXTRA: unique symbol = Symbol('extra');

/** Limits that mean the same; a chain that pins one of them pins the other. */
export const OUTPUT_LIMITS = ['max_tokens', 'max_completion_tokens'] as const;

/** Fields of a request that are never passed on, whatever is asked for. */
export const KEPT_BACK: readonly string[] = [
  // Those the gateway handles.
  'model',
  'stream',
  'stream_options',
  'metadata',
  // Those by which some servers run another model than the one named.
  'models',
  'route',
  'provider',
  // Set, it would be the prototype of the body and no field.
  '__proto__',
];

/** An object of a canonical request: the request itself, a message, a content part, a tool. */
export type CanonicalRequest = Fields & { [EXTRA]?: Fields };

/** With the fields that have no canonical word; the object as it is where there are none. */
export function withExtra(object: Fields, extra: Fields): CanonicalRequest {
  for (const _ in extra) return Object.assign(object, { [EXTRA]: extra });
  return object;
}

/** What `withExtra` put there. */
export function extraOf(object: object): Fields | undefined {
  return (object as CanonicalRequest)[EXTRA];
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The objects of a list; none where it is no list. */
export function listOf(value: unknown): Fields[] {
  return Array.isArray(value) ? (value as unknown[]).filter(isFields) : [];
}

/** A number of tokens; 0 where there is none. */
export function countOf(value: unknown): number {
  return Number.isInteger(value) && (value as number) > 0 ? (value as number) : 0;
}

/**
 * Arguments of a tool call, which are text here, as the object they should be. A model may have written something else;
 * it must be seen all the same, and the conversation must be able to go on.
 */
export function toolInputOf(text: unknown): Fields {
  if (typeof text !== 'string' || text.trim() === '') return {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (isFields(parsed)) return parsed;
  } catch {
    // told below
  }
  return { arguments: text };
}

/** An event of a stream, without a name. */
export function sseOf(data: string): Buffer {
  return Buffer.from(`data: ${data}\n\n`);
}

export const DONE = '[DONE]';
