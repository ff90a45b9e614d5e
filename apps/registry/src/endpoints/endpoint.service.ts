import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DEFAULT_DATA_CLASS } from '#libs/core/clearance/clearance.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { recordChange } from '../changes/record-change.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import { ArmCheck } from './arm-check.js';
import type {
  CreateEndpointDto,
  EndpointDto,
  EndpointItemDto,
  EndpointQuery,
  UpdateEndpointDto,
} from './endpoint.dto.js';
import { Endpoint } from './endpoint.entity.js';
import { findSplit, getEndpoint, SPLIT_COLUMNS } from './endpoint-read.js';
import type { SplitDto } from './split.dto.js';

/** Serving endpoints: the stable names that applications call. */
@Injectable()
export class EndpointService {
  constructor(
    private readonly database: DataSource,
    private readonly armCheck: ArmCheck,
  ) {}

  /** @throws DomainError ALREADY_EXISTS, also when the holder of the name is archived. */
  async create(caller: Caller, given: CreateEndpointDto): Promise<EndpointDto> {
    const now = new Date();
    const row: Endpoint = {
      id: v7(),
      workspaceId: caller.workspaceId,
      name: given.name,
      description: given.description ?? null,
      splitRevision: 0,
      dataClass: given.dataClass ?? DEFAULT_DATA_CLASS,
      payloads: given.payloads ?? 'full',
      cacheTtlSeconds: given.cacheTtlSeconds ?? null,
      createdAt: now,
      createdBy: caller.actor,
      updatedAt: now,
      archivedAt: null,
    };
    try {
      // No gateway needs to know before the first split.
      await this.database.manager.insert(Endpoint, row);
    } catch (error) {
      if (!isUniqueViolation(error, 'endpoint_name_key')) throw error;
      throw new DomainError(
        'ALREADY_EXISTS',
        `There is already an endpoint "${given.name}" (perhaps an archived one); use it, or choose another name.`,
      );
    }
    return shown(this.database.manager, row);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: string): Promise<EndpointDto> {
    const { manager } = this.database;
    return shown(manager, await getEndpoint(manager, caller, name));
  }

  /** Ordered by name. */
  async list(caller: Caller, query: EndpointQuery): Promise<Page<EndpointItemDto>> {
    const after = decodeCursor(query.cursor, isStringKey);
    const rows: (Omit<EndpointItemDto, 'split'> & SplitRow)[] = await this.database.query(
      `SELECT e.id, e.name, e.description, e.data_class AS "dataClass", e.payloads, e.cache_ttl_seconds AS "cacheTtlSeconds", e.created_at AS "createdAt", e.created_by AS "createdBy",
              e.updated_at AS "updatedAt", e.archived_at AS "archivedAt", to_jsonb(in_force) AS split
         FROM endpoint e
         LEFT JOIN LATERAL (SELECT ${SPLIT_COLUMNS} FROM split s
                             WHERE s.endpoint_id = e.id AND s.revision = e.split_revision) in_force ON true
        WHERE e.workspace_id = $1 AND ($2::text IS NULL OR e.name > $2) AND e.name ^@ $3
          AND ($4 OR e.archived_at IS NULL)
          AND ($5::text IS NULL OR EXISTS (
                SELECT FROM split s JOIN arm a ON a.split_id = s.id
                  JOIN version v ON v.id = a.chain_version_id JOIN entry c ON c.id = v.entry_id
                 WHERE s.endpoint_id = e.id AND s.revision = e.split_revision AND c.kind = 'chain' AND c.name = $5))
        ORDER BY e.name LIMIT $6`,
      [
        caller.workspaceId,
        after ?? null,
        query.prefix ?? '',
        query.includeArchived,
        query.chain ?? null,
        query.limit + 1,
      ],
    );
    return pageOf(
      rows,
      query.limit,
      (row) => row.name,
      // Inside JSON a timestamp is text in PostgreSQL's own spelling.
      (row) => ({
        ...row,
        split: row.split && { ...row.split, createdAt: new Date(row.split.createdAt) },
      }),
    );
  }

  /** @throws DomainError NOT_FOUND, ARCHIVED. */
  async update(caller: Caller, name: string, given: UpdateEndpointDto): Promise<EndpointDto> {
    return this.database.transaction(async (tx) => {
      const row = await getEndpoint(tx, caller, name, true);
      refuseArchived(row);
      if (given.description !== undefined) row.description = given.description;
      if (given.dataClass !== undefined) row.dataClass = given.dataClass;
      if (given.payloads !== undefined) row.payloads = given.payloads;
      if (given.cacheTtlSeconds !== undefined) row.cacheTtlSeconds = given.cacheTtlSeconds;
      return store(tx, row);
    });
  }

  /** Gateways stop serving it. Does nothing to one that is archived already. @throws DomainError NOT_FOUND. */
  async archive(caller: Caller, name: string): Promise<EndpointDto> {
    return this.database.transaction(async (tx) => {
      const row = await getEndpoint(tx, caller, name, true);
      if (row.archivedAt) return shown(tx, row);
      row.archivedAt = new Date();
      return store(tx, row);
    });
  }

  /**
   * Serves it again with the split it had. Does nothing to one that is not archived.
   * @throws DomainError NOT_FOUND; REFERENCE_ARCHIVED, REFERENCE_NOT_FOUND, NOT_CLEARED: a model endpoint of the split has
   * gone since, or lost its clearance.
   */
  async restore(caller: Caller, name: string): Promise<EndpointDto> {
    return this.database.transaction(async (tx) => {
      const row = await getEndpoint(tx, caller, name, true);
      if (!row.archivedAt) return shown(tx, row);
      await this.armCheck.assertGenerates(caller, row, tx);
      row.archivedAt = null;
      return store(tx, row);
    });
  }
}

interface SplitRow {
  split: Omit<SplitDto, 'overrides'> | null;
}

/** @throws DomainError ARCHIVED. */
export function refuseArchived({ name, archivedAt }: Endpoint): void {
  if (archivedAt)
    throw new DomainError(
      'ARCHIVED',
      `The endpoint "${name}" is archived; POST /api/v1/endpoints/${name}/restore first.`,
    );
}

async function store(tx: EntityManager, row: Endpoint): Promise<EndpointDto> {
  const { id, workspaceId, description, dataClass, payloads, cacheTtlSeconds, archivedAt } = row;
  row.updatedAt = new Date();
  const changed = { description, dataClass, payloads, cacheTtlSeconds, archivedAt, updatedAt: row.updatedAt };
  await tx.update(Endpoint, { id, workspaceId }, changed);
  const answer = await shown(tx, row);
  await recordChange(tx, workspaceId, 'endpoint', id);
  return answer;
}

async function shown(manager: EntityManager, row: Endpoint): Promise<EndpointDto> {
  const { workspaceId: _, splitRevision, ...fields } = row;
  return { ...fields, split: (await findSplit(manager, row, splitRevision)) ?? null };
}
