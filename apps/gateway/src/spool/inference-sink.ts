import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { finished } from 'node:stream/promises';
import { COPY_COLUMNS, COPY_HEADER, COPY_TRAILER } from './copy-format.js';
import type { Slab } from './row-slabs.js';
import type { ShippableRow } from './shippable-row.js';

/** A row that can never be stored, and why. */
export interface RefusedRow {
  readonly row: ShippableRow;
  readonly error: Error;
}

const COLUMNS = COPY_COLUMNS.map(([name]) => name).join(', ');
/** Longest a batch may take; then the connection is given up, for a peer that vanished answers nothing at all. */
const BATCH_TIMEOUT_MS = 30_000;

/** Stores inference rows, each exactly once, whatever was stored before. */
export class InferenceSink {
  private readonly pool: pg.Pool;
  private readonly days = new Set<string>();

  constructor(url: string, onError: (error: Error) => void) {
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
  async store(rows: readonly ShippableRow[]): Promise<RefusedRow[]> {
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
      return await this.storeOrDivide(client, rows);
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

  private async storeOrDivide(client: pg.PoolClient, rows: readonly ShippableRow[]): Promise<RefusedRow[]> {
    try {
      await this.storeAll(client, rows);
      return [];
    } catch (error) {
      if (!isAboutData(error)) throw error;
      if (rows.length === 1) return [{ row: rows[0]!, error: error as Error }];
      const middle = rows.length >> 1;
      const first = await this.storeOrDivide(client, rows.slice(0, middle));
      return [...first, ...(await this.storeOrDivide(client, rows.slice(middle)))];
    }
  }

  private async storeAll(client: pg.PoolClient, rows: readonly ShippableRow[]): Promise<void> {
    const encoded = blocksOf(rows);
    await this.ensurePartitions(client, rows);
    try {
      await copy(client, `COPY inference (${COLUMNS}) FROM STDIN (FORMAT binary)`, encoded);
    } catch (error) {
      // 23505: some are there already, from before a crash or a lost reply.
      if (codeOf(error) === '23505') return this.storeMissing(client, encoded);
      // 23514 is also "no partition for the row": one was dropped behind our back.
      if (codeOf(error) === '23514' && this.days.size > 0) {
        this.days.clear();
        await this.ensurePartitions(client, rows);
        return this.storeMissing(client, encoded);
      }
      throw error;
    }
  }

  private async storeMissing(client: pg.PoolClient, encoded: readonly Buffer[]): Promise<void> {
    await client.query('BEGIN');
    try {
      await client.query(
        `CREATE TEMP TABLE spooled ON COMMIT DROP AS SELECT ${COLUMNS} FROM inference WITH NO DATA`,
      );
      await copy(client, `COPY spooled (${COLUMNS}) FROM STDIN (FORMAT binary)`, encoded);
      await client.query(
        `INSERT INTO inference (${COLUMNS}) SELECT ${COLUMNS} FROM spooled ON CONFLICT (id, started_at) DO NOTHING`,
      );
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    }
  }

  private async ensurePartitions(client: pg.PoolClient, rows: readonly ShippableRow[]): Promise<void> {
    for (const { day } of rows) {
      if (this.days.has(day)) continue;
      await client.query('SELECT catena_ensure_inference_partition($1)', [day]);
      this.days.add(day);
    }
  }
}

/** The rows with what COPY wants around them; rows that lie side by side in memory are one block. */
function blocksOf(rows: readonly ShippableRow[]): Buffer[] {
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

async function copy(client: pg.PoolClient, sql: string, blocks: readonly Buffer[]): Promise<void> {
  const stream = client.query(copyFrom(sql));
  for (const block of blocks) stream.write(block);
  stream.end();
  await finished(stream);
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/**
 * Whether the rows themselves are refused: SQLSTATE class 22 (data exception) or 23 (constraint). Anything else
 * (connection, shutdown, disk full, missing table) passes with time.
 */
function isAboutData(error: unknown): boolean {
  return /^2[23]\w{3}$/.test(codeOf(error) ?? '');
}
