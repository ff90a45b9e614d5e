import { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { finished } from 'node:stream/promises';
import {
  COPY_HEADER,
  COPY_TRAILER,
  INFERENCE_COLUMNS,
  PAYLOAD_COLUMNS,
} from '../apps/gateway/src/spool/copy-format.js';
import { closingMeta, openingColumns } from '../apps/gateway/src/spool/columns.js';
import { inferenceRow, payloadRow } from '../apps/gateway/src/spool/encoded-rows.js';
import { RowSlabs, type EncodedRow } from '../apps/gateway/src/spool/row-slabs.js';
import { compare } from './support/load.js';
import type { Row } from './support/report.js';
import { CLOSING, opening, REQUEST, RESPONSE, servedBy, Spooled } from './support/spooled.js';
import type { Stack } from './support/stack.js';

const ROWS = 20_000;
/** Of these rows only: the gateway may still be shipping its own. */
const ENDPOINT = 'bench-rows';
/**
 * Rows of 2 kB of payload through spool and shipper (both records on disk, shipped in batches, settled) against one
 * COPY per table of the same rows in one transaction, encoded beforehand, with nothing around them.
 */
export async function rows(stack: Stack, rounds: number): Promise<Row[]> {
  const client = new Client({ connectionString: stack.databaseUrl });
  // While it has a transaction open the registry's followers wait; else they would work during the one and after the other.
  const holding = new Client({ connectionString: stack.databaseUrl });
  await Promise.all([client.connect(), holding.connect()]);
  try {
    await client.query('SELECT catena_ensure_inference_partition(current_date)');
    await holding.query('BEGIN; SELECT pg_current_xact_id()');
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
        reference: 'one `COPY` per table of the same rows',
        measured: `${subject.toFixed(0)} against ${reference.toFixed(0)} rows/s, ${lost} lost`,
        ratio,
        reach: '≥ 0.5×, 0 lost',
        reached: ratio >= 0.5 && lost === 0,
      },
    ];
  } finally {
    await holding.end();
    await client.end();
  }
}

async function throughSpool(databaseUrl: string): Promise<number> {
  const spooled = await Spooled.start(databaseUrl, ENDPOINT);
  const start = performance.now();
  for (let done = 0; done < ROWS; done += 500)
    await Promise.all(Array.from({ length: 500 }, () => spooled.add()));
  await spooled.drained();
  const seconds = (performance.now() - start) / 1000;
  await spooled.stop();
  return seconds;
}

async function bareCopy(client: Client): Promise<number> {
  const slabs = new RowSlabs();
  const served = servedBy(ENDPOINT);
  const bodies = { metadata: undefined, request: REQUEST, response: RESPONSE };
  const inferences: Buffer[] = [];
  const payloads: Buffer[] = [];
  for (let row = 0; row < ROWS; row++) {
    const opened = openingColumns(opening(served));
    const closed = closingMeta(opened, { segment: 0, offset: 0 }, CLOSING);
    inferences.push(bytesOf(inferenceRow(slabs, opened, closed)));
    payloads.push(bytesOf(payloadRow(slabs, opened, bodies)));
  }
  const copies = [
    { into: into('inference', INFERENCE_COLUMNS), bytes: copyOf(inferences) },
    { into: into('inference_payload', PAYLOAD_COLUMNS), bytes: copyOf(payloads) },
  ];
  const start = performance.now();
  await client.query('BEGIN');
  for (const { into: target, bytes } of copies) {
    const stream = client.query(copyFrom(`COPY ${target} FROM STDIN (FORMAT binary)`));
    stream.end(bytes);
    await finished(stream);
  }
  await client.query('COMMIT');
  return ROWS / ((performance.now() - start) / 1000);
}

const into = (table: string, columns: readonly (readonly [string, string])[]): string =>
  `${table} (${columns.map(([name]) => name).join(', ')})`;

const bytesOf = ({ slab, start, end }: EncodedRow): Buffer => slab.bytes.subarray(start, end);

const copyOf = (rows: readonly Buffer[]): Buffer => Buffer.concat([COPY_HEADER, ...rows, COPY_TRAILER]);

async function count(client: Client): Promise<number> {
  const { rows: counted } = await client.query<{ n: number }>(
    'SELECT count(*) AS n FROM inference WHERE endpoint = $1',
    [ENDPOINT],
  );
  return counted[0]!.n;
}
