import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  createRun,
  getContent,
  keysIn,
  knownObjects,
  newBucketName,
  objectsOf,
  putContent,
  rowsOf,
  sha256,
  startS3Proxy,
  until,
  type S3Proxy,
} from './support/artifacts.js';
import { UploadSweeper } from '../apps/registry/src/artifacts/upload-sweeper.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const MIB = 1024 * 1024;

/** Sends `sent` of the announced bytes and cuts the connection. */
async function cutUpload(
  registry: TestRegistry,
  base: string,
  path: string,
  announced: number | 'chunked',
  sent: number,
) {
  const request = httpRequest(`${registry.url}/api/v1${base}/content?path=${path}`, {
    method: 'PUT',
    headers: {
      'content-type': 'application/json',
      ...(announced === 'chunked' ? { 'transfer-encoding': 'chunked' } : { 'content-length': announced }),
    },
  });
  request.on('error', () => undefined);
  for (let left = sent; left > 0; left -= MIB) {
    const more = request.write(Buffer.alloc(Math.min(MIB, left), left % 251));
    if (!more) await new Promise((resolve) => request.once('drain', resolve));
  }
  return () => request.socket?.resetAndDestroy();
}

describe('an upload through the registry', () => {
  const bucket = newBucketName();
  let proxy: S3Proxy;
  let registry: TestRegistry;
  let base: string;
  beforeAll(async () => {
    proxy = await startS3Proxy();
    registry = await startTestRegistry({ S3_BUCKET: bucket, S3_ENDPOINT: proxy.url });
    base = await createRun(registry);
  });
  afterEach(() => {
    proxy.reset = () => false;
  });
  afterAll(async () => {
    await registry.close();
    proxy.close();
  });

  async function expectNothing(path: string) {
    const { body } = await registry.call('GET', `${base}?limit=200`);
    expect(body.items.map((item: { path: string }) => item.path)).not.toContain(path);
    expect(await keysIn(bucket, 'staging/')).toEqual([]);
    expect(await rowsOf(registry, 'artifact_upload')).toEqual([]);
    await until(
      async () => (await rowsOf(registry, 'stray_object')).length === 0,
      'no object is left behind',
    );
    expect((await keysIn(bucket)).sort()).toEqual(await knownObjects(registry));
  }

  it.each([
    ['whose length is known', 64 * MIB, 40 * MIB],
    ['whose length is known, at once', 4 * MIB, MIB],
    ['of unknown length, before its first part is full,', 'chunked', 2 * MIB],
  ] as const)('%s that is cut leaves nothing', async (_, announced, sent) => {
    proxy.requests.length = 0;
    const cut = await cutUpload(registry, base, 'cut', announced, sent);
    cut();
    await until(() => proxy.requests.some((line) => line.startsWith('DELETE ')), 'staging is discarded');
    await expectNothing('cut');
  });

  it('of unknown length that is cut between parts leaves nothing, no parts either', async () => {
    proxy.requests.length = 0;
    const cut = await cutUpload(registry, base, 'cut-big', 'chunked', 40 * MIB);
    await until(() => proxy.requests.filter((line) => line.startsWith('PUT ')).length >= 2, 'parts are sent');
    cut();
    const aborted: string = await until(
      () => proxy.requests.find((line) => /^DELETE .*uploadId=/.test(line)),
      'the multipart upload is aborted',
    );
    await until(
      () => proxy.requests.find((line) => /^DELETE [^?]*blobs[^?]*(\?x-id=DeleteObject)?$/.test(line)),
      'the object is removed',
    );
    const uploadId = /uploadId=(\w+)/.exec(aborted)![1]!;
    const key = aborted.split(/[ ?]/)[1]!;
    expect((await fetch(`${proxy.url}${key}?uploadId=${uploadId}`, { method: 'DELETE' })).status).toBe(404);
    await expectNothing('cut-big');
  });

  it('that loses the store in the middle is answered 503, and nothing is there', async () => {
    proxy.reset = (line) => line.startsWith('PUT ');
    const put = await putContent(registry, base, 'lost', randomBytes(40 * MIB));
    expect([put.status, put.body.code]).toEqual([503, 'OBJECT_STORE_UNAVAILABLE']);
    let parts = 0;
    proxy.reset = (line) => line.includes('partNumber') && ++parts > 2;
    const response = await fetch(`${registry.url}/api/v1${base}/content?path=lost`, {
      method: 'PUT',
      body: new Blob([randomBytes(40 * MIB)]).stream(),
      duplex: 'half',
    });
    expect(response.status).toBe(503);
    await expectNothing('lost');
  });

  it('whose second copy cannot be compared with the first is answered 503, and nothing is there', async () => {
    const bytes = randomBytes(1000);
    await putContent(registry, base, 'first', bytes);
    proxy.reset = (line) => line.startsWith('HEAD ');
    const put = await putContent(registry, base, 'second', bytes);
    expect([put.status, put.body.code]).toEqual([503, 'OBJECT_STORE_UNAVAILABLE']);
    proxy.reset = () => false;
    await expectNothing('second');
  });

  it('of bytes that are there already and cannot be removed is an artifact, and the sweep removes them', async () => {
    await putContent(registry, base, 'kept', 'kept');
    proxy.reset = (line) => line.startsWith('DELETE ');
    const put = await putContent(registry, base, 'kept too', 'kept');
    expect(put.status).toBe(201);
    proxy.reset = () => false;
    expect(await (await getContent(registry, base, 'kept too')).text()).toBe('kept');
    const [stray] = await rowsOf(registry, 'stray_object');
    expect(await keysIn(bucket)).toContain(stray!.key);
    const sweeper = registry.app.get(UploadSweeper);
    await sweeper.sweep();
    expect(await rowsOf(registry, 'stray_object')).toEqual([stray]);
    await sweeper.sweep(new Date(Date.now() + 9 * 3_600_000));
    expect(await rowsOf(registry, 'stray_object')).toEqual([]);
    expect(await keysIn(bucket)).not.toContain(stray!.key);
    expect(await (await getContent(registry, base, 'kept too')).text()).toBe('kept');
  });

  it('that the store loses while it is verified can be completed again', async () => {
    const bytes = randomBytes(10_000);
    const begun = await registry.call('POST', `${base}/uploads`, {
      path: 'again',
      sha256: sha256(bytes),
      sizeBytes: 10_000,
    });
    const { upload } = begun.body;
    await fetch(upload.url, { method: 'PUT', body: bytes });
    proxy.reset = (line) => line.startsWith('GET ');
    const lost = await registry.call('POST', `${base}/uploads/${upload.uploadId}/complete`, {});
    expect([lost.status, lost.body.code]).toEqual([503, 'OBJECT_STORE_UNAVAILABLE']);
    proxy.reset = () => false;
    const done = await registry.call('POST', `${base}/uploads/${upload.uploadId}/complete`, {});
    expect(done.status).toBe(201);
  });

  it('whose bytes are replaced after they were verified is refused', async () => {
    const bytes = randomBytes(10_000);
    const begun = await registry.call('POST', `${base}/uploads`, {
      path: 'swap',
      sha256: sha256(bytes),
      sizeBytes: 10_000,
    });
    const { upload } = begun.body;
    await fetch(upload.url, { method: 'PUT', body: bytes });
    // Read back and found good: swap the bytes just before they are copied.
    let swapped: Promise<unknown> | undefined;
    proxy.before = async (line) => {
      if (line.startsWith('PUT ') && line.includes('/blobs/'))
        await (swapped ??= fetch(upload.url, { method: 'PUT', body: randomBytes(10_000) }));
    };
    const done = await registry.call('POST', `${base}/uploads/${upload.uploadId}/complete`, {});
    proxy.before = async () => undefined;
    expect(swapped).toBeDefined();
    expect([done.status, done.body.code]).toEqual([409, 'UPLOAD_INCOMPLETE']);
    await registry.call('DELETE', `${base}/uploads/${upload.uploadId}`);
    await expectNothing('swap');
    expect(await objectsOf(registry, sha256(bytes))).toEqual([]);
  });

  it('that was downloaded by a client that went away is no longer read from the store', async () => {
    const bytes = randomBytes(48 * MIB);
    expect((await putContent(registry, base, 'long', bytes)).status).toBe(201);
    const before = proxy.bytesDown;
    const controller = new AbortController();
    const got = await getContent(registry, base, 'long', { signal: controller.signal });
    const reader = got.body!.getReader();
    await reader.read();
    controller.abort();
    await reader.read().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const read = proxy.bytesDown;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(proxy.bytesDown).toBe(read);
    expect(read - before).toBeLessThan(24 * MIB);
  });

  it('is cut off for the client when the store stops in the middle of a download', async () => {
    await putContent(registry, base, 'half', randomBytes(20 * MIB));
    proxy.cutAfterBytes = 5 * MIB;
    const got = await getContent(registry, base, 'half');
    await expect(got.arrayBuffer()).rejects.toThrow();
    proxy.cutAfterBytes = undefined;
    expect((await (await getContent(registry, base, 'half')).arrayBuffer()).byteLength).toBe(20 * MIB);
  });
});

describe.each(['a closed port', 'resets every connection'])('with an object store at %s', (which) => {
  let registry: TestRegistry;
  let base: string;
  let close: () => void = () => undefined;
  beforeAll(async () => {
    const server = createServer((socket) => void socket.resetAndDestroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    if (which === 'a closed port') await new Promise((resolve) => server.close(resolve));
    else close = () => server.close();
    registry = await startTestRegistry({
      S3_ENDPOINT: `http://127.0.0.1:${port}`,
      CATENA_LOG_LEVEL: 'silent',
    });
    base = await createRun(registry);
  });
  afterAll(async () => {
    await registry.close();
    close();
  });

  it('the registry starts, and serves what needs no bytes', async () => {
    expect((await registry.call('GET', base)).status).toBe(200);
    expect((await fetch(`${registry.url}/readyz`)).status).toBe(200);
  });

  it.each([1000, 20 * MIB])('an upload of %i bytes is answered 503 and leaves nothing', async (size) => {
    const put = await putContent(registry, base, 'x', randomBytes(size));
    expect([put.status, put.body.code]).toEqual([503, 'OBJECT_STORE_UNAVAILABLE']);
    expect(put.body.message).toMatch(/object store could not .*nothing was changed/);
    expect(put.body.message).not.toMatch(/127\.0\.0\.1/);
    for (const table of ['artifact', 'blob', 'artifact_upload'] as const)
      expect(await rowsOf(registry, table)).toEqual([]);
  });

  it('a multipart upload is not begun', async () => {
    const wanted = { path: 'big', sha256: sha256('big'), sizeBytes: 100 * MIB };
    const begun = await registry.call('POST', `${base}/uploads`, wanted);
    expect([begun.status, begun.body.code]).toEqual([503, 'OBJECT_STORE_UNAVAILABLE']);
    expect(await rowsOf(registry, 'artifact_upload')).toEqual([]);
  });

  it('a presigned upload cannot be completed, and stays open', async () => {
    const wanted = { path: 'small', sha256: sha256('small'), sizeBytes: 5 };
    const begun = await registry.call('POST', `${base}/uploads`, wanted);
    expect(begun.status).toBe(201);
    const done = await registry.call('POST', `${base}/uploads/${begun.body.upload.uploadId}/complete`, {});
    expect([done.status, done.body.code]).toEqual([503, 'OBJECT_STORE_UNAVAILABLE']);
    expect(await rowsOf(registry, 'artifact_upload')).toHaveLength(1);
    expect(await rowsOf(registry, 'artifact')).toEqual([]);
  });
});

it('presigned URLs name the public endpoint where one is set', async () => {
  const proxy = await startS3Proxy();
  const registry = await startTestRegistry({ S3_PUBLIC_ENDPOINT: proxy.url });
  const base = await createRun(registry);
  const begun = await registry.call('POST', `${base}/uploads`, {
    path: 'p',
    sha256: sha256('p'),
    sizeBytes: 1,
  });
  expect(begun.body.upload.url).toContain(`${proxy.url}/`);
  expect((await fetch(begun.body.upload.url, { method: 'PUT', body: 'p' })).status).toBe(200);
  expect(
    (await registry.call('POST', `${base}/uploads/${begun.body.upload.uploadId}/complete`, {})).status,
  ).toBe(201);
  const { body } = await registry.call('GET', `${base}/download-url?path=p`);
  expect(body.url).toContain(`${proxy.url}/`);
  expect(await (await fetch(body.url)).text()).toBe('p');
  await registry.close();
  proxy.close();
});
