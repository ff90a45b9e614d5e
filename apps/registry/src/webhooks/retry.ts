/** The first attempts of a delivery keep the line of its webhook: what comes after it waits, so that order holds. */
export const ORDERED_ATTEMPTS = 5;
/** With the delays below, the last one is made about two days after the first. */
export const MAX_ATTEMPTS = 18;

const FIRST_DELAY_MS = 1_000;
const FACTOR = 3;
const LAST_DELAY_MS = 6 * 3_600_000;
const JITTER = 0.2;
const LONGEST_RETRY_AFTER_MS = 24 * 3_600_000;

/**
 * Milliseconds until the next attempt: 1 s, 3 s, 9 s … 6 h, each a fifth more or less, so that deliveries that
 * failed together do not come back together; later where the receiver asked for it.
 * @param attempt number of the attempt that failed, from 1.
 * @param random from 0 to 1.
 */
export function retryDelayMs(attempt: number, random: number, retryAfterMs = 0): number {
  const delay = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * FACTOR ** (attempt - 1));
  const spread = delay * (1 - JITTER + 2 * JITTER * random);
  return Math.round(Math.max(spread, Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS)));
}

/** Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). @returns 0 where it says nothing. */
export function retryAfterMs(header: string | undefined, now: Date): number {
  if (header === undefined) return 0;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - now.getTime());
}
