import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ExperimentService, type ExperimentRef } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import { generateRunName } from '../runs/run-name.js';
import { RunService } from '../runs/run.service.js';
import type { LoggedModelRecord } from './logged-model-record.js';
import { LoggedModel, type LoggedModelStatus } from './logged-model.entity.js';
import { LoggedModelReader, noSuchLoggedModel } from './logged-model.reader.js';
import {
  assertModelName,
  assertPairs,
  assertShort,
  LOGGED_MODEL_LIMITS,
  type Pairs,
} from './logged-model.rules.js';

export interface CreateLoggedModel {
  /** Absent: that of the source run, else "Default". */
  readonly experiment?: ExperimentRef;
  /** Absent: a name is made. */
  readonly name?: string;
  readonly modelType?: string | null;
  /** The run that makes it. */
  readonly sourceRunId?: string | null;
  /** Keeps the name of a source run that is not here, instead of refusing it. */
  readonly foreignRun?: string | null;
  readonly params?: Pairs;
  readonly tags?: Pairs;
}

export interface UpdateLoggedModel {
  readonly status?: LoggedModelStatus;
  readonly statusMessage?: string | null;
  /** A string sets the tag, null removes it; others stay. */
  readonly tags?: Readonly<Record<string, string | null>>;
}

/** Models as runs make them: their life from PENDING to READY or FAILED, and what is said about them. */
@Injectable()
export class LoggedModelService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
    private readonly runs: RunService,
    private readonly reader: LoggedModelReader,
  ) {}

  /** @throws DomainError NOT_FOUND, DELETED (the experiment), REFERENCE_NOT_FOUND (the run), VALIDATION_FAILED. */
  async create(caller: Caller, given: CreateLoggedModel): Promise<LoggedModelRecord> {
    if (given.name !== undefined) assertModelName(given.name);
    assertShort('/modelType', given.modelType, LOGGED_MODEL_LIMITS.modelType);
    assertPairs('/params', given.params ?? {});
    assertPairs('/tags', given.tags ?? {});
    const { experiment, sourceRunId } = await this.originOf(caller, given);
    const { serial } = await this.experiments.getActive(caller, experiment);
    const now = new Date();
    const model: LoggedModel = {
      id: v7(),
      workspaceId: caller.workspaceId,
      experiment: serial,
      name: given.name ?? generateRunName(),
      status: 'PENDING',
      statusMessage: null,
      modelType: given.modelType ?? null,
      sourceRunId,
      foreignRun: sourceRunId === null ? (given.foreignRun ?? null) : null,
      params: given.params ?? {},
      tags: given.tags ?? {},
      createdAt: now,
      createdBy: caller.actor,
      updatedAt: now,
      deletedAt: null,
    };
    await this.database.manager.insert(LoggedModel, model);
    return this.reader.get(caller, model.id);
  }

  private async originOf(
    caller: Caller,
    { experiment, sourceRunId, foreignRun }: CreateLoggedModel,
  ): Promise<{ experiment: ExperimentRef; sourceRunId: string | null }> {
    assertShort('/foreignRun', foreignRun, LOGGED_MODEL_LIMITS.foreignRun);
    if (!sourceRunId) return { experiment: experiment ?? { number: 0 }, sourceRunId: null };
    try {
      const run = await this.runs.get(caller, sourceRunId);
      return { experiment: experiment ?? { id: run.experimentId }, sourceRunId };
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'NOT_FOUND') throw error;
      if (foreignRun) return { experiment: experiment ?? { number: 0 }, sourceRunId: null };
      throw new DomainError('REFERENCE_NOT_FOUND', `/sourceRunId: ${error.message}`, {
        path: '/sourceRunId',
      });
    }
  }

  /** Deleted ones too. @throws DomainError NOT_FOUND. */
  get(caller: Caller, id: string): Promise<LoggedModelRecord> {
    return this.reader.get(caller, id);
  }

  /** @throws DomainError NOT_FOUND; DELETED; VALIDATION_FAILED. */
  async update(caller: Caller, id: string, patch: UpdateLoggedModel): Promise<LoggedModelRecord> {
    assertShort('/statusMessage', patch.statusMessage, LOGGED_MODEL_LIMITS.statusMessage);
    assertPairs('/tags', patch.tags ?? {});
    return this.change(caller, id, (model) => {
      const tags = new Map(Object.entries(model.tags));
      for (const [key, value] of Object.entries(patch.tags ?? {}))
        if (value === null) tags.delete(key);
        else tags.set(key, value);
      return {
        status: patch.status ?? model.status,
        statusMessage: patch.statusMessage === undefined ? model.statusMessage : patch.statusMessage,
        tags: Object.fromEntries(tags),
      };
    });
  }

  /** @throws DomainError NOT_FOUND (the model; or the tag, with details `{ key }`); DELETED. */
  async deleteTag(caller: Caller, id: string, key: string): Promise<void> {
    await this.change(caller, id, (model) => {
      if (!Object.hasOwn(model.tags, key))
        throw new DomainError('NOT_FOUND', `The logged model has no tag "${key.slice(0, 250)}".`, { key });
      return { tags: Object.fromEntries(Object.entries(model.tags).filter(([name]) => name !== key)) };
    });
  }

  /**
   * Adds params, which never change once they are set; the same value again is no change.
   * @throws DomainError NOT_FOUND; DELETED; IMMUTABLE with details `{ key, existing, given }`; VALIDATION_FAILED.
   */
  async logParams(caller: Caller, id: string, params: Pairs): Promise<LoggedModelRecord> {
    assertPairs('/params', params);
    return this.change(caller, id, (model) => {
      for (const [key, value] of Object.entries(params))
        if (Object.hasOwn(model.params, key) && model.params[key] !== value)
          throw new DomainError(
            'IMMUTABLE',
            `The param "${key}" is "${model.params[key]!.slice(0, 250)}" already, and params never change.`,
            { key, existing: model.params[key], given: value },
          );
      return { params: { ...model.params, ...params } };
    });
  }

  /** Marks it; nothing of it is removed. Idempotent. @throws DomainError NOT_FOUND. */
  delete(caller: Caller, id: string): Promise<LoggedModelRecord> {
    return this.mark(caller, id, new Date());
  }

  /** Idempotent. @throws DomainError NOT_FOUND. */
  restore(caller: Caller, id: string): Promise<LoggedModelRecord> {
    return this.mark(caller, id, null);
  }

  private async mark(caller: Caller, id: string, deletedAt: Date | null): Promise<LoggedModelRecord> {
    if (!validate(id)) throw noSuchLoggedModel(id);
    await this.database.query(
      `UPDATE logged_model SET deleted_at = $3, updated_at = $4
        WHERE id = $1 AND workspace_id = $2 AND (deleted_at IS NULL) <> ($3::timestamptz IS NULL)`,
      [id, caller.workspaceId, deletedAt, new Date()],
    );
    return this.reader.get(caller, id);
  }

  /** Changes one under its lock. */
  private async change(
    caller: Caller,
    id: string,
    next: (model: LoggedModel) => Partial<Pick<LoggedModel, 'status' | 'statusMessage' | 'tags' | 'params'>>,
  ): Promise<LoggedModelRecord> {
    return this.database.transaction(async (tx) => {
      const model = await lock(caller, id, tx);
      const changed = next(model);
      for (const pairs of [changed.tags, changed.params])
        if (pairs) assertPairs(pairs === changed.tags ? '/tags' : '/params', pairs);
      await tx.update(LoggedModel, { id: model.id }, { ...changed, updatedAt: new Date() });
      return this.reader.get(caller, id, tx);
    });
  }
}

/** @throws DomainError NOT_FOUND; DELETED. */
async function lock(caller: Caller, id: string, tx: EntityManager): Promise<LoggedModel> {
  const model =
    validate(id) &&
    (await tx.findOne(LoggedModel, {
      where: { id, workspaceId: caller.workspaceId },
      lock: { mode: 'for_no_key_update' },
    }));
  if (!model) throw noSuchLoggedModel(id);
  if (model.deletedAt !== null)
    throw new DomainError('DELETED', `The logged model ${id} is deleted; restore it first.`, { id });
  return model;
}
