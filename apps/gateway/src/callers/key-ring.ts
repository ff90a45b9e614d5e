import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { Action, Caller } from './caller.js';

/** An API key as the database and the disk hold it: of its secrets only digests. */
export interface ApiKeyRecord {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly team: string | null;
  readonly actions: readonly Action[];
  /** Names of serving endpoints; null is all. */
  readonly endpoints: readonly string[] | null;
  readonly clearance: DataClass;
  /** Milliseconds since 1970; null is never. */
  readonly expiresAtMs: number | null;
  readonly revoked: boolean;
  readonly secrets: readonly {
    /** See `apiKeyDigest`. */
    readonly digest: string;
    readonly expiresAtMs: number | null;
  }[];
}

/** An API key, ready to be asked. */
export class ServedKey implements Caller {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly team: string | null;
  readonly clearance: DataClass;
  readonly mayResolve: boolean;
  readonly mayInvoke: boolean;
  /** Undefined: all of the workspace. */
  readonly endpoints: ReadonlySet<string> | undefined;
  /** Milliseconds since 1970; written by every request, read now and then. */
  lastUsedMs = 0;

  constructor(readonly record: ApiKeyRecord) {
    this.id = record.id;
    this.workspaceId = record.workspaceId;
    this.name = record.name;
    this.team = record.team;
    this.clearance = record.clearance;
    this.mayResolve = record.actions.includes('resolve');
    this.mayInvoke = record.actions.includes('invoke');
    this.endpoints = record.endpoints === null ? undefined : new Set(record.endpoints);
  }

  may(action: Action): boolean {
    return action === 'invoke' ? this.mayInvoke : this.mayResolve;
  }

  mayUse(endpoint: string): boolean {
    return this.endpoints === undefined || this.endpoints.has(endpoint);
  }
}

/** One secret of a key. */
export interface ServedSecret {
  readonly key: ServedKey;
  /** From when on it is refused: Infinity is never. */
  readonly expiresAtMs: number;
}

/** The keys of all workspaces. Never changed in place. */
export class KeyRing {
  static readonly EMPTY = new KeyRing(new Map());
  private readonly secrets = new Map<string, ServedSecret>();

  private constructor(private readonly byId: ReadonlyMap<string, ServedKey>) {
    for (const key of byId.values()) {
      if (key.record.revoked) continue;
      const untilMs = key.record.expiresAtMs ?? Infinity;
      for (const { digest, expiresAtMs } of key.record.secrets)
        this.secrets.set(digest, { key, expiresAtMs: Math.min(untilMs, expiresAtMs ?? Infinity) });
    }
  }

  /** This ring, without the keys of these ids and with `now`. Keys that did not change stay the same objects. */
  with(ids: readonly string[], now: readonly ApiKeyRecord[]): KeyRing {
    const byId = new Map(this.byId);
    for (const id of ids) byId.delete(id);
    for (const record of now) byId.set(record.id, new ServedKey(record));
    return new KeyRing(byId);
  }

  /** Whether nobody ever made a key: revoking the last one opens nothing. */
  get isEmpty(): boolean {
    return this.byId.size === 0;
  }

  keys(): Iterable<ServedKey> {
    return this.byId.values();
  }

  /** @param digest see `apiKeyDigest`. */
  find(digest: string): ServedSecret | undefined {
    return this.secrets.get(digest);
  }
}
