import type { EntityManager } from 'typeorm';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { metricValueSql } from '../../metrics/metric-value.js';
import type { MetricPoint } from './run-log.rules.js';
import type { RunRecord } from '../run-record.js';

/**
 * Writes the points that are about logged models beside them, in the order of the primary key.
 * @throws DomainError REFERENCE_NOT_FOUND for a logged model that does not exist or is deleted.
 */
export async function writeModelMetrics(
  caller: Caller,
  run: RunRecord,
  points: readonly MetricPoint[],
  keys: ReadonlyMap<string, number>,
  tx: EntityManager,
): Promise<void> {
  const about = points.filter((point) => point.about !== undefined);
  if (about.length === 0) return;
  await assertLoggedModels(
    caller,
    about.map((point) => point.about!.loggedModelId),
    tx,
  );
  await tx.query(
    `INSERT INTO logged_model_metric
       (logged_model_id, key, run, step, time_ms, value, dataset_id, dataset_name, dataset_digest)
     SELECT m.model, m.key, $1::integer, m.step, m.time_ms, m.value, d.id, m.name, m.digest
       FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[], $6::double precision[], $7::text[], $8::text[])
            m (model, key, step, time_ms, value, name, digest)
       LEFT JOIN dataset d ON d.experiment = $9 AND d.name = m.name AND d.digest = m.digest
      ORDER BY 1, 2, 3, 4, 5
     ON CONFLICT DO NOTHING`,
    [
      run.serial,
      about.map((point) => point.about!.loggedModelId),
      about.map(({ key }) => keys.get(key)!),
      about.map(({ step }) => step),
      about.map(({ timeMs }) => timeMs),
      about.map(({ value }) => metricValueSql(value)),
      about.map((point) => point.about!.datasetName),
      about.map((point) => point.about!.datasetDigest),
      run.experimentSerial,
    ],
  );
}

/** @throws DomainError REFERENCE_NOT_FOUND unless all of them exist in the workspace and are not deleted. */
export async function assertLoggedModels(
  caller: Caller,
  ids: readonly string[],
  tx: EntityManager,
): Promise<void> {
  const rows: { id: string }[] = await tx.query(
    'SELECT id FROM logged_model WHERE id = ANY ($1::uuid[]) AND workspace_id = $2 AND deleted_at IS NULL',
    [ids.filter((id) => validate(id)), caller.workspaceId],
  );
  const found = new Set(rows.map(({ id }) => id));
  const missing = ids.find((id) => !found.has(id.toLowerCase()));
  if (missing !== undefined)
    throw new DomainError(
      'REFERENCE_NOT_FOUND',
      `There is no logged model "${missing.slice(0, 64)}"; create it first.`,
      { id: missing },
    );
}
