import { DomainError } from '#libs/core/errors/catalogue.js';
import { MAX_KEY, MAX_NAME, MAX_PAIRS, MAX_TAG_VALUE, TRACE_NAME, type NewTrace } from './trace.js';

const TRACE_ID = /^[\x21-\x7e]{1,250}$/;
/** 2^53 and the year 9999 in milliseconds; whatever lies beyond cannot be told as a date. */
const MAX_TIME_MS = 253_402_300_799_999;

/** @throws DomainError VALIDATION_FAILED. */
export function assertTrace(trace: NewTrace): void {
  assertTraceId(trace.traceId);
  if (!Number.isInteger(trace.timeMs) || trace.timeMs < 0 || trace.timeMs > MAX_TIME_MS)
    refuse('/requestTime', 'must lie between the years 1970 and 9999');
  if (
    trace.durationMs !== null &&
    (!Number.isSafeInteger(trace.durationMs) || Math.abs(trace.durationMs) > MAX_TIME_MS)
  )
    refuse('/executionDuration', 'must be a number of milliseconds');
  for (const [path, pairs] of [
    ['/metadata', trace.metadata],
    ['/tags', trace.tags],
  ] as const)
    if (Object.keys(pairs).length > MAX_PAIRS) refuse(path, `must have at most ${MAX_PAIRS} entries`);
  for (const [key, value] of Object.entries(trace.metadata)) assertPair('/metadata', key, value);
  for (const [key, value] of Object.entries(trace.tags)) assertTag(key, value);
  for (const text of [trace.requestPreview, trace.responsePreview, trace.clientRequestId])
    if (text !== null && !isText(text)) refuse('/', 'contains a NUL character; remove it');
  if (trace.clientRequestId !== null && trace.clientRequestId.length > 500)
    refuse('/clientRequestId', 'must have at most 500 characters');
}

/** @throws DomainError VALIDATION_FAILED. */
export function assertTraceId(traceId: string): void {
  if (!TRACE_ID.test(traceId) || /[/\\]/.test(traceId) || traceId === '.' || traceId === '..')
    refuse('/traceId', 'must have 1 to 250 printable ASCII characters without slashes, such as tr-<32 hex>');
}

/** @throws DomainError VALIDATION_FAILED. */
export function assertTag(key: string, value: string): void {
  assertPair('/tags', key, value);
  if (key === TRACE_NAME && value.length > MAX_NAME)
    refuse('/tags', `names the trace with more than ${MAX_NAME} characters`);
}

function assertPair(path: string, key: string, value: string): void {
  if (key === '' || key.length > MAX_KEY || !isText(key))
    refuse(path, `has the key "${key.slice(0, 60)}"; a key has 1 to ${MAX_KEY} characters and no NUL`);
  if (value.length > MAX_TAG_VALUE || !isText(value))
    refuse(path, `has a value at "${key}" of more than ${MAX_TAG_VALUE} characters, or with a NUL`);
}

export function isText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

export function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The trace is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
