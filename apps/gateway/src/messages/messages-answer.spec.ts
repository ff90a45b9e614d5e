import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseSplitter, dataOf } from '#libs/core/sse/sse-splitter.js';
import { completionOf } from '../providers/anthropic/anthropic-answer.js';
import { messagesBody } from '../providers/anthropic/anthropic-request.js';
import { AnthropicStreamReader } from '../providers/anthropic/anthropic-stream.js';
import { StreamedAnswer } from '../providers/openai/openai-stream.js';
import { sseOf, type Fields } from '../providers/canonical.js';
import { messageOf } from './messages-answer.js';
import { chatFieldsOf } from './messages-request.js';
import { MessagesStreamWriter } from './messages-stream.js';

const word = fc.string({ minLength: 1, maxLength: 12 });
const json = fc.dictionary(word, fc.oneof(word, fc.integer(), fc.boolean()), { maxKeys: 3 });
const without = (object: object) => JSON.parse(JSON.stringify(object)) as Fields;
const thinking = fc.oneof(
  fc.record({ type: fc.constant('thinking'), thinking: word, signature: word }),
  fc.record({ type: fc.constant('redacted_thinking'), data: word }),
);
const usage = fc.record({
  input_tokens: fc.nat(1e6),
  cache_creation_input_tokens: fc.nat(1e6),
  cache_read_input_tokens: fc.nat(1e6),
  output_tokens: fc.nat(1e6),
});
const answer = fc
  .record({
    id: word.map((id) => `msg_${id}`),
    type: fc.constant('message'),
    role: fc.constant('assistant'),
    model: word,
    content: fc
      .tuple(
        fc.array(thinking, { maxLength: 1 }),
        fc.array(fc.record({ type: fc.constant('text'), text: word, citations: fc.constant(null) }), {
          maxLength: 1,
        }),
        fc.array(
          fc.record({
            type: fc.constant('tool_use'),
            id: word,
            name: word,
            input: json,
            caller: fc.constant({ type: 'direct' }),
          }),
          {
            maxLength: 3,
          },
        ),
      )
      .map((lists) => lists.flat() as Fields[])
      .filter((blocks) => blocks.length > 0),
    ending: fc.oneof(
      fc.constantFrom('end_turn', 'max_tokens', 'tool_use', 'refusal').map((stop_reason) => ({
        stop_reason,
        stop_sequence: null,
      })),
      word.map((stop_sequence) => ({ stop_reason: 'stop_sequence', stop_sequence })),
    ),
    usage,
  })
  .map(({ ending, ...message }) => without({ ...message, ...ending, stop_details: null, container: null }));

/** As the API streams a message, its texts cut into single characters. */
function eventsOf(message: Fields): Buffer[] {
  const event = (type: string, fields: object) =>
    Buffer.from(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  const { content, stop_reason, stop_sequence, usage: counted, ...head } = message;
  const { output_tokens, ...prompt } = counted as Fields;
  const start = {
    ...head,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { ...prompt, output_tokens: 1 },
  };
  const deltas = (block: Fields): object[] => {
    const pieces = (given: unknown) => Array.from(String(given));
    if (block['type'] === 'text')
      return pieces(block['text']).map((piece) => ({ type: 'text_delta', text: piece }));
    if (block['type'] === 'tool_use')
      return pieces(JSON.stringify(block['input'])).map((partial_json) => ({
        type: 'input_json_delta',
        partial_json,
      }));
    if (block['type'] !== 'thinking') return [];
    return [
      ...pieces(block['thinking']).map((piece) => ({ type: 'thinking_delta', thinking: piece })),
      { type: 'signature_delta', signature: block['signature'] },
    ];
  };
  const empty: Record<string, object> = {
    text: { text: '' },
    tool_use: { input: {} },
    thinking: { thinking: '', signature: '' },
  };
  return [
    event('message_start', { message: start }),
    event('ping', {}),
    ...(content as Fields[]).flatMap((block, index) => [
      event('content_block_start', { index, content_block: { ...block, ...empty[String(block['type'])] } }),
      ...deltas(block).map((delta) => event('content_block_delta', { index, delta })),
      event('content_block_stop', { index }),
    ]),
    event('message_delta', { delta: { stop_reason, stop_sequence }, usage: { output_tokens } }),
    event('message_stop', {}),
  ];
}

/** As a client puts the events together. */
function assembled(bytes: Buffer): Fields {
  let message: Fields = {};
  const inputs = new Map<number, string>();
  for (const event of new SseSplitter().push(bytes)) {
    const data = JSON.parse(dataOf(event)!);
    const block = message['content'] ? (message['content'] as Fields[])[data.index] : undefined;
    if (data.type === 'message_start') message = data.message;
    if (data.type === 'content_block_start')
      (message['content'] as Fields[])[data.index] = data.content_block;
    if (data.type === 'content_block_delta') {
      const { type, text: piece, thinking: thought, signature, partial_json } = data.delta;
      if (type === 'text_delta') block!['text'] += piece;
      if (type === 'thinking_delta') block!['thinking'] += thought;
      if (type === 'signature_delta') block!['signature'] = signature;
      if (type === 'input_json_delta') inputs.set(data.index, (inputs.get(data.index) ?? '') + partial_json);
    }
    if (data.type === 'content_block_stop' && inputs.has(data.index))
      block!['input'] = JSON.parse(inputs.get(data.index)!);
    if (data.type === 'message_delta') {
      Object.assign(message, data.delta);
      message['usage'] = { ...(message['usage'] as Fields), ...data.usage };
    }
  }
  return message;
}

describe('an answer in Anthropic’s words', () => {
  it('comes out as it went in, in one piece', () => {
    fc.assert(
      fc.property(answer, (message) => {
        expect(without(messageOf(completionOf(message, 1)!))).toEqual(message);
      }),
    );
  });

  it('comes out as it went in, streamed, and is kept as the same chat completion', () => {
    fc.assert(
      fc.property(answer, (message) => {
        const chunks = new AnthropicStreamReader(1).take(eventsOf(message));
        const writer = new MessagesStreamWriter();
        const bytes = Buffer.concat([writer.write(chunks.slice(0, -3)), writer.end(chunks.slice(-3))]);
        expect(assembled(bytes)).toEqual(message);
        const kept = new StreamedAnswer();
        for (const chunk of chunks) {
          const data = dataOf(chunk);
          if (data !== undefined && data !== '[DONE]') kept.take(data);
        }
        const whole = completionOf(message, 1) as any;
        const { choices, usage: counted } = JSON.parse(kept.assemble().text);
        expect(counted).toEqual(whole.usage);
        expect(choices[0].message).toEqual({ content: null, ...without(whole.choices[0].message) });
        expect(choices[0].finish_reason).toBe(whole.choices[0].finish_reason);
      }),
    );
  });

  it('ends with an error event and no message_stop where it broke off', () => {
    const writer = new MessagesStreamWriter();
    writer.write([sseOf('{"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}')]);
    const error = { status: 502, message: 'It broke.', code: 'upstream_reset' } as never;
    const said = writer.fail(error).toString();
    expect(said).toMatch(/^event: error\n/);
    expect(JSON.parse(said.split('data: ')[1]!)).toEqual({
      type: 'error',
      error: { type: 'api_error', message: 'It broke.', code: 'upstream_reset' },
    });
  });
});

describe('a block that chat completions have no word for', () => {
  const search = { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'parcel' } };
  const found = { type: 'web_search_tool_result', tool_use_id: 's', content: [{ url: 'https://a.example' }] };
  const text = { type: 'text', text: 'Here.', citations: null };
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [search, found, text],
    stop_reason: 'pause_turn',
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 2 },
  };

  it('arrives whole, in one piece or streamed', () => {
    expect(messageOf(completionOf(message, 1)!)['content']).toEqual([search, found, text]);
    const events = eventsOf(message);
    const at = events.findIndex((event) => event.includes('"content_block_stop"'));
    const deltas = ['{"query":', '"parcel"}'].map((partial_json) => ({
      type: 'input_json_delta',
      partial_json,
    }));
    events.splice(
      at,
      0,
      ...deltas.map((delta) => sseOf(JSON.stringify({ type: 'content_block_delta', index: 0, delta }))),
    );
    events[2] = sseOf(
      JSON.stringify({ type: 'content_block_start', index: 0, content_block: { ...search, input: {} } }),
    );
    const chunks = new AnthropicStreamReader(1).take(events);
    expect(assembled(new MessagesStreamWriter().end(chunks))['content']).toEqual([search, found, text]);
  });

  it('goes back with the conversation, as does what was thought, also from a caller of chat completions', () => {
    const thought = { type: 'thinking', thinking: 'hm', signature: 's' };
    const { choices } = completionOf({ ...message, content: [thought, search, found, text] }, 1) as any;
    const body = messagesBody({ messages: [{ role: 'user', content: 'Hi' }, choices[0].message] });
    expect((body['messages'] as Fields[])[1]).toEqual({
      role: 'assistant',
      content: [thought, search, found, { type: 'text', text: 'Here.' }],
    });
  });

  it('is no thinking of another server, which Anthropic’s did not sign', () => {
    const { content } = messageOf({
      choices: [{ index: 0, message: { reasoning_content: 'hm', content: 'Hi' }, finish_reason: 'stop' }],
    }) as any;
    expect(content[0]).toEqual({ type: 'thinking', thinking: 'hm', signature: '' });
    const back = messagesBody(chatFieldsOf({ messages: [{ role: 'assistant', content }] }));
    expect(without(back)['messages']).toEqual([
      { role: 'assistant', content: [{ type: 'text', text: 'Hi', citations: null }] },
    ]);
  });
});

describe('the reader of Anthropic’s streams', () => {
  const take = (...data: unknown[]) =>
    new AnthropicStreamReader(1)
      .take(
        data.map((fields) =>
          Buffer.from(`event: x\ndata: ${typeof fields === 'string' ? fields : JSON.stringify(fields)}\n\n`),
        ),
      )
      .map((chunk) => dataOf(chunk));

  it('passes an error on as one', () => {
    const [chunk] = take({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } });
    expect(new StreamedAnswer().take(chunk!)).toBe('error');
  });

  it.each(['{"type":"content_block_delta"', 'null', '[1]', '[[', '{"type":\n'])(
    'lets %j be found malformed, not passed over',
    (data) => {
      const [chunk] = take(data);
      expect(new StreamedAnswer().take(chunk!)).toBe('malformed');
    },
  );

  it('passes over kinds of events it does not know', () => {
    expect(
      take({ type: 'event_of_tomorrow', a: 1 }, { type: 'content_block_delta', index: 9, delta: {} }),
    ).toEqual([]);
  });

  it('tells the tokens of the prompt at the beginning, and leaves those of the answer to be counted', () => {
    const [chunk] = take({
      type: 'message_start',
      message: { id: 'm', usage: { input_tokens: 3, cache_read_input_tokens: 4, output_tokens: 1 } },
    });
    expect(JSON.parse(chunk!).usage).toEqual({
      prompt_tokens: 7,
      prompt_tokens_details: { cached_tokens: 4, cache_creation_tokens: 0 },
    });
  });
});
