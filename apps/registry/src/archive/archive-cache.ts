import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Inject, Injectable } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { streamed } from '#libs/platform/streams/buffer-pressure.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import type { ArchiveFile } from './archive-rows.js';
import { DuckDb } from './duck.js';

type Wanted = Pick<ArchiveFile, 'objectKey' | 'sha256' | 'sizeBytes'>;

/**
 * Files of the archive on the local disk, named by their digest: what lies under a name has been checked, and is
 * complete. Those used longest ago go first, those in use never.
 */
@Injectable()
export class ArchiveCache {
  private readonly directory: string;
  private readonly maxBytes: number;
  private readonly users = new Map<string, number>();
  private readonly fetching = new Map<string, Promise<void>>();

  constructor(
    private readonly store: ObjectStore,
    private readonly duck: DuckDb,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.directory = join(duck.directory, 'cache');
    this.maxBytes = settings.CATENA_ARCHIVE_CACHE_BYTES;
  }

  /**
   * Lends the path of a file while `work` runs.
   * @throws DomainError OBJECT_STORE_UNAVAILABLE, also where the object is not the one the manifest names.
   */
  async use<T>(file: Wanted, work: (path: string) => Promise<T>): Promise<T> {
    const { sha256 } = file;
    const path = join(this.directory, `${sha256}.parquet`);
    this.users.set(sha256, (this.users.get(sha256) ?? 0) + 1);
    try {
      await this.ensure(file, path);
      return await work(path);
    } finally {
      const left = this.users.get(sha256)! - 1;
      if (left > 0) this.users.set(sha256, left);
      else this.users.delete(sha256);
    }
  }

  private async ensure(file: Wanted, path: string): Promise<void> {
    const found = await stat(path).catch(() => undefined);
    if (found?.size === file.sizeBytes) {
      const now = new Date();
      await utimes(path, now, now);
      return;
    }
    const fetch =
      this.fetching.get(file.sha256) ??
      this.fetch(file, path).finally(() => this.fetching.delete(file.sha256));
    this.fetching.set(file.sha256, fetch);
    await fetch;
  }

  private async fetch(file: Wanted, path: string): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    await this.makeRoom(file.sizeBytes);
    const draft = await this.duck.newPath('draft');
    try {
      const found = await this.store.read(file.objectKey);
      const sha256 = found && (await save(found.body, draft));
      if (sha256 !== file.sha256) throw damaged(file.objectKey, found !== undefined);
      await rename(draft, path);
    } finally {
      await rm(draft, { force: true });
    }
  }

  private async makeRoom(bytes: number): Promise<void> {
    const names = (await readdir(this.directory)).filter((name) => name.endsWith('.parquet'));
    const found = await Promise.all(
      names.map(async (name) => {
        const path = join(this.directory, name);
        const file = await stat(path).catch(unlessGone);
        return (
          file && { path, size: file.size, mtimeMs: file.mtimeMs, sha256: name.slice(0, -'.parquet'.length) }
        );
      }),
    );
    const files = found.filter((file) => file !== undefined);
    let total = files.reduce((sum, { size }) => sum + size, bytes);
    for (const { path, size, sha256 } of files.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= this.maxBytes) return;
      if (this.users.has(sha256)) continue;
      await rm(path, { force: true });
      total -= size;
    }
  }
}

/** Others make room too. */
function unlessGone(error: unknown): undefined {
  if ((error as { code?: string }).code !== 'ENOENT') throw error;
}

/** @returns the SHA-256 of what was written, which is on the disk by then. */
async function save(body: Readable, path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(body, hashing(hash), createWriteStream(path, { mode: 0o600, flush: true }));
  return hash.digest('hex');
}

/** SHA-256 of a stream, in hex. */
export async function digestOf(body: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of hashing(hash)(body)) void chunk;
  return hash.digest('hex');
}

export const digestOfFile = (path: string): Promise<string> => digestOf(createReadStream(path));

const hashing = (hash: ReturnType<typeof createHash>) =>
  async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      hash.update(chunk);
      streamed(chunk.length);
      yield chunk;
    }
  };

function damaged(key: string, isThere: boolean): DomainError {
  return new DomainError(
    'OBJECT_STORE_UNAVAILABLE',
    `The archive's object ${key} ${isThere ? 'has other bytes than were archived' : 'is missing'}. Restore it; docs/archive.md says how to check.`,
  );
}
