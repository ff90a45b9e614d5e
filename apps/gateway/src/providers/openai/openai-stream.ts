import { isFields, readAnswer, readUsage, type AnswerFacts } from './openai-answer.js';

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

  /** Takes the data of one event. */
  take(data: string): ChunkKind {
    let chunk: unknown;
    try {
      chunk = JSON.parse(data);
    } catch {
      return 'malformed';
    }
    if (!isFields(chunk)) return 'malformed';
    if (chunk['error'] !== undefined && chunk['error'] !== null) {
      this.error = chunk;
      return 'error';
    }
    const choices = chunk['choices'];
    if (!Array.isArray(choices)) return chunk['object'] === 'error' ? this.failed(chunk) : 'malformed';
    if (chunk['usage']) this.usage = chunk['usage'];
    if (this.envelope['id'] === undefined) this.open(chunk);
    if (choices.length === 0) return chunk['usage'] ? 'usage' : 'silent';
    let kind: ChunkKind = 'silent';
    for (const choice of choices as unknown[])
      if (isFields(choice) && this.takeChoice(choice)) kind = 'content';
    return kind;
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
    const usage = readUsage(this.usage);
    const facts = readAnswer(completion)!;
    return {
      text: JSON.stringify(completion),
      facts: {
        ...facts,
        inputTokens: usage?.inputTokens ?? null,
        outputTokens: usage?.outputTokens ?? null,
      },
    };
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

/** Adds a delta to what is there: texts and lists grow, tool calls by their index. @returns whether it brought content. */
function mergeInto(target: Fields, delta: Fields): boolean {
  let brought = false;
  for (const name in delta) {
    const value = delta[name];
    if (name === 'role') {
      target['role'] = value;
    } else if (typeof value === 'string') {
      if (value === '') target[name] ??= '';
      else {
        const before = target[name];
        target[name] = typeof before === 'string' ? before + value : value;
        brought = true;
      }
    } else if (Array.isArray(value)) {
      if (value.length === 0) continue;
      brought = true;
      if (name === 'tool_calls') mergeToolCalls(target, value);
      else target[name] = [...(Array.isArray(target[name]) ? (target[name] as unknown[]) : []), ...value];
    } else if (value !== null && value !== undefined) {
      if (isFields(value)) mergeInto(fieldsAt(target, name), value);
      else target[name] = value;
      brought = true;
    }
  }
  return brought;
}

function mergeToolCalls(target: Fields, deltas: readonly unknown[]): void {
  const calls = (target['tool_calls'] ??= []) as Fields[];
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
  if (!isFields(target[name])) target[name] = {};
  return target[name] as Fields;
}
