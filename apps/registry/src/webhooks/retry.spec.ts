import { describe, expect, it } from 'vitest';
import { MAX_ATTEMPTS, retryAfterMs, retryDelayMs } from './retry.js';

describe('the wait between attempts', () => {
  it('grows from a second to six hours', () => {
    expect([1, 2, 3, 5, 9, 18].map((attempt) => retryDelayMs(attempt, 0.5))).toEqual([
      1_000, 3_000, 9_000, 81_000, 6_561_000, 21_600_000,
    ]);
  });

  it('adds up to about two days', () => {
    const total = Array.from({ length: MAX_ATTEMPTS - 1 }, (_, index) => retryDelayMs(index + 1, 0.5));
    expect(total.reduce((sum, delay) => sum + delay, 0) / 3_600_000).toBeCloseTo(50.7, 0);
  });

  it('is spread by a fifth either way', () => {
    expect([retryDelayMs(3, 0), retryDelayMs(3, 1)]).toEqual([7_200, 10_800]);
  });

  it('is never shorter than the receiver asks for, and never longer than a day because of it', () => {
    expect(retryDelayMs(1, 0.5, 120_000)).toBe(120_000);
    expect(retryDelayMs(3, 0.5, 1)).toBe(9_000);
    expect(retryDelayMs(1, 0.5, 1e15)).toBe(86_400_000);
  });

  it.each([
    [undefined, 0],
    ['120', 120_000],
    ['Sun, 22 Nov 2026 12:01:00 GMT', 60_000],
    ['Sun, 22 Nov 2026 11:00:00 GMT', 0],
    ['soon', 0],
    ['-5', 0],
  ])('reads Retry-After %s', (header, expected) => {
    expect(retryAfterMs(header, new Date('2026-11-22T12:00:00Z'))).toBe(expected);
  });
});
