import { Client } from 'pg';
import { request } from 'undici';
import { chatRequest } from './http.js';
import { latencies, type Latencies } from './support/latency.js';
import { inTurns, median, medianRatio } from './support/load.js';
import { startServer, type Server } from './support/processes.js';
import type { Row } from './support/report.js';
import type { Stack } from './support/stack.js';

/** Rows per second that are to be taken for minutes. */
const RATE = 5_000;
const ENDPOINT = 'bench-ingest';
/** Those of a registry that has to do with every row. */
const FOLLOWERS = ['inference-minutes', 'ab-test-rows', 'feedback-rows'];
/** Of each round of latencies, with and without rows beside. */
const LATENCY_SECONDS = 5;

interface Ingested {
  readonly rows: number;
  readonly seconds: number;
}

/**
 * Rows of 2 kB of payload through spool and shipper into PostgreSQL, as many as it takes for so many seconds, with all of
 * a registry's followers at work; then what they do to the latency of a gateway beside: on a machine with two cores they
 * share those, with it, with PostgreSQL and with whoever asks.
 */
export async function ingest(stack: Stack, seconds: number, rounds: number): Promise<Row[]> {
  const client = new Client({ connectionString: stack.databaseUrl });
  await client.connect();
  const ingester = await startServer('bench/reference/ingester.js', {
    DATABASE_URL: stack.databaseUrl,
    ROWS_ENDPOINT: ENDPOINT,
  });
  try {
    const most = await run(ingester, { seconds });
    let lost = most.rows - (await count(client));
    const rate = most.rows / most.seconds;
    const behind = await secondsUntilFollowed(client);
    let expected = most.rows;
    const alone = () => latencies(stack.gateway.url, chatRequest(false), 'end', LATENCY_SECONDS);
    const beside = async (): Promise<Latencies> => {
      const running = run(ingester, { rate: RATE, seconds: LATENCY_SECONDS + 1 });
      const found = await alone();
      expected += (await running).rows;
      await secondsUntilFollowed(client);
      return found;
    };
    await alone(); // the gateway has answered before it is measured
    const [quiet, busy] = (await inTurns(rounds, alone, beside)) as [Latencies[], Latencies[]];
    lost = expected - (await count(client));
    const latency = (name: string, of: (found: Latencies) => number): Row => {
      const [with_, without] = [busy.map(of), quiet.map(of)];
      const ratio = medianRatio(with_, without);
      return {
        what: `chat completion beside ${RATE} rows/s, ${name}`,
        reference: 'the same gateway without rows beside',
        measured: `${median(with_).toFixed(2)} against ${median(without).toFixed(2)} ms`,
        ratio,
        reach: '≤ 1.05×',
        reached: ratio <= 1.05,
      };
    };
    return [
      {
        what: `inference rows into PostgreSQL for ${seconds} s, spooled and shipped`,
        reference: `${RATE} rows/s`,
        measured: `${rate.toFixed(0)} rows/s, ${most.rows} rows, ${lost} lost; followers done ${behind.toFixed(1)} s later`,
        ratio: rate / RATE,
        reach: '≥ 1×, 0 lost',
        reached: rate >= RATE && lost === 0,
      },
      latency('p50', ({ p50Ms }) => p50Ms),
      latency('p99', ({ p99Ms }) => p99Ms),
    ];
  } finally {
    await ingester.stop();
    await client.end();
  }
}

async function run(ingester: Server, query: Record<string, number>): Promise<Ingested> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
  const { statusCode, body } = await request(`${ingester.url}/?${parameters}`, {
    method: 'POST',
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  if (statusCode !== 200) throw new Error(`The ingester failed: ${await body.text()}`);
  return (await body.json()) as Ingested;
}

async function count(client: Client): Promise<number> {
  const { rows } = await client.query<{ n: string }>(
    'SELECT count(*) AS n FROM inference JOIN inference_payload USING (id, started_at) WHERE endpoint = $1',
    [ENDPOINT],
  );
  return Number(rows[0]!.n);
}

async function secondsUntilFollowed(client: Client): Promise<number> {
  const start = performance.now();
  const { rows } = await client.query<{ last: string }>('SELECT max(arrived) AS last FROM inference');
  for (;;) {
    const { rowCount } = await client.query('SELECT FROM follower WHERE name = ANY($2) AND position <= $1', [
      rows[0]!.last,
      FOLLOWERS,
    ]);
    if (rowCount === 0) return (performance.now() - start) / 1000;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
