import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { newBucketName } from './support/artifacts.js';
import { registryEnvironment } from './support/registry.js';

const MIB = 1024 * 1024;
const SIZE_MIB = 500;
const MAX_GROWTH_MIB = 64;
/** Where the SDK gathers parts of 5 MiB, some of them at once, and copies each. */
const MAX_GROWTH_IN_PARTS_MIB = 128;

/** Resident memory of a process in MiB; Linux tells it in /proc. */
async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Samples the memory of a process while `work` runs. @returns the most it held, in MiB. */
async function mostDuring(pid: number, work: () => Promise<void>): Promise<number> {
  let most = 0;
  const running = new AbortController();
  const sampling = (async () => {
    while (!running.signal.aborted) {
      most = Math.max(most, await residentMiB(pid));
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  })();
  await work();
  running.abort();
  await sampling;
  return most;
}

// A process of its own, because its memory is measured; /proc exists on Linux only.
describe.runIf(process.platform === 'linux')('an artifact of 500 MiB', () => {
  let database: TestDatabase;
  let registry: ChildProcess;
  let url: string;
  let native: string;
  let proxied: string;
  const block = Buffer.alloc(MIB);
  for (let index = 0; index < MIB; index += 4) block.writeUInt32LE((index * 2_654_435_761) % 2 ** 32, index);
  let digest: string;
  /** Before the first byte: what one transfer has left behind must not hide what the next one takes. */
  let idleMiB: number;

  beforeAll(async () => {
    const hash = createHash('sha256');
    for (let index = 0; index < SIZE_MIB; index++) hash.update(numbered(index));
    digest = hash.digest('hex');
    database = await createTestDatabase();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    registry = spawn(process.execPath, ['dist/apps/registry/src/main.js'], {
      env: registryEnvironment(database, {
        CATENA_REGISTRY_PORT: String(port),
        S3_BUCKET: newBucketName(),
      }),
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (;;) {
      const ready = await fetch(`${url}/readyz`).catch(() => undefined);
      if (ready?.ok) break;
      if (registry.exitCode !== null) throw new Error(`The registry ended with ${registry.exitCode}.`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const run = await fetch(`${url}/api/v1/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'large' }),
    });
    const { id } = (await run.json()) as { id: string };
    native = `/api/v1/runs/${id}/artifacts/content?path=large`;
    proxied = `/api/2.0/mlflow-artifacts/artifacts/0/${id}/artifacts/large`;
    idleMiB = await residentMiB(registry.pid!);
  });
  afterAll(async () => {
    registry.kill('SIGTERM');
    if (registry.exitCode === null) await once(registry, 'exit');
    await database.drop();
  });

  const growthDuring = async (work: () => Promise<void>) => (await mostDuring(registry.pid!, work)) - idleMiB;

  /** The same block, but for its number: parts in a wrong order would have another digest. */
  function numbered(index: number): Buffer {
    block.writeUInt32LE(index, 0);
    return block;
  }

  async function send(
    path: string,
    sizeMiB: number,
    headers: Record<string, string> = {},
  ): Promise<IncomingMessage> {
    const length = 'transfer-encoding' in headers ? {} : { 'content-length': String(sizeMiB * MIB) };
    const request = httpRequest(`${url}${path}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', ...length, ...headers },
    });
    const answered = once(request, 'response');
    for (let index = 0; index < sizeMiB; index++) {
      const chunk = Buffer.from(numbered(index));
      if (!request.write(chunk)) await once(request, 'drain');
    }
    request.end();
    const [response] = (await answered) as [IncomingMessage];
    response.resume();
    return response;
  }

  async function receive(path: string): Promise<{ length: number; sha256: string }> {
    const request = httpRequest(`${url}${path}`).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      hash.update(chunk);
      length += chunk.length;
    }
    return { length, sha256: hash.digest('hex') };
  }

  it(`sent straight to the store is verified while memory grows by less than ${MAX_GROWTH_MIB} MiB`, async () => {
    const base = native.replace(/\/content.*/, '/uploads');
    const call = (path: string, body: object) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    // Bytes that the workspace does not hold yet, the same in all parts.
    const part = Buffer.alloc(16 * MIB, 7);
    const count = 16;
    const hash = createHash('sha256');
    for (let index = 0; index < count; index++) hash.update(part);
    const sizeBytes = count * part.length;
    const begun = await call(base, { path: 'direct', sha256: hash.digest('hex'), sizeBytes });
    const { upload } = (await begun.json()) as any;
    const parts: object[] = [];
    for (const { partNumber, url: target } of upload.parts) {
      const put = await fetch(target, { method: 'PUT', body: part });
      parts.push({ partNumber, etag: put.headers.get('etag') });
    }
    const growth = await growthDuring(async () => {
      expect((await call(`${base}/${upload.uploadId}/complete`, { parts })).status).toBe(201);
    });
    expect(growth).toBeLessThan(MAX_GROWTH_MIB);
  }, 60_000);

  it.each([
    ['the native API', MAX_GROWTH_MIB, 201, () => native, () => ({ 'x-catena-sha256': digest })],
    ['the protocol of MLflow', MAX_GROWTH_MIB, 200, () => proxied, () => ({})],
    [
      'the native API with its length unknown',
      MAX_GROWTH_IN_PARTS_MIB,
      200,
      () => native,
      () => ({ 'transfer-encoding': 'chunked' }),
    ],
  ] as const)(
    'goes through %s, up and down, while memory grows by less than %i MiB',
    { timeout: 120_000 },
    async (_, maxMiB, status, path, headers) => {
      const up = await growthDuring(async () => {
        expect((await send(path(), SIZE_MIB, headers())).statusCode).toBe(status);
      });
      const down = await growthDuring(async () => {
        expect(await receive(path())).toEqual({ length: SIZE_MIB * MIB, sha256: digest });
      });
      console.log(`memory grew by ${up.toFixed(1)} MiB up, ${down.toFixed(1)} MiB down`);
      expect(up).toBeLessThan(maxMiB);
      expect(down).toBeLessThan(maxMiB);
    },
  );
});
