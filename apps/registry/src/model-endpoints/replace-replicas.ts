import type { EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { normalizeBaseUrl } from './base-url.js';
import type { ReplicaInput } from './model-endpoint.dto.js';
import type { ModelEndpoint } from './model-endpoint.entity.js';
import { Replica } from './replica.entity.js';

/** A replica that stays keeps its id, so that gateways keep what they know about it. */
export async function replaceReplicas(
  tx: EntityManager,
  { id, workspaceId }: ModelEndpoint,
  given: readonly ReplicaInput[],
): Promise<void> {
  const before = await tx.findBy(Replica, { modelEndpointId: id });
  const ids = new Map(before.map((replica) => [replica.baseUrl, replica.id]));
  const after = given.map((replica, position) => {
    const baseUrl = normalizeBaseUrl(replica.baseUrl)!;
    return { id: ids.get(baseUrl) ?? v7(), workspaceId, modelEndpointId: id, position, baseUrl };
  });
  await tx.delete(Replica, { modelEndpointId: id });
  await tx.insert(Replica, after);
}
