import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';
import pg from 'pg';
import { Registry } from 'prom-client';
import { DataSource, type EntityManager } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Follower, type Arrivals } from '../apps/registry/src/arrivals/follower.js';
import { FollowerMetrics } from '../apps/registry/src/arrivals/follower-metrics.js';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { catchUp, lookAhead, pass } from '../apps/registry/src/arrivals/pass.js';
import { Telemetry } from '../apps/registry/src/telemetry/telemetry.js';
import type { Settings } from '../libs/platform/config/settings.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { inferenceRow, insertInferences } from './support/inferences.js';

/** Notes the id of every row it is told of: one that it is told of twice violates the key. */
class Notes extends Follower {
  readonly name = 'notes';
  readonly source = 'inference';
  override rowsPerPass = 10_000;
  /** Runs after the notes are written, inside the transaction. */
  afterwards: (tx: EntityManager) => Promise<void> = async () => undefined;

  async apply(tx: EntityManager, { from, to }: Arrivals): Promise<void> {
    await tx.query(`INSERT INTO note SELECT id FROM inference WHERE arrived >= $1 AND arrived < $2`, [
      from,
      to,
    ]);
    await this.afterwards(tx);
  }
}

let database: TestDatabase;
let source: DataSource;
let notes: Notes;
let expected: string[];

beforeAll(async () => {
  database = await createTestDatabase();
  await database.client.query('CREATE TABLE note (id uuid PRIMARY KEY)');
  // A partition is attached under a lock that transactions with rows would hold each other up for.
  for (let day = 1; day <= 31; day++)
    await database.client.query('SELECT catena_ensure_inference_partition($1)', [`2026-10-${day}`]);
  source = await new DataSource(
    dataSourceOptions({ url: database.url, poolSize: 8, applicationName: 'test' }),
  ).initialize();
});

afterAll(async () => {
  await source?.destroy();
  await database?.drop();
});

beforeEach(async () => {
  notes = new Notes();
  expected = [];
  await database.client.query('TRUNCATE note; TRUNCATE inference; DELETE FROM follower');
  await database.client.query(
    'CREATE OR REPLACE FUNCTION catena_arrival_offset() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 0::bigint $$',
  );
  await lookAhead(source, notes);
});

async function add(count: number, on: pg.Client = database.client, day = 20): Promise<void> {
  const rows = Array.from({ length: count }, () =>
    inferenceRow({ startedAt: `2026-10-${String(day).padStart(2, '0')}T12:00:00.000Z` }),
  );
  await insertInferences(on, rows);
  expected.push(...rows.map(({ id }) => id));
}

async function noted(): Promise<string[]> {
  const { rows } = await database.client.query<{ id: string }>('SELECT id FROM note ORDER BY id');
  return rows.map(({ id }) => id);
}

const follow = () => catchUp(source, notes);

/** Transactions of other tests on this server may be older than ours. */
async function settle(): Promise<void> {
  const isOpen = `SELECT max(arrived) >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS open FROM inference`;
  while ((await database.client.query(isOpen)).rows[0].open) await sleep(10);
}

async function connected<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

describe('a follower', () => {
  it('is told of every row once, of rows days late too', async () => {
    await add(3);
    await follow();
    await add(2, database.client, 1);
    await follow();
    expect(await noted()).toEqual(expected.toSorted());
    expect(await pass(source, notes)).toBe('idle');
  });

  it('takes about as many rows per transaction as it asks for, and never part of what came together', async () => {
    notes.rowsPerPass = 3;
    for (const count of [2, 2, 7, 1, 1, 1]) await add(count);
    await settle();
    const taken: number[] = [];
    for (let result = 'more'; result === 'more';) {
      const before = (await noted()).length;
      result = await pass(source, notes);
      taken.push((await noted()).length - before);
    }
    expect(taken).toEqual([2, 2, 7, 3]);
  });

  it('is not told of a row before those of older transactions that are still open', async () => {
    await connected(async (slow) => {
      await slow.query('BEGIN');
      await add(1, slow);
      await add(1);
      // What came with the younger transaction is committed, and waits.
      expect(await pass(source, notes)).toBe('idle');
      expect((await lookAhead(source, notes)).behind).toBeGreaterThan(0);
      await slow.query('COMMIT');
    });
    await follow();
    expect(await noted()).toEqual(expected.toSorted());
    expect((await lookAhead(source, notes)).behind).toBe(0);
  });

  it('sees what was committed while its own transaction was open, in its next one', async () => {
    await add(1);
    notes.afterwards = async () => {
      if (expected.length < 3) await connected((other) => add(1, other));
    };
    await follow();
    await follow();
    expect(await noted()).toEqual(expected.toSorted());
    expect(expected.length).toBe(3);
  });

  it('that is killed between its writes and the commit has written nothing, and is told again', async () => {
    await add(5);
    await settle();
    notes.afterwards = async (tx) => {
      const [{ pid }] = await tx.query<[{ pid: number }]>('SELECT pg_backend_pid() AS pid');
      await database.client.query('SELECT pg_terminate_backend($1)', [pid]);
    };
    await expect(pass(source, notes)).rejects.toThrow(/terminat/);
    expect(await noted()).toEqual([]);
    notes.afterwards = async () => undefined;
    await follow();
    expect(await noted()).toEqual(expected.toSorted());
  });

  it('runs in one registry at a time: what another is at, is left to it', async () => {
    await add(4);
    await settle();
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const entered = new Promise<void>((resolve) => {
      notes.afterwards = () => (resolve(), held);
    });
    const first = pass(source, notes);
    await entered;
    const second = await Promise.race([pass(source, new Notes()), sleep(2_000, 'waits')]);
    release();
    expect(second).toBe('busy');
    expect(await first).toBe('done');
    expect(await noted()).toEqual(expected.toSorted());
  });

  it('counts every row once while eight writers and four registries are at it', async () => {
    const written = new AbortController();
    const writers = Array.from({ length: 8 }, (_, writer) =>
      connected(async (client) => {
        for (let round = 0; round < 12; round++) {
          await client.query('BEGIN');
          await add(1 + ((writer + round) % 3), client, 10 + (round % 5));
          await client.query('SELECT pg_sleep(random() / 50)');
          await client.query(round % 6 === 5 ? 'ROLLBACK' : 'COMMIT');
        }
      }),
    );
    const loops = Array.from({ length: 4 }, async () => {
      while (!written.signal.aborted) await pass(source, notes);
    });
    await Promise.all(writers);
    written.abort();
    await Promise.all(loops);
    await follow();
    const { rows } = await database.client.query<{ id: string }>('SELECT id FROM inference ORDER BY id');
    expect(rows.length).toBeGreaterThan(100);
    expect(await noted()).toEqual(rows.map(({ id }) => id));
  });

  it('says so when the database was restored below its position, and goes on after the arrivals were rebased', async () => {
    await add(2);
    await follow();
    // What a dump brings to a server that has seen few transactions.
    await database.client.query(
      `UPDATE follower SET position = 1e12; UPDATE inference SET arrived = arrived + 1e12 - 1e6`,
    );
    await expect(lookAhead(source, notes)).rejects.toThrow(
      /dealt with what arrived before transaction 1000000000000, .*catena_rebase_arrivals/,
    );
    // Nor does it heal by itself when the server's transactions have come past the position.
    await database.client.query(
      'CREATE OR REPLACE FUNCTION catena_arrival_offset() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 2e12::bigint $$',
    );
    await expect(lookAhead(source, notes)).rejects.toThrow(/catena_rebase_arrivals/);
    expect(await pass(source, notes)).toBe('busy');
    await database.client.query(
      'CREATE OR REPLACE FUNCTION catena_arrival_offset() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 0::bigint $$',
    );
    await database.client.query('SELECT catena_rebase_arrivals()');
    await add(2);
    await follow();
    expect(await noted()).toEqual(expected.toSorted());
    expect(
      (
        await database.client.query(
          'SELECT min(arrived) < 1e12 AND max(arrived) > 1e12 AS moved FROM inference',
        )
      ).rows,
    ).toEqual([{ moved: true }]);
  });

  it('begins, after the arrivals were rebased, above every arrival that any table knows', async () => {
    const { rows } = await database.client.query<{ max: string }>(
      `SELECT format('(SELECT max(%s) FROM %s)', c.column_name, c.table_name) AS max
         FROM information_schema.columns c JOIN pg_class t ON t.relname = c.table_name AND NOT t.relispartition AND t.relkind IN ('r', 'p')
        WHERE c.table_schema = 'public' AND c.data_type = 'bigint' AND c.column_name ~ '(^|_)(arrived|arrival|closing_to)(_|$)'`,
    );
    expect(rows.length).toBeGreaterThan(5);
    const source = await database.client.query(
      `SELECT prosrc FROM pg_proc WHERE proname = 'catena_rebase_arrivals'`,
    );
    for (const { max } of rows) expect(source.rows[0].prosrc).toContain(max);
  });

  it('reads what arrived from the index of arrivals', async () => {
    for (const day of [18, 19, 20])
      for (let batch = 0; batch < 4; batch++) await add(500, database.client, day);
    await database.client.query('ANALYZE inference');
    const position = (await database.client.query('SELECT min(arrived) AS least FROM inference')).rows[0]
      .least;
    const explained = async (text: string, values: unknown[]): Promise<string> =>
      (await database.client.query(`EXPLAIN (ANALYZE, COSTS OFF) ${text}`, values)).rows
        .map((row) => row['QUERY PLAN'])
        .join('\n');
    const plan = await explained(
      'SELECT s.arrived FROM inference s WHERE s.arrived >= $1 AND s.arrived < $2 ORDER BY s.arrived OFFSET 600 LIMIT 1',
      [position, Number(position) + 1e6],
    );
    expect(plan).toMatch(/inference_20261020_arrived_idx/);
    // Partitions that are empty are scanned.
    expect(plan).not.toMatch(/Seq Scan on inference_202610(18|19|20)/);
    expect(plan).toMatch(/Merge Append/);
    const slice = await explained('SELECT count(*) FROM inference WHERE arrived >= $1 AND arrived < $2', [
      Number(position) + 3,
      Number(position) + 4,
    ]);
    expect(slice).not.toMatch(/Seq Scan on inference_202610(18|19|20)/);
  });
});

describe('the loop of followers', () => {
  const settings = { CATENA_FOLLOW_INTERVAL_MS: 20 } as Settings;
  const lines: string[] = [];
  const say = (line: unknown) => void lines.push(String(line));
  beforeAll(() => Logger.overrideLogger({ log: say, warn: say, error: say }));
  afterAll(() => Logger.overrideLogger(['error']));

  it('tries a follower that fails again, says so once, counts it, and ends with the process', async () => {
    let failures = 3;
    notes.afterwards = async () => {
      if (failures-- > 0) throw new Error('the disk is full');
    };
    const discovery = { getProviders: () => [{ instance: notes }, { instance: {} }] } as DiscoveryService;
    const telemetry = new Telemetry();
    const loop = new FollowerLoop(source, discovery, telemetry, settings);
    expect(loop.namesOf('inference')).toEqual(['notes']);
    await add(3);
    loop.onApplicationBootstrap();
    while ((await noted()).length < 3) await sleep(10);
    await add(2);
    while ((await noted()).length < 5) await sleep(10);
    await loop.onModuleDestroy();
    expect(lines).toEqual([
      'Follower notes failed, and is tried again: Error: the disk is full',
      'Follower notes goes on.',
    ]);
    expect(await telemetry.registry.metrics()).toMatch(
      /^catena_follower_failures_total\{follower="notes"\} 3$/m,
    );
    await add(1);
    await sleep(100);
    expect(await noted()).toHaveLength(5);
  });

  it('does not start with two followers of one name', () => {
    const discovery = {
      getProviders: () => [{ instance: notes }, { instance: new Notes() }],
    } as DiscoveryService;
    const loop = new FollowerLoop(source, discovery, new Telemetry(), settings);
    expect(() => loop.onApplicationBootstrap()).toThrow('Two followers have one name: notes.');
  });
});

it('how far behind a follower is, is the age of what it has not got past, however much comes after', () => {
  const metrics = new FollowerMetrics(new Registry());
  const ages: number[] = [];
  const seen = (position: number, next: number) =>
    ages.push(metrics.seen('x', { position, next, behind: next > position ? next - position : 0 }));
  seen(10, 10);
  seen(10, 20);
  const startMs = Date.now();
  while (Date.now() < startMs + 20);
  seen(15, 40);
  seen(40, 50);
  expect(ages.map((age) => age >= 20)).toEqual([false, false, true, false]);
});
