import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Injectable } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';

const PREFIX = 'payloads/';
const MAX_LISTED = 10_000;

/** Whose body it is. One day's bodies lie together, so that they can go together. */
export interface PayloadPlace {
  readonly workspaceId: string;
  readonly startedAt: Date;
}

/** A UTC day of one workspace in the object store. */
export interface PayloadDay {
  readonly day: string;
  readonly prefix: string;
}

/** Bodies of inferences that are too large for PostgreSQL, in the object store by their digest. */
@Injectable()
export class PayloadStore {
  constructor(private readonly store: ObjectStore) {}

  /**
   * Stores a body, and reads it back: a store may lose or change bytes and answer 200 all the same.
   * @returns its SHA-256 in hex. @throws DomainError OBJECT_STORE_UNAVAILABLE.
   */
  async write(place: PayloadPlace, body: string): Promise<string> {
    const bytes = Buffer.from(body);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await this.store.write(keyOf(place, sha256), Readable.from([bytes]), bytes.length);
    if ((await this.read(place, sha256)) !== undefined) return sha256;
    throw new DomainError(
      'OBJECT_STORE_UNAVAILABLE',
      `The object store does not give back what was stored under ${keyOf(place, sha256)}; it stays in PostgreSQL.`,
    );
  }

  /** @returns undefined where it is not there, or is not what was stored. @throws DomainError OBJECT_STORE_UNAVAILABLE. */
  async read(place: PayloadPlace, sha256: string): Promise<string | undefined> {
    const found = await this.store.read(keyOf(place, sha256));
    if (!found) return undefined;
    const bytes = await buffer(found.body);
    return createHash('sha256').update(bytes).digest('hex') === sha256 ? bytes.toString('utf8') : undefined;
  }

  /** All days of a workspace that there are bodies of. */
  async listDays(workspaceId: string): Promise<PayloadDay[]> {
    const prefix = `${PREFIX}${workspaceId}/`;
    const days = await this.store.listDirectory(prefix, MAX_LISTED);
    return days.map(({ name: day }) => ({ day, prefix: `${prefix}${day}/` }));
  }

  /** @returns how many bodies were removed. */
  async removeDay({ prefix }: PayloadDay, signal: AbortSignal): Promise<number> {
    for (let removed = 0; ;) {
      const objects = await this.store.listDirectory(prefix, MAX_LISTED);
      if (objects.length === 0) return removed;
      for (const { name } of objects) {
        signal.throwIfAborted();
        await this.store.remove(prefix + name);
        removed++;
      }
    }
  }
}

function keyOf({ workspaceId, startedAt }: PayloadPlace, sha256: string): string {
  return `${PREFIX}${workspaceId}/${startedAt.toISOString().slice(0, 10)}/${sha256}`;
}
