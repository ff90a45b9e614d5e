import { expect, it } from 'vitest';
import { readSource } from './source-uri.js';

it('a source that is encoded over and over is refused at once', () => {
  // Long enough that undoing the encodings would take a minute, not so long that it would take all night.
  expect(() => readSource(`s3://bucket/%${'25'.repeat(20_000)}`)).toThrow(/more than 2048 characters/);
}, 2_000);
