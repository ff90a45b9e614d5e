import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const BYTES_PER_ID = 16;
const POOL_BYTES = BYTES_PER_ID * 256;

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** A UUIDv7 of a time. Randomness is drawn for 256 ids at once: one by one it is the dearest step of a request. */
export function newInferenceId(nowMs: number): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, (used += BYTES_PER_ID));
  return v7({ msecs: nowMs, random });
}
