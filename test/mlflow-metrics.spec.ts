import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mlflowCalls, type MlflowCalls } from './support/mlflow.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let mlflow: MlflowCalls;
let experimentId: string;
beforeAll(async () => {
  registry = await startTestRegistry();
  mlflow = mlflowCalls(registry);
  experimentId = await mlflow.experiment();
});
afterAll(() => registry.close());

describe("metrics through MLflow's protocol", () => {
  it('keep NaN, infinities, 1e300, -0 and steps beyond 2^53, however they are spelled', async () => {
    const run_id = await mlflow.run(experimentId);
    const log = (value: string, step: string) =>
      mlflow.raw(
        'POST',
        '/api/2.0/mlflow/runs/log-metric',
        `{"run_id":"${run_id}","key":"m","value":${value},"timestamp":"1","step":${step}}`,
        { 'content-type': 'application/json' },
      );
    const sent = ['NaN', '"NaN"', 'Infinity', '"-Infinity"', '1e300', '-0.0', '"1.5"'];
    for (const [index, value] of sent.entries()) expect((await log(value, String(index))).status).toBe(200);
    expect((await log('7', '9223372036854775807')).status).toBe(200);
    const response = await fetch(
      `${registry.url}/api/2.0/mlflow/metrics/get-history?run_id=${run_id}&metric_key=m`,
    );
    const text = await response.text();
    expect([...text.matchAll(/"value":([^,]+)/g)].map(([, value]) => value)).toEqual([
      '"NaN"',
      '"NaN"',
      '"Infinity"',
      '"-Infinity"',
      '1e+300',
      '-0.0',
      '1.5',
      '7',
    ]);
    expect(text).toContain('"step":9223372036854775807');
    const run = await fetch(`${registry.url}/api/2.0/mlflow/runs/get?run_id=${run_id}`);
    expect(await run.text()).toContain('"step":9223372036854775807');
  });

  it('can be about a logged model and a dataset, alone and in a batch', async () => {
    const run_id = await mlflow.run(experimentId);
    const created = await mlflow.post('/logged-models', { experiment_id: experimentId, name: 'm' });
    const { model_id } = created.body.model.info;
    const about = { model_id, dataset_name: 'iris', dataset_digest: 'd' };
    const single = await mlflow.post('/runs/log-metric', {
      run_id,
      key: 'f1',
      value: 1,
      timestamp: 1,
      ...about,
    });
    const metrics = [{ key: 'auc', value: 0.5, timestamp: 2, step: 3, ...about }];
    const batch = await mlflow.post('/runs/log-batch', { run_id, metrics });
    const out = await mlflow.post('/runs/outputs', { run_id, models: [{ model_id, step: 3 }] });
    expect([single, batch, out].map(({ status, body }) => [status, body])).toEqual([
      [200, {}],
      [200, {}],
      [200, {}],
    ]);
    const model = (await mlflow.get(`/logged-models/${model_id}`)).body.model;
    expect(model.data.metrics.map(({ key, value }: any) => [key, value]).sort()).toEqual([
      ['auc', 0.5],
      ['f1', 1],
    ]);
    const { data, outputs } = (await mlflow.get('/runs/get', { run_id })).body.run;
    expect([data.metrics.length, outputs]).toEqual([2, { model_outputs: [{ model_id, step: 3 }] }]);
  });

  it('of a flat line are thinned out to points that lie as evenly as those of MLflow', async () => {
    const run_id = await mlflow.run(experimentId);
    const points = (count: number, value: (step: number) => number) =>
      Array.from({ length: count }, (_, step) => ({ key: 'flat', value: value(step), timestamp: 1, step }));
    const steps = async (id: string, max_results: number) => {
      const query = { run_ids: id, metric_key: 'flat', max_results: String(max_results) };
      const { body } = await mlflow.get('/metrics/get-history-bulk-interval', query);
      return body.metrics.map((point: any) => point.step);
    };
    await mlflow.post('/runs/log-batch', { run_id, metrics: points(10, () => 10) });
    expect(await steps(run_id, 5)).toEqual([0, 2, 4, 6, 9]);
    expect(await steps(run_id, 3)).toEqual([0, 3, 9]);
    expect(await steps(run_id, 2)).toEqual([0, 9]);
    expect(await steps(run_id, 1)).toEqual([9]);
    const peaked = await mlflow.run(experimentId);
    await mlflow.post('/runs/log-batch', {
      run_id: peaked,
      metrics: points(100, (step) => Number(step === 37)),
    });
    expect(await steps(peaked, 10)).toContain(37);
  });

  it('have a history in pages that hold every point once, also while points are added', async () => {
    const run_id = await mlflow.run(experimentId);
    const batch = (from: number) =>
      mlflow.post('/runs/log-batch', {
        run_id,
        metrics: Array.from({ length: 25 }, (_, i) => ({
          key: 'm',
          value: from + i,
          timestamp: 1_000 - from - i,
          step: from + i,
        })),
      });
    await batch(0);
    const seen: number[] = [];
    let page_token: string | undefined;
    do {
      const { body } = await mlflow.get('/metrics/get-history', {
        run_id,
        metric_key: 'm',
        max_results: 10,
        ...(page_token === undefined ? {} : { page_token }),
      });
      seen.push(...body.metrics.map(({ value }: any) => value));
      if (page_token === undefined) await batch(100);
      page_token = body.next_page_token;
    } while (page_token !== undefined);
    // By timestamp: the points added later lie before the first page.
    expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => 24 - i));
  });

  it('have all of their history in one answer where no page was asked for', async () => {
    const run_id = await mlflow.run(experimentId);
    await registry.database.client.query(
      `INSERT INTO metric (run, key, step, time_ms, value)
       SELECT r.serial, k.id, i, i, i FROM run r, tracking_key k, generate_series(1, 60000) i
        WHERE replace(r.id::text, '-', '') = $1 AND k.name = 'm'`,
      [run_id],
    );
    const { body } = await mlflow.get('/metrics/get-history', { run_id, metric_key: 'm' });
    expect(body.metrics.length).toBe(60_000);
    expect(body.metrics.at(-1)).toEqual({ key: 'm', value: 60_000, timestamp: 60_000, step: 60_000 });
    // Longer than what a drawing reads at once.
    const interval = { run_ids: run_id, metric_key: 'm', max_results: 100 };
    const drawn = (await mlflow.get('/metrics/get-history-bulk-interval', interval)).body.metrics;
    expect([drawn.length, drawn[0].step, drawn.at(-1).step]).toEqual([98, 1, 60_000]);
    expect(drawn[50]).toEqual({ key: 'm', value: 30_614, timestamp: 30_614, step: 30_614, run_id });
  });

  it('are read for many runs at once, whole and thinned out', async () => {
    const runs = [await mlflow.run(experimentId), await mlflow.run(experimentId)].sort();
    for (const run_id of runs)
      await mlflow.post('/runs/log-batch', {
        run_id,
        metrics: Array.from({ length: 100 }, (_, step) => ({
          key: 'm',
          value: step === 37 ? 999 : step,
          timestamp: 1,
          step,
        })),
      });
    const whole = await mlflow.raw(
      'GET',
      `/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=${runs[0]}&run_id=${runs[1]}&run_id=${'0'.repeat(32)}&metric_key=m`,
    );
    expect(whole.body.metrics.length).toBe(200);
    expect(whole.body.metrics[0]).toEqual({ key: 'm', value: 0, timestamp: 1, step: 0, run_id: runs[0] });
    const thin = await mlflow.get('/metrics/get-history-bulk-interval', {
      run_ids: runs,
      metric_key: 'm',
      max_results: 10,
    });
    const ofFirst = thin.body.metrics.filter(({ run_id }: any) => run_id === runs[0]);
    expect(ofFirst.length).toBeLessThanOrEqual(10);
    expect(ofFirst.map(({ value }: any) => value)).toEqual(expect.arrayContaining([0, 999, 99]));
    const none = await mlflow.raw(
      'GET',
      `/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=abc&metric_key=m`,
    );
    expect(none.body).toEqual({ metrics: [] });
  });
});

describe("searches through MLflow's protocol", () => {
  it('find runs with all they logged, page by page, each once, also while runs are added', async () => {
    const id = await mlflow.experiment();
    for (let index = 0; index < 12; index++) {
      const run_id = await mlflow.run(id, { run_name: `run ${index}`, start_time: 1_000 + index });
      await mlflow.post('/runs/log-batch', {
        run_id,
        metrics: [{ key: 'score', value: index === 5 ? 'NaN' : index, timestamp: 1, step: 2 }],
        params: [{ key: 'model name', value: index % 2 === 0 ? 'even' : 'odd' }],
        tags: [{ key: 'team', value: 'a' }],
      });
    }
    const query = {
      experiment_ids: [id, '999999'],
      filter:
        "params.`model name` = 'even' AND tags.team LIKE 'a%' AND (metrics.score > 7 OR metrics.score <= 4)",
      order_by: ['metrics.score DESC'],
      max_results: 2,
    };
    const seen: any[] = [];
    let page_token: string | undefined;
    do {
      const { body } = await mlflow.post('/runs/search', { ...query, ...(page_token && { page_token }) });
      seen.push(...body.runs);
      page_token = body.next_page_token;
      if (seen.length === 2) {
        const late = await mlflow.run(id);
        await mlflow.post('/runs/log-batch', {
          run_id: late,
          metrics: [{ key: 'score', value: 100, timestamp: 1 }],
          params: [{ key: 'model name', value: 'even' }],
          tags: [{ key: 'team', value: 'a' }],
        });
      }
    } while (page_token !== undefined);
    expect(seen.map((run) => run.data.metrics[0].value)).toEqual([10, 8, 4, 2, 0]);
    expect(seen[0]).toMatchObject({
      info: { run_name: 'run 10', experiment_id: id, status: 'RUNNING', start_time: 1_010 },
      data: {
        metrics: [{ key: 'score', value: 10, timestamp: 1, step: 2 }],
        params: [{ key: 'model name', value: 'even' }],
        tags: [
          { key: 'mlflow.runName', value: 'run 10' },
          { key: 'team', value: 'a' },
        ],
      },
    });
  });

  it('find deleted runs where they are asked for, and nothing as an empty object', async () => {
    const id = await mlflow.experiment();
    const run_id = await mlflow.run(id);
    await mlflow.post('/runs/delete', { run_id });
    const find = async (run_view_type: string | number) =>
      (await mlflow.post('/runs/search', { experiment_ids: [id], run_view_type })).body;
    expect(await find('ACTIVE_ONLY')).toEqual({});
    for (const view of ['DELETED_ONLY', 'ALL', 2])
      expect((await find(view)).runs.map((run: any) => run.info.run_id)).toEqual([run_id]);
    expect((await mlflow.post('/runs/search', {})).body).toEqual({});
  });

  it('find experiments by name and tag, by POST and GET, page by page', async () => {
    for (const name of ['find b', 'find a', 'find c']) {
      const experiment_id = await mlflow.experiment(name);
      await mlflow.post('/experiments/set-experiment-tag', {
        experiment_id,
        key: 'kind',
        value: name.slice(-1),
      });
    }
    const query = {
      filter: "name LIKE 'find %' AND tags.kind != 'c'",
      order_by: ['name ASC'],
      max_results: 1,
    };
    const first = await mlflow.post('/experiments/search', query);
    const { next_page_token } = first.body;
    const second = await mlflow.get('/experiments/search', { ...query, page_token: next_page_token });
    const names = [first, second].flatMap(({ body }) => body.experiments.map(({ name }: any) => name));
    expect([names, second.body.next_page_token]).toEqual([['find a', 'find b'], undefined]);
  });
});
