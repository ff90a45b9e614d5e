import pg from 'pg';

/** Longest wait for a connection, in milliseconds. */
const CONNECT_MS = 5_000;

/** Runs `work` over a connection of its own: for what happens every minute or more seldom, off the path of requests. */
export async function withConnection<T>(
  url: string,
  applicationName: string,
  statementTimeoutMs: number,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + CONNECT_MS,
  });
  // What breaks the connection is told by the query that runs.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
