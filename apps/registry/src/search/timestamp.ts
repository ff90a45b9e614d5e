/** SQL for the exact time of a `timestamptz` expression: microseconds since 1970, as text. */
export function microsecondsSql(sql: string): string {
  return `(extract(epoch FROM ${sql}) * 1000000)::bigint::text`;
}

/** Years -4711 and 275760, in milliseconds: what both JavaScript and PostgreSQL can write. */
export const MIN_TIME_MS = -210_800_000_000_000;
export const MAX_TIME_MS = 8_640_000_000_000_000;

/** Whether text of `microsecondsSql` can be turned back into a time. */
export function isMicroseconds(text: string): boolean {
  if (!/^-?\d{1,19}$/.test(text)) return false;
  const value = BigInt(text);
  return value >= BigInt(MIN_TIME_MS) * 1_000n && value <= BigInt(MAX_TIME_MS) * 1_000n;
}

/** A time as PostgreSQL reads it, in all its years. */
export function timestampText(microseconds: bigint): string {
  const inMillisecond = ((microseconds % 1_000n) + 1_000n) % 1_000n;
  const date = new Date(Number((microseconds - inMillisecond) / 1_000n));
  const year = date.getUTCFullYear();
  const isBeforeChrist = year <= 0;
  const written = String(isBeforeChrist ? 1 - year : year).padStart(4, '0');
  // From "-MM-DDTHH:MM:SS.mmmZ", whatever the year looks like.
  const rest = date.toISOString().slice(-20, -1).replace('T', ' ');
  return `${written}${rest}${String(inMillisecond).padStart(3, '0')}+00${isBeforeChrist ? ' BC' : ''}`;
}
