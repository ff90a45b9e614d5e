import { describe, expect, it } from 'vitest';
import { MAX_NESTING, nestsTooDeeply } from './nesting.js';

const check = (text: string) => nestsTooDeeply(JSON.parse(text), text.length);
const lists = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
const objects = (levels: number) => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);

describe('nestsTooDeeply', () => {
  it.each([lists, objects])('draws the line behind the last allowed level', (nested) => {
    expect(check(nested(MAX_NESTING))).toBe(false);
    expect(check(nested(MAX_NESTING + 1))).toBe(true);
    expect(check(nested(100_000))).toBe(true);
  });

  it('finds the depth beside anything shallow, and takes any width', () => {
    expect(check(`[1,"x",null,{"b":[],"c":${lists(MAX_NESTING)}}]`)).toBe(true);
    expect(check(`[${Array.from({ length: 50_000 }, () => '[{"a":1}]').join(',')}]`)).toBe(false);
    expect(check('3')).toBe(false);
  });
});
