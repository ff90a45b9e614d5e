import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';

type Cell = string | number | null;

/** A database that is only read. Statements are written for both, with `$1`, `$2`… */
export interface SourceDatabase {
  /** @template T columns by name, as the statement selects them. */
  query<T>(sql: string, parameters?: readonly (string | number)[]): Promise<T[]>;
  close(): Promise<void>;
}

/** @param uri `postgresql://…` or `sqlite:///relative` or `sqlite:////absolute`, as SQLAlchemy writes them. */
export async function openSourceDatabase(uri: string): Promise<SourceDatabase> {
  if (uri.startsWith('sqlite:')) return openSqlite(uri.replace(/^sqlite:\/\/\/?/, ''));
  // SQLAlchemy names its driver: postgresql+psycopg2://
  const pool = new pg.Pool({
    connectionString: uri.replace(/^postgres(ql)?(\+\w+)?:/, 'postgresql:'),
    max: 4,
    options: '-c default_transaction_read_only=on',
  });
  return {
    query: async <T>(sql: string, parameters: readonly Cell[] = []) =>
      (await pool.query(sql, [...parameters])).rows as T[],
    close: () => pool.end(),
  };
}

function openSqlite(path: string): SourceDatabase {
  const database = new DatabaseSync(path, { readOnly: true });
  return {
    query: async <T>(sql: string, parameters: readonly Cell[] = []) =>
      database.prepare(sql.replaceAll(/\$(\d+)/g, '?$1')).all(...parameters) as T[],
    close: async () => database.close(),
  };
}
