import { armAt, BUCKETS, compileRanges } from '#libs/core/assignment/split.js';
import { saltPrefix } from '#libs/core/assignment/assign.js';
import { DEFAULT_DATA_CLASS } from '#libs/core/clearance/clearance.js';
import { DEFAULT_STRUCTURED_OUTPUT } from '#libs/core/contract/structured-output.js';
import type { ModelPrices } from '#libs/core/cost/cost.js';
import { credentialContext, type SecretBox } from '#libs/platform/secrets/secret-box.js';
import type { Logger } from '#libs/platform/log/logger.js';
import type { LoadedArm, LoadedEndpoint, LoadedModelEndpoint, LoadedShadow } from './loaded-snapshot.js';
import type { ChainRecord, EndpointRecord, ModelEndpointRecord, PromptRecord } from './records.js';
import { RegisteredChain, RegisteredPrompt } from './registered-chain.js';
import { armsAndShadows } from './snapshot-records.js';

/**
 * Makes served objects out of records. Versions never change, so that chains and prompts are made once and shared
 * by all endpoints and all later snapshots. A record that cannot be served is left out and logged: one bad row
 * must not take the others down.
 */
export class SnapshotBuilder {
  private chains = new Map<string, RegisteredChain>();
  private prompts = new Map<string, RegisteredPrompt>();
  private keptAtLastPrune = 0;

  constructor(
    private readonly secrets: SecretBox,
    private readonly logger: Logger,
  ) {}

  /** Which chain versions of these endpoints are not held yet. */
  missingChains(endpoints: readonly EndpointRecord[]): string[] {
    const ids = endpoints.flatMap(({ arms, shadows }) =>
      [...(arms ?? []), ...(shadows ?? [])].map(({ chainVersionId }) => chainVersionId),
    );
    return [...new Set(ids)].filter((id) => !this.chains.has(id));
  }

  missingPrompts(chains: readonly ChainRecord[]): string[] {
    const ids = new Set(chains.flatMap((chain) => chain.promptVersionId ?? []));
    return [...ids].filter((id) => !this.prompts.has(id));
  }

  addPrompt(record: PromptRecord): void {
    if (!this.prompts.has(record.versionId))
      this.prompts.set(record.versionId, new RegisteredPrompt(record.versionId, record.text));
  }

  /** @throws Error when the prompt it pins was not added before. */
  addChain(record: ChainRecord): void {
    if (this.chains.has(record.versionId)) return;
    const prompt = record.promptVersionId === null ? undefined : this.prompts.get(record.promptVersionId);
    if (!prompt && record.promptVersionId !== null)
      throw new Error(`Prompt version ${record.promptVersionId} is not there.`);
    const chain = new RegisteredChain(record, record.text, prompt, ({ name, version }, error) =>
      this.logger.error(
        { err: error, chain: name, version },
        'output contract does not compile; every answer counts as not valid',
      ),
    );
    this.chains.set(record.versionId, chain);
  }

  /** Undefined, and logged, when its split cannot be served. */
  endpoint(record: EndpointRecord): LoadedEndpoint | undefined {
    try {
      return this.servedEndpoint(record);
    } catch (error) {
      this.logger.error({ err: error, endpoint: record.name }, 'endpoint cannot be served and is left out');
      return undefined;
    }
  }

  private servedEndpoint(record: EndpointRecord): LoadedEndpoint {
    const arms = (record.arms ?? []).map((arm): LoadedArm => {
      const chain = this.chains.get(arm.chainVersionId);
      if (!chain) throw new Error(`Arm "${arm.name}": chain version ${arm.chainVersionId} is not there.`);
      return { name: arm.name, weightBps: arm.weightBps, chain };
    });
    const ranges = compileRanges(record.arms ?? []);
    for (const start of ranges.starts)
      if (start < BUCKETS && armAt(ranges, start) === undefined)
        throw new Error(`No arm owns bucket ${start}.`);
    const overrides = overridesOf(record, arms);
    const { id, workspaceId, name, createdAt, splitRevision, salt } = record;
    return {
      id,
      workspaceId,
      name,
      createdAt,
      dataClass: record.dataClass ?? DEFAULT_DATA_CLASS,
      payloads: record.payloads ?? 'full',
      splitRevision,
      salt,
      saltPrefix: saltPrefix(salt),
      ranges,
      overrides,
      arms,
      shadows: this.shadowsOf(record),
      cacheTtlSeconds: record.cacheTtlSeconds ?? null,
    };
  }

  /** One that cannot run is left out: the endpoint serves without it. */
  private shadowsOf({ name: endpoint, salt, shadows }: EndpointRecord): LoadedShadow[] | undefined {
    const found = (shadows ?? []).flatMap(({ name, sampleBps, chainVersionId }): LoadedShadow[] => {
      const chain = this.chains.get(chainVersionId);
      if (chain)
        return [{ arm: { name, weightBps: 0, chain }, sampleBps, saltPrefix: saltPrefix(`${salt}:${name}`) }];
      this.logger.error({ endpoint, shadow: name }, 'chain version of a shadow is not there; it is left out');
      return [];
    });
    return found.length > 0 ? found : undefined;
  }

  modelEndpoint(record: ModelEndpointRecord): LoadedModelEndpoint {
    const sealedCredential = record.credential
      ? { keyId: record.credential.keyId, ciphertext: Buffer.from(record.credential.ciphertext, 'base64') }
      : undefined;
    return {
      id: record.id,
      workspaceId: record.workspaceId,
      name: record.name,
      protocol: record.protocol,
      apiVersion: record.apiVersion,
      models: record.models,
      prices: pricesOf(record),
      clearance: record.clearance ?? DEFAULT_DATA_CLASS,
      structuredOutput: record.structuredOutput ?? DEFAULT_STRUCTURED_OUTPUT,
      maxConcurrencyPerReplica: record.maxConcurrencyPerReplica,
      credential: sealedCredential && this.open(record, sealedCredential),
      sealedCredential,
      replicas: record.replicas.map(({ id, baseUrl }) => ({ id, baseUrl: baseUrl.replace(/\/+$/, '') })),
    };
  }

  /** Without its key the model endpoint stays there, and says itself that it misses a credential. */
  private open(
    { id, name }: ModelEndpointRecord,
    sealed: { keyId: string; ciphertext: Buffer },
  ): string | undefined {
    try {
      return this.secrets.open(sealed, credentialContext(id));
    } catch (error) {
      this.logger.error({ err: error, modelEndpoint: name }, 'credential cannot be opened');
      return undefined;
    }
  }

  /** Forgets versions that none of these endpoints serves, once there are many of them. */
  prune(endpoints: Iterable<LoadedEndpoint>, force: boolean): void {
    if (!force && this.chains.size < 2 * this.keptAtLastPrune + 1_000) return;
    const chains = new Map<string, RegisteredChain>();
    const prompts = new Map<string, RegisteredPrompt>();
    for (const endpoint of endpoints)
      for (const { chain } of armsAndShadows(endpoint)) {
        chains.set(chain.versionId, chain);
        if (chain.pinnedPrompt) prompts.set(chain.pinnedPrompt.versionId, chain.pinnedPrompt);
      }
    this.chains = chains;
    this.prompts = prompts;
    this.keptAtLastPrune = chains.size;
  }
}

function pricesOf(record: ModelEndpointRecord): ModelPrices {
  const byModel = Object.entries(record.modelPrices ?? {});
  return {
    inputMicroUsdPerMillionTokens: record.inputMicroUsdPerMillionTokens,
    outputMicroUsdPerMillionTokens: record.outputMicroUsdPerMillionTokens,
    cachedInputMicroUsdPerMillionTokens: record.cachedInputMicroUsdPerMillionTokens ?? null,
    cacheWriteInputMicroUsdPerMillionTokens: record.cacheWriteInputMicroUsdPerMillionTokens ?? null,
    reasoningMicroUsdPerMillionTokens: record.reasoningMicroUsdPerMillionTokens ?? null,
    byModel: byModel.length > 0 ? new Map(byModel) : undefined,
  };
}

/** One for all: most endpoints have none, and a map of its own is the largest part of an endpoint in memory. */
const NO_OVERRIDES: ReadonlyMap<string, number> = new Map();

function overridesOf(record: EndpointRecord, arms: readonly LoadedArm[]): ReadonlyMap<string, number> {
  const pairs = Object.entries(record.overrides);
  if (pairs.length === 0) return NO_OVERRIDES;
  const positions = new Map(arms.map((arm, index) => [arm.name, index]));
  return new Map(
    pairs.map(([unit, name]) => {
      const index = positions.get(name);
      if (index === undefined) throw new Error(`An override names the arm "${name}", which is not there.`);
      return [unit, index];
    }),
  );
}
