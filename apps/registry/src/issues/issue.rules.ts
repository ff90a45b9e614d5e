import { DomainError } from '#libs/core/errors/catalogue.js';
import { ISSUE_LIMITS, ISSUE_SEVERITIES, ISSUE_STATUSES, type IssuePatch, type NewIssue } from './issue.js';

/** @throws DomainError VALIDATION_FAILED. */
export function assertIssue(given: IssuePatch & Partial<NewIssue>): void {
  assertText('/name', given.name, ISSUE_LIMITS.name);
  assertText('/description', given.description, ISSUE_LIMITS.text);
  if (given.status !== undefined) assertOneOf('/status', given.status, ISSUE_STATUSES);
  if (given.severity !== undefined && given.severity !== null)
    assertOneOf('/severity', given.severity, ISSUE_SEVERITIES);
  assertList('/rootCauses', given.rootCauses);
  assertList('/categories', given.categories);
  if (given.createdBy !== null) assertText('/createdBy', given.createdBy, ISSUE_LIMITS.createdBy);
}

function assertText(path: string, text: string | undefined, most: number): void {
  if (text === undefined) return;
  if (text === '' || text.length > most || text.includes('\0') || !text.isWellFormed())
    refuse(path, `must have 1 to ${most} characters and no NUL`);
}

function assertList(path: string, texts: readonly string[] | undefined): void {
  if (texts === undefined) return;
  if (texts.length > ISSUE_LIMITS.list) refuse(path, `must have at most ${ISSUE_LIMITS.list} entries`);
  for (const text of texts) assertText(path, text, ISSUE_LIMITS.text);
}

function assertOneOf(path: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) refuse(path, `must be one of ${allowed.join(', ')}`);
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The issue is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
