import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DataSource } from 'typeorm';
import { ArchiveJob } from '../apps/registry/src/archive/archive-job.js';
import { ArchiveRows } from '../apps/registry/src/archive/archive-rows.js';
import { Telemetry } from '../apps/registry/src/telemetry/telemetry.js';
import { ObjectStore } from '../libs/platform/object-store/object-store.js';
import {
  getObject,
  putObject,
  readArchive,
  startArchiveRegistry,
  type ArchiveRegistry,
} from './support/archive.js';
import { keysIn, startS3Proxy, until, type S3Proxy } from './support/artifacts.js';
import { createTestDatabase } from './support/database.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { RegistryProcess } from './support/registry-process.js';

const DAY = '2026-11-10';
const NEXT = '2026-11-11';
const day = (hour: number, fields: object = {}) =>
  inferenceRow({ startedAt: `${DAY}T${String(hour).padStart(2, '0')}:00:00.000Z`, ...fields });

describe('the archive, when something fails', () => {
  let registry: ArchiveRegistry;
  let proxy: S3Proxy;
  beforeAll(async () => {
    proxy = await startS3Proxy();
    registry = await startArchiveRegistry({ S3_ENDPOINT: proxy.url, CATENA_ARCHIVE_CACHE_BYTES: '1048576' });
  });
  afterEach(async () => {
    proxy.reset = () => false;
    registry.archiver.onStep = () => undefined;
    await registry.database.client.query('TRUNCATE inference, inference_payload, archive_file, archive_day');
    vi.restoreAllMocks();
  });
  afterAll(async () => {
    await registry.close();
    proxy.close();
  });

  const sql = async (text: string) => (await registry.database.client.query(text)).rows;
  const isArchived = async () => (await sql(`SELECT catena_day_is_archived('${DAY}') AS yes`))[0].yes;
  const listed = (query = {}) =>
    registry.call(
      'GET',
      `/inferences?${new URLSearchParams({ from: `${DAY}T00:00:00Z`, to: `${NEXT}T00:00:00Z`, ...query })}`,
    );

  it('leaves the day in PostgreSQL while the store is down, tries again, counts it, and says it once', async () => {
    await insertInferences(registry.database.client, [day(1), day(2)]);
    proxy.reset = () => true;
    const warned = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const telemetry = new Telemetry();
    const job = new ArchiveJob(
      registry.app.get(DataSource),
      registry.app.get(ArchiveRows),
      registry.archiver,
      telemetry,
      { ...registry.settings, CATENA_ARCHIVE_AFTER_DAYS: 1 },
    );
    job.intervalMs = 20;
    const failures = async () =>
      Number(/^catena_archive_failures_total (\d+)/m.exec(await telemetry.registry.metrics())![1]);
    job.onApplicationBootstrap();
    await until(async () => (await failures()) > 2, 'it is tried again');
    expect(await isArchived()).toBe(false);
    expect(await sql('SELECT 1 FROM archive_file')).toEqual([]);
    expect(
      warned.mock.calls.map(([text]) => text).filter((text) => text.includes('could not be archived')),
    ).toHaveLength(1);
    expect(await telemetry.registry.metrics()).toMatch(/^catena_archive_days_due 1$/m);
    proxy.reset = () => false;
    await until(isArchived, 'the day is archived');
    await job.onModuleDestroy();
    const archive = await readArchive(registry.bucket);
    expect(await archive.query('SELECT count(*)::INT AS n FROM inferences')).toEqual([{ n: 2 }]);
  });

  it('does not believe a store that has other bytes than were written', async () => {
    const row = day(1);
    await insertInferences(registry.database.client, [row]);
    registry.archiver.onStep = async (step) => {
      if (step !== 'part uploaded') return;
      for (const key of await keysIn(registry.bucket, `archive/inferences/workspace=${row.workspaceId}/`))
        await putObject(registry.bucket, key, 'PAR1');
    };
    await expect(registry.archiveBefore(NEXT)).rejects.toThrow('has other bytes than were written');
    expect(await isArchived()).toBe(false);
    expect(await sql('SELECT 1 FROM archive_file')).toEqual([]);
    registry.archiver.onStep = () => undefined;
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    expect(await isArchived()).toBe(true);
  });

  it('takes away what an attempt that cut other parts has left', async () => {
    const row = day(1);
    await insertInferences(registry.database.client, [row]);
    const prefix = `archive/inferences/workspace=${row.workspaceId}/date=${DAY}/`;
    for (const name of ['part-00000.parquet', 'part-00007.parquet', 'half.parquet'])
      await putObject(registry.bucket, prefix + name, 'half');
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    const { keys } = await readArchive(registry.bucket);
    expect(keys.filter((key) => key.startsWith(prefix))).toEqual([
      expect.stringMatching(/\/part-00000-[-0-9a-f]{36}\.parquet$/),
    ]);
  });

  it('leaves no copies of rows on the disk', async () => {
    const work = join(registry.directory, 'archive', 'work');
    await insertInferences(
      registry.database.client,
      Array.from({ length: 200 }, (_, n) => day(n % 24, { response: 'x'.repeat(1_000) })),
    );
    await insertInferences(registry.database.client, [
      inferenceRow({ startedAt: '2026-11-09T10:00:00.000Z' }),
    ]);
    expect(await registry.archiveBefore(DAY)).toBe(1);
    await registry.dropDay('2026-11-09');
    const partBytes = registry.archiver.partBytes;
    registry.archiver.partBytes = 20_000;
    for (const failing of ['rows copied', 'part written', 'part uploaded'] as const)
      for (const after of [0, 1, 3]) {
        let steps = 0;
        registry.archiver.onStep = (step) => {
          if (step === failing && steps++ === after) throw new Error('failed here');
        };
        await expect(registry.archiveBefore(NEXT)).rejects.toThrow('failed here');
        expect([failing, after, await readdir(work)]).toEqual([failing, after, []]);
      }
    registry.archiver.onStep = () => undefined;
    proxy.reset = () => true;
    await expect(registry.archiveBefore(NEXT)).rejects.toThrow();
    expect(await readdir(work)).toEqual([]);
    registry.archiver.partBytes = partBytes;
  }, 60_000);

  it('that has lost its turn touches nothing of who has it', async () => {
    const row = day(1);
    await insertInferences(registry.database.client, [row]);
    const prefix = `archive/inferences/workspace=${row.workspaceId}/date=${DAY}/`;
    const other = () =>
      until(
        async () => (await registry.archiver.archive(DAY, new AbortController().signal)) !== undefined,
        'the other has archived the day',
      );
    const expectWhole = async () => {
      const { keys } = await readArchive(registry.bucket);
      expect(keys.filter((key) => key.includes(DAY))).toEqual(
        (await sql('SELECT object_key AS key FROM archive_file ORDER BY object_key')).map(({ key }) => key),
      );
      expect(await isArchived()).toBe(true);
    };
    // Between its list of leftovers and their removal.
    await putObject(registry.bucket, `${prefix}part-00000.parquet`, 'half');
    const store = registry.app.get(ObjectStore);
    const listDirectory = store.listDirectory.bind(store);
    const listed = vi.spyOn(store, 'listDirectory').mockImplementationOnce(async (...args) => {
      const found = await listDirectory(...args);
      await other();
      return found;
    });
    await expect(registry.archiveBefore(NEXT)).rejects.toThrow('by another registry');
    listed.mockRestore();
    await expectWhole();
    // Before it writes, while it writes, and before it commits.
    for (const at of ['part written', 'part verified', 'all uploaded'] as const) {
      await insertInferences(registry.database.client, [day(2)]);
      let isOther = false;
      registry.archiver.onStep = async (step) => {
        if (step !== at || isOther) return;
        isOther = true;
        await other();
      };
      await expect(registry.archiveBefore(NEXT)).rejects.toThrow('by another registry');
      await expectWhole();
    }
  }, 60_000);

  it('answers 503 rather than something else when an archived object has changed, and goes on when it is restored', async () => {
    const row = day(1);
    await insertInferences(registry.database.client, [row]);
    await registry.archiveBefore(NEXT);
    const [{ object_key: key }] = await sql(
      `SELECT object_key FROM archive_file WHERE table_name = 'inferences'`,
    );
    const bytes = await getObject(registry.bucket, key);
    await registry.dropDay(DAY);
    await putObject(registry.bucket, key, bytes.toReversed());
    expect(await listed()).toMatchObject({ status: 503, body: { code: 'OBJECT_STORE_UNAVAILABLE' } });
    await putObject(registry.bucket, key, bytes);
    expect(await listed()).toMatchObject({ status: 200, body: { items: [{ id: row.id }] } });
  });

  it('closes a day without rows, and opens it again for one that comes late', async () => {
    await sql(`SELECT catena_ensure_inference_partition('${DAY}')`);
    expect(await isArchived()).toBe(false);
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    expect(await isArchived()).toBe(true);
    expect((await listed()).body.items).toEqual([]);
    await insertInferences(registry.database.client, [day(3)]);
    expect(await isArchived()).toBe(false);
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    expect(await isArchived()).toBe(true);
    expect(await registry.archiveBefore(NEXT)).toBe(0);
  });

  it('waits for transactions that may yet bring rows', async () => {
    const other = await createTestDatabase();
    await insertInferences(registry.database.client, [day(1)]);
    await other.client.query('BEGIN; SELECT pg_current_xact_id()');
    await insertInferences(registry.database.client, [day(2)]);
    expect(await registry.app.get(ArchiveJob).archiveDue(new Date(`${NEXT}T00:00:00Z`))).toBe(0);
    await other.client.query('COMMIT');
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    expect(await sql(`SELECT part, row_count FROM archive_file WHERE table_name = 'inferences'`)).toEqual([
      { part: 0, row_count: 2 },
    ]);
    await other.drop();
  });

  it('lets one registry archive at a time', async () => {
    await insertInferences(registry.database.client, [day(1)]);
    const job = registry.app.get(ArchiveJob);
    let second: number | undefined;
    registry.archiver.onStep = async (step) => {
      if (step === 'planned') second = await job.archiveDue(new Date(`${NEXT}T00:00:00Z`));
    };
    expect(await registry.archiveBefore(NEXT)).toBe(1);
    expect(second).toBe(0);
  });

  it('keeps no more files on the disk than it may', async () => {
    const noise = () => randomBytes(30_000).toString('hex');
    for (const [n, date] of ['2026-11-07', '2026-11-08', '2026-11-09'].entries())
      await insertInferences(
        registry.database.client,
        Array.from({ length: 20 }, (_, i) =>
          inferenceRow({ startedAt: `${date}T0${n}:00:0${i % 10}.000Z`, response: noise() }),
        ),
      );
    registry.archiver.partBytes = 1_000_000;
    await registry.archiveBefore(NEXT);
    for (const date of ['2026-11-07', '2026-11-08', '2026-11-09']) await registry.dropDay(date);
    const query = new URLSearchParams({
      from: '2026-11-07T00:00:00Z',
      to: '2026-11-10T00:00:00Z',
      limit: '200',
    });
    expect((await registry.call('GET', `/inferences?${query}`)).body.items).toHaveLength(60);
    const directory = join(registry.directory, 'archive', 'cache');
    const names = await readdir(directory);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
    const [{ bytes }] = await sql(
      `SELECT sum(size_bytes)::bigint AS bytes FROM archive_file WHERE table_name = 'inferences'`,
    );
    expect(bytes).toBeGreaterThan(1_048_576);
    expect(sizes.length).toBeGreaterThan(0);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(1_048_576);
  });

  it.skipIf(process.platform !== 'linux')(
    'does not load DuckDB into a registry that archives nothing',
    async () => {
      const database = await createTestDatabase();
      const other = await RegistryProcess.start(database);
      await fetch(
        `${other.url}/api/v1/inferences?${new URLSearchParams({ from: `${DAY}T00:00:00Z`, to: `${NEXT}T00:00:00Z` })}`,
      );
      const { child } = other as unknown as { child: { pid: number } };
      expect(await readFile(`/proc/${child.pid}/maps`, 'utf8')).not.toContain('duckdb');
      await other.stop();
      await database.drop();
    },
  );
});
