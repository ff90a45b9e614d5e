import { DomainError } from '#libs/core/errors/catalogue.js';
import { toTime } from '../http/timestamps.js';
import { LOG_LIMITS } from './log/run-log.rules.js';

/** The index of names admits no more than 2 700 bytes; 500 characters have 2 000 at most. */
export const MAX_RUN_NAME = 500;
const MAX_ACTOR = 256;

/** @throws DomainError VALIDATION_FAILED unless it can name a run. */
export function assertRunName(name: string, path = '/name'): void {
  if (name === '' || name.length > MAX_RUN_NAME || name.includes('\0') || !name.isWellFormed())
    refuse(path, `must have 1 to ${MAX_RUN_NAME} characters and no NUL`);
}

/** @throws DomainError VALIDATION_FAILED unless it can be recorded as who made a run. */
export function assertUser(user: string): void {
  if (user.length > MAX_ACTOR || user.includes('\0') || !user.isWellFormed())
    refuse('/user', `must have at most ${MAX_ACTOR} characters and no NUL`);
}

/** As `toTime`, where null and undefined stay null. */
export function toTimeOrNull(given: number | string | Date | null | undefined, path: string): Date | null {
  return given === null || given === undefined ? null : toTime(given, path);
}

/** Tags of a map, as `checkLog` takes them. @throws DomainError VALIDATION_FAILED for too many. */
export function pairsOf(tags: Readonly<Record<string, string>>): { key: string; value: string }[] {
  const pairs = Object.entries(tags).map(([key, value]) => ({ key, value }));
  if (pairs.length > LOG_LIMITS.tags)
    refuse('/tags', `has ${pairs.length} tags; at most ${LOG_LIMITS.tags} go into one call`);
  return pairs;
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The request is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
