import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { ModelEndpointDto } from './model-endpoint.dto.js';
import { ModelEndpoint } from './model-endpoint.entity.js';

/** Everything that is shown of a model endpoint of table `m`; never the credential. */
export const SELECT_SHOWN = `
  SELECT m.id, m.name, m.description, m.protocol, m.api_version AS "apiVersion", m.models, m.revision,
         (SELECT json_agg(json_build_object('id', r.id, 'baseUrl', r.base_url) ORDER BY r.position)
            FROM replica r WHERE r.model_endpoint_id = m.id) AS replicas,
         json_strip_nulls(json_build_object(
           'inputMicroUsdPerMillionTokens', m.input_micro_usd_per_million_tokens,
           'outputMicroUsdPerMillionTokens', m.output_micro_usd_per_million_tokens,
           'cachedInputMicroUsdPerMillionTokens', m.cached_input_micro_usd_per_million_tokens,
           'cacheWriteInputMicroUsdPerMillionTokens', m.cache_write_input_micro_usd_per_million_tokens,
           'reasoningMicroUsdPerMillionTokens', m.reasoning_micro_usd_per_million_tokens)) AS prices,
         m.model_prices AS "modelPrices", m.clearance, m.structured_output AS "structuredOutput",
         m.max_concurrency_per_replica AS "maxConcurrencyPerReplica",
         m.credential_ciphertext IS NOT NULL AS "hasCredential",
         m.created_at AS "createdAt", m.created_by AS "createdBy", m.updated_at AS "updatedAt",
         m.archived_at AS "archivedAt"
    FROM model_endpoint m`;

/** @throws DomainError NOT_FOUND. */
export async function readModelEndpoint(
  manager: EntityManager,
  workspaceId: string,
  name: string,
): Promise<ModelEndpointDto> {
  const [found]: ModelEndpointDto[] = await manager.query(
    `${SELECT_SHOWN} WHERE m.workspace_id = $1 AND m.name = $2`,
    [workspaceId, name],
  );
  if (!found) throw notFound(name);
  return found;
}

/** The row, which nobody else changes until the transaction ends. @throws DomainError NOT_FOUND. */
export async function lockModelEndpoint(
  tx: EntityManager,
  caller: Caller,
  name: string,
): Promise<ModelEndpoint> {
  const row = await tx.findOne(ModelEndpoint, {
    where: { workspaceId: caller.workspaceId, name },
    lock: { mode: 'pessimistic_write' },
  });
  if (!row) throw notFound(name);
  return row;
}

function notFound(name: string): DomainError {
  return new DomainError(
    'NOT_FOUND',
    `There is no model endpoint "${name}"; GET /api/v1/model-endpoints lists those that exist.`,
  );
}
