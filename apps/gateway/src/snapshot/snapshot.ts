import type { HashPrefix } from '#libs/core/assignment/murmur3.js';
import type { CompiledRanges } from '#libs/core/assignment/split.js';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { Payloads } from '#libs/core/clearance/payloads.js';
import type { Protocol } from '#libs/core/content/protocol.js';
import type { ChainContent, Task } from '#libs/core/content/types.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import type { ModelPrices } from '#libs/core/cost/cost.js';
import type { CompiledPrompt } from '#libs/core/template/template.js';
import type { ServedContract } from '../contracts/served-contract.js';
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
  /** Undefined where it has none. */
  readonly shadows: readonly ServedShadow[] | undefined;
  /** How long its answers are kept; null: not at all. */
  readonly cacheTtlSeconds: number | null;
}

export interface ServedArm {
  readonly name: string;
  readonly weightBps: number;
  readonly chain: ServedChain;
}

/** A chain version that gets copies of requests. */
export interface ServedShadow {
  /** As rows have it: name and chain version. Its weight is 0, for it answers nobody. */
  readonly arm: ServedArm;
  /** Share of the units whose requests are copied, in basis points. */
  readonly sampleBps: number;
  /** A salt of its own, prepared for hashing: whom it samples has nothing to do with arms. */
  readonly saltPrefix: HashPrefix;
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
  /** What it does; only one that generates has a prompt. */
  readonly task: Task;
  /** Canonical JSON of the pinned prompt's content, as registered. */
  readonly promptText: string | undefined;
  readonly prompt: CompiledPrompt | undefined;
  /** Undefined where answers may be anything. */
  readonly contract: ServedContract | undefined;
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
  /** How it is asked for JSON by a schema. */
  readonly structuredOutput: StructuredOutput;
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
