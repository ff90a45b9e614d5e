/**
 * MurmurHash3_x86_32 over the UTF-8 bytes of a string, seed 0 unless given.
 *
 * Source: Austin Appleby's public-domain reference (smhasher, MurmurHash3.cpp).
 * Written out here instead of taken from a package because the published ones hash UTF-16 code units,
 * so that a client in another language would compute another bucket for any non-ASCII unit.
 *
 * @returns an unsigned 32-bit integer.
 */
export function murmur3(text: string, seed = 0): number {
  begin(seed);
  absorb(text);
  return finish();
}

/** The state of the hash after a text, to go on from as often as wanted. */
export interface HashPrefix {
  readonly hash: number;
  readonly block: number;
  readonly filled: number;
  readonly bytes: number;
}

/** Hashes the beginning that many texts share once: `murmur3After(hashPrefix(a), b)` is `murmur3(a + b)`. */
export function hashPrefix(text: string): HashPrefix {
  begin(0);
  absorb(text);
  return { hash, block, filled, bytes };
}

/** `murmur3` of the prefix's text and `text` together, seed 0; no string is made for it. */
export function murmur3After(prefix: HashPrefix, text: string): number {
  hash = prefix.hash;
  block = prefix.block;
  filled = prefix.filled;
  bytes = prefix.bytes;
  absorb(text);
  return finish();
}

// State of the hash under way. Everything here is synchronous, so one is enough, and nothing is allocated.
let hash = 0;
/** Bytes not yet mixed in: `filled` of them, little-endian. */
let block = 0;
let filled = 0;
let bytes = 0;

function begin(seed: number): void {
  hash = seed | 0;
  block = 0;
  filled = 0;
  bytes = 0;
}

function absorb(text: string): void {
  const length = text.length;
  let h = hash;
  let word = block;
  let shift = filled << 3;
  let count = bytes;

  for (let i = 0; i < length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      word |= code << shift;
      count++;
      if (shift === 24) {
        h = mix(h, word);
        word = 0;
        shift = 0;
      } else {
        shift += 8;
      }
      continue;
    }
    // Non-ASCII: spell the code point out as UTF-8, byte by byte. A lone surrogate is U+FFFD, as in TextEncoder.
    if (code >= 0xd800 && code <= 0xdfff) {
      const next = i + 1 < length ? text.charCodeAt(i + 1) : 0;
      if (code < 0xdc00 && next >= 0xdc00 && next <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00);
        i++;
      } else {
        code = 0xfffd;
      }
    }
    const size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (let part = size - 1; part >= 0; part--) {
      const bits = (code >> (part * 6)) & 0x3f;
      word |= (part < size - 1 ? 0x80 | bits : leadByte(size, code >> (part * 6))) << shift;
      count++;
      if (shift === 24) {
        h = mix(h, word);
        word = 0;
        shift = 0;
      } else {
        shift += 8;
      }
    }
  }

  hash = h;
  block = word;
  filled = shift >> 3;
  bytes = count;
}

function finish(): number {
  let h = hash;
  if (filled > 0) h ^= scramble(block);
  h ^= bytes;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}

function leadByte(size: number, bits: number): number {
  return size === 2 ? 0xc0 | bits : size === 3 ? 0xe0 | bits : 0xf0 | bits;
}

function scramble(word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
}

function mix(h: number, word: number): number {
  const k = h ^ scramble(word);
  return (Math.imul((k << 13) | (k >>> 19), 5) + 0xe6546b64) | 0;
}
