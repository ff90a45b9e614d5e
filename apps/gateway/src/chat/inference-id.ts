import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const BYTES_PER_ID = 16;
const POOL_BYTES = BYTES_PER_ID * 256;
const DIGITS = Buffer.from('0123456789abcdef');

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;
const bytes = new Uint8Array(BYTES_PER_ID);
const text = Buffer.from('00000000-0000-0000-0000-000000000000');

/**
 * A UUIDv7 of a time. Randomness is drawn for 256 ids at once: one by one it is the dearest step of a request. The
 * text is written in one piece, because joining it from parts makes a kilobyte of strings.
 */
export function newInferenceId(nowMs: number): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, (used += BYTES_PER_ID));
  v7({ msecs: nowMs, random }, bytes);
  let at = 0;
  for (let index = 0; index < BYTES_PER_ID; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) at++; // a hyphen
    text[at++] = DIGITS[bytes[index]! >> 4]!;
    text[at++] = DIGITS[bytes[index]! & 15]!;
  }
  return text.toString('latin1');
}
