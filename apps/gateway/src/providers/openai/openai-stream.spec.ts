import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamedAnswer } from './openai-stream.js';

const chunk = (choice: object, more: object = {}) =>
  JSON.stringify({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [choice],
    ...more,
  });
const text = (content: string) => chunk({ index: 0, delta: { content }, finish_reason: null });
const contentOf = (answer: StreamedAnswer) => JSON.parse(answer.assemble().text).choices[0].message.content;

describe('StreamedAnswer', () => {
  it('puts any texts together exactly, whatever characters they hold', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '"',
        '\\',
        '\\"',
        '"content":"',
        '\n',
        '\0',
        '"},"finish_reason":"stop"',
        '\ud800',
        '',
        ' ',
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, spaced) => {
        const answer = new StreamedAnswer();
        for (const content of pieces) {
          const data = spaced ? text(content).replace('"content":"', '"content": "') : text(content);
          expect(answer.take(data)).toBe(content === '' ? 'silent' : 'content');
        }
        expect(answer.isFinished).toBe(false);
        answer.take(chunk({ index: 0, delta: {}, finish_reason: 'stop' }));
        expect(answer.isFinished).toBe(true);
        expect(contentOf(answer)).toBe(pieces.length === 0 ? null : pieces.join(''));
      }),
    );
  });

  it('does not take a chunk for text that differs in anything else', () => {
    const answer = new StreamedAnswer();
    for (const content of ['a', 'b', 'c']) answer.take(text(content));
    expect(answer.take(chunk({ index: 0, delta: { content: 'd' }, finish_reason: 'length' }))).toBe(
      'content',
    );
    expect(answer.take(chunk({ index: 1, delta: { content: 'other' }, finish_reason: null }))).toBe(
      'content',
    );
    expect(answer.take(text('e'))).toBe('content');
    expect(
      answer.take(
        chunk(
          { index: 0, delta: { content: 'f' }, finish_reason: null },
          { usage: { prompt_tokens: 1, completion_tokens: 6 } },
        ),
      ),
    ).toBe('content');
    const { text: whole, facts } = answer.assemble();
    expect(
      JSON.parse(whole).choices.map((choice: any) => [choice.message.content, choice.finish_reason]),
    ).toEqual([
      ['abcdef', 'length'],
      ['other', null],
    ]);
    expect(facts).toMatchObject({ inputTokens: 1, outputTokens: 6, finishReason: 'length' });
  });

  it.each([
    ['{"choices":[{"index":0,"delta":', 'malformed'],
    ['3', 'malformed'],
    ['{}', 'malformed'],
    ['{"object":"error","message":"x"}', 'error'],
    ['{"error":{"message":"x"}}', 'error'],
    ['{"choices":[]}', 'silent'],
    ['{"choices":[],"usage":{"prompt_tokens":1}}', 'usage'],
    [chunk({ index: 0, delta: { role: 'assistant', content: '' } }), 'silent'],
    [chunk({ index: 0, delta: { reasoning_content: 'hm' } }), 'content'],
    [chunk({ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: '' } }] } }), 'content'],
  ])('says that %s is %s', (data, kind) => {
    expect(new StreamedAnswer().take(data)).toBe(kind);
  });

  it('keeps numbers a server cannot mean out of the row', () => {
    const answer = new StreamedAnswer();
    answer.take('{"choices":[],"usage":{"prompt_tokens":1e12,"completion_tokens":-1}}');
    expect(answer.assemble().facts).toMatchObject({ inputTokens: null, outputTokens: null });
  });
});
