import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { double, long, readerOf } from './fields.js';
import { int64Json, writeJson } from './json-writer.js';
import { parseLenient } from './lenient-json.js';

const parse = (text: string) => parseLenient(Buffer.from(text));

describe('a request body', () => {
  it('may be empty, null, encoded twice, or hold the bare literals that Python writes', () => {
    expect(parse('')).toEqual({});
    expect(parse(' \n')).toEqual({});
    expect(parse('null')).toEqual({});
    expect(parse(JSON.stringify(JSON.stringify({ run_id: 'a' })))).toEqual({ run_id: 'a' });
    expect(parse('{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN, \\"Infinity"}')).toEqual({
      a: 'NaN',
      b: ['Infinity', '-Infinity'],
      c: 'NaN, "Infinity',
    });
  });

  it('keeps text that looks like a literal or a large number', () => {
    expect(parse('{"a": "x NaN \\\\", "n": NaN, "b": "12345678901234567890"}')).toEqual({
      a: 'x NaN \\',
      n: 'NaN',
      b: '12345678901234567890',
    });
  });

  it.each([
    ['a list', '[]', /one JSON object/],
    ['a number', '3', /one JSON object/],
    ['text that is not JSON', '{"a": }', /not valid JSON/],
    ['text encoded twice that is not JSON', '"{"', /not valid JSON/],
    ['a list nested 100 000 deep', `${'['.repeat(100_000)}12345678901234567890`, /not valid JSON/],
  ])('is refused as %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  it('is refused at once where a long text in it is never closed', () => {
    for (const end of [' NaN', '\\'])
      expect(() => parse(`{"a":"${'\\"'.repeat(100_000)}${end}`)).toThrow(/not valid JSON/);
  }, 2_000);

  it('is refused where it is not UTF-8', () => {
    expect(() => parseLenient(Buffer.from([0x22, 0xff, 0x22]))).toThrow(/UTF-8/);
  });

  const read = readerOf({ value: long({ required: true }) });
  it('keeps every int64, as number or string, there and back', () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.boolean(), (value, isQuoted) => {
        const text = isQuoted ? `{"value":"${value}"}` : `{"value":${value}}`;
        const kept = read(parse(text)).value;
        expect(BigInt(kept)).toBe(value);
        expect(writeJson({ value: int64Json(kept) })).toBe(`{"value":${value}}`);
      }),
    );
  });

  const readDouble = readerOf({ value: double({ required: true }) });
  it('keeps every double, NaN and infinities too, there and back', () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        const bare = Object.is(value, -0) ? '-0.0' : String(value);
        const sent = Number.isFinite(value) ? bare : `"${value}"`;
        expect(readDouble(parse(`{"value":${sent}}`)).value).toBe(value);
        expect(readDouble(parse(`{"value":${bare}}`)).value).toBe(value);
        expect(readDouble(parse(writeJson({ value }))).value).toBe(value);
      }),
    );
  });

  it('is refused where it nests so deeply that keeping its integers exact would take the server down', () => {
    const text = `{"a":${'['.repeat(200_000)}12345678901234567890${']'.repeat(200_000)}}`;
    const began = performance.now();
    expect(() => parseLenient(Buffer.from(text))).toThrow(/nested more than/);
    expect(performance.now() - began).toBeLessThan(1000);
  });
});
