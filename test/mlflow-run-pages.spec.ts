import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApp } from '../apps/registry/src/app.js';
import { createLogger } from '../libs/platform/log/logger.js';
import { RunChange1795305600011 } from '../migrations/1795305600011-run-change.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let close: () => Promise<void>;
/** Two servers of one database. */
let urls: string[];
beforeAll(async () => {
  registry = await startTestRegistry();
  const second = await createApp(registry.settings, createLogger('registry', 'error'));
  await second.listen(0, '127.0.0.1');
  close = () => second.close();
  urls = [registry.url, await second.getUrl()];
});
afterAll(async () => {
  await close();
  await registry.close();
});

async function mlflow<T = any>(
  server: number,
  method: string,
  path: string,
  body: Record<string, unknown>,
): Promise<T> {
  const query = method === 'GET' ? `?${new URLSearchParams(body as Record<string, string>)}` : '';
  const answer = await fetch(`${urls[server]}/api/2.0/mlflow${path}${query}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  expect([answer.status, path, text.slice(0, 300)]).toEqual([200, path, expect.anything()]);
  return JSON.parse(text);
}

interface Message {
  readonly info: { readonly run_id: string };
}

let experiments = 0;
const newExperiment = async (): Promise<string> =>
  (await mlflow(0, 'POST', '/experiments/create', { name: `pages ${experiments++}` })).experiment_id;
const newRun = async (experiment: string): Promise<string> =>
  (await mlflow(0, 'POST', '/runs/create', { experiment_id: experiment, start_time: 1, run_name: 'first' }))
    .run.info.run_id;

/** What both servers show of all runs of an experiment. */
async function shown(experiment: string): Promise<Message[][]> {
  return Promise.all(
    [0, 1].map(async (server) => {
      const body = { experiment_ids: [experiment], run_view_type: 'ALL' };
      return (await mlflow(server, 'POST', '/runs/search', body)).runs ?? [];
    }),
  );
}

describe('A page of runs', () => {
  it('shows every run as it is, after every kind of write, by whichever server', async () => {
    const experiment = await newExperiment();
    const runs = [await newRun(experiment), await newRun(experiment), await newRun(experiment)];
    const [id] = runs as [string];
    const uuid = id.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
    const model = (await registry.call('POST', '/logged-models', { name: 'm' })).body;
    const sql = (text: string) => registry.database.client.query(text.replaceAll('$run', `'${uuid}'`));
    const writes: Record<string, (server: number) => Promise<unknown>> = {
      metric: (server) =>
        mlflow(server, 'POST', '/runs/log-metric', { run_id: id, key: 'a', value: 1, timestamp: 1, step: 1 }),
      'metric again': (server) =>
        mlflow(server, 'POST', '/runs/log-metric', { run_id: id, key: 'a', value: 2, timestamp: 1, step: 2 }),
      param: (server) => mlflow(server, 'POST', '/runs/log-parameter', { run_id: id, key: 'p', value: 'x' }),
      tag: (server) => mlflow(server, 'POST', '/runs/set-tag', { run_id: id, key: 't', value: 'x' }),
      'tag again': (server) =>
        mlflow(server, 'POST', '/runs/set-tag', { run_id: id, key: 't', value: 'ü"\\' }),
      'tag gone': (server) => mlflow(server, 'POST', '/runs/delete-tag', { run_id: id, key: 't' }),
      batch: (server) =>
        mlflow(server, 'POST', '/runs/log-batch', {
          run_id: id,
          metrics: [{ key: 'b', value: 'NaN', timestamp: 1, step: 1 }],
          params: [{ key: 'q', value: 'y' }],
          tags: [{ key: 'u', value: 'z' }],
        }),
      name: (server) => mlflow(server, 'POST', '/runs/update', { run_id: id, run_name: 'second' }),
      'name by tag': (server) =>
        mlflow(server, 'POST', '/runs/set-tag', { run_id: id, key: 'mlflow.runName', value: 'third' }),
      end: (server) =>
        mlflow(server, 'POST', '/runs/update', {
          run_id: id,
          status: 'FINISHED',
          end_time: 1_700_000_000_000,
        }),
      deletion: (server) => mlflow(server, 'POST', '/runs/delete', { run_id: id }),
      restoring: (server) => mlflow(server, 'POST', '/runs/restore', { run_id: id }),
      dataset: (server) =>
        mlflow(server, 'POST', '/runs/log-inputs', {
          run_id: id,
          datasets: [{ dataset: { name: 'd', digest: '1', source_type: 's', source: '{}' }, tags: [] }],
        }),
      model: () =>
        registry.call('POST', `/runs/${uuid}/inputs`, {
          modelOutputs: [{ loggedModelId: model.id, step: 1 }],
        }),
      'deletion of the experiment': (server) =>
        mlflow(server, 'POST', '/experiments/delete', { experiment_id: experiment }),
      'restoring of the experiment': (server) =>
        mlflow(server, 'POST', '/experiments/restore', { experiment_id: experiment }),
      'metric behind its back': () =>
        sql(`UPDATE latest_metric SET value = 9 WHERE run = (SELECT serial FROM run WHERE id = $run)`),
      'param behind its back': () =>
        sql(`DELETE FROM param WHERE run = (SELECT serial FROM run WHERE id = $run)`),
      'dataset behind its back': () =>
        sql(`UPDATE run_dataset SET tags = '{"a":"b"}' WHERE run = (SELECT serial FROM run WHERE id = $run)`),
      'model behind its back': () =>
        sql(`DELETE FROM run_model WHERE run = (SELECT serial FROM run WHERE id = $run)`),
      'run behind its back': () => sql(`UPDATE run SET created_by = 'somebody' WHERE id = $run`),
    };
    let before = JSON.stringify(await shown(experiment));
    let server = 0;
    for (const [what, write] of Object.entries(writes)) {
      await write(server++ % 2);
      const pages = await shown(experiment);
      expect(JSON.stringify(pages), what).not.toBe(before);
      before = JSON.stringify(pages);
      for (const page of pages)
        for (const run of page) {
          const alone = await mlflow(0, 'GET', '/runs/get', { run_id: run.info.run_id });
          expect(run, what).toEqual(alone.run);
        }
      expect(pages.map((page) => page.map(({ info }) => info.run_id).toSorted())).toEqual([
        runs.toSorted(),
        runs.toSorted(),
      ]);
    }
  });

  it('shows every writer what it wrote, while others write', async () => {
    const experiment = await newExperiment();
    const runs = await Promise.all(Array.from({ length: 6 }, () => newRun(experiment)));
    await Promise.all(
      runs.map(async (id, client) => {
        for (let round = 0; round < 12; round++) {
          const server = (client + round) % 2;
          const metric = { run_id: id, key: 'n', value: round, timestamp: 1, step: round };
          await mlflow(server, 'POST', '/runs/log-metric', metric);
          const { runs: page } = await mlflow(1 - server, 'POST', '/runs/search', {
            experiment_ids: [experiment],
          });
          const mine = page.find((run: Message) => run.info.run_id === id);
          expect(mine.data.metrics).toEqual([{ key: 'n', value: round, timestamp: 1, step: round }]);
        }
      }),
    );
  });

  it('is written together with changes of every kind by 16 clients of two servers, none of which fails', async () => {
    const experiment = await newExperiment();
    const runs = await Promise.all(Array.from({ length: 3 }, () => newRun(experiment)));
    const statuses = new Map<string, number>();
    const send = async (server: number, path: string, body: object): Promise<void> => {
      const { status } = await fetch(`${urls[server]}/api/2.0/mlflow${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      // A run that another client has just deleted refuses writes.
      if (status !== 200 && status !== 400) statuses.set(`${path} ${status}`, 1);
    };
    await Promise.all(
      Array.from({ length: 16 }, async (_, client) => {
        for (let round = 0; round < 12; round++) {
          const run_id = runs[(client * 7 + round * 5) % 3];
          const server = (client + round) % 2;
          const kinds: [string, object][] = [
            ['/runs/log-metric', { run_id, key: `k${round % 3}`, value: client, timestamp: 1, step: round }],
            ['/runs/log-parameter', { run_id, key: `p${round % 4}`, value: 'same' }],
            ['/runs/set-tag', { run_id, key: 'a', value: String(client) }],
            ['/runs/set-tag', { run_id, key: 'mlflow.runName', value: `name ${client}` }],
            ['/runs/delete-tag', { run_id, key: 'b' }],
            ['/runs/update', { run_id, status: 'RUNNING', run_name: `n${round}` }],
            [
              '/runs/log-inputs',
              {
                run_id,
                datasets: [
                  {
                    dataset: { name: `d${round % 2}`, digest: '1', source_type: 's', source: '{}' },
                    tags: [],
                  },
                ],
              },
            ],
            ['/runs/delete', { run_id }],
            ['/runs/restore', { run_id }],
            [
              '/runs/log-batch',
              {
                run_id,
                metrics: [{ key: 'k0', value: 1, timestamp: 1, step: 1 }],
                params: [{ key: 'p0', value: 'same' }],
                tags: [{ key: 'b', value: 'x' }],
              },
            ],
          ];
          const [path, body] = kinds[(client + round * 3) % kinds.length]!;
          await send(server, path, body);
          if (round % 4 === 0) await send(server, '/runs/search', { experiment_ids: [experiment] });
        }
      }),
    );
    // The tag that another client has deleted is not there to be deleted.
    statuses.delete('/runs/delete-tag 404');
    expect([...statuses.keys()]).toEqual([]);
    const { rows } = await registry.database.client.query(
      `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`,
    );
    expect(rows[0].deadlocks).toBe(0);
  });
});

it('the migration marks runs that are there already, and every write from then on', async () => {
  const { client, url } = registry.database;
  const experiment = await newExperiment();
  const id = await newRun(experiment);
  await client.query('DROP TABLE run_change');
  await client.query(
    `DROP FUNCTION catena_run_made, catena_run_changed, catena_run_removed, catena_run_logged, catena_run_labelled CASCADE`,
  );
  const source = await new DataSource({ type: 'postgres', url }).initialize();
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  await new RunChange1795305600011().up(runner);
  await runner.commitTransaction();
  await runner.release();
  await source.destroy();
  const { rows } = await client.query(
    `SELECT count(*)::int AS runs, count(c.run)::int AS marked FROM run r
       LEFT JOIN run_change c ON c.run = r.serial AND c.experiment = r.experiment_serial`,
  );
  expect(rows[0].runs).toBeGreaterThan(0);
  expect(rows[0].marked).toBe(rows[0].runs);
  await mlflow(0, 'POST', '/runs/set-tag', { run_id: id, key: 'late', value: 'x' });
  const [page] = await shown(experiment);
  expect(JSON.stringify(page)).toContain('late');
});
