import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newBucketName } from './support/artifacts.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let experiment: string;
beforeAll(async () => {
  registry = await startTestRegistry({ S3_BUCKET: newBucketName() });
  experiment = (await rpc('POST', 'experiments/create', { name: 'models' })).body.experiment_id;
});
afterAll(() => registry.close());

async function rpc(method: string, path: string, body?: object) {
  const response = await fetch(`${registry.url}/api/2.0/mlflow/${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

async function createModel(given: object = {}) {
  const { status, body } = await rpc('POST', 'logged-models', { experiment_id: experiment, ...given });
  expect([status, body]).toEqual([200, expect.anything()]);
  return body.model;
}

const pairs = (values: Record<string, string>) =>
  Object.entries(values).map(([key, value]) => ({ key, value }));
const native = (modelId: string) => modelId.slice(2).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

async function search(
  request: object,
  in_ = [experiment],
): Promise<{ status: number; names: string[]; body: any }> {
  const { status, body } = await rpc('POST', 'logged-models/search', { experiment_ids: in_, ...request });
  return { status, body, names: (body.models ?? []).map((model: any) => model.info.name) };
}

describe('a logged model', () => {
  it('is created pending, finalized, and is the same natively', async () => {
    const run = (await rpc('POST', 'runs/create', { experiment_id: experiment })).body.run.info.run_id;
    const created = await createModel({
      name: 'router',
      model_type: 'classifier',
      source_run_id: run,
      params: pairs({ depth: '4' }),
      tags: pairs({ team: 'a' }),
    });
    expect(created.info).toEqual({
      model_id: expect.stringMatching(/^m-[0-9a-f]{32}$/),
      experiment_id: experiment,
      name: 'router',
      artifact_uri: `mlflow-artifacts:/${experiment}/models/${created.info.model_id}/artifacts`,
      creation_timestamp_ms: expect.any(Number),
      last_updated_timestamp_ms: expect.any(Number),
      status: 'LOGGED_MODEL_PENDING',
      model_type: 'classifier',
      source_run_id: run,
      tags: pairs({ team: 'a' }),
    });
    expect(created.data).toEqual({ params: pairs({ depth: '4' }) });
    const id = created.info.model_id;
    for (const status of [2, 'LOGGED_MODEL_UPLOAD_FAILED', '2']) {
      const done = await rpc('PATCH', `logged-models/${id}`, { model_id: id, status });
      expect(done.status).toBe(200);
    }
    const got = (await rpc('GET', `logged-models/${id}`)).body.model;
    expect(got.info.status).toBe('LOGGED_MODEL_READY');
    const { body } = await registry.call('GET', `/logged-models/${native(id)}`);
    expect(body).toMatchObject({
      id: native(id),
      experimentNumber: Number(experiment),
      name: 'router',
      status: 'READY',
      modelType: 'classifier',
      sourceRunId: native(`m-${run}`),
      params: { depth: '4' },
      tags: { team: 'a' },
    });
  });

  it('gets a name when it has none', async () => {
    expect((await createModel()).info.name).toMatch(/^\w+-\w+/);
  });

  it('keeps its params for ever, and takes new ones', async () => {
    const { info } = await createModel({ params: pairs({ a: '1' }) });
    const path = `logged-models/${info.model_id}/params`;
    expect((await rpc('POST', path, { params: pairs({ a: '1', b: '2' }) })).status).toBe(200);
    const refused = await rpc('POST', path, { params: pairs({ c: '3', a: '2' }) });
    expect([refused.status, refused.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    const { model } = (await rpc('GET', `logged-models/${info.model_id}`)).body;
    expect(model.data.params).toEqual(pairs({ a: '1', b: '2' }));
  });

  it('has tags that are set and deleted one by one, also at once', async () => {
    const { info } = await createModel({ tags: pairs({ a: '1' }) });
    const path = `logged-models/${info.model_id}/tags`;
    const at = Array.from({ length: 20 }, (_, index) => `t${index}`);
    const set = await Promise.all(at.map((key) => rpc('PATCH', path, { tags: pairs({ [key]: key }) })));
    expect(set.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect((await rpc('DELETE', `${path}/t7`)).status).toBe(200);
    const missing = await rpc('DELETE', `${path}/t7`);
    expect([missing.status, missing.body.message]).toEqual([
      404,
      `No tag with key 't7' found for model with ID '${info.model_id}'.`,
    ]);
    const { model } = (await rpc('GET', `logged-models/${info.model_id}`)).body;
    expect(model.info.tags).toHaveLength(20);
  });

  it('that is deleted is found no more, unless asked for, and can be restored natively', async () => {
    const { info } = await createModel({ name: 'gone' });
    const path = `logged-models/${info.model_id}`;
    expect((await rpc('DELETE', path)).status).toBe(200);
    const got = await rpc('GET', path);
    expect([got.status, got.body]).toEqual([
      404,
      {
        error_code: 'RESOURCE_DOES_NOT_EXIST',
        message: `Logged model with ID '${info.model_id}' not found.`,
      },
    ]);
    expect((await rpc('GET', `${path}?allow_deleted=true`)).status).toBe(200);
    expect((await rpc('PATCH', `${path}/tags`, { tags: pairs({ a: '1' }) })).status).toBe(404);
    expect((await search({ filter: `name = 'gone'` })).names).toEqual([]);
    expect((await registry.call('POST', `/logged-models/${native(info.model_id)}/restore`)).status).toBe(200);
    expect((await search({ filter: `name = 'gone'` })).names).toEqual(['gone']);
  });

  it.each(['123', '0'.repeat(32)])(
    'keeps the source run %s, which is none of here',
    async (source_run_id) => {
      const made = await rpc('POST', 'logged-models', {
        experiment_id: experiment,
        name: `of ${source_run_id}`,
        source_run_id,
      });
      const { info } = made.body.model;
      expect(info.source_run_id).toBe(source_run_id);
      expect((await search({ filter: `source_run_id = '${source_run_id}'` })).names).toEqual([info.name]);
      expect((await search({ filter: `source_run_id IN ('${source_run_id}', 'x')` })).names).toEqual([
        info.name,
      ]);
      expect((await search({ filter: `source_run_id != '${source_run_id}'` })).names).not.toContain(
        info.name,
      );
      expect((await registry.call('GET', `/logged-models/${native(info.model_id)}`)).body).toMatchObject({
        sourceRunId: null,
        foreignRun: source_run_id,
      });
    },
  );

  it.each([
    ['a name with a slash', { name: 'a/b' }, 400],
    ['a name with a colon', { name: 'a:b' }, 400],
    ['a name that is too long', { name: 'a'.repeat(501) }, 400],
    ['no such experiment', { experiment_id: '4711' }, 404],
    ['an experiment that is no number', { experiment_id: 'abc' }, 400],
    ['a source run of 251 characters', { source_run_id: 'r'.repeat(251) }, 400],
    ['NUL in a tag', { tags: [{ key: 'a', value: 'a\0' }] }, 400],
    ['a param key of 1 000 characters', { params: [{ key: 'k'.repeat(1_000), value: '' }] }, 400],
    ['params that are no list', { params: { a: 1 } }, 400],
  ])('with %s is refused', async (_, given, status) => {
    const answer = await rpc('POST', 'logged-models', { experiment_id: experiment, ...given });
    expect(answer.status).toBe(status);
    expect(answer.body.error_code).toMatch(/INVALID_PARAMETER_VALUE|RESOURCE_DOES_NOT_EXIST/);
  });

  it('that does not exist is 404 everywhere', async () => {
    for (const id of [`m-${'0'.repeat(32)}`, 'abc', `m-${'x'.repeat(32)}`])
      for (const [method, path, body] of [
        ['GET', ''],
        ['PATCH', '', { status: 2 }],
        ['DELETE', ''],
        ['PATCH', '/tags', { tags: [] }],
        ['DELETE', '/tags/a'],
        ['POST', '/params', { params: [] }],
        ['GET', '/artifacts/directories'],
      ] as const) {
        const answer = await rpc(method, `logged-models/${id}${path}`, body);
        expect([method, path, answer.status]).toEqual([method, path, 404]);
      }
    for (const status of [0, 9, 'READY'])
      expect(
        (await rpc('PATCH', `logged-models/${(await createModel()).info.model_id}`, { status })).status,
      ).toBe(400);
  });

  it('has artifacts that are listed and downloaded', async () => {
    const { info } = await createModel();
    const root = info.artifact_uri.replace('mlflow-artifacts:/', '');
    for (const path of ['MLmodel', 'data/model.skops'])
      await fetch(`${registry.url}/api/2.0/mlflow-artifacts/artifacts/${root}/${path}`, {
        method: 'PUT',
        body: path,
      });
    const top = await rpc('GET', `logged-models/${info.model_id}/artifacts/directories`);
    expect(top.body).toEqual({
      root_uri: info.artifact_uri,
      files: [
        { path: 'MLmodel', is_dir: false, file_size: 7 },
        { path: 'data', is_dir: true },
      ],
    });
    const inside = await rpc(
      'GET',
      `logged-models/${info.model_id}/artifacts/directories?artifact_directory_path=data`,
    );
    expect(inside.body.files).toEqual([{ path: 'data/model.skops', is_dir: false, file_size: 16 }]);
    const file = `${registry.url}/ajax-api/2.0/mlflow/logged-models/${info.model_id}/artifacts/files`;
    const got = await fetch(`${file}?artifact_file_path=data/model.skops`);
    expect(await got.text()).toBe('data/model.skops');
    expect((await fetch(`${file}?artifact_file_path=../x`)).status).toBe(400);
    expect((await fetch(file)).status).toBe(400);
  });
});

describe('the search of logged models', () => {
  let own: string;
  beforeAll(async () => {
    own = (await rpc('POST', 'experiments/create', { name: 'searched' })).body.experiment_id;
    const run = (await rpc('POST', 'runs/create', { experiment_id: own })).body.run.info.run_id;
    const specs: [string, Record<string, number | string>, string | undefined][] = [
      ['a', { acc: 0.5, loss: 2 }, 'train'],
      ['b', { acc: 0.9 }, 'test'],
      ['c', { acc: 'NaN' }, 'test'],
      ['d', {}, undefined],
      ['e', { acc: 0.7 }, undefined],
    ];
    for (const [name, metrics, dataset] of specs) {
      const { info } = await createModel({
        experiment_id: own,
        name,
        model_type: name < 'c' ? 'early' : 'late',
        params: pairs({ 'the depth': name }),
        tags: pairs({ [`only-${name}`]: 'x' }),
      });
      for (const [key, value] of Object.entries(metrics))
        for (const step of [1, 2]) {
          const logged = await rpc('POST', 'runs/log-metric', {
            run_id: run,
            key,
            value: step === 1 ? 0 : value,
            step,
            timestamp: step,
            model_id: info.model_id,
            ...(dataset && { dataset_name: dataset, dataset_digest: 'd1' }),
          });
          expect(logged.status).toBe(200);
        }
    }
  });

  it.each([
    [{}, 'edcba'],
    [{ filter: `name = 'b'` }, 'b'],
    [{ filter: `model_type = 'early' AND name != 'a'` }, 'b'],
    [{ filter: `name IN ('a', 'e') OR params.\`the depth\` = 'c'` }, 'eca'],
    [{ filter: `metrics.acc > 0.6` }, 'eb'],
    [{ filter: `metrics.acc > 0.6 AND (tags.\`only-e\` = 'x' OR name = 'zzz')` }, 'e'],
    [{ filter: `metrics.acc >= 0` }, 'ecba'],
    [{ filter: `metrics.acc > 0.6`, datasets: [{ dataset_name: 'test' }] }, 'b'],
    [{ filter: `metrics.acc > 0.6`, datasets: [{ dataset_name: 'test', dataset_digest: 'other' }] }, ''],
    [{ datasets: [{ dataset_name: 'test' }, { dataset_name: 'train' }] }, 'cba'],
    [{ order_by: [{ field_name: 'metrics.acc', ascending: false }] }, 'beacd'],
    [{ order_by: [{ field_name: 'metrics.acc', ascending: true }] }, 'aebcd'],
    [{ order_by: [{ field_name: 'metrics.acc', ascending: false, dataset_name: 'train' }] }, 'aedcb'],
    [{ order_by: [{ field_name: 'model_type', ascending: false }, { field_name: 'name' }] }, 'cdeab'],
    [{ order_by: [{ field_name: 'creation_time', ascending: true }] }, 'abcde'],
    [{ filter: `status = 'PENDING' AND creation_timestamp > 0` }, 'edcba'],
    [{ filter: `name ILIKE 'B%'` }, 'b'],
  ])('finds %j', async (request, expected) => {
    const { names } = await search(request, [own]);
    expect(names.join('')).toBe(expected);
    for (const max_results of [1, 2]) {
      const paged: string[] = [];
      let page_token: string | undefined;
      do {
        const page = await search({ ...request, max_results, page_token }, [own]);
        expect(page.names.length).toBeLessThanOrEqual(max_results);
        paged.push(...page.names);
        page_token = page.body.next_page_token;
      } while (page_token);
      expect(paged.join('')).toBe(expected);
    }
  });

  it('gives the same models natively', async () => {
    const { body } = await rpc('GET', `experiments/get?experiment_id=${own}`);
    expect(body.experiment.name).toBe('searched');
    const experiments = await registry.call('GET', '/experiments?limit=50');
    const found = experiments.body.items.find((item: any) => item.name === 'searched');
    const searched = await registry.call('POST', '/logged-models/search', {
      experimentIds: [found.id],
      filter: 'metrics.acc > 0.6',
      orderBy: ['metrics.acc DESC'],
    });
    expect(searched.body.items.map((item: any) => item.name)).toEqual(['b', 'e']);
    expect(searched.body.items[0].metrics).toMatchObject([
      { key: 'acc', value: 0, step: 1, datasetName: 'test' },
      { key: 'acc', value: 0.9, step: 2, datasetName: 'test' },
    ]);
  });

  it('asks as many questions for one model as for all', async () => {
    const source = registry.app.get(DataSource);
    const query = source.query.bind(source);
    let asked = 0;
    source.query = ((...given: Parameters<typeof query>) => (
      asked++,
      query(...given)
    )) as typeof source.query;
    try {
      expect((await search({ max_results: 1 }, [own])).names).toHaveLength(1);
      const forOne = asked;
      expect((await search({}, [own])).names).toHaveLength(5);
      expect(forOne).toBeGreaterThan(2);
      expect(asked).toBe(2 * forOne);
    } finally {
      source.query = query;
    }
  });

  it.each([
    [{ filter: 'nonsense' }, /column/],
    [{ filter: `metrics.acc > 'x'` }, /column 15/],
    [{ filter: `name = 'a'; DROP TABLE logged_model` }, /column/],
    [{ order_by: [{ field_name: 'nope' }] }, /Invalid order by field name: nope/],
    [{ order_by: [{ field_name: 'params.a' }] }, /Invalid order by field name: params.a/],
    [{ datasets: [{ dataset_digest: 'x' }] }, /`dataset_name` in the `datasets` clause must be specified/],
    [{ page_token: 'abc' }, /cursor|token/i],
  ])('refuses %j', async (request, said) => {
    const { status, body } = await search(request, [own]);
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(body.message).toMatch(said);
  });

  it('refuses the token of another search', async () => {
    const { body } = await search({ max_results: 1 }, [own]);
    const other = await search({ max_results: 1, filter: `name = 'a'`, page_token: body.next_page_token }, [
      own,
    ]);
    expect(other.status).toBe(400);
  });
});
