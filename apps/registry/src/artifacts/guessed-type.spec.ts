import { expect, it } from 'vitest';
import { guessedType } from './guessed-type.js';

it.each([
  ['a/b.txt', 'text/plain'],
  ['c.PNG', 'image/png'],
  ['d.pdf', 'application/pdf'],
  ['model/MLmodel', 'text/plain'],
  ['weights.pkl', 'application/octet-stream'],
  ['png', 'application/octet-stream'],
  ['a.png/b', 'application/octet-stream'],
  ['', 'application/octet-stream'],
])('%s is %s', (path, type) => {
  expect(guessedType(path)).toBe(type);
});
