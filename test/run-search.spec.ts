import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataSource } from 'typeorm';
import { ExperimentSearch } from '../apps/registry/src/search/experiment-search.js';
import { RunMatches } from '../apps/registry/src/search/run-matches.js';
import { RunPages } from '../apps/registry/src/search/run-pages.js';
import { RunReader } from '../apps/registry/src/search/run-reader.js';
import { RunSearch, type RunSearchGiven } from '../apps/registry/src/search/run-search.js';
import { readFilter, readOrderBy } from '../apps/registry/src/search/search-text.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { TrackingRows, type ExperimentRow, type RunGiven } from './support/tracking-rows.js';

const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'test' };
const T0 = 1_700_000_000_000;

let database: TestDatabase;
let source: DataSource;
let rows: TrackingRows;
let reader: RunReader;
let runs: RunSearch;

beforeAll(async () => {
  database = await createTestDatabase();
  source = await new DataSource(
    dataSourceOptions({ url: database.url, poolSize: 4, applicationName: 'test' }),
  ).initialize();
  rows = new TrackingRows(database.client);
  reader = new RunReader(source);
  runs = new RunSearch(source, reader, new RunMatches(source), new RunPages(source));
});

afterAll(async () => {
  await source?.destroy();
  await database?.drop();
});

type Asked = Partial<Omit<RunSearchGiven, 'filter' | 'orderBy' | 'experimentSerials'>>;

function search(experiments: ExperimentRow[], filter: string, orderBy: string[] = [], asked: Asked = {}) {
  return runs.search(caller, {
    experimentSerials: experiments.map(({ serial }) => serial),
    filter: readFilter('run', filter),
    orderBy: readOrderBy('run', orderBy),
    lifecycle: 'active',
    limit: 100,
    ...asked,
  });
}

/** Names of the runs found, in order. */
async function names(
  experiments: ExperimentRow[],
  filter: string,
  orderBy: string[] = [],
  asked: Asked = {},
) {
  return (await search(experiments, filter, orderBy, asked)).runs.map(({ name }) => name);
}

/** Names of all pages, of `limit` runs each. */
async function allPages(
  experiments: ExperimentRow[],
  orderBy: string[],
  limit: number,
  between: () => Promise<void> = async () => undefined,
  filter = '',
): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await search(experiments, filter, orderBy, { limit, ...(cursor && { cursor }) });
    expect(page.runs.length).toBeLessThanOrEqual(limit);
    found.push(...page.runs.map(({ name }) => name));
    cursor = page.nextCursor ?? undefined;
    await between();
  } while (cursor !== undefined);
  return found;
}

let counter = 0;
const experiment = () => rows.addExperiment(`experiment ${counter++}`);

async function addAll(
  where: ExperimentRow,
  given: Record<string, RunGiven>,
): Promise<Record<string, string>> {
  const ids: Record<string, string> = {};
  let index = 0;
  for (const [name, run] of Object.entries(given))
    ids[name] = (await rows.addRun(where, { startedAt: T0 + index++, name, ...run })).id;
  return ids;
}

describe('A filter of runs', () => {
  let where: ExperimentRow;
  let ids: Record<string, string>;

  beforeAll(async () => {
    where = await experiment();
    ids = await addAll(where, {
      a: {
        status: 'FINISHED',
        endedAt: T0 + 1000,
        createdBy: 'Ann',
        metrics: { loss: 0.5, 'my loss': 1 },
        params: { model: 'gpt-4', path: String.raw`C:\data_x` },
        tags: { team: 'Blue', 'mlflow.parentRunId': 'x' },
        datasets: [{ name: 'train', digest: 'd1', context: 'training' }],
      },
      b: {
        status: 'FAILED',
        createdBy: 'Bob',
        metrics: { loss: Number.NaN },
        params: { model: 'GPT-4', long: 'x'.repeat(200) + 'b' },
        tags: { team: 'red', empty: '' },
        datasets: [
          { name: 'train', digest: 'd2', context: 'test' },
          { name: 'other', digest: 'd3' },
        ],
      },
      c: { metrics: { loss: Infinity }, params: { model: 'llama_8b', long: 'x'.repeat(200) + 'c' } },
      d: { metrics: { loss: 1e300 }, tags: { team: "O'Brien" } },
      e: { metrics: { loss: -Infinity }, startedAt: null },
      gone: { deleted: true, metrics: { loss: 0.5 } },
    });
  });

  it.each([
    // Metrics: latest values; NaN is unequal to everything and matches nothing else.
    ['metrics.loss < 0.6', 'ae'],
    ['metrics.loss <= 0.5', 'ae'],
    ['metrics.loss > 0.5', 'cd'],
    ['metrics.loss >= 0.5', 'acd'],
    ['metrics.loss = 0.5', 'a'],
    ['metrics.loss != 0.5', 'bcde'],
    ['metrics.loss = 1e300', 'd'],
    ['metrics.loss > 1.7e308', 'c'],
    ['metrics.`my loss` = 1', 'a'],
    ['metrics.unknown != 1', ''],
    // Params and tags: "!=" needs the key; LIKE minds the case.
    ["params.model = 'gpt-4'", 'a'],
    ["params.model != 'gpt-4'", 'bc'],
    ["params.model LIKE 'gpt%'", 'a'],
    ["params.model ILIKE 'gpt%'", 'ab'],
    ["params.model LIKE 'llama_8b'", 'c'],
    ["params.model LIKE 'gpt_4'", 'a'],
    [String.raw`params.model LIKE 'gpt\_4'`, ''],
    [String.raw`params.model LIKE 'llama\_8b'`, 'c'],
    [String.raw`params.path LIKE 'C:\d%'`, 'a'],
    [String.raw`params.path LIKE '%\'`, ''],
    [`params.long = '${'x'.repeat(200)}c'`, 'c'],
    [`params.long != '${'x'.repeat(200)}c'`, 'b'],
    ["tags.team != 'red'", 'ad'],
    ["tags.team = 'O''Brien'", 'd'],
    ['tags.team = "O\'Brien"', 'd'],
    ["tags.mlflow.parentRunId = 'x'", 'a'],
    ["tags.empty = ''", 'b'],
    ['tags.team IS NULL', 'ce'],
    ['tags.team IS NOT NULL', 'abd'],
    ['params.model IS NULL', 'de'],
    ['params.unknown IS NULL', 'abcde'],
    // Attributes.
    ["status = 'FAILED'", 'b'],
    ["attributes.status != 'RUNNING'", 'ab'],
    ["attr.run_name = 'a'", 'a'],
    ["run name LIKE '%'", 'abcde'],
    ["user_id ILIKE 'ann'", 'a'],
    [`start_time > ${T0}`, 'bcd'],
    [`created >= ${T0}.5`, 'bcd'],
    [`start_time <= ${T0}.5`, 'a'],
    [`start_time = ${T0 + 1}`, 'b'],
    [`start_time = ${T0}.5`, ''],
    [`start_time != ${T0}.5`, 'abcd'],
    ['start_time < 1e300', 'abcd'],
    ['start_time > -1e300', 'abcd'],
    [`end_time = ${T0 + 1000}`, 'a'],
    ["artifact_uri LIKE 'mlflow-artifacts:/%/artifacts'", 'abcde'],
    // Datasets.
    ["dataset.name = 'train'", 'ab'],
    ["datasets.digest IN ('d1', 'd3')", 'ab'],
    ["dataset.name NOT IN ('train')", 'b'],
    ["dataset.context = 'training'", 'a'],
    ["dataset.context LIKE 't%'", 'ab'],
    ["dataset.name = 'train' AND dataset.name = 'other'", 'b'],
    // Together.
    ["metrics.loss > 0 AND params.model ILIKE 'gpt%' AND tags.team = 'Blue'", 'a'],
    ["status = 'FAILED' OR tags.team = 'Blue'", 'ab'],
    ["(status = 'FAILED' OR tags.team = 'Blue') AND metrics.loss < 1", 'a'],
    ["status = 'FAILED' OR tags.team = 'Blue' AND metrics.loss > 1", 'b'],
    ["params.unknown = 'x' OR metrics.loss = 0.5 OR tags.team IS NULL", 'ace'],
    // Values stay values.
    ["tags.team = '''; DROP TABLE run; --'", ''],
    ["tags.team = 'x'' OR ''1'' = ''1'", ''],
    ["tags.`team' OR 1=1 --` IS NOT NULL", ''],
    ["params.`$1` = '$2'", ''],
  ])('%s', async (filter, expected) => {
    const walked = await names([where], filter, ['start_time']);
    expect(walked.join('')).toBe(expected);
    // By an attribute without an index: found first, then sorted.
    expect((await names([where], filter, ['status', 'run_name'])).toSorted().join('')).toBe(expected);
  });

  it('finds runs by their ids, in both spellings', async () => {
    const hex = (name: string) => ids[name]!.replaceAll('-', '');
    expect(await names([where], `run_id = '${hex('b')}'`)).toEqual(['b']);
    expect(await names([where], `run_id = '${ids.b}'`)).toEqual(['b']);
    expect(await names([where], `attribute.run_id IN ('${hex('c')}', '${hex('a')}', 'nonsense')`)).toEqual([
      'c',
      'a',
    ]);
    expect(await names([where], `run_id NOT IN ('${hex('c')}', '${hex('a')}') AND start_time > 0`)).toEqual([
      'd',
      'b',
    ]);
    expect(await names([where], `run_id != '${hex('c')}' AND metrics.loss > 0`)).toEqual(['d', 'a']);
    expect(await names([where], `run_id LIKE '${hex('a')}%'`)).toEqual(['a']);
    expect(await names([where], "run_id = 'nonsense'")).toEqual([]);
    expect(await names([where], `artifact_uri LIKE '%${hex('a')}%'`)).toEqual(['a']);
  });

  it('finds active runs, deleted ones or all', async () => {
    expect(await names([where], '', [], { lifecycle: 'deleted' })).toEqual(['gone']);
    expect(await names([where], '', ['run_name'], { lifecycle: 'all' })).toEqual([
      'a',
      'b',
      'c',
      'd',
      'e',
      'gone',
    ]);
    expect(await names([where], 'metrics.loss = 0.5', ['run_name'], { lifecycle: 'all' })).toEqual([
      'a',
      'gone',
    ]);
  });

  it('finds nothing in no experiment, in another experiment, and for another workspace', async () => {
    expect(await names([], '')).toEqual([]);
    expect(await names([await experiment()], '')).toEqual([]);
    const stranger = { workspaceId: '00000000-0000-7000-8000-00000000ffff', actor: 'test' };
    const page = await runs.search(stranger, {
      experimentSerials: [where.serial],
      filter: null,
      orderBy: [],
      lifecycle: 'all',
      limit: 10,
    });
    expect(page).toEqual({ runs: [], nextCursor: null });
  });

  it('loads all that runs logged', async () => {
    const { runs: found } = await search([where], '', ['run_name']);
    const data = await reader.load(found.map(({ serial }) => serial));
    const [a, b] = found.map(({ serial }) => data.get(serial)!);
    expect(a).toEqual({
      metrics: [
        { key: 'loss', value: 0.5, timeMs: 0, step: 0 },
        { key: 'my loss', value: 1, timeMs: 0, step: 0 },
      ],
      params: [
        { key: 'model', value: 'gpt-4' },
        { key: 'path', value: String.raw`C:\data_x` },
      ],
      tags: [
        { key: 'mlflow.parentRunId', value: 'x' },
        { key: 'team', value: 'Blue' },
      ],
      datasets: [
        expect.objectContaining({ name: 'train', digest: 'd1', tags: { 'mlflow.data.context': 'training' } }),
      ],
      modelInputs: [],
      modelOutputs: [],
    });
    expect(b!.metrics).toEqual([{ key: 'loss', value: Number.NaN, timeMs: 0, step: 0 }]);
    expect(b!.datasets.map(({ name }) => name)).toEqual(['other', 'train']);
  });
});

describe('An order of runs', () => {
  let where: ExperimentRow;

  beforeAll(async () => {
    where = await experiment();
    await addAll(where, {
      nan1: { metrics: { x: Number.NaN }, tags: { t: 'b' } },
      inf: { metrics: { x: Infinity }, params: { p: 'b' } },
      none1: { params: { p: 'a' } },
      one: { metrics: { x: 1 }, params: { p: 'Z' } },
      minus: { metrics: { x: -Infinity } },
      nan2: { metrics: { x: Number.NaN }, tags: { t: 'a' } },
      none2: { startedAt: null },
      oneAgain: { metrics: { x: 1 }, params: { p: `${'p'.repeat(128)}2` } },
      zero: { metrics: { x: 0 }, params: { p: `${'p'.repeat(128)}1` } },
    });
  });

  const ASCENDING = ['minus', 'zero', 'oneAgain', 'one', 'inf', 'nan2', 'nan1', 'none1', 'none2'];
  const DESCENDING = ['inf', 'oneAgain', 'one', 'zero', 'minus', 'nan2', 'nan1', 'none1', 'none2'];

  it('by a metric puts numbers first, then NaN, then runs without it, in both directions; ties by start, newest first', async () => {
    expect(await names([where], '', ['metrics.x'])).toEqual(ASCENDING);
    expect(await names([where], '', ['metrics.x DESC'])).toEqual(DESCENDING);
  });

  it('by several fields decides ties by the next one', async () => {
    expect(await names([where], '', ['metrics.x', 'start_time'])).toEqual([
      'minus',
      'zero',
      'one',
      'oneAgain',
      'inf',
      'nan1',
      'nan2',
      'none1',
      'none2',
    ]);
    expect(await names([where], '', ['metrics.x DESC', 'tags.t', 'params.p DESC'])).toEqual([
      'inf',
      'oneAgain',
      'one',
      'zero',
      'minus',
      'nan2',
      'nan1',
      'none1',
      'none2',
    ]);
  });

  it('by a param or tag compares all of the text by code points, with runs without it last', async () => {
    expect(await names([where], '', ['params.p'])).toEqual([
      'one',
      'none1',
      'inf',
      'zero',
      'oneAgain',
      'nan2',
      'minus',
      'nan1',
      'none2',
    ]);
    expect(await names([where], '', ['params.p DESC'])).toEqual([
      'oneAgain',
      'zero',
      'inf',
      'none1',
      'one',
      'nan2',
      'minus',
      'nan1',
      'none2',
    ]);
  });

  it('is by start, newest first, where none is given; runs that never started come last', async () => {
    const newestFirst = ['zero', 'oneAgain', 'nan2', 'minus', 'one', 'none1', 'inf', 'nan1', 'none2'];
    expect(await names([where], '')).toEqual(newestFirst);
    expect(await names([where], '', ['start_time DESC'])).toEqual(newestFirst);
    expect(await names([where], '', ['created'])).toEqual([
      ...newestFirst.slice(0, -1).toReversed(),
      'none2',
    ]);
    expect(await names([where], '', ['run_name DESC'])).toEqual([
      'zero',
      'oneAgain',
      'one',
      'none2',
      'none1',
      'nan2',
      'nan1',
      'minus',
      'inf',
    ]);
  });

  it('is by id where all else is equal', async () => {
    const same = await experiment();
    const ids: string[] = [];
    for (let index = 0; index < 10; index++) ids.push((await rows.addRun(same, { startedAt: T0 })).id);
    const found = await search([same], '', ['metrics.nothing']);
    expect(found.runs.map(({ id }) => id)).toEqual(ids.toSorted());
    const byId = await search([same], '', ['run_id DESC']);
    expect(byId.runs.map(({ id }) => id)).toEqual(ids.toSorted().toReversed());
  });

  it.each([1, 2, 3, 8])('is the same in pages of %i', async (limit) => {
    for (const orderBy of [
      [],
      ['start_time'],
      ['metrics.x'],
      ['metrics.x DESC'],
      ['params.p'],
      ['params.p DESC'],
      ['tags.t', 'metrics.x DESC'],
      ['metrics.x', 'params.p', 'start_time'],
      ['run_name'],
      ['status', 'run_id'],
      ['end_time', 'artifact_uri DESC'],
      ['user_id DESC', 'metrics.x'],
    ]) {
      const whole = await names([where], '', orderBy);
      expect(whole).toHaveLength(9);
      expect(await allPages([where], orderBy, limit)).toEqual(whole);
    }
  });

  it('goes over several experiments as over one', async () => {
    const [first, second] = [await experiment(), await experiment()];
    await addAll(first, { a: { metrics: { x: 1 } }, b: { metrics: { x: 3 } }, c: {} });
    await addAll(second, {
      d: { metrics: { x: 2 } },
      e: { startedAt: T0 + 9 },
      f: { metrics: { x: Number.NaN } },
    });
    expect(await names([first, second, first], '', ['metrics.x'])).toEqual(['a', 'd', 'b', 'f', 'e', 'c']);
    expect(await allPages([first, second], ['metrics.x DESC'], 1)).toEqual(['b', 'd', 'a', 'f', 'e', 'c']);
    const many = [first, second];
    while (many.length < 70) many.push(await experiment());
    expect(await allPages(many, ['metrics.x DESC'], 2)).toEqual(['b', 'd', 'a', 'f', 'e', 'c']);
  });
});

describe('Many runs that are equal in much', () => {
  let where: ExperimentRow;
  /** So many that the search sorts instead of walking along indexes: the same result in another way. */
  let sorted: ExperimentRow[];

  beforeAll(async () => {
    where = await experiment();
    const { serial } = where;
    await database.client.query(
      `INSERT INTO run (id, workspace_id, experiment_serial, name, status, started_at, created_at, created_by, updated_at)
       SELECT gen_random_uuid(), $1, $2, 'n' || n % 50, 'RUNNING',
              CASE WHEN n % 11 > 0 THEN to_timestamp(1.7e9 + n % 5) END, now(), 'test', now()
         FROM generate_series(1, 300) n`,
      [DEFAULT_WORKSPACE_ID, serial],
    );
    for (const [table, name, value] of [
      [
        'latest_metric',
        'x',
        `(ARRAY[1, 1, 2, 'NaN', 'Infinity', '-Infinity', 0, 0.5]::float8[])[1 + r.serial % 9]`,
      ],
      ['latest_metric', 'y', `CASE WHEN r.serial % 100 > 0 THEN r.serial % 7 END`],
      ['param', 'p', `repeat('ä', 127) || (ARRAY['b', 'cd', 'ce', 'cdf'])[1 + r.serial % 5]`],
      ['run_tag', 't', `CASE WHEN r.serial % 40 = 0 THEN 'rare' END`],
    ] as const)
      await database.client.query(
        `INSERT INTO ${table} (run, key, experiment, value${table === 'latest_metric' ? ', step, time_ms' : ''})
         SELECT * FROM (SELECT r.serial, $2::int, $1::int, ${value} AS value${table === 'latest_metric' ? ', 0, 0' : ''}
                          FROM run r WHERE r.experiment_serial = $1) v WHERE value IS NOT NULL`,
        [serial, await rows.key(name)],
      );
    sorted = [where];
    for (let index = 0; index < 64; index++) sorted.push(await experiment());
  });

  it.each([
    [['start_time']],
    [['start_time DESC', 'metrics.y']],
    [['run_name', 'params.p DESC']],
    [['metrics.x']],
    [['metrics.x DESC', 'metrics.y']],
    [['metrics.y DESC', 'params.p', 'metrics.x DESC']],
    [['params.p']],
    [['params.p DESC', 'run_id DESC']],
    [['tags.t', 'metrics.x']],
  ])('come in the order %j, page by page, whichever way they are found', async (orderBy) => {
    for (const [filter, limit] of [
      ['', 7],
      ["metrics.y != 3 OR tags.t = 'rare'", 5],
      ['metrics.x > 0.5 AND metrics.y < 6', 3],
      ["params.p LIKE '%c%' AND metrics.x != 1", 2],
      ["tags.t = 'rare'", 1],
    ] as const) {
      const whole = await search(sorted, filter, orderBy, { limit: 500 });
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await search([where], filter, orderBy, { limit, ...(cursor && { cursor }) });
        found.push(...page.runs.map(({ id }) => id));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      expect(found.length).toBeGreaterThan(0);
      expect(found).toEqual(whole.runs.map(({ id }) => id));
    }
  });
});

describe('Pages of runs', () => {
  it('show every run that was there exactly once while others are added, changed and deleted', async () => {
    const where = await experiment();
    const given: Record<string, RunGiven> = {};
    for (let index = 0; index < 40; index++)
      given[`r${String(index).padStart(2, '0')}`] = { metrics: { x: index % 7 }, tags: { keep: 'yes' } };
    await addAll(where, given);
    for (const orderBy of [[], ['metrics.x DESC'], ['run_name']]) {
      let added = 0;
      const found = await allPages([where], orderBy, 3, async () => {
        await rows.addRun(where, {
          name: `new${added}`,
          startedAt: T0 + 20 - added,
          metrics: { x: added++ % 7 },
        });
      });
      const kept = found.filter((name) => name.startsWith('r'));
      expect(kept.toSorted()).toEqual(Object.keys(given));
    }
  });

  it('refuse the cursor of another search, and one that was made up', async () => {
    const where = await experiment();
    await addAll(where, { a: { metrics: { x: 1 } }, b: { metrics: { x: 2 } }, c: {} });
    const { nextCursor } = await search([where], 'metrics.x > 0', ['metrics.x'], { limit: 1 });
    const cursor = nextCursor!;
    await expect(
      names([where], 'metrics.x  >  0.0', ['metric.x ASC'], { cursor, limit: 5 }),
    ).resolves.toEqual(['b']);
    const refused = { code: 'INVALID_CURSOR' };
    await expect(search([where], 'metrics.x > 1', ['metrics.x'], { cursor })).rejects.toMatchObject(refused);
    await expect(search([where], 'metrics.x > 0', ['metrics.x DESC'], { cursor })).rejects.toMatchObject(
      refused,
    );
    await expect(
      search([await experiment()], 'metrics.x > 0', ['metrics.x'], { cursor }),
    ).rejects.toMatchObject(refused);
    await expect(
      search([where], 'metrics.x > 0', ['metrics.x'], { cursor, lifecycle: 'all' }),
    ).rejects.toMatchObject(refused);
    const held = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const time = held.k[1];
    for (const k of [
      [],
      ['1', time],
      ['x', time, held.k[2]],
      ['1e999', time, held.k[2]],
      ['1', '1; DROP TABLE run', held.k[2]],
      ['1', '9'.repeat(19), held.k[2]],
      ['1', time, 'x'],
      ['1', time, 5],
      'no list',
    ])
      await expect(
        search([where], 'metrics.x > 0', ['metrics.x'], {
          cursor: Buffer.from(JSON.stringify({ ...held, k })).toString('base64url'),
        }),
      ).rejects.toMatchObject(refused);
    for (const nonsense of ['', 'x', '%%%', Buffer.from('null').toString('base64url')])
      await expect(
        search([where], 'metrics.x > 0', ['metrics.x'], { cursor: nonsense }),
      ).rejects.toMatchObject(refused);
  });

  it('say where a filter is wrong', () => {
    expect(() => readFilter('run', 'metrics.x > oops')).toThrow(
      expect.objectContaining({
        code: 'VALIDATION_FAILED',
        message: 'Invalid filter: at column 13, expected a number without quotes, found "oops".',
        details: { column: 13, found: '"oops"', expected: 'a number without quotes' },
      }),
    );
  });
});

describe('A search of experiments', () => {
  let experiments: ExperimentSearch;

  beforeAll(async () => {
    await database.client.query(`UPDATE experiment SET deleted_at = now()`);
    experiments = new ExperimentSearch(source);
    const at = (minutes: number) => new Date(T0 + minutes * 60_000);
    await rows.addExperiment('alpha', { tags: { team: 'blue' }, createdAt: at(1), updatedAt: at(9) });
    await rows.addExperiment('Beta', { tags: { team: 'red', note: '' }, createdAt: at(2) });
    await rows.addExperiment('gamma', { createdAt: at(3) });
    await rows.addExperiment('delta', { createdAt: at(3), deleted: true });
    await rows.addExperiment('epsilon', { createdAt: at(3) });
  });

  const found = async (filter: string, orderBy: string[] = [], asked: object = {}) => {
    const page = await experiments.search(caller, {
      filter: readFilter('experiment', filter),
      orderBy: readOrderBy('experiment', orderBy),
      lifecycle: 'active',
      limit: 100,
      ...asked,
    });
    return page.experiments.map(({ name }) => name);
  };

  it.each([
    ['', 'gamma,epsilon,Beta,alpha'],
    ["name = 'alpha'", 'alpha'],
    ["name != 'alpha'", 'gamma,epsilon,Beta'],
    ["name LIKE 'b%'", ''],
    ["attribute.name ILIKE 'b%'", 'Beta'],
    [`creation_time > ${T0 + 60_000}`, 'gamma,epsilon,Beta'],
    [`last_update_time >= ${T0 + 540_000}`, 'alpha'],
    ["tags.team = 'blue' OR tags.note = ''", 'Beta,alpha'],
    ["tags.team != 'blue'", 'Beta'],
    ['tags.team IS NULL', 'gamma,epsilon'],
    ["experiment_id = '999999999'", ''],
    ["tags.`team' OR '1'='1` = 'x'", ''],
  ])('finds by %s', async (filter, expected) => {
    expect((await found(filter)).join()).toBe(expected);
  });

  it('finds by number, and deleted ones', async () => {
    const { rows: numbers } = await database.client.query(
      `SELECT number FROM experiment WHERE name IN ('alpha', 'gamma')`,
    );
    const list = numbers.map(({ number }) => `'${number}'`).join();
    expect(await found(`experiment_id IN (${list})`)).toEqual(['gamma', 'alpha']);
    expect(await found(`name = 'delta'`, [], { lifecycle: 'deleted' })).toEqual(['delta']);
    expect(await found(`name LIKE '_elta'`, [], { lifecycle: 'all' })).toEqual(['delta']);
  });

  it('orders, and pages in the same order', async () => {
    for (const [orderBy, expected] of [
      [[], 'gamma,epsilon,Beta,alpha'],
      [['name'], 'Beta,alpha,epsilon,gamma'],
      [['creation_time'], 'alpha,Beta,epsilon,gamma'],
      [['last_update_time DESC', 'name DESC'], 'alpha,gamma,epsilon,Beta'],
      [['experiment_id'], 'alpha,Beta,gamma,epsilon'],
    ] as const) {
      const paged: string[] = [];
      let cursor: string | null | undefined;
      do {
        const page = await experiments.search(caller, {
          filter: null,
          orderBy: readOrderBy('experiment', orderBy),
          lifecycle: 'active',
          limit: 1,
          cursor: cursor ?? undefined,
        });
        paged.push(...page.experiments.map(({ name }) => name));
        cursor = page.nextCursor;
      } while (cursor !== null);
      expect(paged.join()).toBe(expected);
      expect((await found('', [...orderBy])).join()).toBe(expected);
    }
  });

  it('refuses the cursor of another search', async () => {
    const first = await experiments.search(caller, {
      filter: null,
      orderBy: [],
      lifecycle: 'active',
      limit: 1,
    });
    await expect(
      experiments.search(caller, {
        filter: null,
        orderBy: readOrderBy('experiment', ['name']),
        lifecycle: 'active',
        limit: 1,
        cursor: first.nextCursor!,
      }),
    ).rejects.toMatchObject({ code: 'INVALID_CURSOR' });
  });
});
