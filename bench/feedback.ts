import { Client } from 'pg';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import type { Row } from './support/report.js';
import type { Stack } from './support/stack.js';

const EVENTS = 100_000;
const DAYS = 30;
const DAY_MS = 86_400_000;
const BATCH = 1000;
const CONNECTIONS = 4;
/** How long after the row a judgement is given. */
const DELAYS_DAYS = [0.001, 0.1, 1, 7];
/** Rows that one statement inserts. */
const CHUNK = 100_000;
/** What the join may take, in seconds. */
const LIMIT_S = 60;

/**
 * Feedback joined to rows of a month: a third names the inference, a third the caller's id of the request, a third a unit
 * with ten requests. From the first request to the registry until the last judgement is matched and it is decided
 * which of them count.
 */
export async function feedback(stack: Stack, rows: number): Promise<Row[]> {
  const client = new Client({ connectionString: stack.databaseUrl });
  await client.connect();
  try {
    const from = Date.now() - DAYS * DAY_MS;
    await insert(client, rows, from);
    await untilNone(
      client,
      `SELECT count(*) AS n FROM follower f WHERE f.name = 'feedback-rows' AND EXISTS (SELECT FROM inference WHERE arrived >= f.position)`,
    );
    await client.query('VACUUM ANALYZE inference');
    const batches = Array.from({ length: EVENTS / BATCH }, (_, batch) =>
      Array.from({ length: BATCH }, (__, i) => event(batch * BATCH + i, rows, from)),
    );
    const start = performance.now();
    let next = 0;
    const send = async () => {
      while (next < batches.length) await stack.call('POST', '/feedback', { events: batches[next++] });
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, send));
    const acceptedS = (performance.now() - start) / 1000;
    await untilNone(client, 'SELECT count(*) AS n FROM feedback WHERE latest IS NULL');
    const seconds = (performance.now() - start) / 1000;
    const { rows: counted } = await client.query<{ n: string }>(
      'SELECT count(*) AS n FROM feedback WHERE matched_inference_id IS NOT NULL',
    );
    const matched = Number(counted[0]!.n);
    return [
      {
        what: `feedback: ${EVENTS} events stored and joined to ${rows} rows of ${DAYS} days`,
        reference: `${LIMIT_S} s`,
        measured: `${seconds.toFixed(1)} s, stored after ${acceptedS.toFixed(1)} s; ${matched} matched`,
        ratio: seconds / LIMIT_S,
        reach: `≤ ${LIMIT_S} s, all matched`,
        reached: seconds <= LIMIT_S && matched === EVENTS,
      },
    ];
  } finally {
    await client.end();
  }
}

/** Rows at even distances; the id of row n says n, so that events can be made without asking. */
async function insert(client: Client, rows: number, from: number): Promise<void> {
  for (let day = 0; day <= DAYS; day++)
    await client.query('SELECT catena_ensure_inference_partition($1)', [
      new Date(from + day * DAY_MS).toISOString().slice(0, 10),
    ]);
  for (let done = 0; done < rows; done += CHUNK)
    await client.query(
      `INSERT INTO inference (id, started_at, workspace_id, endpoint, split_revision, arm, chain, chain_version, chain_digest, unit, bucket,
                              sticky, assignment, status, attempts, streamed, latency_ms, client_request_id)
       SELECT (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n & 4095), 3, '0') || '8' || lpad(to_hex(n >> 12), 15, '0'))::uuid,
              to_timestamp(ms / 1000.0), $1, 'bench-feedback', 1, 'control', 'bench', 1, 'sha256:0', 'user-' || n % $4, 0, true,
              'split', 'ok', 1, false, 100, 'request-' || n
         FROM (SELECT n, $5::bigint + n * $6::bigint / $7::bigint AS ms FROM generate_series($2::bigint, $3::bigint) n) given`,
      [DEFAULT_WORKSPACE_ID, done, Math.min(done + CHUNK, rows) - 1, rows / 10, from, DAYS * DAY_MS, rows],
    );
}

function event(n: number, rows: number, from: number): object {
  const row = n * Math.floor(rows / EVENTS);
  const ms = from + Math.floor((row * DAYS * DAY_MS) / rows);
  const givenAt = new Date(
    Math.min(ms + DELAYS_DAYS[n % DELAYS_DAYS.length]! * DAY_MS, Date.now()),
  ).toISOString();
  const targets = [
    { inferenceId: idOf(row, ms) },
    { clientRequestId: `request-${row}` },
    { unit: `user-${row % (rows / 10)}` },
  ];
  return { eventId: `bench-${n}`, ...targets[n % targets.length], name: 'stars', value: n % 5, givenAt };
}

function idOf(row: number, ms: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  const id = `${hex(ms, 12)}7${hex(row & 4095, 3)}8${hex(Math.floor(row / 4096), 15)}`;
  return [id.slice(0, 8), id.slice(8, 12), id.slice(12, 16), id.slice(16, 20), id.slice(20)].join('-');
}

async function untilNone(client: Client, counting: string): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ n: string }>(counting);
    if (Number(rows[0]!.n) === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
