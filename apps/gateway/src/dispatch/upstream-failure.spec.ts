import { describe, expect, it } from 'vitest';
import { failureOfStatus, retryAdvice } from './upstream-failure.js';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const NOTHING = { message: undefined, code: undefined, param: undefined };
const of = (status: number, headers: Record<string, string> = {}) =>
  failureOfStatus(status, 'http://gpu/v1', NOTHING, retryAdvice(headers, NOW), Buffer.alloc(0));

describe('what a server advises', () => {
  it.each<[Record<string, string>, number | undefined]>([
    [{}, undefined],
    [{ 'retry-after': '3' }, 3000],
    [{ 'retry-after': '0.25' }, 250],
    [{ 'retry-after': 'Sun, 22 Nov 2026 12:00:07 GMT' }, 7000],
    [{ 'retry-after': 'Sun, 22 Nov 2026 11:00:00 GMT' }, 0],
    [{ 'retry-after': '99999999' }, 86_400_000],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after-ms': '1500', 'retry-after': '2' }, 1500],
    [{ 'retry-after-ms': 'x', 'retry-after': '2' }, 2000],
  ])('%j is a wait of %s ms', (headers, afterMs) => {
    expect(retryAdvice(headers, NOW).afterMs).toBe(afterMs);
    expect(of(429, headers).details.retryAfterMs).toBe(afterMs);
  });

  it.each([429, 500, 503])('is followed when it says of a %i that another attempt is pointless', (status) => {
    expect(of(status).mayRetry).toBe(true);
    const refused = of(status, { 'x-should-retry': 'false' });
    expect([refused.mayRetry, refused.mayFallBack]).toEqual([false, true]);
  });
});

describe('a status', () => {
  it.each([408, 429, 500, 502, 503, 504, 520, 524, 529])('of %i passes', (status) => {
    expect([of(status).mayRetry, of(status).mayFallBack]).toEqual([true, true]);
  });

  it.each([301, 302, 401, 403, 404, 501, 505, 507, 511])('of %i lasts, but another may answer', (status) => {
    expect([of(status).mayRetry, of(status).mayFallBack]).toEqual([false, true]);
  });

  it.each([400, 409, 413, 422])('of %i is about the request', (status) => {
    expect([of(status).mayRetry, of(status).mayFallBack]).toEqual([false, false]);
  });
});
