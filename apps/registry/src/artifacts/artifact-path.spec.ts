import { posix, win32 } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { problemOfPath } from './artifact-path.js';

const piece = fc.constantFrom(
  'a',
  '..',
  '.',
  '/',
  '\\',
  '%2e',
  '%2F',
  ':',
  'C',
  ' ',
  '\0',
  '\n',
  'ä',
  '🙂',
  '%',
);

it('a path that is accepted stays inside any directory it is joined to, on any platform', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const path = pieces.join('');
      if (problemOfPath(path) !== undefined) return;
      for (const given of [path, decodeOnceMore(path)]) {
        expect(posix.join('/root/dir', given)).toBe(`/root/dir/${given}`);
        expect(win32.resolve('C:\\root\\dir', given).startsWith('C:\\root\\dir\\')).toBe(true);
      }
    }),
    { numRuns: 2_000 },
  );
});

function decodeOnceMore(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
