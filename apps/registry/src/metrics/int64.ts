/** An int64: a number where JavaScript holds it exactly (up to 2^53), else its decimal digits. */
export type Int64 = number | string;

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

/** Reads an integer or a string of decimal digits; undefined unless it is an int64, exactly. */
export function parseInt64(given: unknown): Int64 | undefined {
  // `+ 0` makes 0 of -0.
  if (typeof given === 'number') return Number.isSafeInteger(given) ? given + 0 : undefined;
  if (typeof given !== 'string' || !/^-?[0-9]{1,19}$/.test(given)) return undefined;
  const value = BigInt(given);
  return value < MIN || value > MAX ? undefined : shortest(value);
}

/** What PostgreSQL writes as text (`column::text`); only then no digit is lost on the way. */
export function readInt64(text: string): Int64 {
  // Fifteen digits are below 2^53, and nearly all have fewer.
  return text.length <= 15 ? Number(text) : shortest(BigInt(text));
}

/** Negative, zero or positive, as `sort` wants it. */
export function compareInt64(a: Int64, b: Int64): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [BigInt(a), BigInt(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function shortest(value: bigint): Int64 {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
