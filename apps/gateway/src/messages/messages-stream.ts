import { dataOf } from '#libs/core/sse/sse-splitter.js';
import type { StreamWriter } from '../chat/ingress.js';
import type { GatewayError } from '../http/gateway-error.js';
import { DONE, isFields, listOf, textOf, type Fields } from '../providers/canonical.js';
import { DIRECT, messageId, reasoningOf, stopOf, usageOf } from './messages-answer.js';
import { messagesError } from './messages-error.js';

interface Block {
  readonly index: number;
  readonly kind: 'text' | 'thinking' | 'tool_use';
}

/** Chat completion chunks on their way out as the events of a streamed message. Its first choice is the message. */
export class MessagesStreamWriter implements StreamWriter {
  private text = '';
  private started = false;
  private blocks = 0;
  private current: Block | undefined;
  /** Blocks of the tool calls, by their position. */
  private readonly calls = new Map<unknown, Block>();
  private usage: unknown;
  private ending: Fields = {};

  write(chunks: readonly Buffer[]): Buffer {
    for (const chunk of chunks) this.take(chunk);
    return this.flush();
  }

  end(chunks: readonly Buffer[]): Buffer {
    for (const chunk of chunks) this.take(chunk);
    if (!this.started) this.start({});
    this.stopBlock();
    const delta = stopOf(this.ending);
    this.event('message_delta', { delta, usage: usageOf(this.usage) });
    this.event('message_stop', {});
    return this.flush();
  }

  fail(error: GatewayError): Buffer {
    return Buffer.from(`event: error\ndata: ${messagesError(error)}\n\n`);
  }

  private take(chunk: Buffer): void {
    const data = dataOf(chunk);
    if (data === undefined) {
      this.event('ping', {});
      return;
    }
    if (data === DONE) return;
    // It was parsed before, on its way in.
    const fields = JSON.parse(data) as Fields;
    if (fields['usage']) this.usage = fields['usage'];
    for (const choice of listOf(fields['choices'])) {
      // Not before: Azure begins with a chunk that has neither choices nor an id.
      if (!this.started) this.start(fields);
      if ((choice['index'] ?? 0) !== 0) continue;
      if (isFields(choice['delta'])) this.takeDelta(choice['delta']);
      if (choice['finish_reason']) this.ending = choice;
    }
  }

  private start({ id, model }: Fields): void {
    this.started = true;
    const usage = usageOf(this.usage);
    const message = {
      id: messageId(id),
      type: 'message',
      role: 'assistant',
      model: model ?? '',
      content: [],
      stop_reason: null,
      stop_sequence: null,
      stop_details: null,
      container: null,
      usage,
    };
    this.event('message_start', { message });
  }

  private takeDelta(delta: Fields): void {
    const thought = reasoningOf(delta);
    if (thought) this.delta(this.thinking(), { type: 'thinking_delta', thinking: thought });
    for (const block of listOf(delta['thinking_blocks'])) this.signed(block);
    for (const block of listOf(delta['content_blocks'])) this.whole(block);
    const text = textOf(delta['content']) ?? textOf(delta['refusal']);
    if (text) {
      const block = this.begin('text', { type: 'text', text: '', citations: null });
      this.delta(block, { type: 'text_delta', text });
    }
    for (const call of listOf(delta['tool_calls'])) this.takeCall(call);
  }

  /** A block of thinking, complete. Where it was streamed, only its signature is missing. */
  private signed(block: Fields): void {
    if (block['type'] !== 'thinking') {
      this.whole(block);
      return;
    }
    const wasStreamed = this.current?.kind === 'thinking';
    const open = this.thinking();
    if (!wasStreamed && textOf(block['thinking']))
      this.delta(open, { type: 'thinking_delta', thinking: block['thinking'] });
    this.delta(open, { type: 'signature_delta', signature: block['signature'] ?? '' });
    this.stopBlock();
  }

  private thinking(): Block {
    return this.begin('thinking', { type: 'thinking', thinking: '', signature: '' });
  }

  private takeCall(call: Fields): void {
    const called = isFields(call['function']) ? call['function'] : {};
    let block = this.calls.get(call['index']);
    if (!block) {
      const { id } = call;
      this.stopBlock();
      const name = called['name'] ?? '';
      block = this.begin('tool_use', { type: 'tool_use', id, name, input: {}, caller: DIRECT });
      this.calls.set(call['index'], block);
    }
    const piece = textOf(called['arguments']);
    if (piece) this.delta(block, { type: 'input_json_delta', partial_json: piece });
  }

  /** The block that is open where it is of this kind, else a new one. */
  private begin(kind: Block['kind'], block: Fields): Block {
    if (this.current?.kind === kind) return this.current;
    this.stopBlock();
    this.current = { index: this.blocks++, kind };
    this.event('content_block_start', { index: this.current.index, content_block: block });
    return this.current;
  }

  private whole(block: Fields): void {
    this.stopBlock();
    const index = this.blocks++;
    this.event('content_block_start', { index, content_block: block });
    this.event('content_block_stop', { index });
  }

  private stopBlock(): void {
    if (this.current) this.event('content_block_stop', { index: this.current.index });
    this.current = undefined;
  }

  private delta({ index }: Block, delta: Fields): void {
    this.event('content_block_delta', { index, delta });
  }

  private event(type: string, fields: Fields): void {
    this.text += `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
  }

  private flush(): Buffer {
    const bytes = Buffer.from(this.text);
    this.text = '';
    return bytes;
  }
}
