import type { BucketRange } from '#libs/core/assignment/split.js';
import type { Protocol } from '#libs/core/content/protocol.js';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { Payloads } from '#libs/core/clearance/payloads.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import type { TokenPrices } from '#libs/core/cost/cost.js';
import type { ChainIdentity } from './registered-chain.js';

/**
 * What a snapshot is made of, as plain JSON: read from the database, written to and read from the disk.
 * Change FORMAT_VERSION in snapshot-file.ts when a shape changes. What is optional is missing on the disk of an older gateway.
 */
export interface PromptRecord {
  readonly versionId: string;
  readonly text: string;
}

export interface ChainRecord extends ChainIdentity {
  readonly text: string;
  /** Null for a chain that embeds. */
  readonly promptVersionId: string | null;
}

export interface ArmRecord {
  readonly name: string;
  readonly weightBps: number;
  readonly ranges: readonly BucketRange[];
  readonly chainVersionId: string;
}

export interface ShadowRecord {
  readonly name: string;
  readonly sampleBps: number;
  readonly chainVersionId: string;
}

export interface EndpointRecord {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  readonly dataClass?: DataClass;
  readonly payloads?: Payloads;
  readonly splitRevision: number;
  readonly salt: string;
  /** Unit → name of the arm. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly arms: readonly ArmRecord[];
  readonly shadows?: readonly ShadowRecord[] | null;
  readonly cacheTtlSeconds?: number | null;
}

export interface ModelEndpointRecord {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly apiVersion: string | null;
  readonly models: readonly string[];
  readonly inputMicroUsdPerMillionTokens: number;
  readonly outputMicroUsdPerMillionTokens: number;
  readonly cachedInputMicroUsdPerMillionTokens?: number | null;
  readonly cacheWriteInputMicroUsdPerMillionTokens?: number | null;
  readonly reasoningMicroUsdPerMillionTokens?: number | null;
  /** By model, where they are not those of the others. */
  readonly modelPrices?: Readonly<Record<string, TokenPrices>>;
  readonly clearance?: DataClass;
  readonly structuredOutput?: StructuredOutput;
  readonly maxConcurrencyPerReplica: number;
  /** AES-256-GCM ciphertext in base64, with the id of its key. */
  readonly credential: { readonly keyId: string; readonly ciphertext: string } | null;
  readonly replicas: readonly { readonly id: string; readonly baseUrl: string }[];
}
