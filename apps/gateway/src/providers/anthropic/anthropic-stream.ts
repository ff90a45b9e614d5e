import { nestsTooDeeply } from '#libs/core/nesting/nesting.js';
import { dataOf } from '#libs/core/sse/sse-splitter.js';
import { DONE, isFields, sseOf, textOf, type Fields } from '../canonical.js';
import type { StreamReader } from '../provider.js';
import { finishReasonOf, isThinking, usageOf } from './anthropic-answer.js';

const HEARTBEAT = Buffer.from(': ping\n\n');
const DONE_EVENT = sseOf(DONE);

/** A block that has begun, as far as it came. */
interface OpenBlock {
  readonly block: Fields;
  /** Position among the tool calls. */
  readonly call: number | undefined;
  /** Pieces of the JSON of a server tool's input. */
  input: string;
}

/**
 * The events of a streamed message, as chat completion chunks. Blocks that chat completions have no word for come in
 * one piece, when they are complete. https://platform.claude.com/docs/en/build-with-claude/streaming
 */
export class AnthropicStreamReader implements StreamReader {
  private readonly open = new Map<unknown, OpenBlock>();
  private usage: Fields = {};
  private head: string;
  private calls = 0;

  constructor(private readonly createdS: number) {
    this.head = this.headOf({});
  }

  take(events: readonly Buffer[]): Buffer[] {
    const chunks: Buffer[] = [];
    for (const event of events) {
      const data = dataOf(event);
      if (data === undefined) chunks.push(event);
      else this.takeData(data, chunks);
    }
    return chunks;
  }

  private takeData(data: string, into: Buffer[]): void {
    let event: unknown;
    try {
      event = JSON.parse(data);
    } catch {
      // Under no name of its own, so that it is found malformed instead of passed over.
      into.push(sseOf(data.replaceAll('\n', ' ')));
      return;
    }
    if (!isFields(event) || nestsTooDeeply(event, data.length)) {
      into.push(sseOf('null'));
      return;
    }
    switch (event['type']) {
      case 'message_start':
        this.start(event['message'], into);
        return;
      case 'content_block_start':
        this.startBlock(event, into);
        return;
      case 'content_block_delta':
        this.takeDelta(event, into);
        return;
      case 'content_block_stop':
        this.stopBlock(event['index'], into);
        return;
      case 'message_delta':
        this.finish(event, into);
        return;
      case 'message_stop':
        into.push(DONE_EVENT);
        return;
      case 'ping':
        into.push(HEARTBEAT);
        return;
      case 'error':
        into.push(sseOf(JSON.stringify({ error: event['error'] ?? event })));
        return;
      default: // New kinds of events may come at any time, and are to be passed over.
    }
  }

  private start(message: unknown, into: Buffer[]): void {
    const given = isFields(message) ? message : {};
    this.head = this.headOf(given);
    this.addUsage(given['usage']);
    // With the tokens of the prompt, so that they are known of a stream that breaks off. Those of the answer are yet to come.
    const { completion_tokens: _, total_tokens: __, ...prompt } = usageOf(this.usage);
    into.push(this.chunk({ role: 'assistant' }, null, prompt));
  }

  private startBlock({ index, content_block: given }: Fields, into: Buffer[]): void {
    if (!isFields(given)) return;
    const isCall = given['type'] === 'tool_use';
    const call = isCall ? this.calls++ : undefined;
    this.open.set(index, { block: { ...given }, call, input: '' });
    if (isCall) {
      const called = { name: given['name'], arguments: '' };
      into.push(this.callChunk({ index: call, id: given['id'], type: 'function', function: called }));
    } else if (given['type'] === 'text' && textOf(given['text'])) this.content(given['text'], into);
  }

  private takeDelta({ index, delta }: Fields, into: Buffer[]): void {
    const open = this.open.get(index);
    if (!isFields(delta) || !open) return;
    switch (delta['type']) {
      case 'text_delta':
        this.content(delta['text'], into);
        return;
      case 'input_json_delta': {
        const piece = textOf(delta['partial_json']);
        if (piece === undefined) return;
        if (open.call === undefined) open.input += piece;
        else into.push(this.callChunk({ index: open.call, function: { arguments: piece } }));
        return;
      }
      case 'thinking_delta': {
        const thought = textOf(delta['thinking']);
        if (thought === undefined) return;
        open.block['thinking'] = (textOf(open.block['thinking']) ?? '') + thought;
        into.push(this.chunk({ reasoning_content: thought }, null));
        return;
      }
      case 'signature_delta':
        open.block['signature'] = delta['signature'];
        return;
      default:
    }
  }

  private stopBlock(index: unknown, into: Buffer[]): void {
    const open = this.open.get(index);
    if (!open) return;
    this.open.delete(index);
    const { block, call, input } = open;
    if (call !== undefined || block['type'] === 'text') return;
    if (input !== '') block['input'] = parsed(input);
    into.push(this.chunk({ [isThinking(block) ? 'thinking_blocks' : 'content_blocks']: [block] }, null));
  }

  private finish({ delta, usage }: Fields, into: Buffer[]): void {
    this.addUsage(usage);
    const { stop_reason, stop_sequence } = isFields(delta) ? delta : {};
    into.push(this.chunk({}, finishReasonOf(stop_reason), undefined, stop_sequence ?? null));
    into.push(sseOf(`${this.head},"choices":[],"usage":${JSON.stringify(usageOf(this.usage))}}`));
  }

  /** Counts are cumulative, and left out where they do not apply. */
  private addUsage(usage: unknown): void {
    if (!isFields(usage)) return;
    for (const name in usage) if (usage[name] !== null) this.usage[name] = usage[name];
  }

  private content(text: unknown, into: Buffer[]): void {
    if (textOf(text)) into.push(this.chunk({ content: text }, null));
  }

  private callChunk(call: Fields): Buffer {
    return this.chunk({ tool_calls: [call] }, null);
  }

  private chunk(delta: Fields, finishReason: string | null, usage?: Fields, stopReason?: unknown): Buffer {
    const stop = stopReason === undefined ? '' : `,"stop_reason":${JSON.stringify(stopReason)}`;
    const choice = `{"index":0,"delta":${JSON.stringify(delta)},"logprobs":null,"finish_reason":${JSON.stringify(finishReason)}${stop}}`;
    const counted = usage ? `,"usage":${JSON.stringify(usage)}` : '';
    return sseOf(`${this.head},"choices":[${choice}]${counted}}`);
  }

  /** What all chunks begin with, the brace open. */
  private headOf({ id, model }: Fields): string {
    const head = {
      id: id ?? '',
      object: 'chat.completion.chunk',
      created: this.createdS,
      model: model ?? '',
    };
    return JSON.stringify(head).slice(0, -1);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
