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
  const length = text.length;
  let hash = seed | 0;
  let block = 0;
  let filled = 0;
  let bytes = 0;

  for (let i = 0; i < length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      block |= code << (filled << 3);
      bytes++;
      if (++filled === 4) {
        hash = mix(hash, block);
        block = 0;
        filled = 0;
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
      const byte = part < size - 1 ? 0x80 | bits : leadByte(size, code >> (part * 6));
      block |= byte << (filled << 3);
      bytes++;
      if (++filled === 4) {
        hash = mix(hash, block);
        block = 0;
        filled = 0;
      }
    }
  }

  if (filled > 0) hash ^= scramble(block);
  hash ^= bytes;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}

function leadByte(size: number, bits: number): number {
  return size === 2 ? 0xc0 | bits : size === 3 ? 0xe0 | bits : 0xf0 | bits;
}

function scramble(block: number): number {
  block = Math.imul(block, 0xcc9e2d51);
  block = (block << 15) | (block >>> 17);
  return Math.imul(block, 0x1b873593);
}

function mix(hash: number, block: number): number {
  hash ^= scramble(block);
  hash = (hash << 13) | (hash >>> 19);
  return (Math.imul(hash, 5) + 0xe6546b64) | 0;
}
