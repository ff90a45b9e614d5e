import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamedAnswer } from '../providers/openai/openai-stream.js';
import { chunksOf, isWhole } from './whole-answer.js';

const text = fc.string({ minLength: 1 });
const call = fc.record({
  id: text,
  type: fc.constant('function'),
  function: fc.record({ name: text, arguments: text }),
});
const message = fc
  .record(
    {
      role: fc.constant('assistant'),
      content: fc.oneof(text, fc.constant(null)),
      reasoning_content: text,
      tool_calls: fc.array(call, { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ['role', 'content'] },
  )
  .filter(({ content, tool_calls }) => content !== null || tool_calls !== undefined);
const completion = fc.record({
  id: text,
  object: fc.constant('chat.completion'),
  created: fc.nat(),
  model: text,
  choices: fc
    .array(fc.record({ message, finish_reason: fc.constantFrom('stop', 'length', 'tool_calls') }), {
      minLength: 1,
      maxLength: 3,
    })
    .map((choices) => choices.map((choice, index) => ({ index, ...choice }))),
  usage: fc.record({ prompt_tokens: fc.nat(), completion_tokens: fc.nat(), total_tokens: fc.nat() }),
});

describe('the chunks of a chat completion', () => {
  it('make the same chat completion again', () => {
    fc.assert(
      fc.property(completion, (whole) => {
        const answer = new StreamedAnswer();
        const kinds = chunksOf(whole, true).map((data) => answer.take(data));
        expect(new Set(kinds)).toEqual(new Set(['content', 'silent', 'usage']));
        expect(answer.isFinished).toBe(true);
        expect(JSON.parse(answer.assemble().text)).toEqual(JSON.parse(JSON.stringify(whole)));
      }),
      { numRuns: 300 },
    );
  });

  it('tell the usage only where it is wanted', () => {
    const choices = [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }];
    const whole = { id: 'a', choices, usage: { prompt_tokens: 1 } };
    expect(chunksOf(whole, false).join()).not.toContain('usage');
    expect(chunksOf(whole, true).at(-1)).toContain('"choices":[],"usage":{"prompt_tokens":1}');
  });
});

describe('an answer', () => {
  const answer = (...reasons: unknown[]) =>
    Buffer.from(JSON.stringify({ choices: reasons.map((finish_reason) => ({ finish_reason })) }));

  it('is whole when each of its choices has ended, of its own', () => {
    expect(
      ['stop', 'length', 'tool_calls', 'function_call'].map((reason) => isWhole(answer(reason))),
    ).toEqual(Array(4).fill(true));
    expect(isWhole(answer('stop', 'stop'))).toBe(true);
    for (const reasons of [['stop', null], ['content_filter'], [undefined], [''], []])
      expect(isWhole(answer(...reasons))).toBe(false);
    expect(isWhole(Buffer.from('no JSON'))).toBe(false);
  });
});
