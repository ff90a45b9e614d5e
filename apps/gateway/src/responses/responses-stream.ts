import { dataOf } from '#libs/core/sse/sse-splitter.js';
import type { ChatRequest } from '../chat/chat-request.js';
import type { StreamWriter } from '../chat/ingress.js';
import type { GatewayError } from '../http/gateway-error.js';
import { DONE, isFields, listOf, textOf, type Fields } from '../providers/canonical.js';
import {
  callItem,
  echoOf,
  endOf,
  idOf,
  logprobsOf,
  messageItem,
  reasoningItem,
  responseId,
  usageOf,
} from './responses-answer.js';

/** An item of the output that is being written. */
interface OpenItem {
  readonly kind: 'reasoning' | 'message' | 'call';
  readonly index: number;
  readonly id: string;
  readonly callId?: unknown;
  readonly name?: unknown;
  text: string;
  readonly logprobs: unknown[];
}

/** Chat completion chunks on their way out as the events of a streamed response. Its first choice is the response. */
export class ResponsesStreamWriter implements StreamWriter {
  private text = '';
  private sequence = 0;
  private response: Fields | undefined;
  private id = '';
  private readonly output: Fields[] = [];
  private current: OpenItem | undefined;
  private currentCall: unknown;
  private usage: unknown;
  private finishReason: unknown;

  constructor(private readonly request: ChatRequest) {}

  write(chunks: readonly Buffer[]): Buffer {
    for (const chunk of chunks) this.take(chunk);
    return this.flush();
  }

  end(chunks: readonly Buffer[]): Buffer {
    for (const chunk of chunks) this.take(chunk);
    if (!this.response) this.start({});
    this.closeItem();
    const end = endOf(this.finishReason);
    this.event(`response.${String(end['status'])}`, {
      response: { ...this.response, output: this.output, ...end, usage: usageOf(this.usage) },
    });
    return this.flush();
  }

  fail({ code, message, param: given, type }: GatewayError): Buffer {
    const param = given ?? null;
    // The client throws where it finds an `error`, and passes the event on where it does not.
    this.event('error', { code, message, param, error: { message, type, param, code } });
    return this.flush();
  }

  private take(chunk: Buffer): void {
    const data = dataOf(chunk);
    if (data === undefined) {
      this.text += chunk.toString('utf8');
      return;
    }
    if (data === DONE) return;
    // It was parsed before, on its way in.
    const fields = JSON.parse(data) as Fields;
    if (fields['usage']) this.usage = fields['usage'];
    for (const choice of listOf(fields['choices'])) {
      // Not before: Azure begins with a chunk that has neither choices nor an id.
      if (!this.response) this.start(fields);
      if ((choice['index'] ?? 0) !== 0) continue;
      if (isFields(choice['delta'])) this.takeDelta(choice['delta'], choice['logprobs']);
      if (choice['finish_reason']) this.finishReason = choice['finish_reason'];
    }
  }

  private start({ id, created, model }: Fields): void {
    this.id = idOf(id);
    this.response = {
      ...echoOf(this.request),
      id: responseId(id),
      created_at: created ?? 0,
      model: model ?? '',
      status: 'in_progress',
      incomplete_details: null,
      output: [],
      usage: null,
    };
    this.event('response.created', { response: this.response });
    this.event('response.in_progress', { response: this.response });
  }

  private takeDelta(delta: Fields, logprobs: unknown): void {
    const thought = textOf(delta['reasoning_content']) ?? textOf(delta['reasoning']);
    if (thought) this.takeText('reasoning', 'response.reasoning_text.delta', thought, undefined);
    const text = textOf(delta['content']) ?? textOf(delta['refusal']);
    if (text) this.takeText('message', 'response.output_text.delta', text, logprobsOf(logprobs));
    for (const call of listOf(delta['tool_calls'])) this.takeCall(call);
  }

  private takeText(kind: 'reasoning' | 'message', type: string, delta: string, logprobs?: unknown[]): void {
    if (this.current?.kind !== kind) this.openText(kind);
    const item = this.current!;
    item.text += delta;
    if (logprobs) for (const one of logprobs) item.logprobs.push(one);
    this.event(type, { ...placeOf(item), content_index: 0, delta, ...(logprobs && { logprobs }) });
  }

  private openText(kind: 'reasoning' | 'message'): void {
    this.closeItem();
    const index = this.output.length;
    const id = `${kind === 'message' ? 'msg' : 'rs'}_${this.id}${index === 0 ? '' : `_${index}`}`;
    const item: OpenItem = { kind, index, id, text: '', logprobs: [] };
    this.current = item;
    const empty =
      kind === 'message'
        ? { id, type: 'message', role: 'assistant', status: 'in_progress', content: [] }
        : { id, type: 'reasoning', summary: [], content: [] };
    this.event('response.output_item.added', { output_index: index, item: empty });
    this.event('response.content_part.added', { ...placeOf(item), content_index: 0, part: partOf(item) });
  }

  private takeCall(call: Fields): void {
    const called = isFields(call['function']) ? call['function'] : {};
    if (this.current?.kind !== 'call' || call['index'] !== this.currentCall) {
      this.closeItem();
      const index = this.output.length;
      const item = callItem(call['id'], called['name'], '', 'in_progress');
      const id = String(item['id']);
      this.current = {
        kind: 'call',
        index,
        id,
        callId: call['id'],
        name: called['name'],
        text: '',
        logprobs: [],
      };
      this.currentCall = call['index'];
      this.event('response.output_item.added', { output_index: index, item });
    }
    const delta = textOf(called['arguments']);
    if (!delta) return;
    this.current.text += delta;
    this.event('response.function_call_arguments.delta', { ...placeOf(this.current), delta });
  }

  private closeItem(): void {
    const item = this.current;
    if (!item) return;
    this.current = undefined;
    const { kind, text, id, logprobs } = item;
    const place = placeOf(item);
    if (kind === 'call')
      this.event('response.function_call_arguments.done', { ...place, name: item.name, arguments: text });
    else {
      const said = kind === 'message' ? { text, logprobs } : { text };
      const name = kind === 'message' ? 'output_text' : 'reasoning_text';
      this.event(`response.${name}.done`, { ...place, content_index: 0, ...said });
      this.event('response.content_part.done', { ...place, content_index: 0, part: partOf(item) });
    }
    const whole =
      kind === 'call'
        ? callItem(item.callId, item.name, text)
        : kind === 'message'
          ? messageItem(id, text, logprobs)
          : reasoningItem(id, text);
    this.output.push(whole);
    this.event('response.output_item.done', { output_index: item.index, item: whole });
  }

  private event(type: string, fields: Fields): void {
    const data = { type, sequence_number: this.sequence++, ...fields };
    this.text += `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  private flush(): Buffer {
    const bytes = Buffer.from(this.text);
    this.text = '';
    return bytes;
  }
}

function placeOf({ id, index }: OpenItem): Fields {
  return { item_id: id, output_index: index };
}

function partOf({ kind, text, logprobs }: OpenItem): Fields {
  return kind === 'message'
    ? { type: 'output_text', text, annotations: [], logprobs }
    : { type: 'reasoning_text', text };
}
