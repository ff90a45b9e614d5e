import type { EntityManager } from 'typeorm';
import type { AbTestRules } from '#libs/core/ab-test/ab-test.js';

/** For so long after its end, rows and feedback that are late still count for a test. */
export const LATE_DAYS = 14;

/** A test whose rows are being counted, as the followers' statements take it. */
export interface RunningTest {
  readonly serial: number;
  readonly workspace_id: string;
  readonly endpoint_id: string;
  readonly endpoint: string;
  readonly rules: AbTestRules;
  readonly metrics: readonly string[];
  readonly first_revision: number;
  readonly last_revision: number;
  readonly started_at: string;
  readonly started_arrival: number;
  readonly stopped_at: string | null;
  readonly stopped_arrival: number | null;
  readonly covariate_units: number | null;
}

/** Tests that run, or ended not long ago. */
export async function runningTests(tx: EntityManager): Promise<RunningTest[]> {
  const rows = await tx.query<{ test: RunningTest }[]>(
    // As JSON, so that it comes back to the database with every microsecond it had.
    `SELECT json_build_object('serial', t.serial, 'workspace_id', t.workspace_id, 'endpoint_id', t.endpoint_id,
              'endpoint', e.name, 'rules', t.rules, 'metrics', t.metrics,
              'first_revision', t.first_revision, 'last_revision', coalesce(t.last_revision, 2147483647),
              'started_at', t.started_at, 'started_arrival', t.started_arrival,
              'stopped_at', t.stopped_at, 'stopped_arrival', t.stopped_arrival, 'covariate_units', t.covariate_units) AS test
       FROM ab_test t JOIN endpoint e ON e.id = t.endpoint_id
      WHERE t.status = 'running' OR t.stopped_at > now() - make_interval(days => $1)
      ORDER BY t.serial`,
    [LATE_DAYS],
  );
  return rows.map(({ test }) => test);
}

/** Table `t` of the tests given as JSON in this parameter. */
export const testsIn = (parameter: string): string => `
  json_to_recordset(${parameter}) AS t (
    serial integer, workspace_id uuid, endpoint text, metrics text[], first_revision integer, last_revision integer,
    started_at timestamptz, started_arrival bigint, stopped_at timestamptz, stopped_arrival bigint)`;

/**
 * Whether an inference `i` is of the test `t`. By the order of arrival neither a row is missed that came while the test
 * was being started or stopped, nor does one count twice.
 */
export const OF_TEST = `
  i.workspace_id = t.workspace_id AND i.endpoint = t.endpoint
  AND i.split_revision BETWEEN t.first_revision AND t.last_revision
  AND i.started_at >= t.started_at AND i.arrived >= t.started_arrival
  AND (t.stopped_at IS NULL OR i.started_at < t.stopped_at OR i.arrived < t.stopped_arrival)`;

/** Intention to treat: whatever became of the request, but neither a unit that a person put into its arm nor a copy. */
export const COUNTS = `i.assignment <> 'override' AND i.shadow_of IS NULL`;

/** The unit of analysis of an inference `i`: what was assigned. */
export const UNIT = `coalesce(i.unit, i.id::text)`;
