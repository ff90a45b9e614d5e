import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataSource, type Logger } from 'typeorm';
import { RegistryReader } from '../apps/registry/src/entries/registry.reader.js';
import { ExperimentService } from '../apps/registry/src/experiments/experiment.service.js';
import { Experiment } from '../apps/registry/src/experiments/experiment.entity.js';
import { IssueService } from '../apps/registry/src/issues/issue.service.js';
import { LabelSchemaService } from '../apps/registry/src/label-schemas/label-schema.service.js';
import { ReviewItemService } from '../apps/registry/src/review-queues/review-item.service.js';
import { ReviewQueueService } from '../apps/registry/src/review-queues/review-queue.service.js';
import { readFilter } from '../apps/registry/src/search/search-text.js';
import { ExperimentSearch } from '../apps/registry/src/search/experiment-search.js';
import { Workspace } from '../apps/registry/src/workspaces/workspace.entity.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { TrackingRows, type ExperimentRow } from './support/tracking-rows.js';

const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'test' };
const CONTENT = JSON.stringify({ format: 'mlflow', source: 'runs:/x/model', filler: 'x'.repeat(300) });
const VERSIONS = 20_000;
/** Nearly, so that a scan of them is the best plan. */
const EMPTY = ['experiment', 'alias', 'artifact'];

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Join Filter'?: number;
  readonly Plans?: readonly Plan[];
}

let database: TestDatabase;
let source: DataSource;
let experiment: ExperimentRow;
let experiments: ExperimentService;
const statements: { readonly text: string; readonly values: unknown[] }[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  const ignore = () => undefined;
  const logger: Logger = {
    logQuery: (text, values) => statements.push({ text, values: [...((values as unknown[]) ?? [])] }),
    logQueryError: ignore,
    logQuerySlow: ignore,
    logSchemaBuild: ignore,
    logMigration: ignore,
    log: ignore,
  };
  source = await new DataSource({
    ...dataSourceOptions({
      url: database.url,
      poolSize: 2,
      applicationName: 'test',
      entities: [Experiment, Workspace],
    }),
    logging: ['query'],
    logger,
  }).initialize();
  experiments = new ExperimentService(source, new ExperimentSearch(source));
  experiment = await new TrackingRows(database.client).addExperiment('reviewed');
  await fill();
}, 120_000);

afterAll(async () => {
  await source?.destroy();
  await database?.drop();
});

/** Versions of 200 models, and reviews of an experiment among others. */
async function fill(): Promise<void> {
  const { client } = database;
  await client.query(
    `WITH e AS (
       INSERT INTO entry (id, workspace_id, kind, name, tags, latest_version, created_at, created_by, updated_at)
       SELECT gen_random_uuid(), $1, 'model', 'm' || i, '{}', 1000, now(), 'x', now() FROM generate_series(1, 200) i RETURNING id),
     v AS (
       INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
       SELECT gen_random_uuid(), $1, e.id, n, 'sha256:' || encode(sha256(convert_to($2, 'UTF8')), 'hex'), $2,
              now() - random() * interval '1 year', 'x' FROM e, generate_series(1, $3::int / 200) n RETURNING id, created_at)
     INSERT INTO version_note (version_id, workspace_id, kind, tags, stage, updated_at)
     SELECT id, $1, 'model', '{}', 'None', created_at FROM v`,
    [DEFAULT_WORKSPACE_ID, CONTENT, VERSIONS],
  );
  await client.query(
    `INSERT INTO issue (id, workspace_id, experiment, name, description, status, severity, root_causes, categories, created_at, updated_at)
     SELECT gen_random_uuid(), $1, $2, 'i' || n, 'd', 'pending', (ARRAY['low', 'high', NULL])[n % 3 + 1], '{}', '{}', now() - n * interval '1 second', now()
       FROM generate_series(1, 20000) n`,
    [DEFAULT_WORKSPACE_ID, experiment.serial],
  );
  await client.query(
    `INSERT INTO label_schema (id, workspace_id, experiment, name, type, enable_comment, input, is_default, created_at, created_by, updated_at)
     SELECT gen_random_uuid(), $1, $2, CASE n WHEN 1 THEN 'Feedback' ELSE 's' || n END, 'feedback', false, '{"kind":"text","maxLength":null}', n = 1, now() - n * interval '1 second', 'x', now()
       FROM generate_series(1, 10000) n`,
    [DEFAULT_WORKSPACE_ID, experiment.serial],
  );
  await client.query(
    `INSERT INTO review_queue (id, workspace_id, experiment, name, name_key, kind, users, label_schema_ids, created_at, created_by, updated_at)
     SELECT gen_random_uuid(), $1, $2, 'q' || n, 'q' || n, 'custom', '{}', '{}', now() - n * interval '1 second', 'x', now()
       FROM generate_series(1, 10000) n`,
    [DEFAULT_WORKSPACE_ID, experiment.serial],
  );
  await client.query(
    `WITH t AS (
       INSERT INTO trace (id, workspace_id, trace_id, experiment, time_ms, state, metadata, tags, finalized, created_at)
       SELECT gen_random_uuid(), $1, 'tr-' || n, $2, n, 'OK', '{}', '{}', true, now() FROM generate_series(1, 10000) n RETURNING serial, trace_id)
     INSERT INTO review_queue_item (queue_id, trace_id, trace, status, created_at, updated_at)
     SELECT (SELECT id FROM review_queue WHERE name = 'q1'), trace_id, serial, 'pending', now() - serial * interval '1 second', now() FROM t`,
    [DEFAULT_WORKSPACE_ID, experiment.serial],
  );
  await client.query('VACUUM ANALYZE');
}

/** The indexes that the statements since the last call used, and the most rows that one of their steps looked at. */
async function explained(): Promise<{ indexes: Set<string>; scans: string[]; rows: number }> {
  const indexes = new Set<string>();
  const scans: string[] = [];
  let rows = 0;
  const visit = (plan: Plan): void => {
    if (plan['Index Name']) indexes.add(plan['Index Name']);
    if (plan['Node Type'].includes('Seq Scan')) scans.push(plan['Relation Name']!);
    const dropped = (plan['Rows Removed by Filter'] ?? 0) + (plan['Rows Removed by Join Filter'] ?? 0);
    rows = Math.max(rows, plan['Actual Rows'] + dropped);
    plan.Plans?.forEach(visit);
  };
  for (const { text, values } of statements.splice(0)) {
    if (!/^\s*SELECT/.test(text)) continue;
    const answer = await database.client.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values);
    visit(answer.rows[0]['QUERY PLAN'][0].Plan);
  }
  return { indexes, scans: scans.filter((table) => !EMPTY.includes(table)), rows };
}

describe('a page is read from an index, and no more than it needs:', () => {
  it.each(['', `tags."mlflow.prompt.is_prompt" != 'true'`])(
    'of model versions, filter "%s"',
    async (filter) => {
      const reader = new RegistryReader(source);
      const search = { filter: readFilter('modelVersion', filter), order: [] };
      // Behind many, so that reading these again would show.
      const first = await reader.searchVersions(caller, { ...search, limit: 2_000 });
      statements.length = 0;
      const second = await reader.searchVersions(caller, { ...search, limit: 50, token: first.nextToken });
      const { indexes, scans, rows } = await explained();
      expect(indexes).toContain('version_note_updated_idx');
      expect([scans, rows < 200]).toEqual([[], true]);
      expect(second.items).toHaveLength(50);
      expect(second.items[0]!.updatedMs).toBeLessThanOrEqual(first.items.at(-1)!.updatedMs);
    },
  );

  it.each(['', `status = 'pending'`])('of issues, filter "%s"', async (filter) => {
    const issues = new IssueService(source, experiments);
    const query = { filter: readFilter('issue', filter) ?? undefined };
    for (const number of [experiment.number, undefined]) {
      const { nextCursor } = await issues.search(caller, { ...query, experiment: number, limit: 2_000 });
      statements.length = 0;
      await issues.search(caller, { ...query, experiment: number, limit: 50, cursor: nextCursor! });
      const { indexes, scans, rows } = await explained();
      expect(indexes).toContain(number === undefined ? 'issue_workspace_idx' : 'issue_list_idx');
      expect([scans, rows < 200]).toEqual([[], true]);
    }
  });

  it('of label schemas, review queues and their items', async () => {
    const queues = new ReviewQueueService(source, experiments);
    const items = new ReviewItemService(source, queues);
    const schemas = new LabelSchemaService(source, experiments);
    const { id } = await queues.getByName(caller, experiment.number, 'Q1');
    for (const [index, list] of [
      [
        'label_schema_list_idx',
        (page: object) => schemas.list(caller, experiment.number, { limit: 50, ...page }),
      ],
      [
        'review_queue_list_idx',
        (page: object) => queues.list(caller, experiment.number, { limit: 50, ...page }),
      ],
      ['review_queue_item_list_idx', (page: object) => items.list(caller, id, { limit: 50, ...page })],
    ] as const) {
      const { nextCursor } = await list({ limit: 2_000 });
      statements.length = 0;
      await list({ cursor: nextCursor });
      const { indexes, scans, rows } = await explained();
      expect(indexes).toContain(index);
      expect([index, scans, rows < 200]).toEqual([index, [], true]);
    }
  });
});
