import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import { exclusively } from '#libs/platform/database/exclusive.js';
import { runPrepared } from '#libs/platform/database/prepared.js';
import type { ArrivalSource, Follower } from './follower.js';

/** `idle`: nothing that can be dealt with; `busy`: another registry is at it; `done`: caught up; `more`: rows are left. */
export type PassResult = 'idle' | 'busy' | 'done' | 'more';

/** Where a follower is, and what it has before it. */
export interface Outlook {
  readonly position: number;
  /** The next transaction to begin; all that has arrived lies below. */
  readonly next: number;
  /** Transactions since the first row that it has not dealt with; 0 where there is none. */
  readonly behind: number;
}

/** How often is asked whether an open transaction has ended. */
const WAIT_MS = 10;

/**
 * Shows what is before a follower, without a lock and without a transaction id: an idle system writes nothing.
 * @throws Error where the database was restored, see `restored`.
 */
export async function lookAhead(database: DataSource, follower: Follower): Promise<Outlook> {
  const [seen] = await runPrepared<Seen>(database, lookStatement(follower.source), [follower.name]);
  if (!seen) {
    await database.query(
      `INSERT INTO follower (name, source, position, updated_at) VALUES ($1, $2, 0, now()) ON CONFLICT DO NOTHING`,
      [follower.name, follower.source],
    );
    return lookAhead(database, follower);
  }
  const { position, next, first } = seen;
  // The server goes on, and passes the position some time: it is remembered that it was below.
  if (position > next && !seen.restored)
    await database.query('UPDATE follower SET restored = true WHERE name = $1 AND position = $2', [
      follower.name,
      position,
    ]);
  if (position > next || seen.restored) throw restored(follower, position, next);
  return { position, next, behind: first === null ? 0 : Math.max(1, next - first) };
}

/**
 * Has a follower apply the rows that arrived next, and moves its position. A row's `arrived` is its transaction. Below the oldest
 * one still running nothing is added any more, so that neither clocks nor the order of commits nor the age of a row matter.
 */
export async function pass(database: DataSource, follower: Follower): Promise<PassResult> {
  if (follower.effects === 'outside')
    return (
      (await exclusively(database, `follower ${follower.name}`, async (lost) => {
        const position = await database.query<Held[]>(`${POSITION} WHERE name = $1`, [follower.name]);
        return advance(database.manager, follower, position[0], lost);
      })) ?? 'busy'
    );
  return database.transaction(async (tx) => {
    // What one transaction brought is dealt with in one, however much it is.
    await tx.query('SET LOCAL statement_timeout = 0');
    const position = await tx.query<Held[]>(`${POSITION} WHERE name = $1 FOR UPDATE SKIP LOCKED`, [
      follower.name,
    ]);
    return advance(tx, follower, position[0]);
  });
}

interface Held {
  readonly position: number;
  readonly restored: boolean;
}
const POSITION = 'SELECT position, restored FROM follower';

interface Seen extends Held {
  readonly next: number;
  readonly first: number | null;
}

async function advance(
  tx: EntityManager,
  follower: Follower,
  held: Held | undefined,
  lost?: AbortSignal,
): Promise<PassResult> {
  if (!held || held.restored) return 'busy';
  const from = held.position;
  const [ahead] = await runPrepared<{ settled: number; first: number | null; beyond: number | null }>(
    tx,
    boundStatement(follower.source),
    [from, follower.rowsPerPass],
  );
  const { settled, first, beyond } = ahead!;
  // What there is came with transactions that an older one, still running, may yet precede.
  if (first === null) return 'idle';
  // A transaction is never divided, however many rows it brought.
  const to = beyond === null ? settled : Math.max(beyond, from + 1);
  await follower.apply(tx, { from, to });
  lost?.throwIfAborted();
  await tx.query(`UPDATE follower SET position = $3, updated_at = now() WHERE name = $1 AND position = $2`, [
    follower.name,
    from,
    to,
  ]);
  return beyond === null ? 'done' : 'more';
}

/** Returns when a follower has dealt with all that has arrived: waits for transactions of the whole server. */
export async function catchUp(database: DataSource, follower: Follower): Promise<void> {
  while ((await lookAhead(database, follower)).behind > 0)
    if ((await pass(database, follower)) !== 'more') await sleep(WAIT_MS);
}

const lookStatement = (source: ArrivalSource) => ({
  name: `follower-look-${source}`,
  text: `SELECT f.position, f.restored,
                pg_snapshot_xmax(pg_current_snapshot())::text::bigint + catena_arrival_offset() AS next,
                (SELECT s.arrived FROM ${source} s WHERE s.arrived >= f.position ORDER BY s.arrived LIMIT 1) AS first
           FROM follower f WHERE f.name = $1`,
});

const boundStatement = (source: ArrivalSource) => ({
  name: `follower-bound-${source}`,
  text: `WITH settled AS (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + catena_arrival_offset() AS before)
         SELECT before AS settled, ${nth(source, '0')} AS first, ${nth(source, '$2::bigint')} AS beyond FROM settled`,
});

const nth = (source: ArrivalSource, offset: string): string =>
  `(SELECT s.arrived FROM ${source} s WHERE s.arrived >= $1 AND s.arrived < before ORDER BY s.arrived OFFSET ${offset} LIMIT 1)`;

function restored(follower: Follower, position: number, next: number): Error {
  return new Error(
    `Follower ${follower.name} has dealt with what arrived before transaction ${position}, but this server was below that when it was seen first, and is at ${next}: ` +
      'the database was restored on a younger server, or from a dump. Stop gateways and registries, run ' +
      'SELECT catena_rebase_arrivals(); in the database, and start them again (docs/operations.md, "Followers").',
  );
}
