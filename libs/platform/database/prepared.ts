import type { Pool, PoolClient } from 'pg';
import { DataSource, QueryFailedError, type EntityManager } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';

/** A statement with placeholders `$1`, `$2`…, planned once per connection. */
export interface Statement {
  /** Unique in the process. */
  readonly name: string;
  readonly text: string;
}

/**
 * Runs a statement prepared, below TypeORM, which cannot say it: for the few that run thousands of times a second,
 * where planning costs more than the work. In the transaction of `on` where it is the manager of one.
 * @throws QueryFailedError, as TypeORM does.
 */
export async function runPrepared<Row>(
  on: DataSource | EntityManager,
  statement: Statement,
  values: readonly unknown[],
): Promise<Row[]> {
  (on instanceof DataSource ? on : on.connection).logger.logQuery(statement.text, [...values]);
  const config = { name: statement.name, text: statement.text, values: [...values] };
  try {
    if (on instanceof DataSource) return (await poolOf(on).query(config)).rows as Row[];
    const client = on.queryRunner ? ((await on.queryRunner.connect()) as PoolClient) : poolOf(on.connection);
    return (await client.query(config)).rows as Row[];
  } catch (error) {
    throw new QueryFailedError(statement.text, config.values, error as Error);
  }
}

function poolOf(database: DataSource): Pool {
  return (database.driver as PostgresDriver).master as Pool;
}

/** An array of numbers, or of their digits, in PostgreSQL's text form: several times faster than the driver's. */
export function numberArray(items: readonly (number | string)[]): string {
  return `{${items.join(',')}}`;
}
