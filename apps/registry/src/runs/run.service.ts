import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { KINDS } from '#libs/core/content/schemas.js';
import { ExperimentService, type ExperimentRef } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { RunSearch } from '../search/run-search.js';
import { TrackingKeys } from '../metrics/tracking-keys.js';
import { RunLog } from './log/run-log.service.js';
import { runHex } from './run-id.js';
import { checkLog } from './log/run-log.rules.js';
import { listRuns, type RunListQuery } from './run-list.js';
import { recordOf, noSuchRun, readRun, lockActiveRun, assertActive, type RunRecord } from './run-record.js';
import { generateRunName } from './run-name.js';
import { PARENT_TAG, RUN_NAME_TAG } from './run-tags.js';
import { assertRunName, assertUser, pairsOf, toTimeOrNull } from './run.rules.js';
import {
  RunVersions,
  tagsOfVersions,
  type EvaluatedVersion,
  type VersionGiven,
} from './versions/run-versions.js';
import type { RunStatus } from './run.entity.js';

type Time = number | string | Date;

export interface CreateRun {
  /** Absent: the experiment "Default". */
  readonly experiment?: ExperimentRef;
  /** Absent or empty: the tag mlflow.runName, else a name is made. */
  readonly name?: string;
  /** RUNNING when absent. */
  readonly status?: RunStatus;
  /** Milliseconds since 1970 or RFC 3339; now when absent, none when null. */
  readonly startedAt?: Time | null;
  readonly tags?: Readonly<Record<string, string>>;
  /** Id of the run this one is part of; written as tag mlflow.parentRunId. */
  readonly parentRunId?: string | null;
  readonly versions?: readonly VersionGiven[];
  /** Who is recorded as `createdBy`; the caller when absent. */
  readonly user?: string;
}

export interface UpdateRun {
  readonly name?: string;
  readonly status?: RunStatus;
  /** Null clears it. */
  readonly endedAt?: Time | null;
  /** Null: it is part of no other run. */
  readonly parentRunId?: string | null;
  /** Replaces the list. */
  readonly versions?: readonly VersionGiven[];
}

const END_STATES: ReadonlySet<RunStatus> = new Set(['FINISHED', 'FAILED', 'KILLED']);

/** Executions of something worth keeping: their lifecycle. What they log is written by `RunLog`. */
@Injectable()
export class RunService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
    private readonly keys: TrackingKeys,
    private readonly versions: RunVersions,
    private readonly log: RunLog,
    private readonly searches: RunSearch,
  ) {}

  /**
   * @throws DomainError NOT_FOUND, DELETED (the experiment); REFERENCE_NOT_FOUND (the parent, a version),
   * REFERENCE_ARCHIVED; VALIDATION_FAILED, also when `name` and the tag mlflow.runName differ.
   */
  async create(caller: Caller, given: CreateRun): Promise<RunRecord> {
    const now = new Date();
    const tags = new Map(checkLog({ tags: pairsOf(given.tags ?? {}) }, 0).tags);
    const name = nameOf(given, tags);
    if (given.user !== undefined) assertUser(given.user);
    const startedAt = given.startedAt === undefined ? now : toTimeOrNull(given.startedAt, '/startedAt');
    const experiment = await this.experiments.getActive(caller, given.experiment ?? { number: 0 });
    tags.set(RUN_NAME_TAG, name);
    if (typeof given.parentRunId === 'string')
      tags.set(PARENT_TAG, await this.parent(caller, given.parentRunId));
    const id = v7();
    const status = given.status ?? 'RUNNING';
    const versions = await this.evaluated(caller, given.versions, tags);
    const keys = await this.keys.resolve(caller.workspaceId, tags.keys());
    const pairs = [...tags].map(([key, value]) => [keys.get(key)!, value] as const);
    // The lock waits for an experiment that is being deleted, and then finds it deleted.
    const rows: unknown[] = await this.database.query(
      `WITH made AS (
         INSERT INTO run (id, workspace_id, experiment_serial, name, status, started_at, ended_at, created_at, created_by, updated_at)
         SELECT $1, $2, serial, $4, $5, $6, $7, $8, $9, $8
           FROM experiment WHERE serial = $3 AND deleted_at IS NULL FOR SHARE
         RETURNING serial, experiment_serial
       ), tagged AS (
         INSERT INTO run_tag (run, key, experiment, value)
         SELECT made.serial, t.key, made.experiment_serial, t.value
           FROM made, unnest($10::integer[], $11::text[]) t (key, value)
       ), evaluated AS (
         INSERT INTO run_version (run, version_id) SELECT DISTINCT made.serial, v FROM made, unnest($12::uuid[]) v
       )
       SELECT serial FROM made`,
      [
        id,
        caller.workspaceId,
        experiment.serial,
        name,
        status,
        startedAt,
        END_STATES.has(status) ? now : null,
        now,
        given.user || caller.actor,
        pairs.map(([key]) => key),
        pairs.map(([, value]) => value),
        versions.map(({ versionId }) => versionId),
      ],
    );
    if (rows.length === 0) await this.experiments.getActive(caller, { id: experiment.id });
    return this.get(caller, id);
  }

  /** Deleted ones too. @param id a UUID. @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<RunRecord> {
    if (!validate(id)) throw noSuchRun(id);
    return readRun(caller, id, this.database.manager);
  }

  /**
   * Newest first: by creation; of one experiment by start.
   * @throws DomainError INVALID_CURSOR; NOT_FOUND (the experiment).
   */
  async list(
    caller: Caller,
    query: RunListQuery & { readonly experiment?: ExperimentRef },
  ): Promise<Page<RunRecord>> {
    if (query.experiment === undefined) return listRuns(caller, query, this.database.manager);
    const experiment = await this.experiments.get(caller, query.experiment);
    const { limit, cursor, lifecycle } = query;
    const experimentSerials = [experiment.serial];
    const page = await this.searches.search(caller, {
      experimentSerials,
      filter: null,
      orderBy: [],
      lifecycle,
      limit,
      cursor,
    });
    return { items: page.runs.map((run) => recordOf(run, experiment)), nextCursor: page.nextCursor };
  }

  /** @throws DomainError NOT_FOUND; DELETED. */
  async getActive(caller: Caller, id: string): Promise<RunRecord> {
    const run = await this.get(caller, id);
    assertActive(run);
    return run;
  }

  /**
   * The last write wins: two clients that end one run are no conflict.
   * @throws DomainError NOT_FOUND; DELETED; REFERENCE_NOT_FOUND, REFERENCE_ARCHIVED; VALIDATION_FAILED.
   */
  async update(caller: Caller, id: string, patch: UpdateRun): Promise<RunRecord> {
    if (!validate(id)) throw noSuchRun(id);
    if (patch.name !== undefined) assertRunName(patch.name);
    const endedAt = patch.endedAt === undefined ? undefined : toTimeOrNull(patch.endedAt, '/endedAt');
    const tags = new Map<string, string>();
    if (patch.name !== undefined) tags.set(RUN_NAME_TAG, patch.name);
    if (typeof patch.parentRunId === 'string')
      tags.set(PARENT_TAG, await this.parent(caller, patch.parentRunId, id));
    const versions =
      patch.versions && (await this.versions.resolve(caller, patch.versions, this.database.manager));
    for (const [key, value] of tagsOfVersions(versions ?? [])) tags.set(key, value);
    const gone = [
      ...(patch.parentRunId === null ? [PARENT_TAG] : []),
      ...(versions ? KINDS.map((kind) => `catena.${kind}`).filter((key) => !tags.has(key)) : []),
    ];
    const keys = await this.keys.resolve(caller.workspaceId, [...tags.keys(), ...gone]);
    return this.database.transaction(async (tx) => {
      const run = await lockActiveRun(caller, id, tx);
      await this.write(run, patch, endedAt, tx);
      await this.log.writeTags(run, tags, gone, keys, tx);
      if (versions)
        await this.versions.replace(
          run.serial,
          new Map(KINDS.map((kind) => [kind, versions.filter((version) => version.kind === kind)])),
          tx,
        );
      return readRun(caller, id, tx);
    });
  }

  /** Marks it; nothing of it is removed. Idempotent. @throws DomainError NOT_FOUND. */
  async delete(caller: Caller, id: string): Promise<RunRecord> {
    return this.mark(caller, id, new Date());
  }

  /** Idempotent. @throws DomainError NOT_FOUND. */
  async restore(caller: Caller, id: string): Promise<RunRecord> {
    return this.mark(caller, id, null);
  }

  private async mark(caller: Caller, id: string, deletedAt: Date | null): Promise<RunRecord> {
    if (!validate(id)) throw noSuchRun(id);
    await this.database.query(
      `UPDATE run SET deleted_at = $3, updated_at = $4
        WHERE id = $1 AND workspace_id = $2 AND (deleted_at IS NULL) <> ($3::timestamptz IS NULL)`,
      [id, caller.workspaceId, deletedAt, new Date()],
    );
    return this.get(caller, id);
  }

  private async write(
    run: RunRecord,
    patch: UpdateRun,
    endedAt: Date | null | undefined,
    tx: EntityManager,
  ): Promise<void> {
    await tx.query(
      `UPDATE run SET name = $2, status = $3, ended_at = $4, updated_at = $5 WHERE serial = $1`,
      [
        run.serial,
        patch.name ?? run.name,
        patch.status ?? run.status,
        endedAt === undefined ? run.endedAt : endedAt,
        new Date(),
      ],
    );
  }

  /** The versions that a new run names, by the field and by tags; tags are completed to say the same. */
  private async evaluated(
    caller: Caller,
    given: readonly VersionGiven[] | undefined,
    tags: Map<string, string>,
  ): Promise<EvaluatedVersion[]> {
    const manager = this.database.manager;
    const named = await this.versions.resolve(caller, given ?? [], manager);
    for (const [key, value] of tagsOfVersions(named)) {
      if (tags.has(key) && tags.get(key) !== value)
        throw new DomainError(
          'VALIDATION_FAILED',
          `The field "versions" and the tag ${key} name versions of the same kind; use one of them.`,
          [{ path: `/tags/${key}`, message: 'says something else than /versions' }],
        );
      tags.set(key, value);
    }
    const tagged = await this.versions.fromTags(caller, tags, manager);
    return [...named, ...[...tagged.values()].flat()];
  }

  /** @returns how the tag names the parent. @throws DomainError REFERENCE_NOT_FOUND; VALIDATION_FAILED. */
  private async parent(caller: Caller, parentId: string, childId?: string): Promise<string> {
    if (parentId === childId)
      throw new DomainError('VALIDATION_FAILED', '/parentRunId: a run cannot be part of itself.', [
        { path: '/parentRunId', message: 'is the run itself' },
      ]);
    const [found]: unknown[] = validate(parentId)
      ? await this.database.query('SELECT 1 FROM run WHERE id = $1 AND workspace_id = $2', [
          parentId,
          caller.workspaceId,
        ])
      : [];
    if (!found)
      throw new DomainError(
        'REFERENCE_NOT_FOUND',
        `/parentRunId: there is no run "${parentId.slice(0, 64)}".`,
        {
          path: '/parentRunId',
        },
      );
    return runHex(parentId);
  }
}

function nameOf(given: CreateRun, tags: ReadonlyMap<string, string>): string {
  const tag = tags.get(RUN_NAME_TAG);
  if (given.name && tag && given.name !== tag)
    throw new DomainError(
      'VALIDATION_FAILED',
      `/name is "${given.name.slice(0, 80)}", but the tag ${RUN_NAME_TAG} is "${tag.slice(0, 80)}"; send one of them, or the same twice.`,
      [{ path: '/name', message: `differs from the tag ${RUN_NAME_TAG}` }],
    );
  const name = given.name || tag || generateRunName();
  assertRunName(name);
  return name;
}
