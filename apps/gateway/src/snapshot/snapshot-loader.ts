import type { ClientBase } from 'pg';
import { KeyRing } from '../callers/key-ring.js';
import { LayeredMap } from './layered-map.js';
import type { LoadedEndpoint, LoadedModelEndpoint, LoadedSnapshot } from './loaded-snapshot.js';
import type { EndpointRecord } from './records.js';
import type { SnapshotBuilder } from './snapshot-builder.js';
import {
  continues,
  readApiKeys,
  readChains,
  readChanges,
  readConsistently,
  readEndpoints,
  readEndpointsById,
  readHead,
  readLimits,
  readModelEndpoints,
  readPrompts,
  type Head,
} from './snapshot-reader.js';
import { keyIn } from './workspace-key.js';

type Parts = Pick<LoadedSnapshot, 'endpoints' | 'modelEndpoints' | 'keyRing' | 'limits'>;

/** A snapshot of the given parts, with its entity tag. */
export function snapshotOf({ epoch, seq, stamp }: Head, parts: Parts): LoadedSnapshot {
  return { epoch, seq, stamp, etag: `"${epoch}-${seq}"`, ...parts };
}

/** Everything, in one transaction. */
export function loadAll(client: ClientBase, builder: SnapshotBuilder): Promise<LoadedSnapshot> {
  return readConsistently(client, async () => {
    const head = await readHead(client);
    const endpoints = new Map<string, LoadedEndpoint>();
    for await (const records of readEndpoints(client))
      for (const endpoint of await buildEndpoints(client, builder, records))
        endpoints.set(keyIn(endpoint.workspaceId, endpoint.name), endpoint);
    const modelEndpoints = new Map<string, LoadedModelEndpoint>();
    for (const record of await readModelEndpoints(client))
      modelEndpoints.set(keyIn(record.workspaceId, record.name), builder.modelEndpoint(record));
    const keyRing = KeyRing.EMPTY.with([], await readApiKeys(client));
    const limits = new Map((await readLimits(client)).map((limit) => [limit.id, limit]));
    builder.prune(endpoints.values(), true);
    return snapshotOf(head, { endpoints, modelEndpoints, keyRing, limits });
  });
}

/**
 * What changed since `previous`, in one transaction, put on a copy of it. What did not change stays the same object.
 * Undefined when there is no way from there to here: another database, or one restored to an earlier state.
 */
export function loadChanges(
  client: ClientBase,
  builder: SnapshotBuilder,
  previous: LoadedSnapshot,
): Promise<LoadedSnapshot | undefined> {
  return readConsistently(client, async () => {
    if (!(await continues(client, previous))) return undefined;
    const { head, endpointIds, modelEndpointIds, apiKeyIds, limitIds } = await readChanges(
      client,
      previous.seq,
    );
    if (head.epoch !== previous.epoch || head.seq < previous.seq) return undefined;
    const changed: LoadedEndpoint[] = [];
    for await (const records of readEndpointsById(client, endpointIds))
      changed.push(...(await buildEndpoints(client, builder, records)));
    const changedModelEndpoints =
      modelEndpointIds.length > 0 ? await readModelEndpoints(client, modelEndpointIds) : [];
    const endpoints = replaced(previous.endpoints, endpointIds, changed);
    const modelEndpoints = replaced(
      previous.modelEndpoints,
      modelEndpointIds,
      changedModelEndpoints.map((record) => builder.modelEndpoint(record)),
    );
    const keyRing =
      apiKeyIds.length > 0
        ? previous.keyRing.with(apiKeyIds, await readApiKeys(client, apiKeyIds))
        : previous.keyRing;
    const limits =
      limitIds.length > 0 ? await changedLimits(client, previous.limits, limitIds) : previous.limits;
    builder.prune(endpoints.values(), false);
    return snapshotOf(head, { endpoints, modelEndpoints, keyRing, limits });
  });
}

async function buildEndpoints(
  client: ClientBase,
  builder: SnapshotBuilder,
  records: readonly EndpointRecord[],
): Promise<LoadedEndpoint[]> {
  const missing = builder.missingChains(records);
  if (missing.length > 0) {
    const chains = await readChains(client, missing);
    const prompts = builder.missingPrompts(chains);
    if (prompts.length > 0)
      for (const prompt of await readPrompts(client, prompts)) builder.addPrompt(prompt);
    for (const chain of chains) builder.addChain(chain);
  }
  return records.map((record) => builder.endpoint(record)).filter((endpoint) => endpoint !== undefined);
}

async function changedLimits(
  client: ClientBase,
  previous: LoadedSnapshot['limits'],
  ids: readonly string[],
): Promise<LoadedSnapshot['limits']> {
  const limits = new Map(previous);
  for (const id of ids) limits.delete(id);
  for (const limit of await readLimits(client, ids)) limits.set(limit.id, limit);
  return limits;
}

/** By key, without what had one of the ids, and with `now`: archived, renamed and changed alike. */
function replaced<T extends { readonly id: string; readonly workspaceId: string; readonly name: string }>(
  previous: ReadonlyMap<string, T>,
  ids: readonly string[],
  now: readonly T[],
): ReadonlyMap<string, T> {
  if (ids.length === 0) return previous;
  const changes = new Map<string, T | undefined>();
  const elsewhere = new Set(ids);
  const keyOf = (item: T) => keyIn(item.workspaceId, item.name);
  for (const item of now) if (previous.get(keyOf(item))?.id === item.id) elsewhere.delete(item.id);
  if (elsewhere.size > 0)
    for (const item of previous.values()) if (elsewhere.has(item.id)) changes.set(keyOf(item), undefined);
  for (const item of now) changes.set(keyOf(item), item);
  return LayeredMap.with(previous, changes);
}
