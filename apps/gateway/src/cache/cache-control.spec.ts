import { describe, expect, it } from 'vitest';
import { cacheWish } from './cache-control.js';

describe('cache-control of a request', () => {
  it.each([
    [undefined, Infinity, true],
    ['', Infinity, true],
    ['no-store', 0, false],
    ['no-cache', 0, true],
    ['NO-CACHE , No-Store', 0, false],
    ['max-age=30', 30, true],
    ['max-age="30"', 30, true],
    ['max-age=30, max-age=5', 5, true],
    ['no-cache, max-age=30', 0, true],
    ['max-age=-1', Infinity, true],
    ['max-age=99999999999999', Infinity, true],
    ['only-if-cached, x=no-store', Infinity, true],
  ])('%j takes answers of at most %d s; they may be kept: %s', (header, maxAgeSeconds, mayKeep) => {
    expect(cacheWish(header)).toEqual({ maxAgeSeconds, mayKeep });
  });
});
