import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDuration, readTimestamp, writeDuration, writeTimestamp } from './proto-time.js';

describe('times of the protocol', () => {
  it('are read to the millisecond, whatever digits they have', () => {
    expect(readTimestamp('2026-11-22T08:00:00Z', 't')).toBe(Date.UTC(2026, 10, 22, 8));
    expect(readTimestamp('2026-11-22T08:00:00.123456789Z', 't')).toBe(Date.UTC(2026, 10, 22, 8, 0, 0, 123));
    expect(readDuration('1.5s', 'd')).toBe(1500);
    expect(readDuration('0.000900s', 'd')).toBe(0);
    expect(readDuration('-2s', 'd')).toBe(-2000);
  });

  it.each(['', 'yesterday', '2026', '1795305600123'])('are not "%s"', (text) => {
    expect(() => readTimestamp(text, 't')).toThrow(/RFC 3339/);
    expect(() => readDuration(text, 'd')).toThrow(/number of seconds/);
  });

  it('come back as they were written', () => {
    const ms = fc.integer({ min: 0, max: 253_402_300_799_999 });
    fc.assert(fc.property(ms, (time) => readTimestamp(writeTimestamp(time), 't') === time));
    fc.assert(fc.property(fc.integer(), (time) => readDuration(writeDuration(time), 'd') === time));
  });
});
