import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DEFAULT_DATA_CLASS } from '#libs/core/clearance/clearance.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { newApiKey, type NewApiKey } from '#libs/platform/secrets/api-key.js';
import { listAccessEvents, recordAccessEvent, type AccessAction } from '../access-events/access-event.js';
import type { AccessEventDto } from '../access-events/access-event.dto.js';
import { recordChange } from '../changes/record-change.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import type { NamedQuery } from '../http/named-query.js';
import { decodeCursor, isStringKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import type {
  ApiKeyDto,
  ApiKeyWithSecretDto,
  CreateApiKeyDto,
  RevokeApiKeyDto,
  RotateApiKeyDto,
  UpdateApiKeyDto,
} from './api-key.dto.js';

const utc = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const SELECT = `
  SELECT k.id, k.name, k.description, k.team, k.actions, k.endpoints, k.clearance, k.expires_at AS "expiresAt",
         k.revoked_at AS "revokedAt", k.last_used_at AS "lastUsedAt", k.revision, k.created_at AS "createdAt",
         k.created_by AS "createdBy", k.updated_at AS "updatedAt",
         COALESCE((SELECT json_agg(json_build_object('prefix', s.prefix, 'createdAt', ${utc('s.created_at')},
                            'createdBy', s.created_by, 'expiresAt', ${utc('s.expires_at')}) ORDER BY s.id DESC)
                     FROM api_key_secret s
                    WHERE s.api_key_id = k.id AND (s.expires_at IS NULL OR s.expires_at > now())), '[]') AS secrets
    FROM api_key k`;

/** Most secrets of a key that are good at a time. */
const MAX_SECRETS = 10;

/** Who may call the gateways. Gateways learn of every change within a moment. */
@Injectable()
export class ApiKeyService {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError ALREADY_EXISTS (also of a revoked key), REFERENCE_NOT_FOUND (an endpoint), VALIDATION_FAILED. */
  async create(caller: Caller, given: CreateApiKeyDto): Promise<ApiKeyWithSecretDto> {
    const expiresAt = futureTime(given.expiresAt);
    return this.database.transaction(async (tx) => {
      await assertEndpoints(tx, caller, given.endpoints);
      const id = v7();
      const now = new Date();
      try {
        await tx.query(
          `INSERT INTO api_key (id, workspace_id, name, description, team, actions, endpoints, clearance, expires_at,
                                revision, created_at, created_by, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $10)`,
          [
            id,
            caller.workspaceId,
            given.name,
            given.description ?? null,
            given.team ?? null,
            given.actions,
            given.endpoints ?? null,
            given.clearance ?? DEFAULT_DATA_CLASS,
            expiresAt ?? null,
            now,
            caller.actor,
          ],
        );
      } catch (error) {
        if (!isUniqueViolation(error, 'api_key_name_key')) throw error;
        throw new DomainError(
          'ALREADY_EXISTS',
          `There is already an API key "${given.name}" (perhaps a revoked one); rotate it, or choose another name.`,
        );
      }
      const made = await insertSecret(tx, caller, id, now);
      const { reason, name: _, ...detail } = given;
      return this.withSecret(tx, caller, given.name, made, {
        action: 'created',
        reason,
        detail: { ...detail, prefix: made.prefix },
      });
    });
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: string): Promise<ApiKeyDto> {
    return find(this.database.manager, caller, name);
  }

  /** Ordered by name. */
  async list(caller: Caller, query: NamedQuery): Promise<Page<ApiKeyDto>> {
    const after = decodeCursor(query.cursor, isStringKey);
    const rows: ApiKeyDto[] = await this.database.query(
      `${SELECT}
        WHERE k.workspace_id = $1 AND ($2::text IS NULL OR k.name > $2) AND k.name ^@ $3
          AND ($4 OR k.revoked_at IS NULL)
        ORDER BY k.name LIMIT $5`,
      [caller.workspaceId, after ?? null, query.prefix ?? '', query.includeArchived, query.limit + 1],
    );
    return pageOf(
      rows,
      query.limit,
      (row) => row.name,
      (row) => row,
    );
  }

  /** @throws DomainError NOT_FOUND, ARCHIVED (revoked), REVISION_CONFLICT, REFERENCE_NOT_FOUND, VALIDATION_FAILED. */
  async update(caller: Caller, name: string, given: UpdateApiKeyDto): Promise<ApiKeyDto> {
    const expiresAt = futureTime(given.expiresAt);
    return this.database.transaction(async (tx) => {
      const before = await lock(tx, caller, name);
      if (given.expectedRevision !== undefined && given.expectedRevision !== before.revision)
        throw new DomainError(
          'REVISION_CONFLICT',
          `The API key "${name}" is at revision ${before.revision}, not ${given.expectedRevision}; look at it again before you change it.`,
          {
            expectedRevision: given.expectedRevision,
            currentRevision: before.revision,
            current: before,
          },
        );
      await assertEndpoints(tx, caller, given.endpoints);
      const now = {
        description: given.description === undefined ? before.description : given.description,
        team: given.team === undefined ? before.team : given.team,
        actions: given.actions ?? before.actions,
        endpoints: given.endpoints === undefined ? before.endpoints : given.endpoints,
        clearance: given.clearance ?? before.clearance,
        expiresAt: expiresAt === undefined ? before.expiresAt : expiresAt,
      };
      await tx.query(
        `UPDATE api_key SET description = $3, team = $4, actions = $5, endpoints = $6, clearance = $7, expires_at = $8,
                revision = revision + 1, updated_at = $9
          WHERE workspace_id = $1 AND id = $2`,
        [caller.workspaceId, before.id, ...Object.values(now), new Date()],
      );
      const { reason, expectedRevision: _, ...detail } = given;
      return finish(tx, caller, before, 'changed', reason, detail);
    });
  }

  /** A new secret; those before it stay good for a while. @throws DomainError NOT_FOUND, ARCHIVED (revoked), IN_USE. */
  async rotate(caller: Caller, name: string, given: RotateApiKeyDto): Promise<ApiKeyWithSecretDto> {
    return this.database.transaction(async (tx) => {
      const before = await lock(tx, caller, name);
      if (before.secrets.length >= MAX_SECRETS && given.overlapSeconds > 0)
        throw new DomainError(
          'IN_USE',
          `The API key "${name}" has ${before.secrets.length} secrets that are still good; wait until some have expired, or rotate with overlapSeconds 0.`,
        );
      const now = new Date();
      // Without overlap they go: a time of expiry would depend on how clocks agree.
      if (given.overlapSeconds === 0)
        await tx.query(`DELETE FROM api_key_secret WHERE workspace_id = $1 AND api_key_id = $2`, [
          caller.workspaceId,
          before.id,
        ]);
      else
        await tx.query(
          `UPDATE api_key_secret SET expires_at = LEAST(expires_at, $3) WHERE workspace_id = $1 AND api_key_id = $2`,
          [caller.workspaceId, before.id, new Date(now.getTime() + given.overlapSeconds * 1000)],
        );
      const made = await insertSecret(tx, caller, before.id, now);
      await tx.query(
        `UPDATE api_key SET revision = revision + 1, updated_at = $3 WHERE workspace_id = $1 AND id = $2`,
        [caller.workspaceId, before.id, now],
      );
      const { reason, overlapSeconds } = given;
      return this.withSecret(tx, caller, name, made, {
        action: 'rotated',
        reason,
        detail: { overlapSeconds, prefix: made.prefix },
      });
    });
  }

  /** For good: all its secrets are refused. Does nothing to one that is revoked already. @throws DomainError NOT_FOUND. */
  async revoke(caller: Caller, name: string, { reason }: RevokeApiKeyDto): Promise<ApiKeyDto> {
    return this.database.transaction(async (tx) => {
      const before = await lock(tx, caller, name, true);
      if (before.revokedAt) return find(tx, caller, name);
      await tx.query(
        `UPDATE api_key SET revoked_at = $3, revision = revision + 1, updated_at = $3 WHERE workspace_id = $1 AND id = $2`,
        [caller.workspaceId, before.id, new Date()],
      );
      return finish(tx, caller, before, 'revoked', reason, {});
    });
  }

  /** What was done to a key, by whom and why; newest first. @throws DomainError NOT_FOUND, INVALID_CURSOR. */
  async events(caller: Caller, name: string, query: PageQuery): Promise<Page<AccessEventDto>> {
    const { id } = await this.get(caller, name);
    return listAccessEvents(this.database.manager, caller, id, query);
  }

  private async withSecret(
    tx: EntityManager,
    caller: Caller,
    name: string,
    made: NewApiKey,
    { action, reason, detail }: { action: AccessAction; reason: string | undefined; detail: object },
  ): Promise<ApiKeyWithSecretDto> {
    const key = await find(tx, caller, name);
    return Object.assign(await finish(tx, caller, key, action, reason, detail), { secret: made.text });
  }
}

/** The last statements of every change: the log, the answer, then the gateways. */
async function finish(
  tx: EntityManager,
  caller: Caller,
  { id, name }: ApiKeyDto,
  action: AccessAction,
  reason: string | undefined,
  detail: object,
): Promise<ApiKeyDto> {
  await recordAccessEvent(tx, caller, { noun: 'api_key', nounId: id, action, reason, detail });
  const answer = await find(tx, caller, name);
  await recordChange(tx, caller.workspaceId, 'api_key', id);
  return answer;
}

async function find(manager: EntityManager, caller: Caller, name: string): Promise<ApiKeyDto> {
  const [found]: ApiKeyDto[] = await manager.query(`${SELECT} WHERE k.workspace_id = $1 AND k.name = $2`, [
    caller.workspaceId,
    name,
  ]);
  if (found) return found;
  throw new DomainError(
    'NOT_FOUND',
    `There is no API key "${name.slice(0, 128)}"; GET /api/v1/api-keys lists those there are.`,
  );
}

/** The key as it is; nobody else changes it until the transaction ends. */
async function lock(
  tx: EntityManager,
  caller: Caller,
  name: string,
  mayBeRevoked = false,
): Promise<ApiKeyDto> {
  await tx.query(`SELECT FROM api_key WHERE workspace_id = $1 AND name = $2 FOR UPDATE`, [
    caller.workspaceId,
    name,
  ]);
  const found = await find(tx, caller, name);
  if (found.revokedAt && !mayBeRevoked)
    throw new DomainError('ARCHIVED', `The API key "${name}" is revoked, for good; make another one.`);
  return found;
}

async function insertSecret(
  tx: EntityManager,
  caller: Caller,
  apiKeyId: string,
  now: Date,
): Promise<NewApiKey> {
  const made = newApiKey();
  await tx.query(
    `INSERT INTO api_key_secret (id, workspace_id, api_key_id, prefix, digest, created_at, created_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [v7(), caller.workspaceId, apiKeyId, made.prefix, made.digest, now, caller.actor],
  );
  return made;
}

/** @throws DomainError REFERENCE_NOT_FOUND: a name that is misspelt would only be noticed by its caller. */
async function assertEndpoints(
  tx: EntityManager,
  caller: Caller,
  endpoints: readonly string[] | null | undefined,
): Promise<void> {
  if (!endpoints) return;
  const found: { name: string }[] = await tx.query(
    `SELECT name FROM endpoint WHERE workspace_id = $1 AND name = ANY ($2::text[])`,
    [caller.workspaceId, endpoints],
  );
  const known = new Set(found.map((row) => row.name));
  const missing = endpoints.filter((name) => !known.has(name));
  if (missing.length === 0) return;
  throw new DomainError(
    'REFERENCE_NOT_FOUND',
    `There is no endpoint "${missing[0]}"; create it first, or correct the name.`,
    { endpoints: missing.slice(0, 100) },
  );
}

/** @throws DomainError VALIDATION_FAILED for what has passed already: revoking is what ends a key. */
function futureTime(given: string | null | undefined): Date | null | undefined {
  if (given === undefined || given === null) return given;
  const time = new Date(given);
  if (time.getTime() > Date.now()) return time;
  throw new DomainError(
    'VALIDATION_FAILED',
    'The request is not valid: /expiresAt must be in the future; revoke a key to end it now.',
    [{ path: '/expiresAt', message: 'must be in the future' }],
  );
}
