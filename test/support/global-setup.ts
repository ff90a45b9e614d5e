import { tmpdir } from 'node:os';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { EmbeddedPostgres } from '../../apps/standalone/src/embedded-postgres.js';
import { startEmbeddedS3 } from '../../apps/standalone/src/embedded-s3.js';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { migrate } from '../../libs/platform/database/data-source.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of the server's `postgres` database; test files clone `catena` from it (test/support/database.ts). */
    adminUrl: string;
    s3Endpoint: string;
  }
}

/** One PostgreSQL and one S3 server for the whole test run; every file gets a database of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // What has been started is also ended when something after it fails to start.
  await using started = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'catena-test-'));
  started.defer(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  const postgres = await EmbeddedPostgres.start(join(directory, 'postgres'), await freePort(), [
    'fsync=off',
    'max_connections=300',
  ]);
  started.defer(() => postgres.stop());
  await migrate(postgres.url());
  const s3 = await startEmbeddedS3(join(directory, 's3'), 0, 'catena');
  started.defer(() => {
    s3.server.close();
    s3.server.closeAllConnections();
  });
  project.provide('adminUrl', postgres.url('postgres'));
  project.provide('s3Endpoint', `http://127.0.0.1:${s3.port}`);
  const running = started.move();
  return () => running.disposeAsync();
}
