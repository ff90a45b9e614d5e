import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BlobStore } from '../apps/registry/src/artifacts/blob-store.js';
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
  startS3Proxy,
  until,
  type S3Proxy,
} from './support/artifacts.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const bucket = newBucketName();
let proxy: S3Proxy;
let registry: TestRegistry;
beforeAll(async () => {
  proxy = await startS3Proxy();
  registry = await startTestRegistry({ S3_BUCKET: bucket, S3_ENDPOINT: proxy.url });
});
afterAll(async () => {
  await registry.close();
  proxy.close();
});

async function createLoggedModel(): Promise<string> {
  const { body } = await registry.call('POST', '/logged-models', { name: 'm' });
  return `/logged-models/${body.id}/artifacts`;
}

async function list(base: string, path?: string, limit = 50) {
  const entries: { path: string; name: string; isDirectory: boolean; sizeBytes: number | null }[] = [];
  let cursor = '';
  do {
    const query = new URLSearchParams({
      limit: String(limit),
      ...(path && { path }),
      ...(cursor && { cursor }),
    });
    const { status, body } = await registry.call('GET', `${base}/directory?${query}`);
    expect(status).toBe(200);
    entries.push(...body.items);
    cursor = body.nextCursor ?? '';
  } while (cursor !== '');
  return entries;
}

describe('a directory', () => {
  const paths = ['a', 'a/b', 'a/c/d', 'a.txt', 'a0', 'z/1/2/3/4', 'ä/ö', '🙂', 'dir/x', 'dir/y/z', 'dir0'];

  it.each([1, 2, 50])('is listed one level at a time, %i per page', async (limit) => {
    const base = await createRun(registry);
    for (const path of paths) await putContent(registry, base, path, path);
    const root = await list(base, undefined, limit);
    const shown = root.map(({ name, isDirectory }) => (isDirectory ? `${name}/` : name));
    expect(shown).toEqual(['a', 'a.txt', 'a/', 'a0', 'dir/', 'dir0', 'z/', 'ä/', '🙂']);
    expect(root.find((entry) => entry.name === '🙂')!.sizeBytes).toBe(4);
    expect(await list(base, 'a', limit)).toEqual([
      { path: 'a/b', name: 'b', isDirectory: false, sizeBytes: 3 },
      { path: 'a/c', name: 'c', isDirectory: true, sizeBytes: null },
    ]);
    expect((await list(base, 'ä', limit)).map((entry) => entry.name)).toEqual(['ö']);
    expect(await list(base, 'dir', limit)).toHaveLength(2);
    expect(await list(base, 'nowhere', limit)).toEqual([]);
  });

  it('costs what it shows, not what lies below it', async () => {
    const base = await createRun(registry);
    await putContent(registry, base, 'top', 'x');
    const runId = base.split('/')[2];
    await registry.database.client.query(
      `INSERT INTO artifact (id, workspace_id, run_id, path, sha256, content_type, created_at, created_by)
       SELECT gen_random_uuid(), workspace_id, run_id, 'deep/' || d || '/' || n, sha256, content_type, now(), 'test'
         FROM artifact, generate_series(1, 20) d, generate_series(1, 2000) n WHERE run_id = $1`,
      [runId],
    );
    await registry.database.client.query('ANALYZE artifact');
    const started = await scanned();
    expect(await list(base)).toHaveLength(2);
    expect(await list(base, 'deep')).toHaveLength(20);
    expect((await scanned()) - started).toBeLessThan(200);
  });

  /** Index entries of artifacts read so far, by all connections. */
  async function scanned(): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // statistics are reported once a second
    const { rows } = await registry.database.client.query(
      `SELECT coalesce(sum(idx_tup_read), 0)::int + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'artifact')::int AS n
         FROM pg_stat_user_indexes WHERE relname = 'artifact'`,
    );
    return rows[0].n;
  }

  it.each(['..', '/a', 'a//b', 'a/', '%2e%2e'])('with the path "%s" is refused', async (path) => {
    const base = await createRun(registry);
    const { status } = await registry.call('GET', `${base}/directory?path=${encodeURIComponent(path)}`);
    expect(status).toBe(400);
  });
});

describe.each(['run', 'logged model'])('the artifacts of a %s', (kind) => {
  const create = () => (kind === 'run' ? createRun(registry) : createLoggedModel());

  it('can be deleted, one or a directory', async () => {
    const base = await create();
    for (const path of ['a', 'a/b', 'a/c/d', 'a.txt', 'a0']) await putContent(registry, base, path, path);
    const one = await registry.call('DELETE', `${base}?path=${encodeURIComponent('a/c/d')}`);
    expect([one.status, one.body]).toEqual([200, { deleted: 1 }]);
    expect((await getContent(registry, base, 'a/c/d')).status).toBe(404);
    const two = await registry.call('DELETE', `${base}?path=a`);
    expect(two.body).toEqual({ deleted: 2 });
    const left = await registry.call('GET', base);
    expect(left.body.items.map((item: { path: string }) => item.path)).toEqual(['a.txt', 'a0']);
    expect((await registry.call('DELETE', `${base}?path=a`)).status).toBe(404);
    expect((await registry.call('DELETE', base)).status).toBe(400);
  });
});

describe('blobs', () => {
  const sweepLater = () => registry.app.get(UploadSweeper).sweep(new Date(Date.now() + 9 * 3_600_000));
  const collect = () => registry.app.get(BlobStore).removeUnreferenced(new Date(Date.now() + 1_000), 1_000);

  it('are dropped when nothing refers to them, and their objects are swept later', async () => {
    const [run, version] = [await createRun(registry), await createVersion(registry)];
    await putContent(registry, run, 'x', 'only here');
    await putContent(registry, run, 'y', 'in both');
    await putContent(registry, version, 'y', 'in both');
    const [gone] = await objectsOf(registry, sha256('only here'));
    const [stays] = await objectsOf(registry, sha256('in both'));
    expect(await collect()).toBe(0);
    await registry.call('DELETE', `${run}?path=x`);
    await registry.call('DELETE', `${run}?path=y`);
    expect(await collect()).toBe(1);
    expect(await keysIn(bucket)).toContain(gone);
    await sweepLater();
    expect(await keysIn(bucket)).not.toContain(gone);
    expect(await keysIn(bucket)).toContain(stays);
    expect(await (await getContent(registry, version, 'y')).text()).toBe('in both');
  });

  it('that are dropped while the same bytes are uploaded are there afterwards', async () => {
    const base = await createRun(registry);
    for (let round = 0; round < 15; round++) {
      const text = `round ${round}`;
      await putContent(registry, base, 'old', text);
      await registry.call('DELETE', `${base}?path=old`);
      const [put] = await Promise.all([
        putContent(registry, base, `new-${round}`, text),
        collect(),
        collect(),
      ]);
      expect(put.status).toBe(201);
      await sweepLater();
      expect(await (await getContent(registry, base, `new-${round}`)).text()).toBe(text);
    }
  });

  it('that are dropped while a presigned upload takes them over are asked for again', async () => {
    const base = await createRun(registry);
    await putContent(registry, base, 'old', 'the same');
    await registry.call('DELETE', `${base}?path=old`);
    let dropped: Promise<number> | undefined;
    proxy.before = async (line) => {
      if (line.startsWith('HEAD ')) await (dropped ??= collect()); // known, but not yet held
    };
    const wanted = { path: 'new', sha256: sha256('the same'), sizeBytes: 8 };
    const begun = await registry.call('POST', `${base}/uploads`, wanted);
    proxy.before = async () => undefined;
    expect(await dropped).toBe(1);
    expect([begun.status, begun.body.artifact]).toEqual([201, null]);
  });

  it('that the store has lost are mended by uploading them again', async () => {
    const base = await createRun(registry);
    await putContent(registry, base, 'x', 'lost');
    const [key] = await objectsOf(registry, sha256('lost'));
    await fetch(`${proxy.url}/${bucket}/${key}`, { method: 'DELETE' });
    expect((await putContent(registry, base, 'y', 'lost')).status).toBe(201);
    expect(await (await getContent(registry, base, 'x')).text()).toBe('lost');
  });

  it('are not made of an upload that took longer than strays are kept', async () => {
    const base = await createRun(registry);
    let swept: Promise<number> | undefined;
    proxy.before = async (line) => {
      if (line.startsWith('PUT ')) await (swept ??= sweepLater());
    };
    const put = await putContent(registry, base, 'late', 'too late');
    proxy.before = async () => undefined;
    expect([put.status, put.body.code]).toEqual([408, 'REQUEST_TIMEOUT']);
    expect((await registry.call('GET', base)).body.items).toEqual([]);
    await until(async () => (await rowsOf(registry, 'stray_object')).length === 0, 'nothing is left');
  });
});
