import type { HashPrefix } from '#libs/core/assignment/murmur3.js';
import type { CompiledRanges } from '#libs/core/assignment/split.js';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { Payloads } from '#libs/core/clearance/payloads.js';
import type { Protocol } from '#libs/core/content/protocol.js';
import type { ChainContent } from '#libs/core/content/types.js';
import type { ModelPrices } from '#libs/core/cost/cost.js';
import type { CompiledPrompt } from '#libs/core/template/template.js';
import type { KeyRing } from '../callers/key-ring.js';
import type { LimitRecord } from '../limits/limit-record.js';

/** Everything needed to route, in memory. Never changed in place: a change makes a new one, swapped in one assignment. */
export interface Snapshot {
  /** Tells databases apart: sequence numbers of different epochs cannot be compared. */
  readonly epoch: string;
  /** Number of the last change it holds. */
  readonly seq: number;
  /** Strong entity tag, quotes included: `"<epoch>-<seq>"`. */
  readonly etag: string;
  /** See `findIn`; archived ones and those without a split are absent. */
  readonly endpoints: ReadonlyMap<string, ServedEndpoint>;
  /** See `findIn`; archived ones are absent. */
  readonly modelEndpoints: ReadonlyMap<string, ServedModelEndpoint>;
  readonly keyRing: KeyRing;
  /** By id. */
  readonly limits: ReadonlyMap<string, LimitRecord>;
}

export interface ServedEndpoint {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly createdAt: string;
  /** What its requests carry at least. */
  readonly dataClass: DataClass;
  /** What rows keep of bodies and metadata. */
  readonly payloads: Payloads;
  readonly splitRevision: number;
  readonly salt: string;
  /** The salt, prepared for hashing. */
  readonly saltPrefix: HashPrefix;
  readonly ranges: CompiledRanges;
  /** Unit → index of the arm. */
  readonly overrides: ReadonlyMap<string, number>;
  readonly arms: readonly ServedArm[];
}

export interface ServedArm {
  readonly name: string;
  readonly weightBps: number;
  readonly chain: ServedChain;
}

/** A chain version with the prompt it pins; one object per version, shared by all endpoints that serve it. */
export interface ServedChain {
  readonly versionId: string;
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly content: ChainContent;
  /** Canonical JSON of the chain content, as registered. */
  readonly contentText: string;
  /** Canonical JSON of the pinned prompt's content, as registered. */
  readonly promptText: string;
  readonly prompt: CompiledPrompt;
  /** Checks a parsed answer against the output contract; undefined where the chain has none. */
  readonly validateOutput: ((answer: unknown) => boolean) | undefined;
}

export interface ServedModelEndpoint {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly protocol: Protocol;
  /** Version of the protocol to ask for, where it is not the provider's own. */
  readonly apiVersion: string | null;
  /** Models it serves; a chain may name no other. */
  readonly models: readonly string[];
  readonly prices: ModelPrices;
  /** The highest class of data it may see. */
  readonly clearance: DataClass;
  readonly maxConcurrencyPerReplica: number;
  /** Decrypted in this process only. */
  readonly credential: string | undefined;
  readonly replicas: readonly ServedReplica[];
}

export interface ServedReplica {
  readonly id: string;
  /** As configured, without trailing slash, for instance `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string;
}
