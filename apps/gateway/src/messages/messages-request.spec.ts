import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { messagesBody } from '../providers/anthropic/anthropic-request.js';
import type { Fields } from '../providers/canonical.js';
import { chatFieldsOf } from './messages-request.js';

const word = fc.string({ minLength: 1, maxLength: 12 });
const json = fc.dictionary(word, fc.oneof(word, fc.integer(), fc.boolean()), { maxKeys: 3 });
const without = (object: object) => JSON.parse(JSON.stringify(object)) as Fields;
const cached = fc.option(fc.constant({ type: 'ephemeral' }), { nil: undefined });

const text = fc.record({ type: fc.constant('text'), text: word, cache_control: cached });
const image = fc.record({
  type: fc.constant('image'),
  source: fc.oneof(
    fc.record({
      type: fc.constant('base64'),
      media_type: fc.constantFrom('image/png', 'image/jpeg'),
      data: fc.base64String(),
    }),
    fc.record({ type: fc.constant('url'), url: fc.webUrl() }),
  ),
  cache_control: cached,
});
const document = fc.record({
  type: fc.constant('document'),
  source: fc.oneof(
    fc.record({
      type: fc.constant('base64'),
      media_type: fc.constant('application/pdf'),
      data: fc.base64String(),
    }),
    fc.record({ type: fc.constant('text'), media_type: fc.constant('text/plain'), data: word }),
  ),
  title: fc.option(word, { nil: undefined }),
});
const thinking = fc.oneof(
  fc.record({ type: fc.constant('thinking'), thinking: word, signature: word }),
  fc.record({ type: fc.constant('redacted_thinking'), data: word }),
);
const toolUse = fc.record({
  type: fc.constant('tool_use'),
  id: word,
  name: word,
  input: json,
  cache_control: cached,
});
const toolResult = fc.record({
  type: fc.constant('tool_result'),
  tool_use_id: word,
  content: fc.oneof(word, fc.array(fc.oneof(text, image), { minLength: 1, maxLength: 2 })),
  is_error: fc.option(fc.boolean(), { nil: undefined }),
});
const some = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 3 });
const userContent = fc.oneof(
  word,
  some(fc.oneof(text, image, document)),
  fc
    .tuple(some(toolResult), fc.array(fc.oneof(text, image), { maxLength: 2 }))
    .map(([results, rest]) => [...results, ...rest] as unknown[]),
);
const assistantContent = fc.oneof(
  word,
  fc
    .tuple(
      fc.array(thinking, { maxLength: 2 }),
      fc.array(text, { maxLength: 2 }),
      fc.array(toolUse, { maxLength: 2 }),
    )
    .filter((lists) => lists.flat().length > 0)
    .map((lists) => lists.flat() as unknown[]),
);
/** Turns take turns, as they do in what applications send. */
const turns = fc.array(fc.tuple(userContent, assistantContent), { minLength: 1, maxLength: 3 }).map((pairs) =>
  pairs.flatMap(([user, assistant]) => [
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ]),
);
const tool = fc.oneof(
  fc.record({
    name: word,
    description: fc.option(word, { nil: undefined }),
    input_schema: fc.record({ type: fc.constant('object'), properties: json }),
    cache_control: cached,
    strict: fc.option(fc.boolean(), { nil: undefined }),
  }),
  fc.record({
    type: fc.constant('web_search_20250305'),
    name: fc.constant('web_search'),
    max_uses: fc.nat(),
  }),
);
const request = fc
  .record({
    model: word,
    max_tokens: fc.integer({ min: 1, max: 9999 }),
    messages: turns,
    system: fc.option(
      fc.oneof(
        word,
        some(text).filter((blocks) => blocks.length > 1),
      ),
      { nil: undefined },
    ),
    tools: fc.option(some(tool), { nil: undefined }),
    tool_choice: fc.option(
      fc.oneof(
        fc.record({
          type: fc.constantFrom('auto', 'any'),
          disable_parallel_tool_use: fc.option(fc.constant(true), { nil: undefined }),
        }),
        fc.record({ type: fc.constant('tool'), name: word }),
        fc.record({ type: fc.constant('none') }),
      ),
      { nil: undefined },
    ),
    stop_sequences: fc.option(some(word), { nil: undefined }),
    temperature: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    top_k: fc.option(fc.nat(), { nil: undefined }),
    thinking: fc.option(fc.record({ type: fc.constant('enabled'), budget_tokens: fc.nat() }), {
      nil: undefined,
    }),
    output_config: fc.option(
      fc.record({
        effort: fc.constantFrom('low', 'high'),
        format: fc.option(fc.record({ type: fc.constant('json_schema'), schema: json }), { nil: undefined }),
      }),
      { nil: undefined },
    ),
    metadata: fc.option(fc.record({ user_id: word }), { nil: undefined }),
    field_of_tomorrow: fc.option(json, { nil: undefined }),
  })
  .map(without);

/** As it is between ingress and provider: `metadata` stays at the gateway. */
function thereAndBack(body: Fields): Fields {
  const canonical = chatFieldsOf(body);
  delete canonical['metadata'];
  return without(messagesBody(canonical));
}

describe('a request in Anthropic’s words', () => {
  it('comes out as it went in, through the canonical form, whatever it holds', () => {
    fc.assert(
      fc.property(request, (body) => {
        expect(thereAndBack(body)).toEqual(body);
      }),
      { numRuns: 500 },
    );
  });

  it('shows a server of another protocol nothing it has no word for', () => {
    const thought = { type: 'thinking', thinking: 'hm', signature: 's' };
    const canonical = chatFieldsOf({
      model: 'm',
      max_tokens: 5,
      thinking: { type: 'enabled', budget_tokens: 1024 },
      system: [
        { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } },
        { type: 'text', text: 'Be brief.' },
      ],
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: [thought, { type: 'tool_use', id: 't', name: 'f', input: { a: 1 } }] },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 't', content: 'ok', is_error: false }],
        },
      ],
      tools: [{ name: 'f', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } }],
      stop_sequences: ['.'],
    });
    expect(without(canonical)).toEqual({
      model: 'm',
      max_tokens: 5,
      messages: [
        {
          role: 'system',
          content: [
            { type: 'text', text: 'Be kind.' },
            { type: 'text', text: 'Be brief.' },
          ],
        },
        { role: 'user', content: 'Hi' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
        },
        { role: 'tool', tool_call_id: 't', content: 'ok' },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      stop: ['.'],
    });
  });

  it.each([
    [{ messages: 'hi' }, 'messages'],
    [{ messages: [{ content: 'x' }] }, 'messages[0]'],
    [{ messages: [{ role: 'user', content: 3 }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: ['x'] }] }, 'messages[0].content[0]'],
    [{ messages: [], system: 3 }, 'system'],
    [{ messages: [], tools: {} }, 'tools'],
    [{ messages: [], metadata: 'x' }, 'metadata'],
  ])('is refused where a type is wrong: %j', (body, param) => {
    expect(() => chatFieldsOf({ model: 'm', ...body })).toThrow(
      expect.objectContaining({ param, status: 400 }),
    );
  });
});
