import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { digestOf, noSuchDataset } from './dataset-records.js';
import { DATASET_COLUMNS, DatasetSearch, type DatasetQuery } from './dataset-search.js';
import type { EvaluationDataset } from './evaluation-dataset.js';

export const MAX_DATASET_NAME = 500;
const MAX_KEY = 255;
const MAX_VALUE = 5_000;

@Injectable()
export class EvaluationDatasetService {
  private readonly finder: DatasetSearch;

  constructor(private readonly database: DataSource) {
    this.finder = new DatasetSearch(database);
  }

  /** @throws DomainError NOT_FOUND (an experiment), VALIDATION_FAILED. */
  async create(
    caller: Caller,
    given: {
      readonly name: string;
      readonly tags?: Readonly<Record<string, string>> | undefined;
      readonly experiments?: readonly number[] | undefined;
      readonly createdBy: string | null;
    },
  ): Promise<EvaluationDataset> {
    if (given.name.trim() === '' || given.name.length > MAX_DATASET_NAME || !isText(given.name))
      refuse('/name', `must have 1 to ${MAX_DATASET_NAME} characters and no NUL`);
    assertTags(given.tags ?? {});
    const id = v7();
    const now = new Date();
    await this.database.transaction(async (tx) => {
      await tx.query(
        `INSERT INTO evaluation_dataset (id, workspace_id, name, tags, record_count, digest, created_at, created_by, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $6, $7)`,
        [
          id,
          caller.workspaceId,
          given.name,
          JSON.stringify(given.tags ?? {}),
          digestOf(given.name, now),
          now,
          given.createdBy,
        ],
      );
      await this.link(tx, caller, id, given.experiments ?? []);
    });
    return this.get(caller, id);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<EvaluationDataset> {
    const [found]: EvaluationDataset[] = await this.database.query(
      `SELECT ${DATASET_COLUMNS} FROM evaluation_dataset d WHERE d.workspace_id = $1 AND d.id = $2`,
      [caller.workspaceId, validate(id) ? id : null],
    );
    if (found === undefined) throw noSuchDataset(id);
    return found;
  }

  /** Newest first unless ordered otherwise. @throws DomainError VALIDATION_FAILED, INVALID_CURSOR. */
  async search(caller: Caller, query: DatasetQuery): Promise<Page<EvaluationDataset>> {
    return this.finder.search(caller, query);
  }

  /** With its records, for good. @throws DomainError NOT_FOUND. */
  async delete(caller: Caller, id: string): Promise<void> {
    const [, deleted]: [unknown, number] = await this.database.query(
      `DELETE FROM evaluation_dataset WHERE workspace_id = $1 AND id = $2`,
      [caller.workspaceId, validate(id) ? id : null],
    );
    if (deleted === 0) throw noSuchDataset(id);
  }

  /** A string sets the tag, null removes it; others stay. @throws DomainError NOT_FOUND, VALIDATION_FAILED. */
  async setTags(
    caller: Caller,
    id: string,
    tags: Readonly<Record<string, string | null>>,
  ): Promise<EvaluationDataset> {
    const set = Object.fromEntries(
      Object.entries(tags).filter((tag): tag is [string, string] => tag[1] !== null),
    );
    assertTags(set);
    const removed = Object.keys(tags).filter((key) => tags[key] === null);
    await this.change(caller, id, 'tags = (tags || $3::jsonb) - $4::text[], updated_at = $5', [
      JSON.stringify(set),
      removed,
      new Date(),
    ]);
    return this.get(caller, id);
  }

  /** @throws DomainError NOT_FOUND (the dataset, or an experiment). */
  async addExperiments(caller: Caller, id: string, numbers: readonly number[]): Promise<EvaluationDataset> {
    await this.database.transaction(async (tx) => {
      await this.change(caller, id, 'updated_at = $3', [new Date()], tx);
      await this.link(tx, caller, id, numbers);
    });
    return this.get(caller, id);
  }

  /** Experiments it is not part of are as good as removed. @throws DomainError NOT_FOUND. */
  async removeExperiments(
    caller: Caller,
    id: string,
    numbers: readonly number[],
  ): Promise<EvaluationDataset> {
    await this.database.transaction(async (tx) => {
      await this.change(caller, id, 'updated_at = $3', [new Date()], tx);
      await tx.query(
        `DELETE FROM evaluation_dataset_experiment WHERE dataset_id = $1
            AND experiment IN (SELECT serial FROM experiment WHERE workspace_id = $2 AND number = ANY($3))`,
        [id, caller.workspaceId, numbers],
      );
    });
    return this.get(caller, id);
  }

  private async link(
    tx: EntityManager,
    caller: Caller,
    id: string,
    numbers: readonly number[],
  ): Promise<void> {
    const distinct = [...new Set(numbers)];
    const rows: { number: number }[] = await tx.query(
      `SELECT number FROM experiment WHERE workspace_id = $1 AND number = ANY($2)`,
      [caller.workspaceId, distinct],
    );
    const missing = distinct.find((number) => !rows.some((row) => row.number === number));
    if (missing !== undefined)
      throw new DomainError('NOT_FOUND', `No Experiment with id=${missing} exists; create it first.`);
    await tx.query(
      `INSERT INTO evaluation_dataset_experiment (dataset_id, experiment)
       SELECT $1, serial FROM experiment WHERE workspace_id = $2 AND number = ANY($3) ORDER BY serial
       ON CONFLICT DO NOTHING`,
      [id, caller.workspaceId, distinct],
    );
  }

  private async change(
    caller: Caller,
    id: string,
    set: string,
    values: readonly unknown[],
    manager: EntityManager = this.database.manager,
  ): Promise<void> {
    const [, changed]: [unknown, number] = await manager.query(
      `UPDATE evaluation_dataset SET ${set} WHERE workspace_id = $1 AND id = $2`,
      [caller.workspaceId, validate(id) ? id : null, ...values],
    );
    if (changed === 0) throw noSuchDataset(id);
  }
}

function assertTags(tags: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(tags)) {
    if (key === '' || key.length > MAX_KEY || !isText(key))
      refuse('/tags', `has the key "${key.slice(0, 60)}"; a key has 1 to ${MAX_KEY} characters and no NUL`);
    if (value.length > MAX_VALUE || !isText(value))
      refuse('/tags', `has a value at "${key}" of more than ${MAX_VALUE} characters, or with a NUL`);
  }
}

const isText = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The dataset is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
