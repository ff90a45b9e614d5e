import { describe, expect, it } from 'vitest';
import { mergeTags } from './tags.js';

describe('patching tags', () => {
  it.each([
    [
      { a: '1', b: '2' },
      { b: null, c: '3' },
      { a: '1', c: '3' },
    ],
    [{ a: '1' }, {}, { a: '1' }],
    [{ a: '1' }, { a: '' }, { a: '' }],
    [{ a: '1' }, { z: null }, { a: '1' }],
    [{ a: '1' }, null, {}],
  ])('%j with %j becomes %j', (tags, patch, merged) => {
    expect(mergeTags(tags, patch)).toEqual(merged);
  });
});
