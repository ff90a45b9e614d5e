import type { EventEmitter } from 'node:events';
import type { DataSource } from 'typeorm';

/**
 * Runs `work` unless another process is at work under the same name. The lock is its connection's: the signal tells
 * when it is lost, and whoever loses it must not go on.
 * @returns undefined where another is at it.
 */
export async function exclusively<T>(
  database: DataSource,
  name: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const runner = database.createQueryRunner();
  const lost = new AbortController();
  const client: Pick<EventEmitter, 'once' | 'off'> = await runner.connect();
  const lose = () => lost.abort(new Error(`The lock "${name}" was lost with its connection.`));
  client.once('end', lose);
  try {
    const [lock] = (await runner.query('SELECT pg_try_advisory_lock(hashtext($1)) AS held', [name])) as {
      held: boolean;
    }[];
    if (!lock!.held) return undefined;
    try {
      return await work(lost.signal);
    } finally {
      if (!lost.signal.aborted) await runner.query('SELECT pg_advisory_unlock(hashtext($1))', [name]);
    }
  } finally {
    client.off('end', lose); // the connection is used on
    await runner.release();
  }
}
