import { QueryFailedError, type EntityManager } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { isUniqueViolation } from '../http/conflict.js';
import { refuseBadName } from './entry-name.js';
import { Entry } from './entry.entity.js';

/**
 * Renames a locked entry. Its versions, aliases and their logs go with it: they name it by id.
 * @throws DomainError VALIDATION_FAILED (a bad name), IMMUTABLE (a prompt or chain), IN_USE (a version is pinned),
 * ALREADY_EXISTS.
 */
export async function renameEntry(entry: Entry, name: string, tx: EntityManager): Promise<void> {
  if (name === entry.name) return;
  if (entry.kind !== 'model')
    throw new DomainError(
      'IMMUTABLE',
      `The ${entry.kind} "${entry.name}" cannot be renamed, because references name it for ever; create another, and archive this one.`,
    );
  refuseBadName(entry.kind, name);
  const [user]: { name: string; version: number }[] = await tx.query(
    `SELECT e.name, v.number AS version
       FROM version own
       JOIN version_reference r ON r.to_version_id = own.id
       JOIN version v ON v.id = r.version_id
       JOIN entry e ON e.id = v.entry_id
      WHERE own.entry_id = $1
      LIMIT 1`,
    [entry.id],
  );
  if (user)
    throw pinned(entry, `version ${user.version} of the chain "${user.name}" pins one of its versions`);
  try {
    await tx.getRepository(Entry).update({ id: entry.id }, { name });
  } catch (error) {
    if (isUniqueViolation(error, 'entry_name_key')) throw nameTaken(entry.kind, name);
    // The guard of the table: it was pinned in this very moment.
    if (isRestricted(error)) throw pinned(entry, 'a chain pins one of its versions');
    throw error;
  }
}

export function nameTaken(kind: Kind, name: string): DomainError {
  return new DomainError(
    'ALREADY_EXISTS',
    `There is already a ${kind} named "${name}", perhaps archived; use it, or choose another name.`,
    { kind, name },
  );
}

function pinned(entry: Entry, by: string): DomainError {
  return new DomainError(
    'IN_USE',
    `The ${entry.kind} "${entry.name}" cannot be renamed, because ${by} under this name; create another, and archive this one.`,
    { kind: entry.kind, name: entry.name },
  );
}

/** SQLSTATE 23001, https://www.postgresql.org/docs/current/errcodes-appendix.html */
function isRestricted(error: unknown): boolean {
  return error instanceof QueryFailedError && (error.driverError as { code?: string }).code === '23001';
}
