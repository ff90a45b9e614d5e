import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunPages } from '../apps/registry/src/search/run-pages.js';
import { totalOrder } from '../apps/registry/src/search/run-order.js';
import type { Hit, RunQuery } from '../apps/registry/src/search/run-query.js';
import { RunReader } from '../apps/registry/src/search/run-reader.js';
import { readFilter } from '../apps/registry/src/search/search-text.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually } from './support/gateway.js';
import { TrackingRows, type ExperimentRow } from './support/tracking-rows.js';

const caller = { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'test' };

describe('A page that is asked again', () => {
  let database: TestDatabase;
  let source: DataSource;
  let rows: TrackingRows;
  let where: ExperimentRow;
  let query: RunQuery;
  let finds = 0;
  beforeAll(async () => {
    database = await createTestDatabase();
    source = await new DataSource(
      dataSourceOptions({ url: database.url, poolSize: 2, applicationName: 'test' }),
    ).initialize();
    rows = new TrackingRows(database.client);
    where = await rows.addExperiment('pages');
    query = {
      workspaceId: DEFAULT_WORKSPACE_ID,
      experiments: [where.serial],
      filter: readFilter('run', "tags.t = 'a'"),
      terms: totalOrder([]),
      lifecycle: 'active',
      keys: new Map(),
    };
    await rows.key('t');
    query = { ...query, keys: await new RunReader(source).keyIds(caller, ['t']) };
  });
  afterAll(async () => {
    await source?.destroy();
    await database?.drop();
  });

  const tag = async (serial: number, value: string): Promise<void> => {
    await database.client.query('UPDATE run_tag SET value = $2 WHERE run = $1', [serial, value]);
  };
  const hit = async (serial: number, texts: readonly string[] = []): Promise<Hit> => {
    const { rows: found } = await database.client.query(
      'SELECT changed::text AS changed FROM run_change WHERE run = $1',
      [serial],
    );
    return { serial, key: texts, changed: found[0].changed };
  };
  const ask = (pages: RunPages, find: () => Promise<Hit[]>, key = 'key') =>
    pages.get(key, query, () => {
      finds++;
      return find();
    });
  const findsOf = async (asking: () => Promise<unknown>): Promise<number> => {
    finds = 0;
    await asking();
    return finds;
  };

  it('is found anew where a run on it changed while it was read: a set may have named the run for what it was', async () => {
    const pages = new RunPages(source);
    const { serial } = await rows.addRun(where, { name: 'moving', tags: { t: 'a' } });
    await ask(pages, async () => [await hit(serial)]);
    // The set that says who matches is read before the change, and what the run was changed by after it.
    const torn = await ask(pages, async () => {
      await tag(serial, 'b');
      return [await hit(serial)];
    });
    expect(torn).toHaveLength(1);
    expect(await ask(pages, () => Promise.resolve([]))).toEqual([]);
  });

  it('is remembered from the second time on', async () => {
    const pages = new RunPages(source);
    const { serial } = await rows.addRun(where, { name: 'still', tags: { t: 'a' } });
    const asking = () => ask(pages, async () => [await hit(serial)]);
    expect([await findsOf(asking), await findsOf(asking)]).toEqual([1, 1]);
    // Later, where a transaction of another database of the cluster is open.
    await eventually(async () => (await findsOf(asking)) === 0);
  });

  it('takes memory as its texts do, and none for a cursor that a caller made as long as it liked', async () => {
    const pages = new RunPages(source);
    const { serial } = await rows.addRun(where, { name: 'long', tags: { t: 'a' } });
    const { changed } = await hit(serial);
    const wide = (): Promise<Hit[]> =>
      Promise.resolve(
        Array.from({ length: 1_000 }, () => ({ serial, key: ['x'.repeat(8_000), String(serial)], changed })),
      );
    for (let times = 0; times < 3; times++) expect(await findsOf(() => ask(pages, wide))).toBe(1);
    const few = async () => [await hit(serial)];
    for (let times = 0; times < 3; times++)
      expect(await findsOf(() => ask(pages, few, 'c'.repeat(1_000_000)))).toBe(1);
  });
});
