import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { finished } from 'node:stream/promises';
import { v7 } from 'uuid';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { COPY_COLUMNS, COPY_HEADER, COPY_TRAILER } from '../apps/gateway/src/spool/copy-format.js';
import { closingMeta, openingColumns, servedColumns } from '../apps/gateway/src/spool/columns.js';
import { InferenceSink } from '../apps/gateway/src/spool/inference-sink.js';
import type { ClosingMeta, OpeningMeta } from '../apps/gateway/src/spool/record.js';
import { RowSlabs } from '../apps/gateway/src/spool/row-slabs.js';
import { Shipper } from '../apps/gateway/src/spool/shipper.js';
import { Spool } from '../apps/gateway/src/spool/spool.js';
import { SpoolMetrics } from '../apps/gateway/src/spool/spool.metrics.js';
import { compare } from './support/load.js';
import type { Row } from './support/report.js';
import type { Stack } from './support/stack.js';

const ROWS = 20_000;
/** Of these rows only: the gateway may still be shipping its own. */
const ENDPOINT = 'bench-rows';
const REQUEST = Buffer.from(
  JSON.stringify({ model: 'bench', messages: [{ role: 'user', content: 'x'.repeat(900) }] }),
);
const RESPONSE = Buffer.from(
  JSON.stringify({ choices: [{ message: { role: 'assistant', content: 'y'.repeat(900) } }] }),
);

/**
 * Rows of 2 kB of payload through spool and shipper (both records on disk, shipped in batches, settled) against one
 * COPY of the same rows, encoded beforehand, with nothing around it.
 */
export async function rows(stack: Stack, rounds: number): Promise<Row[]> {
  const client = new Client({ connectionString: stack.databaseUrl });
  await client.connect();
  try {
    await client.query('SELECT catena_ensure_inference_partition(current_date)');
    let lost = 0;
    const ship = async () => {
      const before = await count(client);
      const seconds = await throughSpool(stack.databaseUrl);
      lost += ROWS - ((await count(client)) - before);
      return ROWS / seconds;
    };
    const { subject, reference, ratio } = await compare(rounds, ship, () => bareCopy(client));
    return [
      {
        what: 'inference rows into PostgreSQL, spooled and shipped',
        reference: 'one `COPY` of the same rows',
        measured: `${subject.toFixed(0)} against ${reference.toFixed(0)} rows/s, ${lost} lost`,
        ratio,
        reach: '≥ 0.5×, 0 lost',
        reached: ratio >= 0.5 && lost === 0,
      },
    ];
  } finally {
    await client.end();
  }
}

async function throughSpool(databaseUrl: string): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'catena-rows-'));
  const metrics = new SpoolMetrics(new Registry());
  const logger = pino({ level: 'silent' });
  const spool = new Spool(
    { directory, maxBytes: 1e9, whenFull: 'refuse', fsync: 'interval' },
    metrics,
    logger,
  );
  const sink = new InferenceSink(databaseUrl, () => undefined);
  const shipper = new Shipper(spool, sink, join(directory, 'quarantine.jsonl'), metrics, logger);
  const start = performance.now();
  shipper.start();
  for (let done = 0; done < ROWS; done += 500)
    await Promise.all(Array.from({ length: 500 }, () => oneInference(spool)));
  while (((await metrics.shipped.get()).values[0]?.value ?? 0) < ROWS)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const seconds = (performance.now() - start) / 1000;
  await shipper.stop(1000);
  spool.shutdown();
  await rm(directory, { recursive: true, force: true });
  return seconds;
}

function oneInference(spool: Spool): Promise<void> {
  return new Promise((resolve, reject) => {
    const inference = spool.open(opening(), REQUEST, {
      onOpened: (error) => (error ? reject(error) : spool.close(inference, CLOSING, undefined, RESPONSE)),
      onClosed: (error) => (error ? reject(error) : resolve()),
    });
  });
}

async function bareCopy(client: Client): Promise<number> {
  const slabs = new RowSlabs();
  const encoded = Array.from({ length: ROWS }, () => {
    const opened = openingColumns(opening());
    const closed = closingMeta(opened, { segment: 0, offset: 0 }, CLOSING);
    const { slab, start, end } = slabs.add(opened, closed, REQUEST, RESPONSE);
    return slab.bytes.subarray(start, end);
  });
  const copied = Buffer.concat([COPY_HEADER, ...encoded, COPY_TRAILER]);
  const start = performance.now();
  const stream = client.query(
    copyFrom(`COPY inference (${COPY_COLUMNS.map(([name]) => name).join(', ')}) FROM STDIN (FORMAT binary)`),
  );
  stream.end(copied);
  await finished(stream);
  return ROWS / ((performance.now() - start) / 1000);
}

async function count(client: Client): Promise<number> {
  const { rows: counted } = await client.query<{ n: number }>(
    'SELECT count(*) AS n FROM inference WHERE endpoint = $1',
    [ENDPOINT],
  );
  return counted[0]!.n;
}

const SERVED = servedColumns({
  workspaceId: DEFAULT_WORKSPACE_ID,
  endpoint: ENDPOINT,
  splitRevision: 1,
  arm: 'control',
  chain: 'bench',
  chainVersion: 1,
  chainDigest: `sha256:${'0'.repeat(64)}`,
});

function opening(): OpeningMeta {
  return {
    id: v7(),
    startedAtMs: Date.now(),
    served: SERVED,
    unit: 'customer-4711',
    bucket: 4711,
    sticky: true,
    assignment: 'split',
    streamed: false,
    metadata: null,
    dataClass: 'internal',
    apiKey: null,
    team: null,
    shadowOf: null,
    cacheHit: null,
  };
}

const CLOSING: ClosingMeta = {
  status: 'ok',
  errorCode: null,
  errorMessage: null,
  modelEndpoint: 'bench-gpu',
  model: 'bench',
  replica: 'http://127.0.0.1:8000/v1',
  attempts: 1,
  finishReason: 'stop',
  schemaValid: null,
  inputTokens: 40,
  outputTokens: 60,
  cachedInputTokens: 16,
  cacheWriteInputTokens: null,
  reasoningTokens: null,
  contractOutcome: null,
  contractRungs: null,
  costMicroUsd: 42,
  latencyMs: 12.5,
  ttftMs: null,
};
