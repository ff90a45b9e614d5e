import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { listAccessEvents, recordAccessEvent, type AccessAction } from '../access-events/access-event.js';
import type { AccessEventDto } from '../access-events/access-event.dto.js';
import { recordChange } from '../changes/record-change.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import { decodeCursor, isStringKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import {
  isBudget,
  type CreateLimitDto,
  type LimitDto,
  type LimitTargetDto,
  type LimitWindow,
  type UpdateLimitDto,
} from './limit.dto.js';

const DEFAULT_ALERT_PERCENT = 80;

const SELECT = `
  SELECT l.id, l.name, json_build_object('kind', l.target_kind, 'name', l.target) AS target, l.metric,
         l.time_window AS "window", l.amount, l.hard_stop AS "hardStop", l.alert_percent AS "alertPercent", l.revision,
         l.created_at AS "createdAt", l.created_by AS "createdBy", l.updated_at AS "updatedAt"
    FROM usage_limit l`;

/** How much callers may use. Gateways learn of every change within a moment, and what was used stays used. */
@Injectable()
export class LimitService {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError ALREADY_EXISTS, REFERENCE_NOT_FOUND (the target), VALIDATION_FAILED. */
  async create(caller: Caller, given: CreateLimitDto): Promise<LimitDto> {
    assertFits(given.window, given);
    const budget = isBudget(given.window);
    return this.database.transaction(async (tx) => {
      await assertTarget(tx, caller, given.target);
      const id = v7();
      try {
        await tx.query(
          `INSERT INTO usage_limit (id, workspace_id, name, target_kind, target, metric, time_window, amount, hard_stop,
                                    alert_percent, revision, created_at, created_by, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $11)`,
          [
            id,
            caller.workspaceId,
            given.name,
            given.target.kind,
            given.target.name,
            given.metric,
            given.window,
            given.amount,
            given.hardStop ?? true,
            given.alertPercent === undefined && budget ? DEFAULT_ALERT_PERCENT : (given.alertPercent ?? null),
            new Date(),
            caller.actor,
          ],
        );
      } catch (error) {
        if (!isUniqueViolation(error, 'usage_limit_name_key')) throw error;
        throw new DomainError(
          'ALREADY_EXISTS',
          `There is already a limit "${given.name}"; change it with PATCH, or choose another name.`,
        );
      }
      const { reason, name, ...detail } = given;
      return finish(tx, caller, { id, name }, 'created', reason, detail);
    });
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: string): Promise<LimitDto> {
    return find(this.database.manager, caller, name);
  }

  /** Ordered by name. */
  async list(caller: Caller, query: PageQuery): Promise<Page<LimitDto>> {
    const after = decodeCursor(query.cursor, isStringKey);
    const rows: LimitDto[] = await this.database.query(
      `${SELECT} WHERE l.workspace_id = $1 AND ($2::text IS NULL OR l.name > $2) ORDER BY l.name LIMIT $3`,
      [caller.workspaceId, after ?? null, query.limit + 1],
    );
    return pageOf(
      rows,
      query.limit,
      (row) => row.name,
      (row) => row,
    );
  }

  /** @throws DomainError NOT_FOUND, REVISION_CONFLICT, VALIDATION_FAILED. */
  async update(caller: Caller, name: string, given: UpdateLimitDto): Promise<LimitDto> {
    return this.database.transaction(async (tx) => {
      const before = await lock(tx, caller, name);
      if (given.expectedRevision !== undefined && given.expectedRevision !== before.revision)
        throw new DomainError(
          'REVISION_CONFLICT',
          `The limit "${name}" is at revision ${before.revision}, not ${given.expectedRevision}; look at it again before you change it.`,
          {
            expectedRevision: given.expectedRevision,
            currentRevision: before.revision,
            current: before,
          },
        );
      assertFits(before.window, given);
      await tx.query(
        `UPDATE usage_limit SET amount = $3, hard_stop = $4, alert_percent = $5, revision = revision + 1, updated_at = $6
          WHERE workspace_id = $1 AND id = $2`,
        [
          caller.workspaceId,
          before.id,
          given.amount ?? before.amount,
          given.hardStop ?? before.hardStop,
          given.alertPercent === undefined ? before.alertPercent : given.alertPercent,
          new Date(),
        ],
      );
      const { reason, expectedRevision: _, ...detail } = given;
      return finish(tx, caller, before, 'changed', reason, detail);
    });
  }

  /** Its events stay. @throws DomainError NOT_FOUND. */
  async delete(caller: Caller, name: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const before = await lock(tx, caller, name);
      await tx.query(`DELETE FROM usage_limit WHERE workspace_id = $1 AND id = $2`, [
        caller.workspaceId,
        before.id,
      ]);
      const { id: nounId, ...detail } = before;
      await recordAccessEvent(tx, caller, {
        noun: 'usage_limit',
        nounId,
        action: 'deleted',
        reason: undefined,
        detail,
      });
      await recordChange(tx, caller.workspaceId, 'usage_limit', nounId);
    });
  }

  /** What was done to a limit, by whom and why; newest first. @throws DomainError NOT_FOUND, INVALID_CURSOR. */
  async events(caller: Caller, name: string, query: PageQuery): Promise<Page<AccessEventDto>> {
    const { id } = await this.get(caller, name);
    return listAccessEvents(this.database.manager, caller, id, query);
  }
}

/** The last statements of every change: the log, the answer, then the gateways. */
async function finish(
  tx: EntityManager,
  caller: Caller,
  { id, name }: Pick<LimitDto, 'id' | 'name'>,
  action: AccessAction,
  reason: string | undefined,
  detail: object,
): Promise<LimitDto> {
  await recordAccessEvent(tx, caller, { noun: 'usage_limit', nounId: id, action, reason, detail });
  const answer = await find(tx, caller, name);
  await recordChange(tx, caller.workspaceId, 'usage_limit', id);
  return answer;
}

async function find(manager: EntityManager, caller: Caller, name: string): Promise<LimitDto> {
  const [found]: LimitDto[] = await manager.query(`${SELECT} WHERE l.workspace_id = $1 AND l.name = $2`, [
    caller.workspaceId,
    name,
  ]);
  if (found) return found;
  throw new DomainError(
    'NOT_FOUND',
    `There is no limit "${name.slice(0, 128)}"; GET /api/v1/limits lists those there are.`,
  );
}

/** The limit as it is; nobody else changes it until the transaction ends. */
async function lock(tx: EntityManager, caller: Caller, name: string): Promise<LimitDto> {
  await tx.query(`SELECT FROM usage_limit WHERE workspace_id = $1 AND name = $2 FOR UPDATE`, [
    caller.workspaceId,
    name,
  ]);
  return find(tx, caller, name);
}

const TARGET_TABLES = {
  apiKey: ['api_key', 'API key'],
  endpoint: ['endpoint', 'endpoint'],
  modelEndpoint: ['model_endpoint', 'model endpoint'],
} as const;

/** @throws DomainError REFERENCE_NOT_FOUND: a limit on a name that is misspelt would limit nothing. */
async function assertTarget(
  tx: EntityManager,
  caller: Caller,
  { kind, name }: LimitTargetDto,
): Promise<void> {
  // Teams are but a name on keys.
  if (kind === 'team') return;
  const [table, called] = TARGET_TABLES[kind];
  const found: unknown[] = await tx.query(`SELECT FROM ${table} WHERE workspace_id = $1 AND name = $2`, [
    caller.workspaceId,
    name,
  ]);
  if (found.length > 0) return;
  throw new DomainError(
    'REFERENCE_NOT_FOUND',
    `There is no ${called} "${name}"; create it first, or correct the name.`,
    { target: { kind, name } },
  );
}

/** @throws DomainError VALIDATION_FAILED for what only a budget has. */
function assertFits(
  window: LimitWindow,
  { hardStop, alertPercent }: Pick<UpdateLimitDto, 'hardStop' | 'alertPercent'>,
): void {
  if (isBudget(window)) return;
  const path =
    hardStop === false ? '/hardStop' : typeof alertPercent === 'number' ? '/alertPercent' : undefined;
  if (path === undefined) return;
  const message = `is of budgets only (window day or month), not of a window of a ${window}`;
  throw new DomainError('VALIDATION_FAILED', `The request is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
