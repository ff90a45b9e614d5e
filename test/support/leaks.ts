import type pg from 'pg';
import { pino, type Logger } from 'pino';

/** Names of tables with a row that contains `secret`, in any column, as text or as bytes. */
export async function everyRowContaining(client: pg.Client, secret: string): Promise<string[]> {
  const { rows: tables } = await client.query<{ name: string }>(
    `SELECT quote_ident(table_name) AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`,
  );
  const hex = Buffer.from(secret).toString('hex');
  const found: string[] = [];
  for (const { name } of tables) {
    const { rowCount } = await client.query(
      `SELECT 1 FROM ${name} t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0 LIMIT 1`,
      [secret, hex],
    );
    if (rowCount) found.push(name);
  }
  return found;
}

/** A logger that writes everything, trace included, into `lines`. */
export function memoryLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  return { lines, logger: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }) };
}
