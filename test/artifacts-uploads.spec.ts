import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UploadSweeper } from '../apps/registry/src/artifacts/upload-sweeper.js';
import {
  createRun,
  createVersion,
  getContent,
  keysIn,
  newBucketName,
  objectsOf,
  putContent,
  rowsOf,
  sha256,
} from './support/artifacts.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const MIB = 1024 * 1024;
const bucket = newBucketName();
let registry: TestRegistry;
let base: string;
beforeAll(async () => {
  registry = await startTestRegistry({ S3_BUCKET: bucket });
  base = await createRun(registry);
});
afterAll(() => registry.close());

async function begin(path: string, bytes: Uint8Array, overrides: object = {}, owner = base) {
  const wanted = { path, sha256: sha256(bytes), sizeBytes: bytes.length, ...overrides };
  return registry.call('POST', `${owner}/uploads`, wanted);
}

const complete = (uploadId: string, body: object = {}, owner = base) =>
  registry.call('POST', `${owner}/uploads/${uploadId}/complete`, body);

const put = (url: string, bytes: Uint8Array<ArrayBuffer>) => fetch(url, { method: 'PUT', body: bytes });

async function putParts(upload: any, bytes: Buffer<ArrayBuffer>) {
  const parts: { partNumber: number; etag: string }[] = [];
  for (const part of upload.parts) {
    const start = (part.partNumber - 1) * upload.partSizeBytes;
    const response = await put(part.url, bytes.subarray(start, start + part.sizeBytes));
    expect(response.status).toBe(200);
    parts.push({ partNumber: part.partNumber, etag: response.headers.get('etag')! });
  }
  return parts;
}

async function expectNothingLeft(path: string, owner = base) {
  const { body } = await registry.call('GET', `${owner}?limit=200`);
  expect(body.items.map((item: { path: string }) => item.path)).not.toContain(path);
  expect((await rowsOf(registry, 'artifact_upload')).map((row) => row.path)).not.toContain(path);
  expect(await keysIn(bucket, 'staging/')).toEqual([]);
}

describe('a presigned upload of one part', () => {
  it('becomes an artifact when it is completed, and not before', async () => {
    const owner = await createVersion(registry, 'model');
    const bytes = randomBytes(40_000);
    const begun = await begin('lora/adapter.bin', bytes, { contentType: 'application/x-lora' }, owner);
    expect(begun.status).toBe(201);
    expect(begun.body).toMatchObject({
      artifact: null,
      upload: {
        method: 'single',
        headers: {},
        partSizeBytes: null,
        partCount: null,
        parts: [],
        nextCursor: null,
      },
    });
    const { upload } = begun.body;
    expect(Date.parse(upload.expiresAt)).toBeGreaterThan(Date.now());
    expect((await put(upload.url, bytes)).status).toBe(200);
    expect((await registry.call('GET', owner)).body.items).toEqual([]);
    expect((await getContent(registry, owner, 'lora/adapter.bin')).status).toBe(404);

    const done = await complete(upload.uploadId, {}, owner);
    expect([done.status, done.body]).toEqual([
      201,
      expect.objectContaining({
        path: 'lora/adapter.bin',
        sha256: sha256(bytes),
        sizeBytes: 40_000,
        contentType: 'application/x-lora',
      }),
    ]);
    const got = await getContent(registry, owner, 'lora/adapter.bin');
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
    await expectNothingLeft('nothing');
    expect((await complete(upload.uploadId, {}, owner)).body.code).toBe('NOT_FOUND');
  });

  it('may be empty', async () => {
    const bytes = Buffer.alloc(0);
    const { body } = await begin('empty', bytes);
    expect((await put(body.upload.url, bytes)).status).toBe(200);
    expect((await complete(body.upload.uploadId)).status).toBe(201);
    expect((await (await getContent(registry, base, 'empty')).arrayBuffer()).byteLength).toBe(0);
  });

  it('with bytes of another digest is refused and leaves nothing', async () => {
    const [bytes, other] = [randomBytes(5_000), randomBytes(5_000)];
    const { body } = await begin('wrong', bytes);
    expect((await put(body.upload.url, other)).status).toBe(200);
    const done = await complete(body.upload.uploadId);
    expect([done.status, done.body.code]).toEqual([422, 'DIGEST_MISMATCH']);
    expect(done.body.details.actual.sha256).toBe(sha256(other));
    await expectNothingLeft('wrong');
    const keys = await keysIn(bucket);
    expect(keys.filter((key) => key.endsWith(sha256(bytes)) || key.endsWith(sha256(other)))).toEqual([]);
    expect((await rowsOf(registry, 'blob')).map((row) => row.sha256)).not.toContain(sha256(bytes));
  });

  it('is signed for its length: other lengths are refused by the store', async () => {
    const { body } = await begin('short', randomBytes(5_000));
    const refused = await put(body.upload.url, randomBytes(4_999));
    expect(refused.status).toBe(403);
    const done = await complete(body.upload.uploadId);
    expect([done.status, done.body.code]).toEqual([409, 'UPLOAD_INCOMPLETE']);
    await registry.call('DELETE', `${base}/uploads/${body.upload.uploadId}`);
  });

  it('that was not sent is incomplete, and can be completed later', async () => {
    const bytes = randomBytes(1_000);
    const { body } = await begin('later', bytes);
    const early = await complete(body.upload.uploadId);
    expect([early.status, early.body.code]).toEqual([409, 'UPLOAD_INCOMPLETE']);
    await put(body.upload.url, bytes);
    expect((await complete(body.upload.uploadId)).status).toBe(201);
  });

  it('that is aborted leaves nothing', async () => {
    const bytes = randomBytes(1_000);
    const { body } = await begin('aborted', bytes);
    await put(body.upload.url, bytes);
    expect((await registry.call('DELETE', `${base}/uploads/${body.upload.uploadId}`)).status).toBe(204);
    await expectNothingLeft('aborted');
    expect((await complete(body.upload.uploadId)).status).toBe(404);
  });

  it('completed ten times at once gives one artifact', async () => {
    const bytes = randomBytes(100_000);
    const { body } = await begin('often', bytes);
    await put(body.upload.url, bytes);
    const answers = await Promise.all(Array.from({ length: 10 }, () => complete(body.upload.uploadId)));
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
    for (const { status } of answers) expect([200, 201, 404, 409]).toContain(status);
    const got = await getContent(registry, base, 'often');
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it('belongs to its owner alone', async () => {
    const { body } = await begin('mine', randomBytes(10));
    const other = await createRun(registry);
    expect((await complete(body.upload.uploadId, {}, other)).status).toBe(404);
    expect((await registry.call('DELETE', `${other}/uploads/${body.upload.uploadId}`)).status).toBe(404);
    await registry.call('DELETE', `${base}/uploads/${body.upload.uploadId}`);
  });
});

describe('bytes that the workspace holds', () => {
  it('are not asked for again', async () => {
    const bytes = randomBytes(3_000);
    await putContent(registry, base, 'known', bytes);
    const other = await createVersion(registry);
    const begun = await begin('copy', bytes, {}, other);
    expect([begun.status, begun.body.upload, begun.body.artifact.path]).toEqual([200, null, 'copy']);
    const got = await getContent(registry, other, 'copy');
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
    const again = await begin('copy', bytes, {}, other);
    expect([again.status, again.body]).toEqual([200, begun.body]);
  });

  it('have one size', async () => {
    const bytes = randomBytes(3_000);
    await putContent(registry, base, 'sized', bytes);
    const begun = await begin('sized-2', bytes, { sizeBytes: 2_999 });
    expect([begun.status, begun.body.code]).toEqual([422, 'DIGEST_MISMATCH']);
  });

  it('keep their path for themselves, on a version', async () => {
    const version = await createVersion(registry);
    await putContent(registry, version, 'taken', 'one');
    const begun = await begin('taken', Buffer.from('two'), {}, version);
    expect([begun.status, begun.body.code]).toEqual([409, 'IMMUTABLE']);
  });

  it('win over an upload to a version that is completed later, which leaves nothing', async () => {
    const version = await createVersion(registry);
    const bytes = randomBytes(100);
    const { body } = await begin('overtaken', bytes, {}, version);
    await put(body.upload.url, bytes);
    await putContent(registry, version, 'overtaken', 'first');
    const done = await registry.call('POST', `${version}/uploads/${body.upload.uploadId}/complete`, {});
    expect([done.status, done.body.code]).toEqual([409, 'IMMUTABLE']);
    expect(await keysIn(bucket, 'staging/')).toEqual([]);
    expect(await objectsOf(registry, sha256(bytes))).toEqual([]);
  });

  it('are replaced by an upload to a run that is completed later', async () => {
    const bytes = randomBytes(100);
    const { body } = await begin('overtaken', bytes);
    await put(body.upload.url, bytes);
    await putContent(registry, base, 'overtaken', 'first');
    const done = await complete(body.upload.uploadId);
    expect([done.status, done.body.sha256]).toEqual([200, sha256(bytes)]);
    expect(await keysIn(bucket, 'staging/')).toEqual([]);
  });
});

describe('a multipart upload', () => {
  const bytes = Buffer.alloc(70 * MIB);
  beforeAll(() => {
    const block = randomBytes(MIB);
    for (let index = 0; index < 70; index++) {
      block.writeUInt32BE(index);
      block.copy(bytes, index * MIB);
    }
  });

  it('of 70 MiB becomes one artifact, its parts named in any order', async () => {
    const begun = await begin('big.bin', bytes);
    const { upload } = begun.body;
    expect(upload).toMatchObject({
      method: 'multipart',
      url: null,
      partSizeBytes: 16 * MIB,
      partCount: 5,
      nextCursor: null,
    });
    expect(upload.parts.map((part: any) => part.sizeBytes / MIB)).toEqual([16, 16, 16, 16, 6]);
    const parts = await putParts(upload, bytes);

    const fewer = await complete(upload.uploadId, { parts: parts.slice(1) });
    expect([fewer.status, fewer.body.code]).toEqual([409, 'UPLOAD_INCOMPLETE']);
    const wrong = await complete(upload.uploadId, {
      parts: parts.map((part, index) => (index === 2 ? { ...part, etag: '"abc"' } : part)),
    });
    expect([wrong.status, wrong.body.code]).toEqual([409, 'UPLOAD_INCOMPLETE']);
    const bad = [
      {},
      { parts: [] },
      { parts: [...parts, { partNumber: 6, etag: 'x' }] },
      { parts: [...parts.slice(1), parts[1]] },
      { parts: parts.map((part) => ({ ...part, extra: 1 })) },
      { parts: [null] },
      { parts: 'all' },
    ];
    for (const body of bad) {
      const refused = await complete(upload.uploadId, body);
      expect([refused.status, refused.body.code]).toEqual([400, 'VALIDATION_FAILED']);
    }

    const done = await complete(upload.uploadId, { parts: parts.toReversed() });
    expect([done.status, done.body.sizeBytes, done.body.sha256]).toEqual([201, bytes.length, sha256(bytes)]);
    const got = await getContent(registry, base, 'big.bin');
    expect(sha256(Buffer.from(await got.arrayBuffer()))).toBe(sha256(bytes));
    await expectNothingLeft('nothing');
  });

  it('with parts of other bytes is refused and leaves nothing', async () => {
    const wrong = Buffer.from(bytes);
    wrong[wrong.length - 1] = wrong[wrong.length - 1]! ^ 1;
    const begun = await begin('big-wrong.bin', bytes, { sha256: sha256('something else') });
    const parts = await putParts(begun.body.upload, wrong);
    const done = await complete(begun.body.upload.uploadId, { parts });
    expect([done.status, done.body.code]).toEqual([422, 'DIGEST_MISMATCH']);
    await expectNothingLeft('big-wrong.bin');
  });

  it('that is aborted takes no more parts', async () => {
    const begun = await begin('big-aborted.bin', bytes, { sha256: sha256('aborted') });
    const { upload } = begun.body;
    const [row] = await rowsOf(registry, 'artifact_upload');
    await put(upload.parts[4].url, bytes.subarray(64 * MIB));
    expect((await registry.call('DELETE', `${base}/uploads/${upload.uploadId}`)).status).toBe(204);
    await expectNothingLeft('big-aborted.bin');
    const again = await fetch(`${upload.parts[4].url.split('?')[0]}?uploadId=${row.s3_upload_id}`, {
      method: 'DELETE',
    });
    expect(again.status).toBe(404);
  });

  it('hands its part URLs out page by page', async () => {
    const begun = await begin('huge.bin', Buffer.alloc(0), {
      sha256: sha256('huge'),
      sizeBytes: 250 * 16 * MIB - 5,
    });
    const { upload } = begun.body;
    expect([upload.partCount, upload.parts.length]).toEqual([250, 100]);
    const sizes = new Map<number, number>(upload.parts.map((part: any) => [part.partNumber, part.sizeBytes]));
    let cursor = upload.nextCursor;
    while (cursor !== null) {
      const page = await registry.call(
        'GET',
        `${base}/uploads/${upload.uploadId}/parts?limit=90&cursor=${cursor}`,
      );
      for (const part of page.body.items) sizes.set(part.partNumber, part.sizeBytes);
      cursor = page.body.nextCursor;
    }
    expect([...sizes.keys()]).toEqual(Array.from({ length: 250 }, (_, index) => index + 1));
    expect([...sizes.values()].reduce((sum, size) => sum + size, 0)).toBe(250 * 16 * MIB - 5);
    await registry.call('DELETE', `${base}/uploads/${upload.uploadId}`);
  });

  it('of 5 TiB fits into 10 000 parts, and more is refused', async () => {
    const most = await begin('5tib', Buffer.alloc(0), { sha256: sha256('5tib'), sizeBytes: 5 * 1024 ** 4 });
    expect(most.body.upload.partCount).toBeLessThanOrEqual(10_000);
    await registry.call('DELETE', `${base}/uploads/${most.body.upload.uploadId}`);
    const more = await begin('more', Buffer.alloc(0), { sizeBytes: 5 * 1024 ** 4 + 1 });
    expect(more.status).toBe(400);
  });
});

describe('what uploads leave behind', () => {
  it('is swept: expired uploads with their bytes and parts, and staged bytes that no row knows', async () => {
    const single = (await begin('expired', randomBytes(100))).body.upload;
    const bytes = randomBytes(200);
    const used = (await begin('used-again', bytes)).body.upload;
    const multipart = (
      await begin('expired-big', Buffer.alloc(0), { sha256: sha256('e'), sizeBytes: 70 * MIB })
    ).body.upload;
    await put(used.url, bytes);
    expect((await complete(used.uploadId)).status).toBe(201);
    await put(used.url, bytes); // the URL still works, but what it stores belongs to nothing
    await putContent(registry, base, 'kept', 'kept');
    expect(await keysIn(bucket, 'staging/')).toHaveLength(1);

    const sweeper = registry.app.get(UploadSweeper);
    expect(await sweeper.sweep()).toBe(0);
    await registry.database.client.query(
      `UPDATE artifact_upload SET expires_at = now() - interval '1 second'`,
    );
    const late = await complete(single.uploadId);
    expect([late.status, late.body.code]).toEqual([404, 'NOT_FOUND']);
    const [row] = (await rowsOf(registry, 'artifact_upload')).filter((r) => r.id === multipart.uploadId);
    expect(await sweeper.sweep()).toBe(2);
    expect(await rowsOf(registry, 'artifact_upload')).toEqual([]);
    const gone = await fetch(`${multipart.parts[0].url.split('?')[0]}?uploadId=${row.s3_upload_id}`, {
      method: 'DELETE',
    });
    expect(gone.status).toBe(404);

    expect(await sweeper.sweep(new Date(Date.now() + 26 * 3_600_000))).toBe(1);
    expect(await keysIn(bucket, 'staging/')).toEqual([]);
    expect((await getContent(registry, base, 'kept')).status).toBe(200);
  });
});

describe('bad uploads', () => {
  const good = { path: 'x', sha256: sha256('x'), sizeBytes: 1 };
  it.each([
    ['a path with ..', { path: '../x' }],
    ['an absolute path', { path: '/x' }],
    ['a path with NUL', { path: 'a\0b' }],
    ['no path', { path: undefined }],
    ['a digest in capitals', { sha256: sha256('x').toUpperCase() }],
    ['no digest', { sha256: undefined }],
    ['a negative size', { sizeBytes: -1 }],
    ['half a byte', { sizeBytes: 0.5 }],
    ['a size in words', { sizeBytes: 'many' }],
    ['a media type that is none', { contentType: 'text\r\nx: y' }],
    ['null for the media type', { contentType: null }],
    ['an unknown field', { colour: 'red' }],
  ])('with %s are refused', async (_, override) => {
    const { status, body } = await registry.call('POST', `${base}/uploads`, { ...good, ...override });
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
  });

  it('that do not exist are 404', async () => {
    expect((await complete('019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c')).status).toBe(404);
    expect((await complete('abc')).status).toBe(404);
  });
});
