import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest, createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { v7 } from 'uuid';
import { inject } from 'vitest';
import { DEFAULT_WORKSPACE_ID } from '../../libs/platform/database/default-workspace.js';
import type { TestRegistry } from './registry.js';

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

export function newBucketName(): string {
  return `test-${randomBytes(6).toString('hex')}`;
}

/** Registers an entry with one version by SQL. @returns the base of the version's artifact routes. */
export async function createVersion(
  registry: TestRegistry,
  kind: 'prompt' | 'model' | 'chain' = 'prompt',
  name = `v-${randomBytes(4).toString('hex')}`,
): Promise<string> {
  const content = JSON.stringify({ text: name, type: 'text' });
  const entryId = v7();
  await registry.database.client.query(
    `INSERT INTO entry (id, workspace_id, kind, name, tags, latest_version, created_at, created_by, updated_at)
     VALUES ($1, $2, $3, $4, '{}', 1, now(), 'test', now())`,
    [entryId, DEFAULT_WORKSPACE_ID, kind, name],
  );
  await registry.database.client.query(
    `INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
     VALUES ($1, $2, $3, 1, $4, $5, now(), 'test')`,
    [v7(), DEFAULT_WORKSPACE_ID, entryId, `sha256:${sha256(content)}`, content],
  );
  return `/${kind}s/${name}/versions/1/artifacts`;
}

/** @returns the base of the artifact routes of a new run. */
export async function createRun(registry: TestRegistry): Promise<string> {
  const { body } = await registry.call('POST', '/runs', { name: 'a run' });
  return `/runs/${body.id}/artifacts`;
}

/** Streams bytes through the registry. */
export async function putContent(
  registry: TestRegistry,
  base: string,
  path: string,
  bytes: Uint8Array<ArrayBuffer> | string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: any }> {
  const response = await fetch(`${registry.url}/api/v1${base}/content?path=${encodeURIComponent(path)}`, {
    method: 'PUT',
    body: bytes,
    headers,
  });
  return { status: response.status, body: await response.json() };
}

/** Keys of the objects that hold these bytes. */
export async function objectsOf(registry: TestRegistry, digest: string): Promise<string[]> {
  const rows = await rowsOf(registry, 'blob');
  return rows.filter((row) => row.sha256 === digest).map((row) => row.object_key);
}

/** Keys of all objects that blobs have, in order. */
export async function knownObjects(registry: TestRegistry): Promise<string[]> {
  const rows = await rowsOf(registry, 'blob');
  return rows.map((row): string => row.object_key).toSorted((a, b) => (a < b ? -1 : 1));
}

export function getContent(
  registry: TestRegistry,
  base: string,
  path: string,
  init: RequestInit = {},
): Promise<Response> {
  return fetch(`${registry.url}/api/v1${base}/content?path=${encodeURIComponent(path)}`, init);
}

/** Every key in a bucket, in order. */
export async function keysIn(bucket: string, prefix = ''): Promise<string[]> {
  const client = new S3Client({
    endpoint: inject('s3Endpoint'),
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
  });
  const listed = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  client.destroy();
  return (listed.Contents ?? []).map((item) => item.Key!).sort();
}

export async function rowsOf(
  registry: TestRegistry,
  table: 'artifact' | 'blob' | 'artifact_upload' | 'stray_object',
) {
  const { rows } = await registry.database.client.query(`SELECT * FROM ${table}`);
  return rows;
}

export interface S3Proxy {
  readonly url: string;
  /** `METHOD path?query` of every request so far. */
  readonly requests: string[];
  /** Bytes of bodies sent back so far. */
  bytesDown: number;
  /** Called for every request; true resets the connection instead of forwarding. */
  reset: (line: string) => boolean;
  /** Awaited before a request is forwarded. */
  before: (line: string) => Promise<unknown>;
  /** Where set, answers with longer bodies are cut after so many bytes. */
  cutAfterBytes: number | undefined;
  close(): void;
}

/** An HTTP proxy in front of the S3 server, which sees and can break what passes. */
export async function startS3Proxy(): Promise<S3Proxy> {
  const target = new URL(inject('s3Endpoint'));
  const proxy: Omit<S3Proxy, 'url' | 'close'> = {
    requests: [],
    bytesDown: 0,
    reset: () => false,
    before: async () => undefined,
    cutAfterBytes: undefined,
  };
  const server: Server = createServer((request, response) => {
    const line = `${request.method} ${request.url}`;
    proxy.requests.push(line);
    if (proxy.reset(line)) {
      request.socket.resetAndDestroy();
      return;
    }
    const { method, url: path, headers } = request;
    const forward = httpRequest(
      { host: target.hostname, port: target.port, method, path, headers },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        let passed = 0;
        answer.on('data', (chunk: Buffer) => {
          proxy.bytesDown += chunk.length;
          passed += chunk.length;
          if (proxy.cutAfterBytes !== undefined && passed > proxy.cutAfterBytes) response.destroy();
          if (!response.write(chunk)) answer.pause();
        });
        response.on('drain', () => answer.resume());
        answer.on('end', () => response.end());
        answer.on('error', () => response.destroy());
        response.on('close', () => answer.destroy());
      },
    );
    forward.on('error', () => response.destroy());
    request.on('error', () => forward.destroy());
    void proxy.before(line).then(() => request.pipe(forward));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(proxy, {
    url,
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
}

/** Waits until `check` gives something truthy; fails after five seconds. */
export async function until<T>(check: () => T | Promise<T>, what: string): Promise<NonNullable<T>> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`Did not happen within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
