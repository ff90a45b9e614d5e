import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mlflowCalls, type MlflowCalls } from './support/mlflow.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

/** A search, and what it searches. `add` makes one that comes first in its order. */
interface Searched {
  add(name: string): Promise<unknown>;
  page(token: string): Promise<{ status: number; body: any }>;
  /** Names of a page's items. */
  names(body: any): string[];
}

describe('a page token of MLflow’s protocol', () => {
  let registry: TestRegistry;
  let mlflow: MlflowCalls;
  let experiment: string;
  beforeAll(async () => {
    registry = await startTestRegistry();
    mlflow = mlflowCalls(registry);
    experiment = await mlflow.experiment('pages');
    await mlflow.post('/registered-models/create', { name: 'versions' });
  });
  afterAll(() => registry.close());

  const namesOf = (field: string) => (body: any) => (body[field] ?? []).map((item: any) => item.name);
  const v3 = (path: string, body: object) =>
    mlflow.raw('POST', `/api/3.0/mlflow${path}`, JSON.stringify(body), {
      'content-type': 'application/json',
    });

  const searches: Record<string, Searched> = {
    // Newest first.
    runs: {
      add: (run_name) => mlflow.run(experiment, { run_name }),
      page: (page_token) =>
        mlflow.post('/runs/search', { experiment_ids: [experiment], max_results: 2, page_token }),
      names: (body) => (body.runs ?? []).map((run: any) => run.info.run_name),
    },
    experiments: {
      add: (name) => mlflow.post('/experiments/create', { name }),
      page: (page_token) =>
        mlflow.post('/experiments/search', {
          max_results: 2,
          filter: "name LIKE 'page %'",
          order_by: ['name DESC'],
          page_token,
        }),
      names: namesOf('experiments'),
    },
    'registered models': {
      add: (name) => mlflow.post('/registered-models/create', { name }),
      page: (page_token) =>
        mlflow.get('/registered-models/search', {
          max_results: 2,
          filter: "name LIKE 'page %'",
          order_by: 'name DESC',
          page_token,
        }),
      names: namesOf('registered_models'),
    },
    'model versions': {
      add: (name) =>
        mlflow.post('/model-versions/create', {
          name: 'versions',
          source: `s3://b/${encodeURIComponent(name)}`,
        }),
      page: (page_token) =>
        mlflow.get('/model-versions/search', {
          max_results: 2,
          filter: "name = 'versions'",
          order_by: 'version_number DESC',
          page_token,
        }),
      names: (body) =>
        (body.model_versions ?? []).map((item: any) =>
          decodeURIComponent(item.source.slice('s3://b/'.length)),
        ),
    },
    'logged models': {
      add: (name) => mlflow.post('/logged-models', { experiment_id: experiment, name }),
      page: (page_token) =>
        mlflow.post('/logged-models/search', { experiment_ids: [experiment], max_results: 2, page_token }),
      names: (body) => (body.models ?? []).map((model: any) => model.info.name),
    },
    traces: {
      add: (name) =>
        v3('/traces', {
          trace: {
            trace_info: {
              trace_id: `tr-${name.replaceAll(' ', '-')}`,
              trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: experiment } },
              request_time: new Date().toISOString(),
              state: 'OK',
            },
          },
        }),
      page: (page_token) =>
        v3('/traces/search', {
          locations: [{ type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: experiment } }],
          max_results: 2,
          page_token,
        }),
      names: (body) =>
        (body.traces ?? []).map((trace: any) => trace.trace_id.slice('tr-'.length).replaceAll('-', ' ')),
    },
    'evaluation datasets': {
      add: (name) => v3('/datasets/create', { name, experiment_ids: [experiment] }),
      page: (page_token) =>
        v3('/datasets/search', {
          experiment_ids: [experiment],
          max_results: 2,
          order_by: ['name DESC'],
          page_token,
        }),
      names: namesOf('datasets'),
    },
  };

  it.each(Object.entries(searches))(
    'of %s shows each once, while others are added in front',
    async (_, search) => {
      const given = Array.from({ length: 6 }, (_item, index) => `page ${index}`);
      for (const name of given) await search.add(name);
      const seen: string[] = [];
      let token = '';
      for (let page = 0; page === 0 || token !== ''; page++) {
        const { status, body } = await search.page(token);
        expect([page, status]).toEqual([page, 200]);
        seen.push(...search.names(body));
        token = body.next_page_token ?? '';
        await search.add(`page new ${page}`);
        expect(page).toBeLessThan(10);
      }
      expect(seen.filter((name) => given.includes(name))).toEqual(given.toReversed());
      expect(seen).toHaveLength(given.length);
    },
  );
});
