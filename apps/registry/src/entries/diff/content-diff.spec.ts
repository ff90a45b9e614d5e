import { applyPatch } from 'diff';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonical, type Json } from '#libs/core/canonical/canonical.js';
import { diffContents } from './content-diff.js';

const diffOf = (from: object, to: object, budgetMs?: number) =>
  diffContents(canonical(from as Json).text, canonical(to as Json).text, budgetMs);

/** Objects whose keys are not only harmless ones. */
const content = fc.dictionary(
  fc.oneof(fc.constantFrom('constructor', 'toString', 'a/b', 'm~n', ''), fc.string({ unit: 'grapheme' })),
  fc.jsonValue() as fc.Arbitrary<Json>,
);

describe('the difference of two contents', () => {
  it('is empty exactly when they are the same', () => {
    fc.assert(
      fc.property(content, content, (from, to) => {
        expect(diffOf(from, from)).toEqual([]);
        expect(diffOf(from, to).length === 0).toBe(canonical(from).text === canonical(to).text);
      }),
    );
  });

  it('escapes its pointers by RFC 6901', () => {
    expect(diffOf({ 'a/b': { 'm~n': [1] } }, { 'a/b': { 'm~n': [2] } })).toEqual([
      { path: '/a~1b/m~0n/0', kind: 'changed', before: 1, after: 2 },
    ]);
  });

  it.each(['constructor', 'toString', 'hasOwnProperty'])('sees the key %s come and go', (key) => {
    expect(diffOf({}, { [key]: 1 })).toEqual([{ path: `/${key}`, kind: 'added', after: 1 }]);
    expect(diffOf({ [key]: 1 }, {})).toEqual([{ path: `/${key}`, kind: 'removed', before: 1 }]);
  });

  it('shows lines of texts of several lines as a patch that leads from one to the other', () => {
    const line = fc.constantFrom('a', 'b', 'c', '@@', '');
    const text = fc.array(line, { minLength: 2, maxLength: 20 }).map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const [change] = diffOf({ text: before }, { text: after });
        fc.pre(change !== undefined);
        expect(change.unified).toMatch(/^@@ /);
        expect(applyPatch(before, change.unified!)).toBe(after);
      }),
    );
  });

  it('shows words of a long line, which together are both texts', () => {
    const before = `${'word '.repeat(20)}old ${'more '.repeat(20)}`;
    const after = before.replace('old', 'new');
    const { words } = diffOf({ text: before }, { text: after })[0]!;
    const joined = (without: string) =>
      words!
        .filter((part) => part.kind !== without)
        .map((part) => part.text)
        .join('');
    expect([joined('added'), joined('removed')]).toEqual([before, after]);
  });

  it('gives up comparing inside of texts when its time is used up, and still answers', () => {
    const noise = (seed: number) =>
      Array.from({ length: 60_000 }, (_, i) => ((i * 7919 * seed) % 104_729).toString(36)).join(' ');
    const start = performance.now();
    const [change] = diffOf({ text: noise(3) }, { text: noise(5) }, 100);
    expect(performance.now() - start).toBeLessThan(3000);
    expect(change).toMatchObject({ path: '/text', kind: 'changed' });
    expect(change!.words).toBeUndefined();
  });
});
