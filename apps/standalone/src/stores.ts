/**
 * The embedded stores, in a process of their own: a big upload does not hold up the launcher, and when the
 * launcher dies, however it dies, this process notices and ends PostgreSQL, which could not notice by itself.
 */
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgres } from './embedded-postgres.js';
import { startEmbeddedS3 } from './embedded-s3.js';
import { freePort } from './free-port.js';
import type { StoresPlan, StoresReport } from './stores-plan.js';

/** How long clients may go on using PostgreSQL after they were told to end, in milliseconds. */
const GRACE_MS = 5_000;

const plan = JSON.parse(process.argv[2]!) as StoresPlan;
let stopping: Promise<void> | undefined;

process.once('SIGTERM', () => stop('fast'));
process.once('disconnect', () => stop('with grace'));
process.on('uncaughtException', (error) => fail(error));

const starting = start();
starting.then(
  ({ postgres, s3 }) => report({ type: 'ready', databaseUrl: postgres?.url(), s3Port: s3?.port }),
  (error: unknown) => fail(error),
);

async function start() {
  const [postgres, s3] = await Promise.all([
    plan.postgres && EmbeddedPostgres.start(plan.postgres.directory, await freePort()),
    plan.s3 && startS3(plan.s3),
  ]);
  postgres?.onExit((log) => {
    if (!stopping) fail(new Error(`PostgreSQL has ended by itself. The end of its log:\n${log}`));
  });
  return { postgres, s3 };
}

async function startS3({ directory, bucket }: NonNullable<StoresPlan['s3']>) {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return startEmbeddedS3(directory, 0, bucket);
}

function stop(how: 'fast' | 'with grace', code = 0): void {
  stopping ??= end(how).finally(() => process.exit(code));
}

async function end(how: 'fast' | 'with grace'): Promise<void> {
  const stores = await starting.catch(() => undefined); // half started is not yet ours to stop
  stores?.s3?.server.close();
  stores?.s3?.server.closeAllConnections();
  const postgres = stores?.postgres;
  if (postgres && how === 'with grace') await Promise.race([postgres.stop('SIGTERM'), sleep(GRACE_MS)]);
  await postgres?.stop('SIGINT');
}

function fail(error: unknown): void {
  report({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  stop('fast', 1);
}

function report(message: StoresReport): void {
  if (process.connected) process.send!(message);
}
