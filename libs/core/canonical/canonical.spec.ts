import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonical, digestOf, type Json } from './canonical.js';

describe('the canonical form', () => {
  it('reproduces the example of RFC 8785 section 3.2.2', () => {
    const value = JSON.parse(
      String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    ) as Json;
    expect(canonical(value).text).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('sorts keys by UTF-16 code units, as RFC 8785 section 3.2.3 asks', () => {
    const inOrder = ['\r', '1', '\u0080', 'ö', '€', '😀', '\ufb33'];
    const text = canonical(Object.fromEntries(inOrder.toReversed().map((key) => [key, 0]))).text;
    expect(text).toBe(`{${inOrder.map((key) => `${JSON.stringify(key)}:0`).join(',')}}`);
  });

  it('gives equal values equal text and digest, however their keys are ordered', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const once = canonical(value as Json);
        const again = canonical(shuffled(JSON.parse(JSON.stringify(value)) as Json));
        expect(again).toEqual(once);
        expect(canonical(JSON.parse(once.text) as Json).text).toBe(once.text);
      }),
    );
  });

  it('digests exactly the stored bytes', () => {
    const { text, digest } = canonical({ b: 'ü', a: 1 });
    expect(digest).toBe(`sha256:${createHash('sha256').update(Buffer.from(text)).digest('hex')}`);
    expect(digestOf(text)).toBe(digest);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, '\ud800', { '\udfff': 1 }])(
    'refuses %s, which has no canonical form',
    (value) => {
      expect(() => canonical(value as Json)).toThrow();
    },
  );
});

function shuffled(value: Json): Json {
  if (Array.isArray(value)) return value.map(shuffled);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, child]) => [key, shuffled(child)]),
  );
}
