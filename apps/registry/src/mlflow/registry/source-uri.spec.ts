import { expect, it } from 'vitest';
import { readSource } from './source-uri.js';

it('a source that is encoded over and over is refused at once', () => {
  expect(() => readSource(`s3://bucket/%${'25'.repeat(200_000)}`)).toThrow(/more than 2048 characters/);
}, 2_000);
