import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import { isPlace, type Place } from '../http/newest-first.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import { lockTraces } from './lock-traces.js';
import type { NewQueue, QueuePatch, ReviewQueue } from './review-queue.js';
import {
  checkedName,
  checkedOwner,
  checkedQueue,
  checkedSchemaIds,
  checkedUser,
  checkedUsers,
} from './review-queue.rules.js';

export interface QueueQuery {
  /** Only queues of this user. */
  readonly user?: string | undefined;
  /** Only queues that this trace is in. */
  readonly traceId?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

const SELECT = `
  SELECT q.id, e.number AS "experimentNumber", q.name, q.kind, q.users, q.label_schema_ids AS "labelSchemaIds",
         q.created_at AS "createdAt", q.created_by AS "createdBy", q.updated_at AS "updatedAt"
    FROM review_queue q JOIN experiment e ON e.serial = q.experiment`;

@Injectable()
export class ReviewQueueService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
  ) {}

  /** @throws DomainError NOT_FOUND, DELETED (the experiment), ALREADY_EXISTS, REFERENCE_NOT_FOUND (a label schema), VALIDATION_FAILED. */
  async create(caller: Caller, given: NewQueue): Promise<ReviewQueue> {
    const { name, users, labelSchemaIds } = checkedQueue(given);
    const experiment = await this.experiments.getActive(caller, { number: given.experimentNumber });
    await this.assertSchemas(
      this.database.manager,
      experiment.serial,
      given.experimentNumber,
      labelSchemaIds,
    );
    const id = v7();
    await this.database
      .query(
        `INSERT INTO review_queue (id, workspace_id, experiment, name, name_key, kind, users, label_schema_ids,
                                   created_at, created_by, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9)`,
        [
          id,
          caller.workspaceId,
          experiment.serial,
          name,
          name.toLowerCase(),
          given.kind,
          users,
          labelSchemaIds,
          new Date(),
          given.kind === 'user' ? name : caller.actor,
        ],
      )
      .catch(taken(name));
    return this.get(caller, id);
  }

  /** The worklist of a user, made where there is none. @throws DomainError NOT_FOUND, DELETED, ALREADY_EXISTS (as a custom queue), VALIDATION_FAILED. */
  async ensureOfUser(caller: Caller, experimentNumber: number, user: string): Promise<ReviewQueue> {
    try {
      return await this.create(caller, { experimentNumber, name: user, kind: 'user' });
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'ALREADY_EXISTS') throw error;
    }
    const found = await this.getByName(caller, experimentNumber, user.trim());
    if (found.kind === 'user') return found;
    throw new DomainError('ALREADY_EXISTS', `There is a queue "${found.name}" that is not that of a user.`);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(
    caller: Caller,
    id: string,
    manager: EntityManager = this.database.manager,
  ): Promise<ReviewQueue> {
    const [found]: ReviewQueue[] = await manager.query(`${SELECT} WHERE q.workspace_id = $1 AND q.id = $2`, [
      caller.workspaceId,
      validate(id) ? id : null,
    ]);
    if (found === undefined) throw noSuchQueue(id);
    return found;
  }

  /** Whatever the case of the name. @throws DomainError NOT_FOUND, DELETED (the experiment). */
  async getByName(caller: Caller, experimentNumber: number, name: string): Promise<ReviewQueue> {
    const { serial } = await this.experiments.getActive(caller, { number: experimentNumber });
    const [found]: ReviewQueue[] = await this.database.query(
      `${SELECT} WHERE q.experiment = $1 AND q.name_key = $2`,
      [serial, name.toLowerCase()],
    );
    if (found === undefined)
      throw new DomainError(
        'NOT_FOUND',
        `Review queue with name '${name.slice(0, 250)}' not found for experiment '${experimentNumber}'.`,
      );
    return found;
  }

  /** Newest first. @throws DomainError NOT_FOUND, DELETED (the experiment), INVALID_CURSOR, VALIDATION_FAILED. */
  async list(caller: Caller, experimentNumber: number, query: QueueQuery): Promise<Page<ReviewQueue>> {
    const after = decodeCursor(query.cursor, isPlace());
    const { serial } = await this.experiments.getActive(caller, { number: experimentNumber });
    const rows: ReviewQueue[] = await this.database.query(
      `${SELECT} WHERE q.experiment = $1
          AND ($2::text IS NULL OR $2 = ANY (q.users))
          AND ($3::text IS NULL OR EXISTS (SELECT FROM review_queue_item i WHERE i.queue_id = q.id AND i.trace_id = $3))
          AND ($4::timestamptz IS NULL OR (q.created_at <= $4 AND (q.created_at < $4 OR q.id > $5::uuid)))
        ORDER BY q.created_at DESC, q.id LIMIT $6`,
      [
        serial,
        query.user === undefined ? null : checkedUser('/user', query.user),
        query.traceId ?? null,
        after ? new Date(after[0]) : null,
        after?.[1] ?? null,
        query.limit + 1,
      ],
    );
    return pageOf(
      rows,
      query.limit,
      (row): Place => [row.createdAt.getTime(), row.id],
      (row) => row,
    );
  }

  /** @throws DomainError NOT_FOUND, ALREADY_EXISTS, IMMUTABLE, REFERENCE_NOT_FOUND (a label schema), VALIDATION_FAILED. */
  async update(caller: Caller, id: string, patch: QueuePatch): Promise<ReviewQueue> {
    return this.database.transaction(async (tx) => {
      const experiment = await this.lock(caller, id, tx);
      const before = await this.get(caller, id, tx);
      if (before.kind === 'user')
        throw new DomainError(
          'IMMUTABLE',
          'The queue of a user is fixed: its name, user, questions and owner cannot be updated.',
        );
      const { users, labelSchemaIds } = patch;
      const name = patch.name === undefined ? before.name : checkedName(patch.name);
      const schemaIds =
        labelSchemaIds === undefined ? before.labelSchemaIds : checkedSchemaIds(labelSchemaIds);
      if (labelSchemaIds !== undefined) {
        await this.assertEmpty(tx, id);
        await this.assertSchemas(tx, experiment, before.experimentNumber, schemaIds);
      }
      await tx
        .query(
          `UPDATE review_queue SET name = $3, name_key = $4, users = $5, label_schema_ids = $6, created_by = $7, updated_at = $8
            WHERE workspace_id = $1 AND id = $2`,
          [
            caller.workspaceId,
            id,
            name,
            name.toLowerCase(),
            users === undefined ? before.users : checkedUsers(users),
            schemaIds,
            patch.owner === undefined ? before.createdBy : checkedOwner(patch.owner),
            Object.values(patch).some((value) => value !== undefined) ? new Date() : before.updatedAt,
          ],
        )
        .catch(taken(name));
      return this.get(caller, id, tx);
    });
  }

  /** With its items; traces and answers stay. @throws DomainError NOT_FOUND. */
  async delete(caller: Caller, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await this.lock(caller, id, tx);
      await lockTraces(tx, id, null);
      await tx.query(`DELETE FROM review_queue WHERE workspace_id = $1 AND id = $2`, [
        caller.workspaceId,
        id,
      ]);
    });
  }

  /**
   * Who changes the questions and who adds items take turns.
   * @returns the serial of its experiment.
   * @throws DomainError NOT_FOUND.
   */
  async lock(caller: Caller, id: string, tx: EntityManager): Promise<number> {
    const [found]: { experiment: number }[] = await tx.query(
      `SELECT experiment FROM review_queue WHERE workspace_id = $1 AND id = $2 FOR NO KEY UPDATE`,
      [caller.workspaceId, validate(id) ? id : null],
    );
    if (found === undefined) throw noSuchQueue(id);
    return found.experiment;
  }

  private async assertEmpty(tx: EntityManager, id: string): Promise<void> {
    const items: unknown[] = await tx.query(`SELECT FROM review_queue_item WHERE queue_id = $1 LIMIT 1`, [
      id,
    ]);
    if (items.length > 0)
      throw new DomainError(
        'IMMUTABLE',
        "A review queue's questions are locked once items are assigned to it. Remove the items before changing its questions.",
      );
  }

  private async assertSchemas(
    manager: EntityManager,
    experiment: number,
    experimentNumber: number,
    ids: readonly string[],
  ): Promise<void> {
    if (ids.length === 0) return;
    const rows: { id: string }[] = await manager.query(
      `SELECT id FROM label_schema WHERE experiment = $1 AND id = ANY($2::uuid[])`,
      [experiment, ids.filter((id) => validate(id))],
    );
    const missing = ids.filter((id) => !rows.some((row) => row.id === id.toLowerCase()));
    if (missing.length > 0)
      throw new DomainError(
        'REFERENCE_NOT_FOUND',
        `The experiment ${experimentNumber} has no label schema ${missing[0]!.slice(0, 64)}.`,
        { path: '/labelSchemaIds', missing },
      );
  }
}

function taken(name: string): (error: unknown) => never {
  return (error) => {
    throw isUniqueViolation(error, 'review_queue_name_key')
      ? new DomainError(
          'ALREADY_EXISTS',
          `Review queue with name '${name}' already exists (names are case-insensitive).`,
        )
      : error;
  };
}

function noSuchQueue(id: string): DomainError {
  return new DomainError('NOT_FOUND', `There is no review queue "${id.slice(0, 64)}".`);
}
