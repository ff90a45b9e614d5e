/**
 * Passes exactly `sizeBytes` on: ends after them, and fails when the source has fewer, so that a body never
 * differs from the content-length that was promised.
 */
export function exactly(sizeBytes: number): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
  return async function* (source) {
    let left = sizeBytes;
    if (left === 0) return;
    for await (const chunk of source) {
      yield chunk.length <= left ? chunk : chunk.subarray(0, left);
      left -= chunk.length;
      if (left <= 0) return;
    }
    throw new Error(`The body ended ${left} bytes before its length.`);
  };
}
