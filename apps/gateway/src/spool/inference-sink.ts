import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { finished } from 'node:stream/promises';
import type { ClockSkew } from './clock-skew.js';
import { COPY_HEADER, COPY_TRAILER, INFERENCE_COLUMNS, PAYLOAD_COLUMNS } from './copy-format.js';
import { codeOf, storeOrDivide, type Refused } from './refused.js';
import type { EncodedRow, Slab } from './row-slabs.js';
import type { ShippableRow } from './shippable-row.js';

/** A table that a batch goes to. */
interface Target {
  readonly table: string;
  readonly columns: string;
  readonly rowOf: (row: ShippableRow) => EncodedRow;
}

const TARGETS: readonly Target[] = [
  { table: 'inference', columns: names(INFERENCE_COLUMNS), rowOf: (row) => row.inference },
  { table: 'inference_payload', columns: names(PAYLOAD_COLUMNS), rowOf: (row) => row.payload },
];
/** Longest a batch may take; then the connection is given up, for a peer that vanished answers nothing at all. */
const BATCH_TIMEOUT_MS = 30_000;

/** Stores inferences, metadata and payload in one transaction, each exactly once, whatever was stored before. */
export class InferenceSink {
  private readonly pool: pg.Pool;
  private readonly days = new Set<string>();

  constructor(
    url: string,
    onError: (error: Error) => void,
    private readonly clock?: ClockSkew,
  ) {
    this.pool = new pg.Pool({
      connectionString: url,
      max: 1,
      application_name: 'catena-gateway-shipper',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    });
    this.pool.on('error', onError);
  }

  /**
   * Stores rows in one transaction; those already there are left as they are.
   * @returns the rows that cannot be stored whatever happens.
   * @throws Error when the database is away or failing: nothing is lost by calling again.
   */
  async store(rows: readonly ShippableRow[]): Promise<Refused<ShippableRow>[]> {
    const client = await this.pool.connect();
    let failure: Error | undefined;
    const ignore = () => undefined;
    client.on('error', ignore); // the running query tells it
    const limit = setTimeout(() => {
      (
        client as unknown as { connection: { stream: { destroy(error: Error): void } } }
      ).connection.stream.destroy(
        new Error(`A batch of inference rows took longer than ${BATCH_TIMEOUT_MS} ms.`),
      );
    }, BATCH_TIMEOUT_MS);
    try {
      await this.clock?.check(client);
      return await storeOrDivide(rows, (some) => this.storeAll(client, some));
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      clearTimeout(limit);
      client.off('error', ignore);
      client.release(failure);
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async storeAll(client: pg.PoolClient, rows: readonly ShippableRow[]): Promise<void> {
    await this.ensurePartitions(client, rows);
    try {
      await inTransaction(client, (target) => copy(client, target.table, target, rows));
    } catch (error) {
      const code = codeOf(error);
      // 23505: some are there already, from before a crash or a lost reply.
      // 23514 is also "no partition for the row": one was dropped behind our back.
      if (code !== '23505' && code !== '23514') throw error;
      this.days.clear();
      await this.ensurePartitions(client, rows);
      await this.storeMissing(client, rows);
    }
  }

  private async storeMissing(client: pg.PoolClient, rows: readonly ShippableRow[]): Promise<void> {
    await inTransaction(client, async (target) => {
      const { table, columns } = target;
      const spooled = `spooled_${table}`;
      await client.query(
        `CREATE TEMP TABLE ${spooled} ON COMMIT DROP AS SELECT ${columns} FROM ${table} WITH NO DATA`,
      );
      await copy(client, spooled, target, rows);
      await client.query(
        `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${spooled} ON CONFLICT (id, started_at) DO NOTHING`,
      );
    });
  }

  private async ensurePartitions(client: pg.PoolClient, rows: readonly ShippableRow[]): Promise<void> {
    for (const { day } of rows) {
      if (this.days.has(day)) continue;
      await client.query('SELECT catena_ensure_inference_partition($1)', [day]);
      this.days.add(day);
    }
  }
}

function names(columns: readonly (readonly [name: string, type: string])[]): string {
  return columns.map(([name]) => name).join(', ');
}

async function inTransaction(client: pg.PoolClient, store: (target: Target) => Promise<void>): Promise<void> {
  await client.query('BEGIN');
  try {
    for (const target of TARGETS) await store(target);
    await client.query('COMMIT');
  } catch (error) {
    // Where the connection broke, that has rolled it back, and the first error says more.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** The rows with what COPY wants around them; rows that lie side by side in memory are one block. */
function blocksOf(rows: readonly EncodedRow[]): Buffer[] {
  const blocks: Buffer[] = [COPY_HEADER];
  let slab: Slab | undefined;
  let start = 0;
  let end = 0;
  for (const row of rows) {
    if (row.slab !== slab || row.start !== end) {
      if (slab) blocks.push(slab.bytes.subarray(start, end));
      ({ slab, start } = row);
    }
    end = row.end;
  }
  if (slab) blocks.push(slab.bytes.subarray(start, end));
  blocks.push(COPY_TRAILER);
  return blocks;
}

async function copy(
  client: pg.PoolClient,
  into: string,
  { columns, rowOf }: Target,
  rows: readonly ShippableRow[],
): Promise<void> {
  const stream = client.query(copyFrom(`COPY ${into} (${columns}) FROM STDIN (FORMAT binary)`));
  for (const block of blocksOf(rows.map(rowOf))) stream.write(block);
  stream.end();
  await finished(stream);
}
