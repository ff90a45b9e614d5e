import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { DuckDBInstance } from '@duckdb/node-api';
import { inject } from 'vitest';
import { ArchiveJob } from '../../apps/registry/src/archive/archive-job.js';
import { ArchiveRows } from '../../apps/registry/src/archive/archive-rows.js';
import { Archiver } from '../../apps/registry/src/archive/archiver.js';
import { keysIn, newBucketName, until } from './artifacts.js';
import { startTestRegistry, type TestRegistry } from './registry.js';

export interface ArchiveRegistry extends TestRegistry {
  readonly bucket: string;
  readonly directory: string;
  readonly archiver: Archiver;
  /** Archives every day before this one. @returns how many days had something to write. */
  archiveBefore(day: string): Promise<number>;
  /** What the retention of rows does. */
  dropDay(day: string): Promise<void>;
}

/** A registry with a bucket and a directory of its own. Its job runs when a test says so. */
export async function startArchiveRegistry(overrides: Record<string, string> = {}): Promise<ArchiveRegistry> {
  const bucket = newBucketName();
  const directory = await mkdtemp(join(tmpdir(), 'catena-archive-'));
  const registry = await startTestRegistry({
    S3_BUCKET: bucket,
    CATENA_DATA_DIR: directory,
    ...overrides,
  });
  const job = registry.app.get(ArchiveJob);
  return {
    ...registry,
    bucket,
    directory,
    archiver: registry.app.get(Archiver),
    async archiveBefore(day) {
      const due = (await registry.app.get(ArchiveRows).listDue(day)).length;
      // Transactions in other databases hold up days too.
      let done = 0;
      await until(
        async () => (done += await job.archiveDue(new Date(`${day}T00:00:00Z`))) >= due,
        'archived',
      );
      return done;
    },
    async dropDay(day) {
      const suffix = day.replaceAll('-', '');
      await registry.database.client.query(`DROP TABLE inference_${suffix}, inference_payload_${suffix}`);
    },
    async close() {
      await registry.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export interface ArchiveRead {
  /** Keys of all objects of the archive, in order. */
  readonly keys: string[];
  /** Rows of a statement over tables `inferences` and `model_calls`, as DuckDB reads the paths by itself. */
  readonly query: (sql: string) => Promise<Record<string, any>[]>;
}

/** Reads a bucket as another program would: the paths as they stand, with the partitions that are in them. */
export async function readArchive(bucket: string): Promise<ArchiveRead> {
  const keys = await keysIn(bucket, 'archive/');
  const directory = await mkdtemp(join(tmpdir(), 'catena-read-'));
  for (const key of keys) {
    await mkdir(dirname(join(directory, key)), { recursive: true });
    await writeFile(join(directory, key), await getObject(bucket, key));
  }
  const connection = await (await DuckDBInstance.create()).connect();
  await connection.run(`SET TimeZone = 'UTC'`);
  for (const table of ['inferences', 'model_calls'])
    if (keys.some((key) => key.startsWith(`archive/${table}/`)))
      await connection.run(
        `CREATE TEMP TABLE ${table} AS FROM read_parquet('${directory}/archive/${table}/*/*/*.parquet', hive_partitioning = true)`,
      );
  await rm(directory, { recursive: true });
  return { keys, query: async (sql) => (await connection.runAndReadAll(sql)).getRowObjectsJS() };
}

export function getObject(bucket: string, key: string): Promise<Uint8Array> {
  return withS3(async (client) => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return Body!.transformToByteArray();
  });
}

export async function putObject(bucket: string, key: string, bytes: Uint8Array | string): Promise<void> {
  await withS3((client) => client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes })));
}

/** The S3 server of the tests, beside the application. */
export async function withS3<T>(work: (client: S3Client) => Promise<T>): Promise<T> {
  const client = new S3Client({
    endpoint: inject('s3Endpoint'),
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
  });
  try {
    return await work(client);
  } finally {
    client.destroy();
  }
}
