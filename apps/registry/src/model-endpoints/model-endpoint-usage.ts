import type { EntityManager } from 'typeorm';

export interface ModelEndpointUse {
  /** Name of the serving endpoint. */
  readonly endpoint: string;
  readonly arm: string;
  /** `name@number` of the chain version. */
  readonly chain: string;
  readonly model: string;
}

/**
 * Which splits in force need a model endpoint, through the generation or a fallback of one of their arms.
 * A read model over the tables of other nouns. The digest-checked content is canonical JSON, so the
 * plain-text search cannot miss a use; it only spares parsing the chains that name other model endpoints.
 */
export async function modelEndpointUses(
  tx: EntityManager,
  workspaceId: string,
  name: string,
): Promise<ModelEndpointUse[]> {
  return tx.query(
    `SELECT DISTINCT e.name AS endpoint, a.name AS arm, c.name || '@' || v.number AS chain, g.generation->>'model' AS model
       FROM endpoint e
       JOIN split s ON s.endpoint_id = e.id AND s.revision = e.split_revision
       JOIN arm a ON a.split_id = s.id
       JOIN version v ON v.id = a.chain_version_id AND strpos(v.content, $3) > 0
       JOIN entry c ON c.id = v.entry_id
      CROSS JOIN LATERAL (
        SELECT COALESCE(v.content::jsonb->'generate', v.content::jsonb->'embed') AS generation
         UNION ALL
        SELECT jsonb_array_elements(v.content::jsonb->'fallbacks')) g
      WHERE e.workspace_id = $1 AND e.archived_at IS NULL AND g.generation->>'modelEndpoint' = $2
      ORDER BY 1, 2, 3, 4`,
    [workspaceId, name, `"modelEndpoint":${JSON.stringify(name)}`],
  );
}
