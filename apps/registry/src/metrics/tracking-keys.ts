import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { DataSource } from 'typeorm';

/** Names in memory, at most: about 10 MB. */
const MAX_REMEMBERED = 50_000;

/**
 * The small integers by which volume tables name metrics, params and tags. Rows of `tracking_key` never change and
 * are never removed, so every process may remember them for ever.
 */
@Injectable()
export class TrackingKeys {
  private readonly ids = new LRUCache<string, number>({ max: MAX_REMEMBERED });

  constructor(private readonly database: DataSource) {}

  /** The number of every name; those that have none get one, in a short statement of its own. */
  async resolve(workspaceId: string, names: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    const { found, missing } = this.recall(workspaceId, names);
    if (missing.length === 0) return found;
    await this.read(workspaceId, missing, found);
    const absent = missing.filter((name) => !found.has(name));
    if (absent.length === 0) return found;
    // In one order everywhere, so that processes that insert the same names wait for each other only one way.
    await this.database.query(
      `INSERT INTO tracking_key (workspace_id, name)
       SELECT $1, name FROM unnest($2::text[]) name ORDER BY name COLLATE "C" ON CONFLICT DO NOTHING`,
      [workspaceId, absent],
    );
    await this.read(workspaceId, absent, found);
    return found;
  }

  /** The number of every name that has one: for reading, where an unknown name has no rows. */
  async find(workspaceId: string, names: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    const { found, missing } = this.recall(workspaceId, names);
    if (missing.length > 0) await this.read(workspaceId, missing, found);
    return found;
  }

  private recall(
    workspaceId: string,
    names: Iterable<string>,
  ): { found: Map<string, number>; missing: string[] } {
    const found = new Map<string, number>();
    const missing: string[] = [];
    for (const name of new Set(names)) {
      const id = this.ids.get(workspaceId + name);
      if (id === undefined) missing.push(name);
      else found.set(name, id);
    }
    return { found, missing };
  }

  private async read(workspaceId: string, names: string[], into: Map<string, number>): Promise<void> {
    const rows: { id: number; name: string }[] = await this.database.query(
      `SELECT id, name FROM tracking_key WHERE workspace_id = $1 AND name = ANY ($2::text[])`,
      [workspaceId, names],
    );
    for (const { id, name } of rows) {
      this.ids.set(workspaceId + name, id);
      into.set(name, id);
    }
  }
}
