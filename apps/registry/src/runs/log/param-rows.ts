import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { RunRecord } from '../run-record.js';

/**
 * Adds params that are not there yet, in the order of their primary key. The value that is there stays.
 * @throws DomainError IMMUTABLE when one has another value, with details `{ params: [{ key, value, given }] }`.
 */
export async function insertParams(
  run: RunRecord,
  params: ReadonlyMap<string, string>,
  keys: ReadonlyMap<string, number>,
  tx: EntityManager,
): Promise<void> {
  if (params.size === 0) return;
  const given = new Map([...params].map(([name, value]) => [keys.get(name)!, { name, value }]));
  const inserted: { key: number }[] = await tx.query(
    `INSERT INTO param (run, key, experiment, value)
     SELECT $1, key, $2, value FROM unnest($3::integer[], $4::text[]) p (key, value) ORDER BY key
     ON CONFLICT DO NOTHING RETURNING key`,
    [run.serial, run.experimentSerial, [...given.keys()], [...params.values()]],
  );
  if (inserted.length === params.size) return;
  // A statement of its own: it sees what the transaction that was waited for has committed.
  const stored: { key: number; value: string }[] = await tx.query(
    'SELECT key, value FROM param WHERE run = $1 AND key = ANY ($2::integer[])',
    [run.serial, [...given.keys()]],
  );
  const changed = stored
    .filter(({ key, value }) => given.get(key)!.value !== value)
    .map(({ key, value }) => ({ key: given.get(key)!.name, value, given: given.get(key)!.value }));
  if (changed.length === 0) return;
  const said = changed
    .slice(0, 5)
    .map(({ key, value, given }) => `"${key}" is ${excerpt(value)}, not ${excerpt(given)}`);
  throw new DomainError(
    'IMMUTABLE',
    `Params cannot be changed once they are set: ${said.join('; ')}. Nothing was written; log another key, or start another run.`,
    { params: changed },
  );
}

function excerpt(value: string): string {
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 99)}…` : value);
}
