import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { readInt64 } from '../metrics/int64.js';
import { loggedModelHex } from './logged-model-id.js';
import type { LoggedModelRecord, ModelMetric, Registration } from './logged-model-record.js';

const SELECT = `
  SELECT m.id, e.id AS "experimentId", e.number AS "experimentNumber", e.artifact_location AS "artifactLocation",
         m.name, m.status, m.status_message AS "statusMessage", m.model_type AS "modelType",
         m.source_run_id AS "sourceRunId", m.foreign_run AS "foreignRun", m.params, m.tags, m.created_at AS "createdAt",
         m.created_by AS "createdBy", m.updated_at AS "updatedAt", m.deleted_at AS "deletedAt"
    FROM logged_model m JOIN experiment e ON e.serial = m.experiment`;

type Bare = Omit<LoggedModelRecord, 'metrics' | 'registrations'>;

/** Reads logged models whole: three statements, however many they are. */
@Injectable()
export class LoggedModelReader {
  constructor(private readonly database: DataSource) {}

  /** Deleted ones too. @throws DomainError NOT_FOUND. */
  async get(
    caller: Caller,
    id: string,
    manager: EntityManager = this.database.manager,
  ): Promise<LoggedModelRecord> {
    const [found] = validate(id) ? await this.list(caller, [id], manager) : [];
    if (!found) throw noSuchLoggedModel(id);
    return found;
  }

  /** In the order of the ids; those that do not exist are left out. */
  async list(
    caller: Caller,
    ids: readonly string[],
    manager: EntityManager = this.database.manager,
  ): Promise<LoggedModelRecord[]> {
    if (ids.length === 0) return [];
    const rows: Bare[] = await manager.query(
      `${SELECT} WHERE m.id = ANY ($1::uuid[]) AND m.workspace_id = $2`,
      [ids, caller.workspaceId],
    );
    const found = new Map(rows.map((row) => [row.id, row]));
    const known = [...found.keys()];
    const metrics = await this.metrics(known, manager);
    const registrations = await this.registrations(caller, known, manager);
    return ids.flatMap((id) => {
      const row = found.get(id.toLowerCase());
      if (row === undefined) return [];
      return [{ ...row, metrics: metrics.get(row.id) ?? [], registrations: registrations.get(row.id) ?? [] }];
    });
  }

  private async metrics(ids: readonly string[], manager: EntityManager): Promise<Map<string, ModelMetric[]>> {
    const rows: (Omit<ModelMetric, 'step' | 'timeMs'> & { modelId: string; step: string; timeMs: string })[] =
      await manager.query(
        `SELECT x.logged_model_id AS "modelId", k.name AS key, x.value, x.step::text, x.time_ms::text AS "timeMs",
                r.id AS "runId", x.dataset_name AS "datasetName", x.dataset_digest AS "datasetDigest"
           FROM logged_model_metric x
           JOIN tracking_key k ON k.id = x.key
           JOIN run r ON r.serial = x.run
          WHERE x.logged_model_id = ANY ($1::uuid[])
          ORDER BY x.logged_model_id, x.key, x.time_ms, x.step, x.run`,
        [ids],
      );
    return grouped(rows, ({ modelId, step, timeMs, ...metric }) => [
      modelId,
      { ...metric, step: readInt64(step), timeMs: readInt64(timeMs) },
    ]);
  }

  private async registrations(
    caller: Caller,
    ids: readonly string[],
    manager: EntityManager,
  ): Promise<Map<string, Registration[]>> {
    const byHex = new Map(ids.map((id) => [loggedModelHex(id), id]));
    const rows: (Registration & { modelId: string })[] = await manager.query(
      `SELECT s.model_id AS "modelId", e.name, v.number
         FROM version_source s JOIN version v ON v.id = s.version_id JOIN entry e ON e.id = v.entry_id
        WHERE s.workspace_id = $1 AND s.model_id = ANY ($2::text[]) AND s.model_id IS NOT NULL
        ORDER BY e.name, v.number`,
      [caller.workspaceId, [...byHex.keys()]],
    );
    return grouped(rows, ({ modelId, ...registration }) => [byHex.get(modelId)!, registration]);
  }
}

export function noSuchLoggedModel(id: string): DomainError {
  return new DomainError(
    'NOT_FOUND',
    `There is no logged model "${id.slice(0, 64)}"; search the logged models, or create one first.`,
  );
}

function grouped<Row, T>(
  rows: readonly Row[],
  read: (row: Row) => [key: string, value: T],
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const [key, value] = read(row);
    const group = groups.get(key);
    if (group) group.push(value);
    else groups.set(key, [value]);
  }
  return groups;
}
