import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

export interface TestDatabase {
  readonly url: string;
  /** A connection outside the application, for asking the database itself. */
  readonly client: pg.Client;
  drop(): Promise<void>;
}

/** A database of its own, cloned from the migrated template. Call in `beforeAll`, `drop` in `afterAll`. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const admin = new pg.Client({ connectionString: inject('adminUrl') });
  await admin.connect();
  const name = `test_${randomBytes(6).toString('hex')}`;
  // Clones of one template take turns: PostgreSQL refuses a template that another session is reading.
  await admin.query(`SELECT pg_advisory_lock(1)`);
  await admin.query(`CREATE DATABASE ${name} TEMPLATE catena`);
  await admin.query(`SELECT pg_advisory_unlock(1)`);
  const url = inject('adminUrl').replace(/\/postgres$/, `/${name}`);
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // ended by DROP … FORCE
  await client.connect();
  return {
    url,
    client,
    async drop() {
      await client.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}
