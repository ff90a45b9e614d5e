import { Client } from 'pg';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { ENDPOINT, type Stack } from './support/stack.js';
import type { Row } from './support/report.js';

/** As the shipper brings them: a transaction each. */
const BATCH = 5_000;
const REQUESTS_PER_UNIT = 10;
const READS = 200;
/** What a read may take, in milliseconds. */
const LIMIT_MS = 200;

const TEST = {
  hypothesis: 'Hot is as good as cold.',
  control: 'control',
  primary: { metric: 'error_rate' },
  guardrails: [
    { metric: 'latency_ms_p95', margin: 0.05 },
    { metric: 'ttft_ms_p95', margin: 0.05 },
    { metric: 'schema_valid_rate', margin: 0.01 },
  ],
  secondary: [{ metric: 'cost_micro_usd_per_request' }, { metric: 'latency_ms_mean' }],
  minimumEffect: 0.02,
  maximumDays: 28,
};

/**
 * Reads the results of an A/B test over many rows, which its follower has added up before: six metrics, two of them percentiles, of
 * a tenth as many units as rows. What the follower takes is told with it: all followers of the registry run meanwhile.
 */
export async function abTest(stack: Stack, rows: number): Promise<Row[]> {
  const client = new Client({ connectionString: stack.databaseUrl });
  const holding = new Client({ connectionString: stack.databaseUrl });
  await Promise.all([client.connect(), holding.connect()]);
  try {
    const { id } = await stack.call<{ id: string }>('POST', `/endpoints/${ENDPOINT}/ab-tests`, TEST);
    const path = `/endpoints/${ENDPOINT}/ab-tests/${id}`;
    await stack.call('POST', `${path}/start`);
    // Nothing passes a transaction that has not ended: the rows wait for the follower until all are there.
    await holding.query('BEGIN; SELECT pg_current_xact_id()');
    await insert(client, rows);
    const start = performance.now();
    await holding.query('COMMIT');
    const counted = await followed(client, rows);
    const followerRate = counted / ((performance.now() - start) / 1000);
    await quiet(client);
    const times: number[] = [];
    for (let read = 0; read < READS; read++) {
      const begun = performance.now();
      await stack.call('GET', `${path}/results`);
      times.push(performance.now() - begun);
    }
    times.sort((a, b) => a - b);
    const [p50, p95] = [times[READS / 2]!, times[Math.floor(READS * 0.95)]!];
    const figures = `${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms; ${counted} rows counted at ${followerRate.toFixed(0)} rows/s`;
    return [
      {
        what: `results of an A/B test over ${rows} rows of ${rows / REQUESTS_PER_UNIT} units, 6 metrics`,
        reference: `${LIMIT_MS} ms`,
        measured: figures,
        ratio: p95 / LIMIT_MS,
        reach: `p95 ≤ ${LIMIT_MS} ms, all counted`,
        reached: p95 <= LIMIT_MS && counted === rows,
      },
    ];
  } finally {
    await Promise.all([client.end(), holding.end()]);
  }
}

async function insert(client: Client, rows: number): Promise<void> {
  await client.query(
    'SELECT catena_ensure_inference_partition(current_date), catena_ensure_inference_partition(current_date + 1)',
  );
  for (let done = 0; done < rows; done += BATCH)
    await client.query(
      `INSERT INTO inference (id, started_at, workspace_id, endpoint, split_revision, arm, chain, chain_version, chain_digest, unit, bucket,
                              sticky, assignment, status, attempts, streamed, schema_valid, input_tokens, output_tokens,
                              cost_micro_usd, latency_ms, ttft_ms)
       SELECT uuidv7(), now(), $1, $2, 1, CASE WHEN hashint4(unit) & 1 = 0 THEN 'control' ELSE 'candidate' END, 'bench', 1, 'sha256:0',
              'user-' || unit, 0, true, 'split', CASE WHEN random() < 0.02 THEN 'error' ELSE 'ok' END, 1, false, random() < 0.97,
              100 + unit % 200, 50, 40, 300 * exp(0.5 * random_normal()), 80 * exp(0.4 * random_normal())
         FROM (SELECT (random() * $4)::integer AS unit FROM generate_series(1, $3)) u`,
      [DEFAULT_WORKSPACE_ID, ENDPOINT, Math.min(BATCH, rows - done), Math.floor(rows / REQUESTS_PER_UNIT)],
    );
}

/** Waits until the follower has counted as many rows, or counts no more. Returns how many it has. */
async function followed(client: Client, rows: number): Promise<number> {
  let counted = 0;
  for (let quiet = 0; counted < rows && quiet < 600; quiet++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { rows: found } = await client.query<{ n: number }>(
      'SELECT coalesce(sum(requests), 0)::integer AS n FROM ab_test_exposure',
    );
    if (found[0]!.n > counted) quiet = 0;
    counted = found[0]!.n;
  }
  return counted;
}

/** Waits until the other followers have come to rest, too: what is measured is a read, not who else has the processor. */
async function quiet(client: Client): Promise<void> {
  for (let before = -1, still = 0; still < 30;) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { rows } = await client.query<{ at: number }>('SELECT sum(position)::bigint AS at FROM follower');
    still = rows[0]!.at === before ? still + 1 : 0;
    before = rows[0]!.at;
  }
}
