import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { Endpoint } from './endpoint.entity.js';
import { overrideList, type Division } from './split-plan.js';
import type { SplitDto } from './split.dto.js';

/** Columns of a split of table `s`, overrides left out. */
export const SPLIT_COLUMNS = `
  s.revision, s.salt, s.moved_buckets AS "movedBuckets", s.rollback_of AS "rollbackOf", s.reason,
  s.created_at AS "createdAt", s.created_by AS "createdBy",
  (SELECT count(*)::integer FROM jsonb_object_keys(s.overrides)) AS "overrideCount",
  (SELECT json_agg(json_build_object(
            'name', a.name, 'weightBps', a.weight_bps, 'ranges', a.ranges,
            'chain', json_build_object('name', c.name, 'version', v.number, 'digest', v.digest)) ORDER BY a.position)
     FROM arm a JOIN version v ON v.id = a.chain_version_id JOIN entry c ON c.id = v.entry_id
    WHERE a.split_id = s.id) AS arms,
  COALESCE((SELECT json_agg(json_build_object(
                     'name', w.name, 'sampleBps', w.sample_bps,
                     'chain', json_build_object('name', c.name, 'version', v.number, 'digest', v.digest)) ORDER BY w.position)
              FROM shadow w JOIN version v ON v.id = w.chain_version_id JOIN entry c ON c.id = v.entry_id
             WHERE w.split_id = s.id), '[]') AS shadows`;

/**
 * The endpoint's row. `lock`: until the transaction ends nobody else changes the endpoint or its splits.
 * @throws DomainError NOT_FOUND.
 */
export async function getEndpoint(
  manager: EntityManager,
  caller: Caller,
  name: string,
  lock = false,
): Promise<Endpoint> {
  const found = await manager.findOne(Endpoint, {
    where: { workspaceId: caller.workspaceId, name },
    ...(lock && { lock: { mode: 'pessimistic_write' } }),
  });
  if (!found)
    throw new DomainError(
      'NOT_FOUND',
      `There is no endpoint "${name}"; GET /api/v1/endpoints lists those that exist.`,
    );
  return found;
}

/** A split with its overrides; undefined where the endpoint has no such revision. */
export async function findSplit(
  manager: EntityManager,
  endpoint: Endpoint,
  revision: number,
): Promise<SplitDto | undefined> {
  const [found]: (Omit<SplitDto, 'overrides'> & { overrides: Record<string, string> })[] =
    await manager.query(
      `SELECT ${SPLIT_COLUMNS}, s.overrides FROM split s
      WHERE s.workspace_id = $1 AND s.endpoint_id = $2 AND s.revision = $3`,
      [endpoint.workspaceId, endpoint.id, revision],
    );
  return found && { ...found, overrides: overrideList(new Map(Object.entries(found.overrides))) };
}

/** @throws DomainError NOT_FOUND. */
export async function getSplit(
  manager: EntityManager,
  endpoint: Endpoint,
  revision: number,
): Promise<SplitDto> {
  const found = await findSplit(manager, endpoint, revision);
  if (!found)
    throw new DomainError(
      'NOT_FOUND',
      endpoint.splitRevision === 0
        ? `The endpoint "${endpoint.name}" has no split yet; PUT /api/v1/endpoints/${endpoint.name}/split makes the first.`
        : `The endpoint "${endpoint.name}" has no split revision ${revision}; its last is ${endpoint.splitRevision}.`,
    );
  return found;
}

export function divisionOf({ salt, arms, shadows, overrides }: SplitDto): Division {
  return { salt, arms, shadows, overrides: new Map(overrides.map(({ unit, arm }) => [unit, arm])) };
}
