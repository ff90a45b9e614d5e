import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareInt64, parseInt64, readInt64 } from './int64.js';

describe('an int64', () => {
  it('is a number up to 2^53 and digits beyond, and none of it is lost', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        const read = parseInt64(value.toString())!;
        expect(BigInt(read)).toBe(value);
        expect(typeof read).toBe(Number.isSafeInteger(Number(value)) ? 'number' : 'string');
        expect(readInt64(value.toString())).toBe(read);
      }),
    );
  });

  it('is ordered as numbers are, whatever its spelling', () => {
    const any = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(any, any, (a, b) => {
        const order = compareInt64(parseInt64(`${a}`)!, parseInt64(`${b}`)!);
        expect(Math.sign(order)).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });

  it.each([
    1.5,
    NaN,
    Infinity,
    2 ** 53,
    '',
    '1e3',
    '0x10',
    '1.0',
    ' 1',
    '+1',
    '9223372036854775808',
    null,
    true,
    1n,
  ])('is not %s', (given) => expect(parseInt64(given)).toBeUndefined());

  it('of zero has no sign', () => expect(Object.is(parseInt64(-0), 0)).toBe(true));
});
