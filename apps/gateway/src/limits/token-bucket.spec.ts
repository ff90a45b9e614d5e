import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import type { LimitRecord } from './limit-record.js';
import { TokenBucket } from './token-bucket.js';

const T0 = Date.UTC(2026, 10, 22);
const limit = (amount: number, fields: Partial<LimitRecord> = {}): LimitRecord => ({
  id: '0',
  workspaceId: DEFAULT_WORKSPACE_ID,
  name: 'l',
  targetKind: 'endpoint',
  target: 'chat',
  metric: 'requests',
  window: 'minute',
  amount,
  hardStop: true,
  alertPercent: null,
  ...fields,
});

describe('a token bucket', () => {
  it('holds its amount, and says when the next fits', () => {
    const bucket = new TokenBucket(limit(60), T0);
    for (let i = 0; i < 60; i++) {
      expect(bucket.waitMs(1, T0)).toBe(0);
      bucket.reserve(1, T0);
    }
    expect(bucket.waitMs(1, T0)).toBe(1_000);
    expect(bucket.left(T0)).toBe(0);
    expect(bucket.resetMs(T0)).toBe(60_000);
    expect(bucket.waitMs(1, T0 + 1_000)).toBe(0);
    expect(bucket.waitMs(2, T0 + 1_000)).toBe(1_000);
  });

  it('never lets in what is more than it holds', () => {
    expect(new TokenBucket(limit(10), T0).waitMs(11, T0)).toBe(Infinity);
    expect(new TokenBucket(limit(0), T0).waitMs(1, T0 + 1e9)).toBe(Infinity);
  });

  it('gives back what was reserved and not used, and takes what was used beyond', () => {
    const bucket = new TokenBucket(limit(100), T0);
    bucket.reserve(80, T0);
    bucket.settle(80, 30, T0);
    expect(bucket.left(T0)).toBe(70);
    bucket.reserve(10, T0);
    bucket.settle(10, 90, T0);
    expect(bucket.left(T0)).toBe(0);
    expect(bucket.waitMs(1, T0)).toBeCloseTo((21 / 100) * 60_000);
  });

  it('keeps what was used when the limit changes, and takes no step back in time for a step forward', () => {
    const bucket = new TokenBucket(limit(100), T0);
    bucket.reserve(90, T0);
    bucket.change(limit(200));
    expect(bucket.left(T0)).toBe(110);
    expect(bucket.left(T0 - 3_600_000)).toBe(110);
    expect(bucket.left(T0 - 3_600_000 + 600)).toBe(112);
  });

  it('follows what gateways share of it, and says when it was used without them', () => {
    const bucket = new TokenBucket(limit(60), T0);
    bucket.adopt(['r', '20', String(T0 - 5_000), '60', '60000'], 1, T0);
    expect(bucket.left(T0)).toBe(20);
    expect(bucket.told(T0 + 1_000)).toEqual(['r', '60', '60000', '21', '0']);
    bucket.standAlone();
    bucket.reserve(40, T0 + 1_000);
    // What went beyond it is not held against those who come after.
    expect(bucket.told(T0 + 1_000)).toEqual(['r', '60', '60000', '0', '1']);
    bucket.adopt(['r', '0', String(T0), '60', '60000'], 0, T0 + 1_000);
    expect(bucket.told(T0 + 1_000)[4]).toBe('0');
  });

  it('lets in at most its amount and what flows in, however requests come', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.array(
          fc.record({ gap: fc.integer({ min: 0, max: 5_000 }), amount: fc.integer({ min: 1, max: 200 }) }),
          {
            maxLength: 200,
          },
        ),
        (amount, requests) => {
          const bucket = new TokenBucket(limit(amount), T0);
          let now = T0;
          let used = 0;
          for (const request of requests) {
            now += request.gap;
            if (bucket.waitMs(request.amount, now) > 0) continue;
            bucket.reserve(request.amount, now);
            used += request.amount;
            expect(used).toBeLessThanOrEqual(amount + (amount * (now - T0)) / 60_000 + 1e-3);
          }
        },
      ),
    );
  });
});
