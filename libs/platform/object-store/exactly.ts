/**
 * Passes exactly `sizeBytes` on: ends after them, and fails when the source has fewer, so that a body never
 * differs from the content-length that was promised.
 * @param passed told the length of every chunk.
 */
export function exactly(
  sizeBytes: number,
  passed: (bytes: number) => void = () => undefined,
): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
  return async function* (source) {
    let left = sizeBytes;
    if (left === 0) return;
    for await (const chunk of source) {
      passed(chunk.length);
      yield chunk.length <= left ? chunk : chunk.subarray(0, left);
      left -= chunk.length;
      if (left <= 0) return;
    }
    throw new Error(`The body ended ${left} bytes before its length.`);
  };
}
