import { nestsTooDeeply } from '#libs/core/nesting/nesting.js';
import { carriesError, factsOf, isFields, type AnswerFacts } from './openai-answer.js';

type Fields = Record<string, unknown>;

/**
 * What a chunk brings: something of the answer, nothing of it (a role, a finish reason), only the usage, an error
 * inside the stream, or something that is no chunk at all.
 */
export type ChunkKind = 'content' | 'silent' | 'usage' | 'error' | 'malformed';

/** A streamed answer, put together into the chat completion it would have been in one piece. */
export class StreamedAnswer {
  private readonly envelope: Fields = {};
  private readonly choices = new Map<number, Fields>();
  private usage: unknown = null;
  /** The error the server sent inside the stream. */
  error: unknown;
  private template: Template | undefined;
  private templateTries = 0;

  /** Takes the data of one event. */
  take(data: string): ChunkKind {
    const text = this.template && differingText(data, this.template);
    if (text) {
      const { message } = this.template!;
      message['content'] = (message['content'] as string) + text;
      return 'content';
    }
    let chunk: unknown;
    try {
      chunk = JSON.parse(data);
    } catch {
      return 'malformed';
    }
    if (!isFields(chunk) || nestsTooDeeply(chunk, data.length)) return 'malformed';
    if (carriesError(chunk)) return this.failed(chunk);
    const choices = chunk['choices'];
    if (!Array.isArray(choices)) return chunk['object'] === 'error' ? this.failed(chunk) : 'malformed';
    if (chunk['usage']) this.usage = chunk['usage'];
    if (this.envelope['id'] === undefined) this.open(chunk);
    if (choices.length === 0) return chunk['usage'] ? 'usage' : 'silent';
    let kind: ChunkKind = 'silent';
    for (const choice of choices as unknown[])
      if (isFields(choice) && this.takeChoice(choice)) kind = 'content';
    if (kind === 'content' && this.templateTries < MAX_TEMPLATE_TRIES) this.learn(data, chunk, choices[0]);
    return kind;
  }

  /** Where this chunk brings one text and nothing else, the next ones usually differ from it in that text only. */
  private learn(data: string, chunk: Fields, choice: unknown): void {
    this.templateTries++;
    if (!isFields(choice) || (chunk['choices'] as unknown[]).length !== 1 || chunk['usage']) return;
    const { index, delta, finish_reason, logprobs } = choice;
    if (finish_reason || logprobs || !isFields(delta) || Object.keys(delta).length !== 1) return;
    const message = this.choices.get(typeof index === 'number' ? index : 0)!['message'] as Fields;
    this.template = templateOf(data, delta['content'], message);
  }

  /** Choices that began. */
  get begun(): number {
    return this.choices.size;
  }

  /** Whether every choice that began has ended. */
  get isFinished(): boolean {
    if (this.choices.size === 0) return false;
    for (const choice of this.choices.values()) if (choice['finish_reason'] === null) return false;
    return true;
  }

  /** Whether anything was received. */
  get isEmpty(): boolean {
    return this.envelope['id'] === undefined;
  }

  /** The chat completion, as far as it was received. */
  assemble(): { readonly text: string; readonly facts: AnswerFacts } {
    const choices = [...this.choices.values()].sort((a, b) => Number(a['index']) - Number(b['index']));
    const completion = { ...this.envelope, choices, usage: this.usage };
    return { text: JSON.stringify(completion), facts: factsOf(choices, this.usage) };
  }

  private failed(chunk: Fields): ChunkKind {
    this.error = chunk;
    return 'error';
  }

  private open(chunk: Fields): void {
    for (const name of ['id', 'created', 'model', 'system_fingerprint', 'service_tier'])
      if (chunk[name] !== undefined) this.envelope[name] = chunk[name];
    this.envelope['id'] ??= '';
    this.envelope['object'] = 'chat.completion';
  }

  /** @returns whether it brought content. */
  private takeChoice(chunk: Fields): boolean {
    const index = typeof chunk['index'] === 'number' ? chunk['index'] : 0;
    let choice = this.choices.get(index);
    if (!choice) {
      choice = { index, message: { role: 'assistant', content: null }, finish_reason: null };
      this.choices.set(index, choice);
    }
    if (chunk['finish_reason']) choice['finish_reason'] = chunk['finish_reason'];
    if (isFields(chunk['logprobs'])) mergeInto(fieldsAt(choice, 'logprobs'), chunk['logprobs']);
    return isFields(chunk['delta']) && mergeInto(choice['message'] as Fields, chunk['delta']);
  }
}

/** The text of a chunk around its content. */
interface Template {
  readonly before: string;
  readonly after: string;
  /** The message the content belongs to. */
  readonly message: Fields;
}

const MAX_TEMPLATE_TRIES = 8;
const CONTENT = /"content": ?"/g;
// eslint-disable-next-line no-control-regex
const NOT_PLAIN = /["\\\u0000-\u001f]/;

function templateOf(data: string, content: unknown, message: Fields): Template | undefined {
  if (typeof content !== 'string' || typeof message['content'] !== 'string') return undefined;
  const found = [...data.matchAll(CONTENT)];
  if (found.length !== 1) return undefined;
  const start = found[0]!.index + found[0]![0].length;
  const end = start + content.length;
  // Written with escapes it has another length, and is no help in finding where it ends.
  if (NOT_PLAIN.test(content) || data.slice(start, end) !== content || data[end] !== '"') return undefined;
  return { before: data.slice(0, start), after: data.slice(end), message };
}

/**
 * The content of a chunk that differs from the template in nothing else: four fifths of the cost of `JSON.parse`
 * saved. Without quotes, backslashes and control characters a JSON string is the text itself (RFC 8259 §7).
 * @returns undefined, or '', where the chunk must be parsed.
 */
function differingText(data: string, { before, after }: Template): string | undefined {
  if (data.length <= before.length + after.length) return undefined;
  if (!data.startsWith(before) || !data.endsWith(after)) return undefined;
  const text = data.slice(before.length, data.length - after.length);
  return NOT_PLAIN.test(text) ? undefined : text;
}

/** Adds a delta to what is there: texts and lists grow, tool calls by their index. @returns whether it brought content. */
function mergeInto(target: Fields, delta: Fields): boolean {
  let brought = false;
  for (const name in delta) {
    // As JSON it is a field like any other; assigned, it would be the object's prototype, shared with all others.
    if (name === '__proto__') continue;
    const value = delta[name];
    if (name === 'role') {
      target['role'] = value;
    } else if (typeof value === 'string') {
      const before = own(target, name);
      if (value === '') target[name] = before ?? '';
      else {
        target[name] = typeof before === 'string' ? before + value : value;
        brought = true;
      }
    } else if (Array.isArray(value)) {
      if (value.length === 0) continue;
      brought = true;
      if (name === 'tool_calls') mergeToolCalls(target, value);
      else {
        const before = own(target, name);
        // In place: copied with every chunk, the log probabilities of a long answer would take minutes.
        if (Array.isArray(before)) for (const one of value as unknown[]) before.push(one);
        else target[name] = value;
      }
    } else if (value !== null && value !== undefined) {
      if (isFields(value)) mergeInto(fieldsAt(target, name), value);
      else target[name] = value;
      brought = true;
    }
  }
  return brought;
}

function mergeToolCalls(target: Fields, deltas: readonly unknown[]): void {
  if (!Array.isArray(target['tool_calls'])) target['tool_calls'] = [];
  const calls = target['tool_calls'] as Fields[];
  for (const delta of deltas) {
    if (!isFields(delta)) continue;
    const { index, ...rest } = delta;
    const at = typeof index === 'number' && index >= 0 && index < 1024 ? index : calls.length;
    while (calls.length <= at) calls.push({});
    const call = calls[at]!;
    // Texts of a call grow (`arguments`), its id and type are sent once or repeated.
    for (const name of ['id', 'type']) {
      if (typeof rest[name] === 'string' && rest[name] !== '') call[name] = rest[name];
      delete rest[name];
    }
    mergeInto(call, rest);
  }
}

function fieldsAt(target: Fields, name: string): Fields {
  const held = own(target, name);
  if (isFields(held)) return held;
  const fields: Fields = {};
  target[name] = fields;
  return fields;
}

/** What an upstream names must not be found on the prototype: `constructor`, `toString`. */
function own(target: Fields, name: string): unknown {
  return Object.hasOwn(target, name) ? target[name] : undefined;
}
