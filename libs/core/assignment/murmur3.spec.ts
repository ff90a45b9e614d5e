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

  // Cases of Unleash's client specification (github.com/Unleash/client-specification at 931b695, specifications 03, 08, 10 and 12), by
  // its rule: hash of `group:unit` modulo the whole, plus one; variants take another seed. They are exact where the share is the least.
  it.each([
    ['AB12A', '122', 50, true],
    ['AB12A', '155', 50, false],
    ['Feature.flexibleRollout.10', '174', 10, true],
    ['Feature.flexibleRollout.10', '499', 10, false],
    ['Feature.flexibleRollout.userId.55', '25', 55, true],
    ['Feature.flexibleRollout.sessionId.42', '147', 42, true],
    ['Feature.flexible.rollout.custom.stickiness_50', '402', 50, false],
    ['Feature.flexible.rollout.custom.stickiness_50', '388', 50, true],
    ['Feature.flexible.rollout.custom.stickiness_50', '39', 50, true],
  ])(
    "decides with Unleash's clients whether group %j rolls out to unit %j at %i %%",
    (group, unit, share, isIn) => {
      expect((murmur3(`${group}:${unit}`) % 100) + 1 <= share).toBe(isIn);
    },
  );

  const UNLEASH_VARIANTS = 86_028_157;
  it.each([
    ['Feature.Variants.B', '2', [1, 1], 1],
    ['Feature.Variants.B', '0', [1, 1], 0],
    ['Feature.Variants.C', '232', [33, 33, 33], 0],
    ['Feature.Variants.C', '607', [33, 33, 33], 1],
    ['Feature.Variants.C', '656', [33, 33, 33], 2],
    ['Feature.Variants.D', '712', [1, 49, 50], 0],
    ['Feature.Variants.D', '525', [1, 49, 50], 1],
    ['Feature.Variants.D', '537', [1, 49, 50], 2],
    ['Feature.flexible.rollout.custom.stickiness_100', '616', [25, 25, 25, 25], 0],
    ['Feature.flexible.rollout.custom.stickiness_100', '503', [25, 25, 25, 25], 1],
    ['Feature.flexible.rollout.custom.stickiness_100', '438', [25, 25, 25, 25], 2],
    ['Feature.flexible.rollout.custom.stickiness_100', '44', [25, 25, 25, 25], 3],
  ])(
    "chooses with Unleash's clients the variant of %j for unit %j among weights %j",
    (feature, unit, weights, variant) => {
      const whole = weights.reduce((sum, weight) => sum + weight, 0);
      let left = (murmur3(`${feature}:${unit}`, UNLEASH_VARIANTS) % whole) + 1;
      expect(weights.findIndex((weight) => (left -= weight) <= 0)).toBe(variant);
    },
  );

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
