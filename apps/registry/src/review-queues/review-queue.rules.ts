import { DomainError } from '#libs/core/errors/catalogue.js';
import { QUEUE_LIMITS, type NewQueue } from './review-queue.js';

/** MLflow's clients without authentication call their user so. */
const RESERVED_NAME = 'default';

export interface CheckedQueue {
  readonly name: string;
  readonly users: readonly string[];
  readonly labelSchemaIds: readonly string[];
}

/** What a new queue is, as it is stored. @throws DomainError VALIDATION_FAILED. */
export function checkedQueue({ kind, name, users = [], labelSchemaIds = [] }: NewQueue): CheckedQueue {
  const distinct = checkedUsers(users);
  if (kind === 'custom')
    return { name: checkedName(name), users: distinct, labelSchemaIds: checkedSchemaIds(labelSchemaIds) };
  const user = checkedUser('/name', name);
  if (distinct.length > 0 && (distinct.length > 1 || distinct[0] !== user))
    refuse('/users', `must be ["${user}"] or absent: the queue of a user has the user's name`);
  if (labelSchemaIds.length > 0)
    refuse('/labelSchemaIds', 'must be empty: the queue of a user asks all questions of the experiment');
  return { name: user, users: [user], labelSchemaIds: [] };
}

/** @throws DomainError VALIDATION_FAILED. */
export function checkedName(name: string): string {
  const trimmed = name.trim();
  assertText('/name', trimmed, QUEUE_LIMITS.name);
  if (trimmed.toLowerCase() === RESERVED_NAME) refuse('/name', `must not be "${trimmed}", which is reserved`);
  return trimmed;
}

/** Assessments are matched with users whatever the case: so they are stored in one. @throws DomainError VALIDATION_FAILED. */
export function checkedUser(path: string, user: string): string {
  const normal = user.trim().toLowerCase();
  assertText(path, normal, QUEUE_LIMITS.user);
  return normal;
}

/** @throws DomainError VALIDATION_FAILED. */
export function checkedOwner(owner: string): string {
  const trimmed = owner.trim();
  assertText('/owner', trimmed, QUEUE_LIMITS.user);
  return trimmed;
}

/** @throws DomainError VALIDATION_FAILED. */
export function checkedUsers(users: readonly string[]): string[] {
  const distinct = [...new Set(users.map((user) => checkedUser('/users', user)))].sort();
  if (distinct.length > QUEUE_LIMITS.users)
    refuse('/users', `must be at most ${QUEUE_LIMITS.users}, not ${distinct.length}`);
  return distinct;
}

/** @throws DomainError VALIDATION_FAILED. */
export function checkedSchemaIds(ids: readonly string[]): string[] {
  const distinct = [...new Set(ids)].sort();
  if (distinct.length > QUEUE_LIMITS.labelSchemas)
    refuse('/labelSchemaIds', `must be at most ${QUEUE_LIMITS.labelSchemas}`);
  return distinct;
}

/** @throws DomainError VALIDATION_FAILED. */
export function checkedTraceIds(traceIds: readonly string[]): string[] {
  const distinct = [...new Set(traceIds.map((id) => id.trim()))];
  if (distinct.length === 0 || distinct.includes(''))
    refuse('/traceIds', 'must name at least one trace, and none with an empty id');
  if (distinct.length > QUEUE_LIMITS.items)
    refuse('/traceIds', `must be at most ${QUEUE_LIMITS.items} at a time`);
  return distinct;
}

function assertText(path: string, text: string, most: number): void {
  if (text === '' || text.length > most || text.includes('\0') || !text.isWellFormed())
    refuse(path, `must have 1 to ${most} characters and no NUL`);
}

export function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The review queue is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
