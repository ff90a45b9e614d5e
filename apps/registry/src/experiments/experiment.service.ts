import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { LRUCache } from 'lru-cache';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { numberArray, runPrepared } from '#libs/platform/database/prepared.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import type { Page } from '../http/page.js';
import { ExperimentSearch } from '../search/experiment-search.js';
import type { Lifecycle } from '../search/run-query.js';
import { readFilter, readOrderBy } from '../search/search-text.js';
import { Experiment } from './experiment.entity.js';
import {
  assertArtifactLocation,
  assertExperimentName,
  assertExperimentTag,
  assertTagCount,
} from './experiment.rules.js';

const DEFAULT_NAME = 'Default';

/** Names one experiment: by its id, or by its number, which is the `experiment_id` of the MLflow protocol. */
export type ExperimentRef = { readonly id: string } | { readonly number: number };

export interface CreateExperiment {
  readonly name: string;
  /** Absent or null: the artifact store of this registry. */
  readonly artifactLocation?: string | null;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface ExperimentListQuery {
  readonly filter?: string;
  readonly orderBy?: readonly string[];
  readonly lifecycle: Lifecycle;
  readonly limit: number;
  readonly cursor?: string;
}

export interface UpdateExperiment {
  readonly name?: string;
  /** A string sets the tag, null removes it (whether or not it was there); others stay. */
  readonly tags?: Readonly<Record<string, string | null>>;
}

/** What is known of a run by its experiment. It never changes, and numbers are never given again. */
export type ExperimentOfRuns = Pick<Experiment, 'serial' | 'number' | 'artifactLocation'>;

/** Experiments in memory, at most: about 2 MB. */
const MAX_REMEMBERED = 10_000;

const BY_NUMBERS = {
  name: 'experiments_by_numbers',
  text: `SELECT serial, number, artifact_location AS "artifactLocation"
           FROM experiment WHERE workspace_id = $1 AND number = ANY ($2::int[])`,
};

/** Named groups of runs. Number 0 is "Default"; it is made where a workspace lacks it. */
@Injectable()
export class ExperimentService {
  /** Workspaces known to have their experiment 0. */
  private readonly withDefault = new Set<string>();
  private readonly ofRuns = new LRUCache<string, ExperimentOfRuns>({ max: MAX_REMEMBERED });

  constructor(
    private readonly database: DataSource,
    private readonly searches: ExperimentSearch,
  ) {}

  /**
   * Numbers it from the counter of its workspace, in one statement.
   * @throws DomainError ALREADY_EXISTS with details `{ name, id, number, deleted }`, also when the one of that name is
   * deleted; VALIDATION_FAILED.
   */
  async create(caller: Caller, given: CreateExperiment): Promise<Experiment> {
    assertExperimentName(given.name);
    if (given.artifactLocation) assertArtifactLocation(given.artifactLocation);
    for (const [key, value] of Object.entries(given.tags ?? {})) assertExperimentTag(key, value);
    assertTagCount(given.tags ?? {});
    await this.ensureDefault(caller);
    const id = v7();
    try {
      await this.database.query(
        `WITH counter AS (
           UPDATE workspace SET last_experiment = last_experiment + 1 WHERE id = $2 RETURNING last_experiment
         )
         INSERT INTO experiment (id, workspace_id, number, name, artifact_location, tags, created_at, created_by, updated_at)
         SELECT $1, $2, last_experiment, $3, $4, $5, $6, $7, $6 FROM counter`,
        [
          id,
          caller.workspaceId,
          given.name,
          given.artifactLocation || null,
          JSON.stringify(given.tags ?? {}),
          new Date(),
          caller.actor,
        ],
      );
    } catch (error) {
      throw await this.nameTaken(error, caller, given.name);
    }
    return this.get(caller, { id });
  }

  /** Deleted ones too. @throws DomainError NOT_FOUND. */
  async get(caller: Caller, ref: ExperimentRef): Promise<Experiment> {
    await this.ensureDefault(caller);
    const found = await this.database.manager.findOneBy(Experiment, whereOf(caller, ref));
    if (!found) throw noSuchExperiment(ref);
    return found;
  }

  /** @throws DomainError NOT_FOUND; DELETED. */
  async getActive(caller: Caller, ref: ExperimentRef): Promise<Experiment> {
    const found = await this.get(caller, ref);
    if (found.deletedAt !== null) throw isDeleted(found);
    return found;
  }

  /** In the order of `refs`, each once. @throws DomainError NOT_FOUND. */
  async getMany(caller: Caller, refs: readonly ExperimentRef[]): Promise<Experiment[]> {
    await this.ensureDefault(caller);
    const found = await this.database.manager.findBy(
      Experiment,
      refs.map((ref) => whereOf(caller, ref)),
    );
    const named = refs.map((ref) => {
      const one = found.find((each) =>
        'id' in ref ? each.id === ref.id.toLowerCase() : each.number === ref.number,
      );
      if (!one) throw noSuchExperiment(ref);
      return one;
    });
    return [...new Set(named)];
  }

  /** Latest first, unless ordered otherwise. @throws DomainError VALIDATION_FAILED (the filter); INVALID_CURSOR. */
  async list(caller: Caller, query: ExperimentListQuery): Promise<Page<Experiment>> {
    const filter = readFilter('experiment', query.filter);
    const orderBy = readOrderBy('experiment', query.orderBy);
    await this.ensureDefault(caller);
    const { limit, cursor, lifecycle } = query;
    const page = await this.searches.search(caller, { filter, orderBy, lifecycle, limit, cursor });
    return { items: [...page.experiments], nextCursor: page.nextCursor };
  }

  /** Those that exist, deleted ones too, in no order; some that have been removed for good as well. */
  async findByNumbers(caller: Caller, numbers: readonly number[]): Promise<ExperimentOfRuns[]> {
    await this.ensureDefault(caller);
    const found: ExperimentOfRuns[] = [];
    const missing: number[] = [];
    for (const number of new Set(numbers)) {
      const known = this.ofRuns.get(`${caller.workspaceId}${number}`);
      if (known !== undefined) found.push(known);
      else if (whereOf(caller, { number }).number !== -1) missing.push(number);
    }
    if (missing.length === 0) return found;
    const read: ExperimentOfRuns[] = await runPrepared(this.database, BY_NUMBERS, [
      caller.workspaceId,
      numberArray(missing),
    ]);
    for (const each of read) this.ofRuns.set(`${caller.workspaceId}${each.number}`, each);
    return [...found, ...read];
  }

  /** Deleted ones too. */
  async findByName(caller: Caller, name: string): Promise<Experiment | null> {
    await this.ensureDefault(caller);
    return this.database.manager.findOneBy(Experiment, { workspaceId: caller.workspaceId, name });
  }

  /** @throws DomainError NOT_FOUND; DELETED; ALREADY_EXISTS (the name); VALIDATION_FAILED. */
  async update(caller: Caller, ref: ExperimentRef, patch: UpdateExperiment): Promise<Experiment> {
    if (patch.name !== undefined) assertExperimentName(patch.name);
    for (const [key, value] of Object.entries(patch.tags ?? {})) assertExperimentTag(key, value ?? '');
    try {
      return await this.change(caller, ref, (experiment) => {
        const tags = new Map(Object.entries(experiment.tags));
        for (const [key, value] of Object.entries(patch.tags ?? {}))
          if (value === null) tags.delete(key);
          else tags.set(key, value);
        experiment.tags = Object.fromEntries(tags);
        assertTagCount(experiment.tags);
        experiment.name = patch.name ?? experiment.name;
      });
    } catch (error) {
      throw await this.nameTaken(error, caller, patch.name ?? '');
    }
  }

  /** @throws DomainError as `update`. */
  async rename(caller: Caller, ref: ExperimentRef, name: string): Promise<Experiment> {
    return this.update(caller, ref, { name });
  }

  /** @throws DomainError as `update`. */
  async setTag(caller: Caller, ref: ExperimentRef, key: string, value: string): Promise<void> {
    await this.update(caller, ref, { tags: { [key]: value } });
  }

  /** @throws DomainError NOT_FOUND (the experiment; or the tag, with details `{ key }`); DELETED. */
  async deleteTag(caller: Caller, ref: ExperimentRef, key: string): Promise<void> {
    await this.change(caller, ref, (experiment) => {
      if (!Object.hasOwn(experiment.tags, key))
        throw new DomainError(
          'NOT_FOUND',
          `Experiment ${experiment.number} has no tag "${key.slice(0, 250)}".`,
          { key },
        );
      experiment.tags = Object.fromEntries(Object.entries(experiment.tags).filter(([name]) => name !== key));
    });
  }

  /**
   * Marks it and its active runs with one time, by which `restore` finds the same runs again.
   * @throws DomainError NOT_FOUND; DELETED when it is already.
   */
  async delete(caller: Caller, ref: ExperimentRef): Promise<Experiment> {
    return this.database.transaction(async (tx) => {
      const experiment = await this.lock(caller, ref, tx);
      if (experiment.deletedAt !== null) throw isDeleted(experiment);
      const now = new Date();
      // After every run deleted by itself, so that these stay deleted when the experiment is restored.
      const [{ deletedAt }]: [{ deletedAt: Date }] = await tx.query(
        `SELECT GREATEST($2::timestamptz, max(deleted_at) + interval '1 ms') AS "deletedAt"
           FROM run WHERE experiment_serial = $1 AND deleted_at >= $2::timestamptz`,
        [experiment.serial, now],
      );
      await tx.query(
        `UPDATE run SET deleted_at = $2, updated_at = $3 WHERE experiment_serial = $1 AND deleted_at IS NULL`,
        [experiment.serial, deletedAt, now],
      );
      await tx.update(Experiment, { id: experiment.id }, { deletedAt, updatedAt: now });
      return Object.assign(experiment, { deletedAt, updatedAt: now });
    });
  }

  /** Restores it, and the runs that were deleted with it. @throws DomainError NOT_FOUND, also when it is not deleted. */
  async restore(caller: Caller, ref: ExperimentRef): Promise<Experiment> {
    return this.database.transaction(async (tx) => {
      const experiment = await this.lock(caller, ref, tx);
      if (experiment.deletedAt === null)
        throw new DomainError('NOT_FOUND', `Experiment ${experiment.number} is not deleted.`);
      const now = new Date();
      await tx.query(
        `UPDATE run SET deleted_at = NULL, updated_at = $3 WHERE experiment_serial = $1 AND deleted_at = $2`,
        [experiment.serial, experiment.deletedAt, now],
      );
      await tx.update(Experiment, { id: experiment.id }, { deletedAt: null, updatedAt: now });
      return Object.assign(experiment, { deletedAt: null, updatedAt: now });
    });
  }

  /** Makes "Default" where the workspace lacks it; every read of experiments needs it. */
  async ensureDefault(caller: Caller): Promise<void> {
    if (this.withDefault.has(caller.workspaceId)) return;
    await this.database.query(
      `INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at)
       SELECT $1, w.id, 0, $3, '{}', $4, 'catena', $4 FROM workspace w WHERE w.id = $2
       ON CONFLICT DO NOTHING`,
      [v7(), caller.workspaceId, DEFAULT_NAME, new Date()],
    );
    this.withDefault.add(caller.workspaceId);
  }

  private async change(
    caller: Caller,
    ref: ExperimentRef,
    apply: (experiment: Experiment) => void,
  ): Promise<Experiment> {
    await this.ensureDefault(caller);
    return this.database.transaction(async (tx) => {
      const experiment = await this.lock(caller, ref, tx);
      if (experiment.deletedAt !== null) throw isDeleted(experiment);
      apply(experiment);
      experiment.updatedAt = new Date();
      const { name, tags, updatedAt } = experiment;
      await tx.update(Experiment, { id: experiment.id }, { name, tags, updatedAt });
      return experiment;
    });
  }

  private async lock(caller: Caller, ref: ExperimentRef, tx: EntityManager): Promise<Experiment> {
    const found = await tx.findOne(Experiment, {
      where: whereOf(caller, ref),
      lock: { mode: 'for_no_key_update' },
    });
    if (!found) throw noSuchExperiment(ref);
    return found;
  }

  private async nameTaken(error: unknown, caller: Caller, name: string): Promise<unknown> {
    if (!isUniqueViolation(error, 'experiment_name_key')) return error;
    const other = await this.findByName(caller, name);
    const deleted = (other?.deletedAt ?? null) !== null;
    return new DomainError(
      'ALREADY_EXISTS',
      `There is already an experiment named "${name}"${deleted ? ', deleted; restore it' : '; use it'}, or choose another name.`,
      { name, id: other?.id, number: other?.number, deleted },
    );
  }
}

const MAX_NUMBER = 2_147_483_647;

function whereOf(caller: Caller, ref: ExperimentRef): { workspaceId: string; id?: string; number?: number } {
  if ('id' in ref) return { workspaceId: caller.workspaceId, id: ref.id };
  // Beyond the column's type there is no experiment, and -1 is none.
  const isPossible = Number.isInteger(ref.number) && ref.number >= 0 && ref.number <= MAX_NUMBER;
  return { workspaceId: caller.workspaceId, number: isPossible ? ref.number : -1 };
}

export function noSuchExperiment(ref: ExperimentRef): DomainError {
  const said = 'id' in ref ? ref.id : `number ${ref.number}`;
  return new DomainError(
    'NOT_FOUND',
    `There is no experiment ${said}; list the experiments, or create one first.`,
  );
}

function isDeleted({ id, number, name }: Experiment): DomainError {
  return new DomainError('DELETED', `Experiment ${number} ("${name}") is deleted; restore it first.`, {
    id,
    number,
  });
}
