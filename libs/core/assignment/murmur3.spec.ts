import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashPrefix, murmur3, murmur3After } from './murmur3.js';

/** The reference algorithm, transcribed over bytes with BigInt arithmetic: slow, and nothing shared with the code under test. */
function reference(bytes: Uint8Array, seed: number): number {
  const mask = 0xffffffffn;
  const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (32n - by))) & mask;
  const scramble = (k: bigint) => (rotate((k * 0xcc9e2d51n) & mask, 15n) * 0x1b873593n) & mask;
  let hash = BigInt(seed >>> 0);
  const whole = bytes.length - (bytes.length % 4);
  const word = (from: number, size: number) => {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i]!);
    return value;
  };
  for (let i = 0; i < whole; i += 4)
    hash = (rotate(hash ^ scramble(word(i, 4)), 13n) * 5n + 0xe6546b64n) & mask;
  hash ^= scramble(word(whole, bytes.length - whole));
  hash ^= BigInt(bytes.length);
  hash = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & mask;
  hash = ((hash ^ (hash >> 13n)) * 0xc2b2ae35n) & mask;
  return Number(hash ^ (hash >> 16n));
}

describe('murmur3', () => {
  // Published vectors of MurmurHash3_x86_32: smhasher's, and Ian Boyd's list (https://stackoverflow.com/a/31929528).
  it.each([
    ['', 0, 0x00000000],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['Hello, world!', 0, 0xc0363e43],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
    ['a', 0x9747b28c, 0x7fa09ea6],
    ['aa', 0x9747b28c, 0x5d211726],
    ['aaa', 0x9747b28c, 0x283e0130],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['ab', 0x9747b28c, 0x74875592],
    ['abc', 0x9747b28c, 0xc84a62dd],
    ['abcd', 0x9747b28c, 0xf0478627],
    ['ππππππππ', 0x9747b28c, 0xd58063c1],
  ])('hashes %j with seed %i to the published value', (text, seed, expected) => {
    expect(murmur3(text, seed)).toBe(expected);
  });

  it('hashes the UTF-8 bytes of any string, whatever its script', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 40 }),
        fc.integer({ min: 0, max: 0xffffffff }),
        (text, seed) => {
          expect(murmur3(text, seed)).toBe(reference(Buffer.from(text, 'utf8'), seed));
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each(['é', 'ß€', '日本語', '👩‍🚀', 'a😀b', '𝔘nit', '\u{10ffff}'])(
    'hashes the UTF-8 bytes of %j',
    (text) => {
      expect(murmur3(text)).toBe(reference(Buffer.from(text, 'utf8'), 0));
    },
  );

  it('hashes a lone surrogate as U+FFFD, as TextEncoder does', () => {
    for (const text of ['\ud800', 'a\udfffb', '\ud800\ud800\udc00'])
      expect(murmur3(text)).toBe(reference(new TextEncoder().encode(text), 0));
  });

  it('goes on from a shared beginning as if the texts were joined, and leaves the beginning as it was', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 });
    fc.assert(
      fc.property(text, text, text, (beginning, first, second) => {
        const prefix = hashPrefix(beginning);
        expect(murmur3After(prefix, first)).toBe(murmur3(beginning + first));
        expect(murmur3After(prefix, second)).toBe(murmur3(beginning + second));
      }),
    );
  });
});
