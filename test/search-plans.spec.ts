import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataSource, type Logger } from 'typeorm';
import { ExperimentSearch } from '../apps/registry/src/search/experiment-search.js';
import { RunMatches } from '../apps/registry/src/search/run-matches.js';
import { RunPages } from '../apps/registry/src/search/run-pages.js';
import { RunReader } from '../apps/registry/src/search/run-reader.js';
import { RunSearch } from '../apps/registry/src/search/run-search.js';
import { readFilter, readOrderBy } from '../apps/registry/src/search/search-text.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { TrackingRows, type ExperimentRow } from './support/tracking-rows.js';

/** More show more, and take longer to fill in. */
const RUNS = Number(process.env.CATENA_TEST_RUNS ?? 40_000);

const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'test' };
const VOLUME = [
  'run',
  'run_change',
  'latest_metric',
  'param',
  'run_tag',
  'metric',
  'run_dataset',
  'experiment',
];

/** Statements that are planned once, without values: `runPrepared`. */
const PREPARED =
  /unnest\(\$\d+::int\[\]\) m \(run\)\s+JOIN LATERAL \(SELECT \* FROM (?!run )|labelled >=|= ANY \(\$1::int\[\]\)/;

interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly Plan[];
}

let database: TestDatabase;
let source: DataSource;
let runs: RunSearch;
let reader: RunReader;
let large: ExperimentRow;
/** Enough to make the search sort instead of walking along indexes. */
const empty: ExperimentRow[] = [];
const statements: Statement[] = [];

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
    ...dataSourceOptions({ url: database.url, poolSize: 4, applicationName: 'test' }),
    logging: ['query'],
    logger,
  }).initialize();
  reader = new RunReader(source);
  runs = new RunSearch(source, reader, new RunMatches(source), new RunPages(source));
  const rows = new TrackingRows(database.client);
  await rows.addManyRuns(await rows.addExperiment('small'), Math.ceil(RUNS / 20), 2);
  large = await rows.addExperiment('large');
  await rows.addManyRuns(large, RUNS, 2);
  for (let index = 0; index < 64; index++) empty.push(await rows.addExperiment(`empty ${index}`));
  await database.client.query('VACUUM ANALYZE');
}, 300_000);

afterAll(async () => {
  await source?.destroy();
  await database?.drop();
});

/** Bitmap scans name their index only. */
function tableOf(index: string | undefined): string | undefined {
  return VOLUME.toSorted((one, other) => other.length - one.length).find((table) =>
    index?.startsWith(`${table}_`),
  );
}

/** Tables that the statements since the last call scan from end to end. */
async function scanned(wholeIndexes = true): Promise<string[]> {
  const tables: string[] = [];
  const visit = (plan: Plan): void => {
    const table = plan['Relation Name'] ?? tableOf(plan['Index Name']);
    // An index read from end to end, or all runs of a workspace, are a scan by another name.
    const isWhole =
      plan['Index Cond'] === undefined ||
      (table === 'run' && /^\(workspace_id = \S+\)$/.test(plan['Index Cond']));
    if (
      plan['Node Type'].includes('Seq Scan') ||
      (wholeIndexes && plan['Node Type'].includes('Index') && isWhole)
    )
      tables.push(table!);
    plan.Plans?.forEach(visit);
  };
  for (const { text, values } of statements.splice(0)) {
    // Settings and the ends of their transactions apply to the plans as they did to the statements.
    if (text.startsWith('EXPLAIN')) continue;
    if (!/^\s*(SELECT|WITH)/.test(text))
      await database.client.query(text.replace('START TRANSACTION', 'BEGIN'));
    else {
      const { rows } = await database.client.query(`EXPLAIN (FORMAT JSON) ${text}`, values);
      visit(rows[0]['QUERY PLAN'][0].Plan);
      if (!PREPARED.test(text)) continue;
      const generic = await database.client.query(`EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${text}`);
      visit(generic.rows[0]['QUERY PLAN'][0].Plan);
    }
  }
  return tables.filter((table) => VOLUME.includes(table));
}

const ask = (
  experiments: readonly ExperimentRow[],
  filter: string,
  orderBy: readonly string[],
  limit = 100,
) => ({
  experimentSerials: experiments.map(({ serial }) => serial),
  filter: readFilter('run', filter),
  orderBy: readOrderBy('run', orderBy),
  lifecycle: 'active' as const,
  limit,
});

const SEARCHES: [filter: string, orderBy: string[]][] = [
  ['', []],
  ['', ['start_time']],
  ['', ['run_name DESC']],
  ['', ['end_time']],
  ['', ['metrics.m0 DESC']],
  ['', ['metrics.unknown']],
  ['', ['params.p0', 'metrics.m0 DESC']],
  ["metrics.m0 > 0.5 AND params.p0 = 'v1' AND tags.t0 = 'v3'", ['metrics.m1 DESC']],
  ["metrics.m0 > 0.5 AND tags.t0 = 'v3'", ['metrics.m1']],
  ['metrics.m0 > 0.999', []],
  ["params.p1 = 'v77'", ['metrics.m1']],
  ["tags.t1 = 'v777'", ['metrics.m1 DESC']],
  ["params.p0 LIKE 'v1%'", ['metrics.m1 DESC']],
  ["params.p1 LIKE '%777%'", ['start_time']],
  ["params.p0 = 'v1' OR tags.t0 = 'v3'", ['metrics.m1']],
  ["params.p1 = 'v1' OR tags.t1 = 'v3'", ['metrics.m1']],
  ["tags.t1 = 'v1' OR status = 'FAILED'", []],
  ["status = 'FAILED'", []],
  ['tags.unknown IS NULL AND metrics.m0 < 0.001', ['tags.t1']],
  ["params.p0 = 'unknown'", ['params.p1']],
  ["dataset.name = 'd7' AND dataset.context = 'training'", ['metrics.m0']],
  ["dataset.digest = 'unknown'", ['metrics.m0']],
  ["run_id = '00000000000070008000000000000001'", ['metrics.m0']],
];

describe(`Over ${RUNS} runs`, () => {
  it.each(SEARCHES)(
    'the search %j ordered by %j scans no table, and finds what a full sort finds',
    async (filter, orderBy) => {
      statements.length = 0;
      const first = await runs.search(caller, ask([large], filter, orderBy));
      expect(await scanned()).toEqual([]);
      const second =
        first.nextCursor === null
          ? undefined
          : await runs.search(caller, { ...ask([large], filter, orderBy), cursor: first.nextCursor });
      expect(await scanned()).toEqual([]);
      const whole = await runs.search(caller, ask([large, ...empty], filter, orderBy, 200));
      // These experiments hold nearly all runs there are: to read an index as a whole is right.
      expect(await scanned(false)).toEqual([]);
      const found = [...first.runs, ...(second?.runs ?? [])].map(({ id }) => id);
      expect(found).toEqual(whole.runs.map(({ id }) => id));
    },
  );

  it('what 1000 runs logged is read without a scan, in six statements', async () => {
    const page = await runs.search(caller, ask([large], '', [], 1000));
    statements.length = 0;
    const data = await reader.load(page.runs.map(({ serial }) => serial));
    expect(statements).toHaveLength(6);
    expect(await scanned()).toEqual([]);
    expect(data.size).toBe(1000);
    for (const { metrics, params, tags } of data.values())
      expect([metrics.length, params.length, tags.length]).toEqual([2, 2, 2]);
  });

  it('the search of experiments scans no table once there are many', async () => {
    await database.client.query(
      `INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at)
       SELECT gen_random_uuid(), $1, 1000 + n, 'many ' || n, '{}', now() - n * interval '1 s', 'test', now()
         FROM generate_series(1, 5000) n`,
      [DEFAULT_WORKSPACE_ID],
    );
    await database.client.query('ANALYZE experiment');
    const experiments = new ExperimentSearch(source);
    for (const [filter, orderBy] of [
      ['', []],
      ['', ['name']],
      ['', ['experiment_id DESC']],
      ["name = 'many 7'", []],
    ] as const) {
      statements.length = 0;
      const page = await experiments.search(caller, {
        filter: readFilter('experiment', filter),
        orderBy: readOrderBy('experiment', orderBy),
        lifecycle: 'active',
        limit: 100,
      });
      expect(page.experiments.length).toBeGreaterThan(0);
      expect(await scanned()).toEqual([]);
    }
  });
});
