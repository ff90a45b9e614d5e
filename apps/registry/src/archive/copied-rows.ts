import { Client } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { csvParts, type CsvPart } from './csv-parts.js';

export interface CopyOptions {
  readonly databaseUrl: string;
  /** Longest time for all of it; 0: any. */
  readonly timeoutMs: number;
  /** Statements before it, that make the planner choose well. */
  readonly planner?: string;
  /** About where a file ends and the next begins. */
  readonly partBytes: number;
  newPath(): Promise<string>;
}

/**
 * Rows out of PostgreSQL as CSV files, in the form that parquet.ts reads.
 * @param select without parameters: COPY takes none.
 */
export async function* copiedRows(select: string, options: CopyOptions): AsyncGenerator<CsvPart> {
  // A connection of its own: one that is left in the middle of a COPY cannot be used again.
  const client = new Client({ connectionString: options.databaseUrl, application_name: 'catena-archive' });
  try {
    await client.connect();
    client.on('error', () => undefined); // the stream fails too
    // It only reads, and so holds up no follower.
    await client.query(
      `BEGIN READ ONLY; SET LOCAL TimeZone = 'UTC'; SET LOCAL statement_timeout = ${options.timeoutMs}; ${options.planner ?? ''}`,
    );
    const copied = client.query(
      copyTo(`COPY (${select}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')`),
    );
    yield* csvParts(copied, () => options.newPath(), options.partBytes);
  } finally {
    await client.end();
  }
}
