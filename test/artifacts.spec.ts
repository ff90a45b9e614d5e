import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createRun,
  createVersion,
  getContent,
  keysIn,
  knownObjects,
  newBucketName,
  objectsOf,
  putContent,
  rowsOf,
  sha256,
} from './support/artifacts.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const bucket = newBucketName();
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry({ S3_BUCKET: bucket });
});
afterAll(() => registry.close());

describe('artifacts streamed through the registry', () => {
  it.each(['prompt', 'model', 'chain', 'run'] as const)(
    'belong to a %s and come back byte for byte',
    async (kind) => {
      const base = kind === 'run' ? await createRun(registry) : await createVersion(registry, kind);
      const bytes = randomBytes(100_000);
      const put = await putContent(registry, base, 'reports/eval.bin', bytes, {
        'content-type': 'application/x-eval',
        'x-catena-actor': 'ana',
        'x-catena-sha256': sha256(bytes),
      });
      expect(put.status).toBe(201);
      expect(put.body).toEqual({
        path: 'reports/eval.bin',
        sha256: sha256(bytes),
        sizeBytes: 100_000,
        contentType: 'application/x-eval',
        createdAt: expect.stringMatching(/Z$/),
        createdBy: 'ana',
      });
      const got = await getContent(registry, base, 'reports/eval.bin');
      expect(got.status).toBe(200);
      expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
      expect(Object.fromEntries(got.headers)).toMatchObject({
        'content-type': 'application/x-eval',
        'content-length': '100000',
        'accept-ranges': 'bytes',
        'content-disposition': 'attachment; filename=eval.bin',
        'x-content-type-options': 'nosniff',
        etag: `"${sha256(bytes)}"`,
      });
      const list = await registry.call('GET', base);
      expect(list.body).toEqual({ items: [put.body], nextCursor: null });
    },
  );

  it('keep a JSON body as it is, valid or not, instead of parsing it', async () => {
    const base = await createRun(registry);
    for (const text of ['{ "a" :1 }', '{"a":', '']) {
      const path = `file-${text.length}.json`;
      const put = await putContent(registry, base, path, text, { 'content-type': 'application/json' });
      expect([put.status, put.body.sizeBytes]).toEqual([201, text.length]);
      expect(await (await getContent(registry, base, path)).text()).toBe(text);
    }
    const upper = await fetch(
      `${registry.url}/api/v1${base.replace('artifacts', 'Artifacts')}/Content?path=u`,
      {
        method: 'PUT',
        body: '{"b":2}',
        headers: { 'content-type': 'application/json' },
      },
    );
    expect(await upper.json()).toMatchObject({ sizeBytes: 7 });
  });

  it('may be sent without a length, in more than one part', async () => {
    const base = await createRun(registry);
    const bytes = randomBytes(12 * 1024 * 1024);
    const put = await fetch(`${registry.url}/api/v1${base}/content?path=chunked`, {
      method: 'PUT',
      body: new Blob([bytes]).stream(),
      duplex: 'half',
    });
    expect(await put.json()).toMatchObject({ sizeBytes: bytes.length, sha256: sha256(bytes) });
    const got = await getContent(registry, base, 'chunked');
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it('are stored once for all owners in the workspace', async () => {
    const bytes = randomBytes(2_000);
    const [first, second] = [await createRun(registry), await createVersion(registry, 'chain')];
    await putContent(registry, first, 'a.bin', bytes);
    await putContent(registry, second, 'other/b.bin', bytes);
    expect(await objectsOf(registry, sha256(bytes))).toEqual([
      expect.stringMatching(/^workspaces\/00000000-0000-7000-8000-000000000001\/blobs\/[0-9a-f-]{36}$/),
    ]);
    expect((await keysIn(bucket)).sort()).toEqual(await knownObjects(registry));
    expect(await rowsOf(registry, 'stray_object')).toEqual([]);
  });

  it('never change under their path, on a version', async () => {
    const base = await createVersion(registry);
    const first = await putContent(registry, base, 'x', 'one', { 'content-type': 'text/plain' });
    const again = await putContent(registry, base, 'x', 'one', { 'content-type': 'text/csv' });
    expect([again.status, again.body]).toEqual([200, first.body]);
    for (const headers of [{}, { 'x-catena-sha256': sha256('two') }] as Record<string, string>[]) {
      const other = await putContent(registry, base, 'x', 'two', headers);
      expect([other.status, other.body.code]).toEqual([409, 'IMMUTABLE']);
    }
    const deleted = await registry.call('DELETE', `${base}?path=x`);
    expect([deleted.status, deleted.body.code]).toEqual([409, 'IMMUTABLE']);
    expect(await (await getContent(registry, base, 'x')).text()).toBe('one');
    const { client } = registry.database;
    for (const change of [
      `UPDATE artifact SET path = 'y' WHERE version_id IS NOT NULL`,
      `UPDATE artifact SET sha256 = sha256 WHERE version_id IS NOT NULL`,
      `DELETE FROM artifact WHERE version_id IS NOT NULL`,
      `TRUNCATE artifact`,
    ])
      await expect(client.query(change)).rejects.toThrow(/artifacts of versions are immutable/);
    await expect(client.query(`UPDATE blob SET size_bytes = 1`)).rejects.toThrow(/immutable/);
  });

  it('are replaced by newer bytes, on a run', async () => {
    const base = await createRun(registry);
    const first = await putContent(registry, base, 'x', 'one', { 'content-type': 'text/plain' });
    const other = await putContent(registry, base, 'x', 'two', { 'content-type': 'text/csv' });
    expect([first.status, other.status]).toEqual([201, 200]);
    expect(other.body).toMatchObject({ path: 'x', sha256: sha256('two'), contentType: 'text/csv' });
    const got = await getContent(registry, base, 'x');
    expect([await got.text(), got.headers.get('content-type')]).toEqual(['two', 'text/csv']);
    expect((await registry.call('GET', base)).body.items).toEqual([other.body]);
    const { client } = registry.database;
    await expect(client.query(`UPDATE artifact SET path = 'y' WHERE run_id IS NOT NULL`)).rejects.toThrow(
      /immutable/,
    );
  });

  it('sent at once with the same bytes and path become one', async () => {
    const base = await createRun(registry);
    const bytes = randomBytes(50_000);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => putContent(registry, base, 'race', bytes)),
    );
    expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([
      ...Array(9).fill(200),
      201,
    ]);
    expect(Buffer.from(await (await getContent(registry, base, 'race')).arrayBuffer()).equals(bytes)).toBe(
      true,
    );
  });

  it('sent at once with different bytes under one path of a version leave one winner', async () => {
    const base = await createVersion(registry);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => putContent(registry, base, 'race', `bytes ${index}`)),
    );
    expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([
      201,
      ...Array(7).fill(409),
    ]);
    const winner = answers.findIndex((answer) => answer.status === 201);
    expect(await (await getContent(registry, base, 'race')).text()).toBe(`bytes ${winner}`);
  });

  it('sent at once with different bytes under one path of a run all count, and the last stays', async () => {
    const base = await createRun(registry);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => putContent(registry, base, 'race', `bytes ${index}`)),
    );
    expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([
      ...Array(7).fill(200),
      201,
    ]);
    const kept = await (await getContent(registry, base, 'race')).text();
    expect(kept).toMatch(/^bytes [0-7]$/);
    expect((await registry.call('GET', base)).body.items).toMatchObject([{ sha256: sha256(kept) }]);
  });

  it('with another digest than announced leave nothing', async () => {
    const base = await createRun(registry);
    const put = await putContent(registry, base, 'bad', 'these bytes', {
      'x-catena-sha256': sha256('other bytes'),
    });
    expect([put.status, put.body.code]).toEqual([422, 'DIGEST_MISMATCH']);
    expect((await registry.call('GET', base)).body.items).toEqual([]);
    expect(await keysIn(bucket, 'staging/')).toEqual([]);
    expect(await objectsOf(registry, sha256('these bytes'))).toEqual([]);
    expect(await rowsOf(registry, 'stray_object')).toEqual([]);
  });

  it.each([
    ['a digest that is none', { 'x-catena-sha256': 'abc' }, 400, 'VALIDATION_FAILED'],
    ['compressed bytes', { 'content-encoding': 'gzip' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['a media type that is none', { 'content-type': 'nonsense' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ])('refuse %s', async (_, headers, status, code) => {
    const base = await createRun(registry);
    const put = await putContent(registry, base, 'x', 'bytes', headers);
    expect([put.status, put.body.code]).toEqual([status, code]);
  });

  it('are not added to an archived version, but still read', async () => {
    const base = await createVersion(registry, 'prompt', 'old-one');
    await putContent(registry, base, 'x', 'bytes');
    await registry.database.client.query(`UPDATE entry SET archived_at = now() WHERE name = 'old-one'`);
    const put = await putContent(registry, base, 'y', 'more');
    expect([put.status, put.body.code]).toEqual([409, 'ARCHIVED']);
    expect((await getContent(registry, base, 'x')).status).toBe(200);
  });

  it('of unknown owners are 404', async () => {
    for (const base of [
      '/prompts/nobody/versions/1/artifacts',
      '/runs/019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c/artifacts',
      '/runs/abc/artifacts',
    ]) {
      expect((await registry.call('GET', base)).body.code).toBe('NOT_FOUND');
      expect((await putContent(registry, base, 'x', 'bytes')).body.code).toBe('NOT_FOUND');
    }
    for (const number of ['0', '-1', 'abc', '1.5']) {
      const { status } = await registry.call('GET', `/prompts/nobody/versions/${number}/artifacts`);
      expect(status).toBe(400);
    }
    // As everywhere: a version number it is, but beyond any version.
    expect((await registry.call('GET', '/prompts/nobody/versions/99999999999/artifacts')).status).toBe(404);
  });

  it('are listed by path, page by page', async () => {
    const base = await createRun(registry);
    const paths = ['a', 'a/b', 'a0', 'b', 'ä', 'Z'];
    for (const path of paths) await putContent(registry, base, path, path);
    const seen: string[] = [];
    let cursor = '';
    do {
      const { body } = await registry.call('GET', `${base}?limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...body.items.map((item: { path: string }) => item.path));
      cursor = body.nextCursor ?? '';
    } while (cursor !== '');
    expect(seen).toEqual(paths.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  });
});

describe('paths of artifacts', () => {
  it.each([
    ['..', 'path=..'],
    ['a parent inside', 'path=a/../b'],
    ['a parent at the end', 'path=a/..'],
    ['encoded dots', 'path=%2e%2e/secret'],
    ['encoded slashes', 'path=..%2f..%2fetc%2fpasswd'],
    ['dots encoded twice', 'path=%252e%252e/secret'],
    ['slashes encoded twice', 'path=a%252Fb'],
    ['an absolute path', 'path=/etc/passwd'],
    ['a drive', 'path=C:/windows'],
    ['backslashes', 'path=a%5C..%5Cb'],
    ['an empty segment', 'path=a//b'],
    ['a slash at the end', 'path=a/'],
    ['a dot', 'path=./a'],
    ['NUL', 'path=a%00b'],
    ['a line feed', 'path=a%0ab'],
    ['a C1 control', 'path=a%C2%85b'],
    ['an empty path', 'path='],
    ['no path', ''],
    ['two paths', 'path=a&path=b'],
    ['513 bytes', `path=${'%C3%A4'.repeat(256)}a`],
    ['bytes that are no UTF-8', 'path=%ff%fe'],
  ])('refuse %s, to read and to write, with a reason', async (_, query) => {
    const base = await createRun(registry);
    for (const [method, path] of [
      ['GET', 'content'],
      ['PUT', 'content'],
      ['GET', 'download-url'],
    ] as const) {
      const response = await fetch(`${registry.url}/api/v1${base}/${path}?${query}`, {
        method,
        ...(method === 'PUT' && { body: 'x' }),
      });
      const body: any = await response.json();
      // Node and Express turn ill-formed UTF-8 into U+FFFD before anybody sees it: that is a name like any other.
      if (query.includes('%ff') && response.status !== 400)
        expect([200, 201, 404]).toContain(response.status);
      else expect([response.status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    }
  });

  it.each([
    'a',
    'a/b/c.txt',
    'ünïcode/数据.jsonl',
    'with space',
    '..a',
    'a..b',
    'a%20b',
    '🙂',
    'ä'.repeat(256),
    '-',
    '"q"',
  ])('may be %s', async (path) => {
    const base = await createRun(registry);
    expect((await putContent(registry, base, path, path)).body.path).toBe(path);
    const got = await getContent(registry, base, path);
    expect(await got.text()).toBe(path);
    expect(got.headers.get('content-disposition')).toMatch(/^attachment; filename/);
  });
});

describe('downloads', () => {
  const bytes = randomBytes(300_000);
  let base: string;
  beforeAll(async () => {
    base = await createRun(registry);
    await putContent(registry, base, 'data.bin', bytes);
    await putContent(registry, base, 'empty', '');
  });

  it.each([
    ['bytes=0-0', 0, 0],
    ['bytes=0-99', 0, 99],
    ['bytes=1000-200000', 1000, 200_000],
    ['bytes=299999-', 299_999, 299_999],
    ['bytes=299000-999999', 299_000, 299_999],
    ['bytes=-500', 299_500, 299_999],
    ['bytes=-999999', 0, 299_999],
  ])('answer the range %s byte for byte', async (range, start, end) => {
    const got = await getContent(registry, base, 'data.bin', { headers: { range } });
    expect(got.status).toBe(206);
    expect(got.headers.get('content-range')).toBe(`bytes ${start}-${end}/300000`);
    expect(got.headers.get('content-length')).toBe(String(end - start + 1));
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes.subarray(start, end + 1))).toBe(true);
  });

  it.each(['bytes=300000-', 'bytes=400000-500000', 'bytes=-0'])('refuse %s with 416', async (range) => {
    const got = await getContent(registry, base, 'data.bin', { headers: { range } });
    expect(got.status).toBe(416);
    expect(got.headers.get('content-range')).toBe('bytes */300000');
    expect(await got.json()).toMatchObject({ code: 'RANGE_NOT_SATISFIABLE' });
  });

  it.each(['bytes=0-9,20-29', 'lines=1-2', 'bytes=abc', 'bytes=5-2', 'bytes=-'])(
    'answer %s, which is no single range, with the whole',
    async (range) => {
      const got = await getContent(registry, base, 'data.bin', { headers: { range } });
      expect([got.status, (await got.arrayBuffer()).byteLength]).toEqual([200, 300_000]);
    },
  );

  it('ignore the range when If-Range names another entity tag', async () => {
    const other = { range: 'bytes=0-9', 'if-range': '"other"' };
    expect((await getContent(registry, base, 'data.bin', { headers: other })).status).toBe(200);
    const same = { range: 'bytes=0-9', 'if-range': `"${sha256(bytes)}"` };
    expect((await getContent(registry, base, 'data.bin', { headers: same })).status).toBe(206);
  });

  it('answer 304 to a known entity tag, and the bytes to another', async () => {
    const known = await getContent(registry, base, 'data.bin', {
      headers: { 'if-none-match': `"x", "${sha256(bytes)}"` },
    });
    expect([known.status, await known.text()]).toEqual([304, '']);
    const other = await getContent(registry, base, 'data.bin', { headers: { 'if-none-match': '"x"' } });
    expect(other.status).toBe(200);
    await other.arrayBuffer();
  });

  it('answer HEAD with the headers alone', async () => {
    const got = await getContent(registry, base, 'data.bin', { method: 'HEAD' });
    expect([got.status, got.headers.get('content-length'), await got.text()]).toEqual([200, '300000', '']);
  });

  it('answer an empty artifact, and no range of it', async () => {
    const got = await getContent(registry, base, 'empty');
    expect([got.status, got.headers.get('content-length'), await got.text()]).toEqual([200, '0', '']);
    expect((await getContent(registry, base, 'empty', { headers: { range: 'bytes=0-' } })).status).toBe(416);
  });

  it('of an unknown path are 404', async () => {
    const got = await getContent(registry, base, 'nothing');
    expect([got.status, await got.json()]).toEqual([404, expect.objectContaining({ code: 'NOT_FOUND' })]);
  });

  it('go by presigned URL too, with the name and type of the artifact', async () => {
    const { status, body } = await registry.call('GET', `${base}/download-url?path=data.bin`);
    expect(status).toBe(200);
    expect(Date.parse(body.expiresAt)).toBeGreaterThan(Date.now());
    const got = await fetch(body.url, { headers: { range: 'bytes=10-19' } });
    expect(got.status).toBe(206);
    expect(got.headers.get('content-disposition')).toBe('attachment; filename=data.bin');
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes.subarray(10, 20))).toBe(true);
    const [key] = await objectsOf(registry, sha256(bytes));
    expect(body.url).toContain(key);
    const forged = await fetch(body.url.replace(key!, `${key!.slice(0, -1)}_`));
    expect(forged.status).toBeGreaterThanOrEqual(400);
  });

  it.each(['grün.bin', "it's (1)!.bin", 'a*b.bin', '100%.bin'])(
    'go by presigned URL under the name "%s"',
    async (name) => {
      await putContent(registry, base, `names/${name}`, 'named', { 'content-type': 'text/x-own' });
      const path = encodeURIComponent(`names/${name}`);
      const { body } = await registry.call('GET', `${base}/download-url?path=${path}`);
      const got = await fetch(body.url, { headers: { range: 'bytes=0-1' } });
      expect([got.status, await got.text()]).toEqual([206, 'na']);
      expect(got.headers.get('content-type')).toBe('text/x-own');
      const through = await getContent(registry, base, `names/${name}`);
      expect(got.headers.get('content-disposition')).toBe(through.headers.get('content-disposition'));
    },
  );

  it('leave the connection usable for the next request', async () => {
    const url = new URL(`${registry.url}/api/v1${base}/content?path=data.bin`);
    const { Agent } = await import('node:http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<unknown>();
    for (let index = 0; index < 3; index++) {
      const length = await new Promise<number>((resolve, reject) => {
        httpRequest(url, { agent }, (response) => {
          sockets.add(response.socket);
          let read = 0;
          response.on('data', (chunk: Buffer) => (read += chunk.length));
          response.on('end', () => resolve(read));
        })
          .on('error', reject)
          .end();
      });
      expect(length).toBe(300_000);
    }
    agent.destroy();
    expect(sockets.size).toBe(1);
  });
});
