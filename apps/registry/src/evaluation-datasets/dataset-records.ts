import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import { extendSchema, isObject, type DatasetRecord, type DatasetSchema } from './evaluation-dataset.js';

/** Most records of one call. */
export const MAX_RECORDS = 10_000;
const USER_TAG = 'mlflow.user';

/** Records of evaluation datasets. Their JSON goes into the database as the text it came in: 1.0 stays 1.0. */
@Injectable()
export class DatasetRecords {
  constructor(private readonly database: DataSource) {}

  /**
   * Adds records; one with the inputs of another changes that one: outputs are replaced where they are sent, expectations
   * and tags added to, source and creation stay.
   * @param text JSON: a list of `{ inputs, outputs?, expectations?, tags?, source? }`.
   * @throws DomainError NOT_FOUND, VALIDATION_FAILED.
   */
  async upsert(
    caller: Caller,
    datasetId: string,
    text: string,
  ): Promise<{ inserted: number; updated: number }> {
    const records = parseRecords(text);
    return this.database.transaction(async (tx) => {
      const dataset = await lock(tx, caller, datasetId);
      const now = new Date();
      const given = [datasetId, text, now, USER_TAG];
      await tx.query(UPDATE, given);
      const rows: unknown[] = await tx.query(INSERT, [...given, records.map(() => v7())]);
      const inserted = rows.length;
      const users = records.map((record) => isObject(record['tags']) && record['tags'][USER_TAG]);
      const user = users.findLast((name) => typeof name === 'string' && name !== '') || null;
      await tx.query(
        `UPDATE evaluation_dataset SET schema = $2, record_count = record_count + $3, digest = $4, updated_at = $5, updated_by = $6
          WHERE id = $1`,
        [
          datasetId,
          JSON.stringify(extendSchema(dataset.schema, records)),
          inserted,
          digestOf(dataset.name, now),
          now,
          user,
        ],
      );
      return { inserted, updated: records.length - inserted };
    });
  }

  /** In order of creation. @throws DomainError NOT_FOUND, INVALID_CURSOR. */
  async list(
    caller: Caller,
    datasetId: string,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<DatasetRecord>> {
    await assertThere(this.database.manager, caller, datasetId);
    const after = decodeCursor(page.cursor, (key): key is string => isStringKey(key) && validate(key));
    const rows: DatasetRecord[] = await this.database.query(
      `SELECT id, inputs::text, outputs::text, expectations::text, tags::text, source::text, created_at AS "createdAt",
              created_by AS "createdBy", updated_at AS "updatedAt", updated_by AS "updatedBy"
         FROM evaluation_dataset_record WHERE dataset_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`,
      [datasetId, after ?? null, page.limit + 1],
    );
    return pageOf(
      rows,
      page.limit,
      (row) => row.id,
      (row) => row,
    );
  }

  /** @returns how many of them there were. @throws DomainError NOT_FOUND (the dataset). */
  async delete(caller: Caller, datasetId: string, recordIds: readonly string[]): Promise<number> {
    return this.database.transaction(async (tx) => {
      const dataset = await lock(tx, caller, datasetId);
      const [, deleted]: [unknown, number] = await tx.query(
        `DELETE FROM evaluation_dataset_record WHERE dataset_id = $1 AND id = ANY($2::uuid[])`,
        [datasetId, recordIds.filter((id) => validate(id))],
      );
      const now = new Date();
      if (deleted > 0)
        await tx.query(
          `UPDATE evaluation_dataset SET record_count = record_count - $2, digest = $3, updated_at = $4 WHERE id = $1`,
          [datasetId, deleted, digestOf(dataset.name, now), now],
        );
      return deleted;
    });
  }
}

export function digestOf(name: string, changedAt: Date): string {
  return createHash('sha256').update(`${name}:${changedAt.getTime()}`).digest('hex').slice(0, 8);
}

/**
 * Records of one call by their inputs: what is said twice is merged in its order. jsonb spells equal inputs equally,
 * whatever the order of their keys, and keeps every digit of a number.
 */
const GIVEN = `
  given AS (
    SELECT digest, min(place) AS place, (array_agg(record ORDER BY place DESC))[1] AS record,
           catena_json_merge(record -> 'expectations' ORDER BY place) AS expectations,
           catena_json_merge(record -> 'tags' ORDER BY place) AS tags
      FROM (SELECT place, record, encode(sha256(convert_to(coalesce(record -> 'inputs', '{}')::jsonb::text, 'UTF8')), 'hex') AS digest
              FROM json_array_elements($2::json) WITH ORDINALITY AS element (record, place)) AS digested
     GROUP BY digest
  )`;

const UPDATE = `
  WITH ${GIVEN}
  UPDATE evaluation_dataset_record r SET
         outputs = CASE WHEN given.record -> 'outputs' IS NULL THEN r.outputs
                        WHEN json_typeof(given.record -> 'outputs') <> 'null' THEN given.record -> 'outputs' END,
         expectations = catena_json_merge(r.expectations, given.expectations),
         tags = catena_json_merge(r.tags, given.tags),
         updated_at = $3, updated_by = coalesce(given.tags ->> $4, r.updated_by)
    FROM given
   WHERE r.dataset_id = $1 AND r.input_digest = given.digest`;

const INSERT = `
  WITH ${GIVEN}
  INSERT INTO evaluation_dataset_record
         (id, dataset_id, input_digest, inputs, outputs, expectations, tags, source, created_at, created_by, updated_at, updated_by)
  SELECT ($5::uuid[])[place], $1, digest, coalesce(record -> 'inputs', '{}'),
         CASE WHEN json_typeof(record -> 'outputs') <> 'null' THEN record -> 'outputs' END, expectations, tags,
         CASE WHEN json_typeof(record -> 'source') <> 'null' THEN record -> 'source' END, $3, tags ->> $4, $3, tags ->> $4
    FROM given
  ON CONFLICT ON CONSTRAINT evaluation_dataset_record_input_key DO NOTHING
  RETURNING id`;

async function lock(
  tx: EntityManager,
  caller: Caller,
  datasetId: string,
): Promise<{ name: string; schema: DatasetSchema | null }> {
  const [found]: { name: string; schema: DatasetSchema | null }[] = await tx.query(
    `SELECT name, schema FROM evaluation_dataset WHERE workspace_id = $1 AND id = $2 FOR NO KEY UPDATE`,
    [caller.workspaceId, validate(datasetId) ? datasetId : null],
  );
  if (found === undefined) throw noSuchDataset(datasetId);
  return found;
}

async function assertThere(manager: EntityManager, caller: Caller, datasetId: string): Promise<void> {
  const rows: unknown[] = await manager.query(
    `SELECT FROM evaluation_dataset WHERE workspace_id = $1 AND id = $2`,
    [caller.workspaceId, validate(datasetId) ? datasetId : null],
  );
  if (rows.length === 0) throw noSuchDataset(datasetId);
}

export const noSuchDataset = (id: string): DomainError =>
  new DomainError(
    'NOT_FOUND',
    `There is no evaluation dataset "${id.slice(0, 64)}"; search them to see which are.`,
    { datasetId: id },
  );

const MAX_DEPTH = 200;

function parseRecords(text: string): Record<string, unknown>[] {
  let records: unknown;
  try {
    records = JSON.parse(text);
  } catch (error) {
    throw invalid(`they are not JSON (${(error as Error).message})`);
  }
  if (!Array.isArray(records)) throw invalid('they must be a list');
  if (records.length > MAX_RECORDS)
    throw invalid(`there are ${records.length}; send at most ${MAX_RECORDS} at a time`);
  records.forEach((record: unknown, index) => {
    if (!isObject(record)) throw invalid(`number ${index} is not an object`);
    for (const key of ['inputs', 'expectations', 'tags'])
      if (record[key] !== undefined && record[key] !== null && !isObject(record[key]))
        throw invalid(`"${key}" of number ${index} is not an object`);
    if (record['inputs'] === null) throw invalid(`number ${index} has null as inputs`);
    assertStorable(record, index, 0);
  });
  return records as Record<string, unknown>[];
}

function assertStorable(value: unknown, index: number, depth: number): void {
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed()))
    throw invalid(`number ${index} contains a NUL or a lone surrogate`);
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_DEPTH) throw invalid(`number ${index} is nested more than ${MAX_DEPTH} levels deep`);
  for (const [key, inner] of Object.entries(value)) {
    assertStorable(key, index, depth);
    assertStorable(inner, index, depth + 1);
  }
}

const invalid = (what: string): DomainError =>
  new DomainError('VALIDATION_FAILED', `The records are not valid: ${what}. Nothing was stored.`);
