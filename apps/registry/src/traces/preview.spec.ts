import { describe, expect, it } from 'vitest';
import { MAX_PREVIEW, previewOf } from './preview.js';

describe('a preview', () => {
  it('is the JSON, spaced as Python does', () => {
    expect(previewOf({ x: 1, y: ['a', null] }, 'user')).toBe('{"x": 1, "y": ["a", null]}');
  });

  it('is the last message of the role', () => {
    const messages = [
      { role: 'user', content: 'first' },
      { role: 'user', content: [{ type: 'text', text: 'second' }] },
      { role: 'assistant', content: 'answer' },
    ];
    expect(previewOf({ messages }, 'user')).toBe('second');
    expect(previewOf(JSON.stringify({ messages }), 'assistant')).toBe('answer');
  });

  it('is the message of an answer with choices', () => {
    const answer = { choices: [{ message: { role: 'assistant', content: 'hello' } }] };
    expect(previewOf(answer, 'assistant')).toBe('hello');
  });

  it('is cut, and never inside a character', () => {
    const preview = previewOf('😀'.repeat(2000), 'user')!;
    expect(preview.length).toBeLessThanOrEqual(MAX_PREVIEW + 1);
    expect(preview.isWellFormed()).toBe(true);
    expect(preview.endsWith('...')).toBe(true);
  });

  it('is null where there is nothing', () => {
    expect(previewOf(undefined, 'user')).toBeNull();
    expect(previewOf(null, 'user')).toBeNull();
  });
});
