import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readArchive, withS3 } from './support/archive.js';
import { newBucketName } from './support/artifacts.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { registryEnvironment } from './support/registry.js';

const CHILD = join(import.meta.dirname, '../dist/test/support/archive-child.js');
const DAY = '2026-11-10';
const BEFORE = '2026-11-11';
const ROWS = 40;

const byText = (a: string, b: string) => (a < b ? -1 : 1);

describe('an archiver that is killed', () => {
  let database: TestDatabase;
  let directory: string;
  const bucket = newBucketName();

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await mkdtemp(join(tmpdir(), 'catena-killed-'));
    await withS3((client) => client.send(new CreateBucketCommand({ Bucket: bucket })));
  });
  afterAll(async () => {
    await database.drop();
    await rm(directory, { recursive: true, force: true });
  });

  /** @returns the step it died at; undefined where it came to its end. */
  async function archive(killAt: number): Promise<string | undefined> {
    const child = spawn(process.execPath, [CHILD], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        ...registryEnvironment(database, { S3_BUCKET: bucket, CATENA_DATA_DIR: directory }),
        ARCHIVE_BEFORE: BEFORE,
        PART_BYTES: '12000',
        KILL_AT: String(killAt),
      },
    });
    let step = '';
    child.stdout.on('data', (text: Buffer) => (step += text.toString()));
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
      child.once('close', (...how) => resolve(how)),
    );
    if (signal !== 'SIGKILL') expect(code).toBe(0);
    return signal === 'SIGKILL' ? step.trim() : undefined;
  }

  async function idsOf(table: 'inferences' | 'model_calls', column: string): Promise<string[]> {
    const rows = await (await readArchive(bucket)).query(`SELECT ${column} AS id FROM ${table} ORDER BY 1`);
    return rows.map(({ id }) => id);
  }

  const stored = async () =>
    (await database.client.query(`SELECT id FROM inference WHERE attempts > 0 ORDER BY id`)).rows.map(
      ({ id }) => id,
    );

  async function expectWhole(): Promise<void> {
    const { rows: files } = await database.client.query(
      `SELECT object_key AS key, row_count AS rows FROM archive_file ORDER BY object_key COLLATE "C"`,
    );
    const { keys } = await readArchive(bucket);
    expect(keys).toEqual(files.map(({ key }) => key));
    expect(await idsOf('inferences', 'id')).toEqual(await stored());
    expect(await idsOf('model_calls', 'inference_id')).toEqual(await stored());
  }

  it(
    'at any step leaves a day that the next attempts make complete and single',
    { timeout: 120_000 },
    async () => {
      await insertInferences(
        database.client,
        Array.from({ length: ROWS }, (_, n) =>
          inferenceRow({ startedAt: `${DAY}T10:00:${String(n).padStart(2, '0')}.000Z` }),
        ),
      );
      const steps: string[] = [];
      for (let killAt = 1; ; killAt++) {
        const step = await archive(killAt);
        if (step === undefined) break;
        steps.push(step);
        const { rows } = await database.client.query(`SELECT count(*)::int AS files FROM archive_file`);
        // All of it or nothing.
        expect([step, rows[0].files > 0]).toEqual([step, step === 'committed']);
      }
      expect(new Set(steps)).toEqual(
        new Set([
          'planned',
          'leftovers removed',
          'rows copied',
          'part written',
          'part uploaded',
          'part verified',
          'all uploaded',
          'committed',
        ]),
      );
      expect(steps.filter((step) => step === 'part uploaded').length).toBeGreaterThan(2);
      await expectWhole();
    },
  );

  it('on the way to add late rows doubles none of those before', { timeout: 120_000 }, async () => {
    const { rows } = await database.client.query('SELECT * FROM inference ORDER BY id');
    await database.client.query('DROP TABLE inference_20261110, inference_payload_20261110');
    const late = inferenceRow({ startedAt: `${DAY}T11:00:00.000Z` });
    const again = inferenceRow({ startedAt: rows[0].started_at.toISOString(), id: rows[0].id });
    await insertInferences(database.client, [late, again]);
    const ids = [...rows.map(({ id }) => id), late.id].toSorted(byText);
    for (let killAt = 1; (await archive(killAt)) !== undefined;) killAt++;
    expect(await idsOf('inferences', 'id')).toEqual(ids);
    expect(await idsOf('model_calls', 'inference_id')).toEqual(ids);
  });
});
