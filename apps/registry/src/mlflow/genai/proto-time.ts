import { MlflowError } from '../protocol/mlflow-error.js';

/** `google.protobuf.Timestamp` in JSON, to the millisecond (what is finer is cut). @throws MlflowError. */
export function readTimestamp(text: string, path: string): number {
  const timeMs = Date.parse(text.replace(/(\.\d{3})\d+/, '$1'));
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(timeMs))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid value "${text.slice(0, 64)}" for parameter '${path}' supplied: it must be an RFC 3339 time such as 2026-11-22T08:00:00.5Z.`,
    );
  return timeMs;
}

/** As protobuf writes it: whole seconds, or three digits of milliseconds. */
export function writeTimestamp(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('.000Z', 'Z');
}

/** `google.protobuf.Duration` in JSON ("1.5s"), to the millisecond. @throws MlflowError. */
export function readDuration(text: string, path: string): number {
  const [, sign, seconds, fraction = ''] = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text) ?? [];
  if (seconds === undefined)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid value "${text.slice(0, 64)}" for parameter '${path}' supplied: it must be a number of seconds such as "1.5s".`,
    );
  const durationMs = Number(seconds) * 1000 + Number(fraction.padEnd(3, '0').slice(0, 3));
  return sign === '-' ? -durationMs : durationMs;
}

export function writeDuration(durationMs: number): string {
  const whole = Math.trunc(Math.abs(durationMs) / 1000);
  const rest = Math.abs(durationMs) % 1000;
  return `${durationMs < 0 ? '-' : ''}${whole}${rest === 0 ? '' : `.${String(rest).padStart(3, '0')}`}s`;
}
