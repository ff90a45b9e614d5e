import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from './support/database.js';

/** Tables that belong to the installation, not to a tenant. */
const SHARED = new Set(['workspace', 'change_head', 'migration', 'follower', 'archive_day']);
/**
 * Rows that belong to a row with a workspace, by that column: kept small because they are many, or parts of one thing.
 * A table that is not named here has a workspace on each of its rows.
 */
const PARTS: Readonly<Record<string, string>> = {
  metric: 'run',
  latest_metric: 'run',
  param: 'run',
  run_tag: 'run',
  run_change: 'run',
  run_dataset: 'run',
  run_model: 'run',
  run_version: 'run',
  dataset: 'experiment',
  logged_model_metric: 'logged_model_id',
  version_source: 'version_id',
  span: 'trace',
  assessment: 'trace',
  trace_run: 'run',
  trace_prompt: 'trace',
  evaluation_dataset_experiment: 'dataset_id',
  evaluation_dataset_record: 'dataset_id',
  scorer_version: 'scorer_id',
  review_queue_item: 'queue_id',
  ab_test_unit: 'test',
  ab_test_exposure: 'test',
  ab_test_sums: 'test',
  ab_test_histogram: 'test',
  ab_test_judgement: 'test',
};

describe('the schema', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('has a workspace on every row of every table, or of what the row is a part of', async () => {
    const { rows } = await database.client.query<{ table: string; owned: boolean }>(
      `SELECT t.table_name AS table,
              EXISTS (SELECT FROM information_schema.columns c
                       WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name
                         AND c.column_name = COALESCE($1::jsonb ->> t.table_name, 'workspace_id')
                         AND c.is_nullable = 'NO') AS owned
         FROM information_schema.tables t
        WHERE t.table_schema = 'public' AND t.table_type = 'BASE TABLE'`,
      [JSON.stringify(PARTS)],
    );
    expect(rows.length).toBeGreaterThan(15);
    expect(rows.filter(({ table, owned }) => !owned && !SHARED.has(table))).toEqual([]);
  });

  it('starts with the workspace "default"', async () => {
    const { rows } = await database.client.query<{ name: string }>('SELECT name FROM workspace');
    expect(rows).toEqual([{ name: 'default' }]);
  });

  it('gives every constraint and index a name of our own', async () => {
    const { rows } = await database.client.query<{ name: string }>(
      `SELECT conname AS name FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
        WHERE t.relnamespace = 'public'::regnamespace AND c.contype <> 'n' AND t.relname <> 'migration'
          AND conname ~ '_(pkey|fkey[0-9]*|key[0-9]+|check[0-9]+)$'`,
    );
    expect(rows).toEqual([]);
  });
});
