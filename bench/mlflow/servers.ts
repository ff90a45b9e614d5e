import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import pg from 'pg';
import { EmbeddedPostgres } from '../../apps/standalone/src/embedded-postgres.js';
import { EMBEDDED_S3_CREDENTIALS, startEmbeddedS3 } from '../../apps/standalone/src/embedded-s3.js';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { mlflowPython } from '../../test/mlflow/python.js';
import { cpuMs, startServer } from '../support/processes.js';

/** A server that speaks MLflow's protocol, with the database behind it. */
export interface Subject {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly pool: Pool;
  readonly database: pg.Client;
}

export interface Servers {
  readonly catena: Subject;
  readonly mlflow: Subject;
  /** Object store of both. */
  readonly s3: { readonly config: S3ClientConfig; readonly bucket: string };
  stop(): Promise<void>;
}

const BUCKET = 'catena';
/** Where MLflow keeps its artifacts in it. */
export const MLFLOW_PREFIX = 'mlflow';

/** Both servers on one PostgreSQL and one object store, each in a database of its own. MLflow runs as shipped (4 workers), with uvloop. */
export async function startServers(version: string): Promise<Servers> {
  const python = mlflowPython(version);
  await using started = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'catena-bench-mlflow-'));
  started.defer(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  const postgres = await EmbeddedPostgres.start(join(directory, 'postgres'), await freePort());
  started.defer(() => postgres.stop());
  const admin = await connect(postgres.url());
  await admin.query('CREATE DATABASE mlflow');
  started.defer(() => admin.end());
  const s3 = await startEmbeddedS3(join(directory, 's3'), 0, BUCKET);
  started.defer(() => new Promise<void>((resolve) => s3.server.close(() => resolve())));

  const s3Config = {
    endpoint: `http://127.0.0.1:${s3.port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: EMBEDDED_S3_CREDENTIALS,
  };

  const registry = await startServer('apps/registry/src/main.js', {
    DATABASE_URL: postgres.url(),
    S3_ENDPOINT: s3Config.endpoint,
    S3_BUCKET: BUCKET,
    AWS_ACCESS_KEY_ID: EMBEDDED_S3_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: EMBEDDED_S3_CREDENTIALS.secretAccessKey,
    CATENA_ENCRYPTION_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    CATENA_REGISTRY_PORT: '0',
    CATENA_DATA_DIR: directory,
  });
  started.defer(() => registry.stop());

  const mlflowUrl = postgres.url().replace(/\/[^/]*$/, '/mlflow');
  const port = await freePort();
  const server = spawn(
    python,
    // prettier-ignore
    [
      '-m', 'mlflow', 'server', '--host', '127.0.0.1', '--port', String(port),
      '--backend-store-uri', mlflowUrl.replace(/^postgres(ql)?:/, 'postgresql+psycopg2:'),
      '--artifacts-destination', `s3://${BUCKET}/${MLFLOW_PREFIX}`, '--uvicorn-opts', '--loop uvloop',
    ],
    {
      cwd: directory,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        MLFLOW_DISABLE_TELEMETRY: 'true',
        MLFLOW_S3_ENDPOINT_URL: s3Config.endpoint,
        AWS_ACCESS_KEY_ID: EMBEDDED_S3_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMBEDDED_S3_CREDENTIALS.secretAccessKey,
        AWS_DEFAULT_REGION: 'us-east-1',
      },
      detached: true,
    },
  );
  started.defer(() => end(server));
  await answers(`http://127.0.0.1:${port}/health`, server);
  await settled(server.pid!);

  const databases = [await connect(postgres.url()), await connect(mlflowUrl)] as const;
  started.defer(async () => void (await Promise.all(databases.map((client) => client.end()))));
  const pools = [registry.url, `http://127.0.0.1:${port}`].map(
    (url) => new Pool(url, { connections: 64, bodyTimeout: 600_000, headersTimeout: 600_000 }),
  );
  started.defer(async () => void (await Promise.all(pools.map((pool) => pool.destroy()))));
  const running = started.move();
  return {
    catena: {
      name: 'Catena',
      url: registry.url,
      pid: registry.pid,
      pool: pools[0]!,
      database: databases[0],
    },
    mlflow: {
      name: 'MLflow',
      url: `http://127.0.0.1:${port}`,
      pid: server.pid!,
      pool: pools[1]!,
      database: databases[1],
    },
    s3: { config: s3Config, bucket: BUCKET },
    stop: () => running.disposeAsync(),
  };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** The whole process group: MLflow's workers do not end with their parent. */
async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return;
  const gone = new Promise((resolve) => server.once('exit', resolve));
  process.kill(-server.pid!, 'SIGTERM');
  const force = setTimeout(() => process.kill(-server.pid!, 'SIGKILL'), 10_000);
  await gone;
  clearTimeout(force);
}

async function answers(url: string, server: ChildProcess): Promise<void> {
  let said = '';
  server.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-5_000)));
  for (let waited = 0; waited < 120_000; waited += 250) {
    if (server.exitCode !== null) throw new Error(`MLflow's server ended before it listened:\n${said}`);
    const ready = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`MLflow's server did not come up:\n${said}`);
}

/** Resident memory of a process and all its descendants, in bytes. Linux: /proc. */
export async function residentBytes(pid: number): Promise<number> {
  const statuses = await Promise.all(
    (await familyOf(pid)).map((member) => readFile(`/proc/${member}/status`, 'utf8').catch(() => '')),
  );
  return statuses.reduce((sum, status) => sum + Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024, 0);
}

/** MLflow's job workers go on starting, with both cores full, for a while after it says that it is healthy. */
async function settled(pid: number): Promise<void> {
  const spent = async () =>
    (await Promise.all((await familyOf(pid)).map((member) => cpuMs(member).catch(() => 0)))).reduce(
      (a, b) => a + b,
      0,
    );
  for (let tries = 0, before = await spent(); tries < 60; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = await spent();
    if (now - before < 100) return;
    before = now;
  }
}

/** The process and all its descendants. */
async function familyOf(pid: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => undefined); // ended meanwhile
    if (stat) parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  return [...parents.keys()].filter((candidate) => {
    let ancestor: number | undefined = candidate;
    while (ancestor !== undefined && ancestor !== pid) ancestor = parents.get(ancestor);
    return ancestor === pid;
  });
}
