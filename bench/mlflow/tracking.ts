import pg from 'pg';
import { compare, median } from '../support/load.js';
import type { Row } from '../support/report.js';
import { call, hammer, type Measured } from './calls.js';
import { seedCatena, seedMlflow } from './seed.js';
import type { Servers, Subject } from './servers.js';

const API = '/api/2.0/mlflow';
const now = 1_760_000_000_000;

/** One experiment on each, with ids as each gave them. */
export async function newExperiment({ catena, mlflow }: Servers, name: string): Promise<[string, string]> {
  const made = await Promise.all(
    [catena, mlflow].map((subject) =>
      call<{ experiment_id: string }>(subject, 'POST', `${API}/experiments/create`, { name }),
    ),
  );
  return [made[0]!.experiment_id, made[1]!.experiment_id];
}

async function newRun(subject: Subject, experiment: string): Promise<string> {
  const { run } = await call<{ run: { info: { run_id: string } } }>(subject, 'POST', `${API}/runs/create`, {
    experiment_id: experiment,
    start_time: now,
  });
  return run.info.run_id;
}

/** Both in turns. */
async function inTurns(
  rounds: number,
  { catena, mlflow }: Servers,
  measure: (subject: Subject) => Promise<number>,
): Promise<{ ours: number; theirs: number; ratio: number }> {
  const { subject, reference, ratio } = await compare(
    rounds,
    () => measure(catena),
    () => measure(mlflow),
  );
  return { ours: subject, theirs: reference, ratio };
}

/** `log_batch` of 1 000 metrics, 8 clients, each on a run of its own. */
export async function logBatch(servers: Servers, rounds: number): Promise<Row[]> {
  const experiments = await newExperiment(servers, 'log batch');
  const measure = async (subject: Subject): Promise<number> => {
    const experiment = experiments[subject === servers.catena ? 0 : 1];
    const runs = await Promise.all(Array.from({ length: 8 }, () => newRun(subject, experiment)));
    const { perSecond } = await hammer(8, 4, (client, nth) =>
      call(subject, 'POST', `${API}/runs/log-batch`, {
        run_id: runs[client],
        metrics: Array.from({ length: 1000 }, (_, i) => ({
          key: `m${i % 10}`,
          value: i / 7,
          timestamp: now + i,
          step: nth * 100 + Math.floor(i / 10),
        })),
      }),
    );
    return perSecond * 1000;
  };
  const { ours, theirs, ratio } = await inTurns(rounds, servers, measure);
  const bare = median(await repeat(rounds, () => bareUnnest(servers.catena)));
  return [
    {
      what: '`log_batch` of 1 000 metrics, 8 clients',
      reference: "MLflow's server",
      measured: `${k(ours)} against ${k(theirs)} rows/s`,
      ratio,
      reach: '≥ 20×',
      reached: ratio >= 20,
    },
    {
      what: '`log_batch` of 1 000 metrics, 8 clients',
      reference: 'bare `INSERT … SELECT unnest` into the same table, 8 connections',
      measured: `${k(ours)} against ${k(bare)} rows/s`,
      ratio: ours / bare,
      reach: '≥ 0.5×',
      reached: ours / bare >= 0.5,
    },
  ];
}

async function repeat(times: number, work: () => Promise<number>): Promise<number[]> {
  const results: number[] = [];
  for (let i = 0; i < times; i++) results.push(await work());
  return results;
}

/** Rows per second of the plainest way to write the same rows: a statement per 1 000 of them. */
async function bareUnnest({ database }: Subject): Promise<number> {
  const clients = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const client = new pg.Client({
        host: database.host,
        port: database.port,
        user: database.user ?? '',
        password: database.password ?? '',
        database: database.database ?? '',
      });
      await client.connect();
      return client;
    }),
  );
  const base = 1_000_000_000 + Math.floor(Math.random() * 1_000_000_000);
  try {
    const { perSecond } = await hammer(8, 4, (client, nth) => {
      const columns: [number[], number[], number[], number[], number[]] = [[], [], [], [], []];
      for (let i = 0; i < 1000; i++) {
        columns[0].push(base + client);
        columns[1].push(i % 10);
        columns[2].push(nth * 100 + Math.floor(i / 10));
        columns[3].push(now + i);
        columns[4].push(i / 7);
      }
      return clients[client]!.query(
        `INSERT INTO metric (run, key, step, time_ms, value)
         SELECT * FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::float8[])
         ON CONFLICT DO NOTHING`,
        columns,
      );
    });
    return perSecond * 1000;
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

/** `log_metric` one by one, 32 clients, each on a run of its own. */
export async function logMetric(servers: Servers, rounds: number): Promise<Row[]> {
  const experiments = await newExperiment(servers, 'log metric');
  const { ours, theirs, ratio } = await inTurns(rounds, servers, async (subject) => {
    const runs = await Promise.all(
      Array.from({ length: 32 }, () => newRun(subject, experiments[subject === servers.catena ? 0 : 1])),
    );
    const { perSecond } = await hammer(32, 4, (client, nth) =>
      call(subject, 'POST', `${API}/runs/log-metric`, {
        run_id: runs[client],
        key: 'loss',
        value: 1 / (nth + 1),
        timestamp: now + nth,
        step: nth,
      }),
    );
    return perSecond;
  });
  return [
    {
      what: '`log_metric` one by one, 32 clients',
      reference: "MLflow's server",
      measured: `${k(ours)} against ${k(theirs)} calls/s`,
      ratio,
      reach: '≥ 15×',
      reached: ratio >= 15,
    },
  ];
}

const FILTER = "metrics.metric_3 > 0.2 AND params.param_1 = 'value-7' AND tags.tag_2 = 'tag-5'";

function search(subject: Subject, experiment: string, body: object): Promise<{ runs?: unknown[] }> {
  return call(subject, 'POST', `${API}/runs/search`, { experiment_ids: [experiment], ...body });
}

/** Search over 100 000 runs, then ours alone over 1 000 000. */
export async function searchRuns(servers: Servers, rounds: number, large: boolean): Promise<Row[]> {
  const experiments = await newExperiment(servers, 'search');
  await seedCatena(servers.catena, experiments[0], 0, 100_000);
  await seedMlflow(servers.mlflow, experiments[1], 0, 100_000);
  const experimentOf = (subject: Subject) => experiments[subject === servers.catena ? 0 : 1];
  const found: Row[] = [];
  const filtered = { filter: FILTER, order_by: ['metrics.metric_3 DESC'], max_results: 100 };
  const whole = { max_results: 1000 };
  const runsOf = async (subject: Subject, body: object) =>
    (await search(subject, experimentOf(subject), body)).runs?.map(
      (run) => (run as { info: { run_name: string } }).info.run_name,
    );
  for (const body of [filtered, whole]) {
    const [a, b] = [await runsOf(servers.catena, body), await runsOf(servers.mlflow, body)];
    if (JSON.stringify(a) !== JSON.stringify(b))
      throw new Error(`the two searches differ: ${a?.slice(0, 5)} against ${b?.slice(0, 5)}`);
  }
  let last: Measured | undefined;
  const one = await inTurns(rounds, servers, async (subject) => {
    const measured = await hammer(1, 4, () => search(subject, experimentOf(subject), filtered));
    if (subject === servers.catena) last = measured;
    return measured.p50Ms;
  });
  const at100k = one.ours;
  found.push({
    what: '`search_runs`: metric, param and tag filter, metric order, 100 of 100 000 runs',
    reference: "MLflow's server",
    measured: `p50 ${ms(one.ours)}, p95 ${ms(last!.p95Ms)} against p50 ${ms(one.theirs)}`,
    ratio: 1 / one.ratio,
    reach: '≥ 50×, p95 < 50 ms',
    reached: 1 / one.ratio >= 50 && last!.p95Ms < 50,
  });
  const all = await inTurns(rounds, servers, async (subject) => {
    const { p50Ms } = await hammer(1, 4, () => search(subject, experimentOf(subject), whole));
    return p50Ms;
  });
  found.push({
    what: '`search_runs`: 1 000 runs with all metrics, params and tags',
    reference: "MLflow's server",
    measured: `p50 ${ms(all.ours)} against ${ms(all.theirs)}`,
    ratio: 1 / all.ratio,
    reach: '≥ 30×',
    reached: 1 / all.ratio >= 30,
  });
  if (!large) return found;
  for (let from = 100_000; from < 1_000_000; from += 100_000)
    await seedCatena(servers.catena, experiments[0], from, from + 100_000);
  const { p50Ms, p95Ms } = await hammer(1, 8, () => search(servers.catena, experiments[0], filtered));
  found.push({
    what: 'the same search over 1 000 000 runs',
    reference: 'itself over 100 000',
    measured: `p50 ${ms(p50Ms)}, p95 ${ms(p95Ms)}`,
    ratio: p50Ms / at100k,
    reach: '< 3×',
    reached: p50Ms / at100k < 3,
  });
  return found;
}

/** One metric of 50 runs with 10 000 steps each, in bulk. */
export async function metricHistory(servers: Servers, rounds: number): Promise<Row[]> {
  const experiments = await newExperiment(servers, 'history');
  const runs = new Map<Subject, string[]>();
  for (const subject of [servers.catena, servers.mlflow]) {
    const made = await Promise.all(
      Array.from({ length: 50 }, () => newRun(subject, experiments[subject === servers.catena ? 0 : 1])),
    );
    runs.set(subject, made);
  }
  const series = `generate_series(0, 9999) s`;
  await servers.catena.database.query(
    `INSERT INTO tracking_key (workspace_id, name) SELECT workspace_id, 'curve' FROM experiment LIMIT 1 ON CONFLICT DO NOTHING`,
  );
  await servers.catena.database.query(
    `INSERT INTO metric (run, key, step, time_ms, value)
     SELECT r.serial, t.id, s, ${now} + s, sin(s / 100.0) + s / 10000.0 FROM run r, tracking_key t, ${series}
      WHERE t.name = 'curve' AND replace(r.id::text, '-', '') = ANY ($1)`,
    [runs.get(servers.catena)],
  );
  await servers.mlflow.database.query(
    `INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
     SELECT 'curve', sin(s / 100.0) + s / 10000.0, ${now} + s, s, false, r FROM unnest($1::text[]) r, ${series}`,
    [runs.get(servers.mlflow)],
  );
  for (const { database } of [servers.catena, servers.mlflow]) await database.query('VACUUM ANALYZE');
  const { ours, theirs, ratio } = await inTurns(rounds, servers, async (subject) => {
    const query = new URLSearchParams(runs.get(subject)!.map((run): [string, string] => ['run_ids', run]));
    query.append('metric_key', 'curve');
    query.append('max_results', '2500');
    const { p50Ms } = await hammer(1, 5, () =>
      call(subject, 'GET', `${API}/metrics/get-history-bulk-interval?${query.toString()}`),
    );
    return p50Ms;
  });
  return [
    {
      what: 'metric history of 50 runs × 10 000 steps, in bulk',
      reference: "MLflow's server",
      measured: `p50 ${ms(ours)} against ${ms(theirs)}`,
      ratio: 1 / ratio,
      reach: '≥ 10×',
      reached: 1 / ratio >= 10,
    },
  ];
}

const k = (rate: number) => (rate >= 10_000 ? `${(rate / 1000).toFixed(0)} k` : rate.toFixed(0));
const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
