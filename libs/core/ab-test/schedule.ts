/** When traffic may be given to treatments. Taking it away is never delayed. */
export interface Schedule {
  /** RFC 3339, with its offset: not before. */
  readonly notBefore?: string;
  /** Absent or empty: at any time. */
  readonly windows?: readonly Window[];
  /** IANA name of the windows' time zone; UTC unless said. */
  readonly timeZone?: string;
}

/** Hours of some days of the week: from `from`, before `to`. */
export interface Window {
  /** 1 is Monday, 7 Sunday. */
  readonly days: readonly number[];
  /** `HH:MM`. */
  readonly from: string;
  readonly to: string;
}

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** Why it is not the time; undefined when it is. @param now RFC 3339. */
export function whyNotNow(
  { notBefore, windows = [], timeZone = 'UTC' }: Schedule,
  now: string,
): string | undefined {
  const at = new Date(now);
  // A time that cannot be read is not "now".
  if (notBefore !== undefined && !(at.getTime() >= Date.parse(notBefore)))
    return `It is not to begin before ${notBefore}.`;
  if (windows.length === 0) return undefined;
  const parts = new Map(
    new Intl.DateTimeFormat('en-GB', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
  const day = DAYS.indexOf(parts.get('weekday')!) + 1;
  const time = `${parts.get('hour')}:${parts.get('minute')}`;
  if (windows.some(({ days, from, to }) => days.includes(day) && time >= from && time < to)) return undefined;
  return `It is ${parts.get('weekday')} ${time} (${timeZone}), outside the windows in which it may take a step.`;
}

/** Whether the name is a time zone. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone.length > 0;
  } catch {
    return false;
  }
}
