import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Settings } from '#libs/platform/config/settings.js';
import type { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { ArchiveCache } from './archive-cache.js';
import type { DuckDb } from './duck.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'catena-cache-'));
});
afterEach(() => rm(directory, { recursive: true }));

it('makes room though another is faster at it', async () => {
  const bytes = Buffer.from('PAR1');
  const store = { read: () => Promise.resolve({ body: Readable.from([bytes]) }) } as unknown as ObjectStore;
  const duck = { directory, newPath: () => Promise.resolve(join(directory, 'draft')) } as unknown as DuckDb;
  const cache = new ArchiveCache(store, duck, { CATENA_ARCHIVE_CACHE_BYTES: 1 } as Settings);
  // Listed, and gone when it is looked at.
  await mkdir(join(directory, 'cache'));
  await symlink(join(directory, 'nowhere'), join(directory, 'cache', 'gone.parquet'));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const file = { objectKey: 'archive/x', sha256, sizeBytes: bytes.length };
  expect(await cache.use(file, (path) => readFile(path))).toEqual(bytes);
});
