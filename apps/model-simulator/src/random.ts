import { createHash } from 'node:crypto';

/** A stream of numbers in [0, 1), the same for the same seed text. */
export type Random = () => number;

/** Seeded from a digest of the text, so that inputs that differ little give unrelated streams. */
export function randomFrom(...parts: readonly string[]): Random {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:${part}`);
  const digest = hash.digest();
  return sfc32(digest.readInt32LE(0), digest.readInt32LE(4), digest.readInt32LE(8), digest.readInt32LE(12));
}

/** Chris Doty-Humphrey's small fast counter generator, 32 bit (PractRand). */
function sfc32(a: number, b: number, c: number, counter: number): Random {
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return (sum >>> 0) / 4_294_967_296;
  };
}

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)]!;
}
