import { BUCKETS, type BucketRange, type CompiledRanges } from '#libs/core/assignment/split.js';
import type { ApiKeyRecord } from '../callers/key-ring.js';
import type { LimitRecord } from '../limits/limit-record.js';
import type { LoadedArm, LoadedEndpoint, LoadedModelEndpoint, LoadedSnapshot } from './loaded-snapshot.js';
import type { ChainRecord, EndpointRecord, ModelEndpointRecord, PromptRecord } from './records.js';

/** One line of the snapshot file. */
export type SnapshotRecord =
  | { readonly prompt: PromptRecord }
  | { readonly chain: ChainRecord }
  | { readonly modelEndpoint: ModelEndpointRecord }
  | { readonly endpoint: EndpointRecord }
  | { readonly apiKey: ApiKeyRecord }
  | { readonly limit: LimitRecord };

/** A snapshot taken apart again, every record after those it names. */
export function* recordsOf(snapshot: LoadedSnapshot): Generator<SnapshotRecord> {
  const written = new Set<string>();
  for (const endpoint of snapshot.endpoints.values()) {
    for (const { chain } of armsAndShadows(endpoint)) {
      if (written.has(chain.versionId)) continue;
      const prompt = chain.pinnedPrompt;
      if (prompt && !written.has(prompt.versionId)) {
        yield { prompt: { versionId: prompt.versionId, text: prompt.text } };
        written.add(prompt.versionId);
      }
      const promptVersionId = prompt?.versionId ?? null;
      const { versionId, name, version, digest, contentText } = chain;
      yield { chain: { versionId, name, version, digest, promptVersionId, text: contentText } };
      written.add(versionId);
    }
    yield { endpoint: endpointRecord(endpoint) };
  }
  for (const modelEndpoint of snapshot.modelEndpoints.values())
    yield { modelEndpoint: modelEndpointRecord(modelEndpoint) };
  for (const { record: apiKey } of snapshot.keyRing.keys()) yield { apiKey };
  for (const limit of snapshot.limits.values()) yield { limit };
}

function endpointRecord(endpoint: LoadedEndpoint): EndpointRecord {
  const { id, workspaceId, name, createdAt, dataClass, payloads, splitRevision, salt, cacheTtlSeconds } =
    endpoint;
  const overrides = Object.fromEntries(
    [...endpoint.overrides].map(([unit, index]) => [unit, endpoint.arms[index]!.name]),
  );
  const arms = endpoint.arms.map(({ name, weightBps, chain }, index) => ({
    name,
    weightBps,
    ranges: rangesOf(endpoint.ranges, index),
    chainVersionId: chain.versionId,
  }));
  const shadows = endpoint.shadows?.map(({ arm, sampleBps }) => ({
    name: arm.name,
    sampleBps,
    chainVersionId: arm.chain.versionId,
  }));
  return {
    id,
    workspaceId,
    name,
    createdAt,
    dataClass,
    payloads,
    splitRevision,
    salt,
    overrides,
    arms,
    ...(shadows && { shadows }),
    ...(cacheTtlSeconds !== null && { cacheTtlSeconds }),
  };
}

/** What of an endpoint runs chain versions. */
export function* armsAndShadows({ arms, shadows }: LoadedEndpoint): Generator<LoadedArm> {
  yield* arms;
  if (shadows) for (const { arm } of shadows) yield arm;
}

function rangesOf({ starts, owners }: CompiledRanges, arm: number): BucketRange[] {
  const ranges: BucketRange[] = [];
  for (let index = 0; index < starts.length; index++)
    if (owners[index] === arm) ranges.push([starts[index]!, starts[index + 1] ?? BUCKETS]);
  return ranges;
}

function modelEndpointRecord(endpoint: LoadedModelEndpoint): ModelEndpointRecord {
  const { id, workspaceId, name, protocol, apiVersion, models, prices } = endpoint;
  const { clearance, structuredOutput, maxConcurrencyPerReplica, sealedCredential } = endpoint;
  return {
    id,
    workspaceId,
    name,
    protocol,
    apiVersion,
    models,
    inputMicroUsdPerMillionTokens: prices.inputMicroUsdPerMillionTokens,
    outputMicroUsdPerMillionTokens: prices.outputMicroUsdPerMillionTokens,
    cachedInputMicroUsdPerMillionTokens: prices.cachedInputMicroUsdPerMillionTokens ?? null,
    cacheWriteInputMicroUsdPerMillionTokens: prices.cacheWriteInputMicroUsdPerMillionTokens ?? null,
    reasoningMicroUsdPerMillionTokens: prices.reasoningMicroUsdPerMillionTokens ?? null,
    modelPrices: Object.fromEntries(prices.byModel ?? []),
    clearance,
    structuredOutput,
    maxConcurrencyPerReplica,
    credential: sealedCredential
      ? { keyId: sealedCredential.keyId, ciphertext: sealedCredential.ciphertext.toString('base64') }
      : null,
    replicas: endpoint.replicas,
  };
}
