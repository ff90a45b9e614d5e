import fc from 'fast-check';
import { DataSource, type Logger } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunMatches } from '../apps/registry/src/search/run-matches.js';
import { RunPages } from '../apps/registry/src/search/run-pages.js';
import { RunReader } from '../apps/registry/src/search/run-reader.js';
import { RunSearch } from '../apps/registry/src/search/run-search.js';
import { readFilter, readOrderBy } from '../apps/registry/src/search/search-text.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { TrackingRows, type ExperimentRow } from './support/tracking-rows.js';

const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'test' };
/** Enough that a search for few of them gives up walking and finds the set. */
const FILLERS = 4_000;
const LONG = 'ä'.repeat(128);
const VALUES = ['a', 'b', '', `${LONG}1`, `${LONG}2`];

let database: TestDatabase;
let source: DataSource;
let rows: TrackingRows;
/** Two processes, as far as what they remember goes. */
let searches: RunSearch[];
const statements: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  const ignore = () => undefined;
  const logger: Logger = {
    logQuery: (text) => statements.push(text),
    logQueryError: ignore,
    logQuerySlow: ignore,
    logSchemaBuild: ignore,
    logMigration: ignore,
    log: ignore,
  };
  source = await new DataSource({
    ...dataSourceOptions({ url: database.url, poolSize: 8, applicationName: 'test' }),
    logging: ['query'],
    logger,
  }).initialize();
  searches = [0, 1].map(
    () => new RunSearch(source, new RunReader(source), new RunMatches(source), new RunPages(source)),
  );
  rows = new TrackingRows(database.client);
  // Known to the searches before the first run has them.
  for (const name of ['p', 'q', 't', 'u', 'm', 'n']) await rows.key(name);
}, 60_000);

afterAll(async () => {
  await source?.destroy();
  await database?.drop();
});

beforeEach(() => void (statements.length = 0));

let experiments = 0;
const experiment = (): Promise<ExperimentRow> => rows.addExperiment(`e${experiments++}`);

/** An experiment of many runs, of which none has a param or a tag. */
async function crowded(): Promise<ExperimentRow> {
  const made = await experiment();
  await database.client.query(
    `INSERT INTO run (id, workspace_id, experiment_serial, name, status, started_at, created_at, created_by, updated_at)
     SELECT gen_random_uuid(), $1, $2, 'filler', 'FINISHED', to_timestamp(1.7e9 + n), now(), 'test', now()
       FROM generate_series(1, ${FILLERS}) n`,
    [DEFAULT_WORKSPACE_ID, made.serial],
  );
  await database.client.query(
    `INSERT INTO latest_metric (run, key, experiment, step, time_ms, value)
     SELECT serial, $2, $1, 0, 0, serial % 97 FROM run WHERE experiment_serial = $1`,
    [made.serial, await rows.key('m')],
  );
  await database.client.query('VACUUM ANALYZE run, latest_metric');
  return made;
}

/** Names of the runs of all pages, in order. */
async function found(
  search: RunSearch,
  where: readonly ExperimentRow[],
  filter: string,
  orderBy: readonly string[],
  limit = 100,
  lifecycle: 'active' | 'deleted' | 'all' = 'active',
): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await search.search(caller, {
      experimentSerials: where.map(({ serial }) => serial),
      filter: readFilter('run', filter),
      orderBy: readOrderBy('run', orderBy),
      lifecycle,
      limit,
      cursor,
    });
    names.push(...page.runs.map(({ name }) => name));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return names;
}

const sent = (part: string): number => statements.filter((text) => text.includes(part)).length;
const recalls = (): number => sent('labelled >=');

interface ModelRun {
  readonly name: string;
  readonly serial: number;
  readonly texts: Map<string, string>;
  metric: number | undefined;
  deleted: boolean;
}

const TEXTS = ['params.p', 'params.q', 'tags.t', 'tags.u'] as const;
type Text = (typeof TEXTS)[number];

const condition = fc.record({ text: fc.constantFrom(...TEXTS), value: fc.constantFrom(...VALUES) });
const change = fc.record({
  run: fc.nat(11),
  text: fc.constantFrom(...TEXTS),
  value: fc.constantFrom(...VALUES),
  what: fc.constantFrom('set', 'set', 'set', 'drop', 'metric', 'delete', 'restore', 'remove', 'add'),
});
const question = fc.record({
  conditions: fc.array(condition, { minLength: 1, maxLength: 3 }),
  metric: fc.option(fc.nat(96), { nil: undefined }),
  order: fc.constantFrom(
    'metrics.m DESC',
    'metrics.m',
    'metrics.n',
    'params.p',
    'tags.t DESC',
    'start_time',
    'end_time',
  ),
  limit: fc.integer({ min: 1, max: 5 }),
  lifecycle: fc.constantFrom('active', 'active', 'deleted', 'all'),
  by: fc.nat(1),
});
type Question = typeof question extends fc.Arbitrary<infer T> ? T : never;

/** Few, so that each is asked again and again. */
const dashboard: readonly Omit<Question, 'by'>[] = [
  {
    conditions: [{ text: 'tags.u', value: 'b' }],
    metric: 50,
    order: 'metrics.m DESC',
    limit: 3,
    lifecycle: 'active',
  },
  { conditions: [{ text: 'tags.t', value: '' }], metric: 3, order: 'start_time', limit: 5, lifecycle: 'all' },
  {
    conditions: [{ text: 'tags.t', value: 'a' }],
    metric: undefined,
    order: 'tags.t DESC',
    limit: 2,
    lifecycle: 'active',
  },
  {
    conditions: [{ text: 'params.p', value: 'b' }],
    metric: undefined,
    order: 'metrics.m',
    limit: 5,
    lifecycle: 'deleted',
  },
];

describe('What a search remembers', () => {
  it.each([
    ['sets of params and tags', question, 6, 'labelled >='],
    [
      'pages',
      fc
        .record({ asked: fc.constantFrom(...dashboard), by: fc.nat(1) })
        .map(({ asked, by }) => ({ ...asked, by })),
      3,
      ' changed >=',
    ],
  ] as const)(
    'of %s is never shown: it finds what a look at every run finds, whatever was changed in between, by whomever',
    async (_what, questions, maxChanges, remembered) => {
      const where = await crowded();
      const runs: ModelRun[] = [];
      let names = 0;
      const add = async (): Promise<void> => {
        const name = `r${names++}`;
        const { serial } = await rows.addRun(where, { name, startedAt: null });
        runs.push({ name, serial, texts: new Map(), metric: undefined, deleted: false });
      };
      for (let index = 0; index < 12; index++) await add();
      const set = async (run: ModelRun, text: Text, value: string): Promise<void> => {
        const [scope, name] = text.split('.') as ['params' | 'tags', string];
        if (scope === 'params' && run.texts.has(text)) return;
        await database.client.query(
          `INSERT INTO ${scope === 'params' ? 'param' : 'run_tag'} (run, key, experiment, value) VALUES ($1, $2, $3, $4)
         ${scope === 'tags' ? 'ON CONFLICT (run, key) DO UPDATE SET value = excluded.value' : ''}`,
          [run.serial, await rows.key(name), where.serial, value],
        );
        run.texts.set(text, value);
      };
      const drop = async (run: ModelRun, text: Text): Promise<void> => {
        const [scope, name] = text.split('.') as ['params' | 'tags', string];
        await database.client.query(
          `DELETE FROM ${scope === 'params' ? 'param' : 'run_tag'} WHERE run = $1 AND key = $2`,
          [run.serial, await rows.key(name)],
        );
        run.texts.delete(text);
      };
      const lifecycle = async (run: ModelRun, deleted: boolean): Promise<void> => {
        await database.client.query(
          `UPDATE run SET deleted_at = ${deleted ? 'now()' : 'NULL'} WHERE serial = $1`,
          [run.serial],
        );
        run.deleted = deleted;
      };
      await fc.assert(
        fc.asyncProperty(fc.array(change, { maxLength: maxChanges }), questions, async (changes, asked) => {
          for (const { run: nth, text, value, what } of changes) {
            const run = runs[nth % runs.length]!;
            if (what === 'set') await set(run, text, value);
            if (what === 'drop') await drop(run, text);
            if (what === 'delete' || what === 'restore') await lifecycle(run, what === 'delete');
            if (what === 'add') await add();
            if (what === 'metric') {
              run.metric = value.length + nth;
              await rows.setMetric(where, run.serial, 'm', run.metric);
            }
            if (what === 'remove' && runs.length > 6) {
              for (const table of ['latest_metric', 'param', 'run_tag'])
                await database.client.query(`DELETE FROM ${table} WHERE run = $1`, [run.serial]);
              await database.client.query('DELETE FROM run WHERE serial = $1', [run.serial]);
              runs.splice(runs.indexOf(run), 1);
            }
          }
          const filter = [
            ...asked.conditions.map(({ text, value }) => `${text} = '${value}'`),
            ...(asked.metric === undefined ? [] : [`metrics.m <= ${asked.metric}`]),
          ].join(' AND ');
          const expected = runs
            .filter(
              (run) =>
                asked.conditions.every(({ text, value }) => run.texts.get(text) === value) &&
                (asked.metric === undefined || (run.metric !== undefined && run.metric <= asked.metric)) &&
                (asked.lifecycle === 'all' || run.deleted === (asked.lifecycle === 'deleted')),
            )
            .map(({ name }) => name);
          const seen = await found(
            searches[asked.by]!,
            [where],
            filter,
            [asked.order],
            asked.limit,
            asked.lifecycle,
          );
          expect(seen.toSorted(), filter).toEqual(expected.toSorted());
          if (!asked.order.startsWith('metrics.m')) return;
          const metrics = seen
            .map((name) => runs.find((run) => run.name === name)!.metric)
            .filter((value) => value !== undefined);
          const sign = asked.order.endsWith('DESC') ? -1 : 1;
          expect(metrics).toEqual(metrics.toSorted((one, other) => sign * (one - other)));
        }),
        { numRuns: 600 },
      );
      // It was not always found anew.
      expect(sent(remembered)).toBeGreaterThan(100);
    },
  );

  it('is as good for thousands of runs, by every order', async () => {
    const where = await crowded();
    await database.client.query(
      `INSERT INTO param (run, key, experiment, value)
       SELECT serial, $2, $1, 'x' FROM run WHERE experiment_serial = $1 AND serial % 3 = 0`,
      [where.serial, await rows.key('p')],
    );
    await database.client.query(
      `INSERT INTO run_tag (run, key, experiment, value)
       SELECT serial, $2, $1, 't' || serial % 7 FROM run WHERE experiment_serial = $1`,
      [where.serial, await rows.key('t')],
    );
    // So many experiments are searched by sorting: the same result in another way.
    const sorted = [where];
    for (let index = 0; index < 64; index++) sorted.push(await experiment());
    const [search] = searches as [RunSearch];
    // One that has to look far finds the set, which the others then use.
    await found(search, [where], "params.p = 'x' AND metrics.m = 96 AND status = 'FAILED'", [], 5);
    statements.length = 0;
    for (const [filter, limit] of [
      ["params.p = 'x'", 700],
      ["params.p = 'x' AND metrics.m > 90", 20],
      ["params.p = 'x' AND metrics.m <= 1", 1000],
      ["params.p = 'x' AND tags.t = 't3'", 50],
    ] as const)
      for (const orderBy of [['metrics.m DESC'], ['metrics.m'], ['tags.t DESC', 'metrics.m'], []]) {
        const whole = await found(search, sorted, filter, orderBy, 5_000);
        expect(whole.length).toBeGreaterThan(20);
        const serials = async (limited: number) => {
          const all: number[] = [];
          let cursor: string | undefined;
          do {
            const page = await search.serials(caller, {
              experimentSerials: (limited === 5_000 ? sorted : [where]).map(({ serial }) => serial),
              filter: readFilter('run', filter),
              orderBy: readOrderBy('run', orderBy),
              lifecycle: 'active',
              limit: limited,
              cursor,
            });
            all.push(...page.serials);
            cursor = page.nextCursor ?? undefined;
          } while (cursor !== undefined);
          return all;
        };
        expect(await serials(limit)).toEqual(await serials(5_000));
      }
    expect(recalls()).toBeGreaterThan(10);
  });

  it('is read anew where more has changed than is worth looking up', async () => {
    const where = await crowded();
    const [search] = searches as [RunSearch];
    const { serial } = await rows.addRun(where, { name: 'one', params: { p: 'few' } });
    const ask = () => found(search, [where], "params.p = 'few'", ['metrics.m'], 5);
    expect(await ask()).toEqual(['one']);
    await database.client.query(
      `INSERT INTO run_tag (run, key, experiment, value)
       SELECT serial, $2, $1, 'x' FROM run WHERE experiment_serial = $1`,
      [where.serial, await rows.key('u')],
    );
    await database.client.query('DELETE FROM param WHERE run = $1', [serial]);
    await rows.addRun(where, { name: 'two', params: { p: 'few' } });
    statements.length = 0;
    expect(await ask()).toEqual(['two']);
    expect(statements.some((text) => text.includes('AS since, ARRAY'))).toBe(true);
    expect(await ask()).toEqual(['two']);
  });

  it('does not hide what a transaction writes that began before and ends after', async () => {
    const where = await crowded();
    await rows.addRun(where, { name: 'early', tags: { t: 'slow' } });
    const { serial } = await rows.addRun(where, { name: 'late' });
    const ask = () => found(searches[0]!, [where], "tags.t = 'slow'", ['metrics.m'], 5);
    const writer = source.createQueryRunner();
    await writer.connect();
    await writer.startTransaction();
    await writer.query(`INSERT INTO run_tag (run, key, experiment, value) VALUES ($1, $2, $3, 'slow')`, [
      serial,
      await rows.key('t'),
      where.serial,
    ]);
    // The set is found, and others write and end, while it is open.
    expect(await ask()).toEqual(['early']);
    for (let index = 0; index < 3; index++) await rows.addRun(where, { name: 'other', tags: { t: 'other' } });
    expect(await ask()).toEqual(['early']);
    await writer.commitTransaction();
    await writer.release();
    expect((await ask()).toSorted()).toEqual(['early', 'late']);
  });

  it('shows every writer what it wrote, while others write', async () => {
    const where = await crowded();
    const runs = [];
    for (let index = 0; index < 6; index++) runs.push(await rows.addRun(where, { name: `w${index}` }));
    const key = await rows.key('t');
    await Promise.all(
      runs.map(async ({ serial }, index) => {
        for (let round = 0; round < 15; round++) {
          const value = `v${(index + round) % 3}`;
          await source.query(
            `INSERT INTO run_tag (run, key, experiment, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (run, key) DO UPDATE SET value = excluded.value`,
            [serial, key, where.serial, value],
          );
          const [search] = [searches[round % 2]!];
          expect(await found(search, [where], `tags.t = '${value}'`, ['metrics.m'], 5)).toContain(
            `w${index}`,
          );
          const other = `v${(index + round + 1) % 3}`;
          expect(await found(search, [where], `tags.t = '${other}'`, ['metrics.m'], 5)).not.toContain(
            `w${index}`,
          );
        }
      }),
    );
    expect(recalls()).toBeGreaterThan(50);
  });
});
