import { Inject, Injectable } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { isDenied } from '#libs/platform/object-store/object-store-errors.js';
import {
  ObjectStore,
  type ByteRange,
  type ObjectBody,
  type StoredObject,
} from '#libs/platform/object-store/object-store.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { BLOB_PREFIX, STAGING_PREFIX } from './blob-store.js';
import type { DirectoryEntry } from './directory-rows.js';
import { storeOptions } from './store-options.js';

/** A safeguard of memory. */
const MAX_ENTRIES = 100_000;
const MAX_BUCKETS = 64;
const S3_URI = /^s3:\/\/([^/]+)(?:\/(.*))?$/;

/**
 * Artifacts that are not this registry's: an experiment may say that its artifacts lie under an S3 URI, where its
 * clients read and write them directly. The registry can only look, with its own credentials.
 */
@Injectable()
export class ExternalStore {
  private readonly stores = new Map<string, ObjectStore>();

  constructor(@Inject(SETTINGS_TOKEN) private readonly settings: Settings) {}

  /** @param uri of a directory. @throws DomainError VALIDATION_FAILED where the registry cannot look. */
  async list(uri: string): Promise<DirectoryEntry[]> {
    const { store, key } = this.at(uri);
    const prefix = key === '' ? '' : `${key}/`;
    const items = await reach(uri, store.listDirectory(prefix, MAX_ENTRIES));
    return items.map((item) => ({ ...item, isDirectory: item.sizeBytes === null }));
  }

  /** @param uri of a file. */
  async find(uri: string): Promise<StoredObject | undefined> {
    const { store, key } = this.at(uri);
    return reach(uri, store.find(key));
  }

  /** @param uri of a file. */
  async open(uri: string, range?: ByteRange): Promise<ObjectBody> {
    const { store, key } = this.at(uri);
    const object = await reach(uri, store.read(key, range));
    if (!object) throw new DomainError('NOT_FOUND', `There is nothing at ${uri}.`);
    return object;
  }

  private at(uri: string): { store: ObjectStore; key: string } {
    const [, bucket, path = ''] = S3_URI.exec(uri) ?? [];
    if (bucket === undefined)
      throw new DomainError(
        'VALIDATION_FAILED',
        `The artifacts lie at ${uri}, which this server cannot read; use a client that reaches them.`,
      );
    const key = path.replace(/\/+$/, '');
    const isOurs = bucket === this.settings.S3_BUCKET;
    if (isOurs && [BLOB_PREFIX, STAGING_PREFIX].some((prefix) => `${key}/`.startsWith(prefix) || key === ''))
      throw new DomainError('VALIDATION_FAILED', `${uri} is where this server keeps its own artifacts.`);
    return { store: this.storeOf(bucket), key };
  }

  private storeOf(bucket: string): ObjectStore {
    const known = this.stores.get(bucket);
    if (known) return known;
    if (this.stores.size >= MAX_BUCKETS) this.close();
    const store = new ObjectStore({ ...storeOptions(this.settings), bucket });
    this.stores.set(bucket, store);
    return store;
  }

  close(): void {
    for (const store of this.stores.values()) store.close();
    this.stores.clear();
  }
}

async function reach<T>(uri: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const cause = (error as { cause?: unknown }).cause;
    if (!isDenied(cause)) throw error;
    throw Object.assign(
      new DomainError(
        'VALIDATION_FAILED',
        `This server may not read ${uri} (${cause instanceof Error ? cause.name : 'refused'}); give its credentials access, or use a client that has it.`,
      ),
      { cause },
    );
  }
}
