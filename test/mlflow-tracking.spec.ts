import { resolve } from 'node:path';
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

const HEX = /^[0-9a-f]{32}$/;

describe("experiments through MLflow's protocol", () => {
  it.each([
    ['9.0', "9.0 for parameter 'artifact_location' supplied:  Hint: Value was of type 'float'"],
    ['9', "9 for parameter 'artifact_location' supplied:  Hint: Value was of type 'int'"],
    ['9.5', "9.5 for parameter 'artifact_location' supplied:  Hint: Value was of type 'float'"],
  ])('are refused with %s for a text, as it was written', async (written, message) => {
    const text = `{"name": "x9.0", "artifact_location": ${written}}`;
    const headers = { 'content-type': 'application/json' };
    const { status, body } = await mlflow.raw('POST', '/api/2.0/mlflow/experiments/create', text, headers);
    expect(status).toBe(400);
    expect(body.message).toContain(`Invalid value ${message}`);
  });

  it.each([
    ['s3://bucket/mine', 's3://bucket/mine'],
    ['/mnt/shared', '/mnt/shared'],
    ['mine/here', resolve('mine/here')],
  ])('with their files at %s have them there', async (artifact_location, stored) => {
    const given = { name: `at ${artifact_location}`, artifact_location };
    const { body } = await mlflow.post('/experiments/create', given);
    const { experiment_id } = body;
    const read = await mlflow.get('/experiments/get', { experiment_id });
    expect(read.body.experiment.artifact_location).toBe(stored);
    const run = await mlflow.post('/runs/create', { experiment_id });
    const { run_id, artifact_uri } = run.body.run.info;
    expect(artifact_uri).toBe(`${stored}/${run_id}/artifacts`);
  });

  it('are created, read by id and name, renamed, tagged, deleted and restored', async () => {
    const id = await mlflow.experiment('sentiment');
    expect(
      (await mlflow.post('/experiments/set-experiment-tag', { experiment_id: id, key: 'team', value: 'a' }))
        .body,
    ).toEqual({});
    const read = await mlflow.get('/experiments/get', { experiment_id: id });
    expect(read.body.experiment).toEqual({
      experiment_id: id,
      name: 'sentiment',
      artifact_location: `mlflow-artifacts:/${id}`,
      lifecycle_stage: 'active',
      creation_time: expect.any(Number),
      last_update_time: expect.any(Number),
      tags: [{ key: 'team', value: 'a' }],
      workspace: 'default',
    });
    await mlflow.post('/experiments/update', { experiment_id: id, new_name: 'tone' });
    const named = await mlflow.get('/experiments/get-by-name', { experiment_name: 'tone' });
    expect(named.body.experiment.experiment_id).toBe(id);
    await mlflow.post('/experiments/delete-experiment-tag', { experiment_id: id, key: 'team' });
    await mlflow.post('/experiments/delete', { experiment_id: id });
    const deleted = await mlflow.get('/experiments/get', { experiment_id: id });
    expect([deleted.body.experiment.lifecycle_stage, deleted.body.experiment.tags]).toEqual([
      'deleted',
      undefined,
    ]);
    await mlflow.post('/experiments/restore', { experiment_id: id });
    expect(
      (await mlflow.get('/experiments/get', { experiment_id: id })).body.experiment.lifecycle_stage,
    ).toBe('active');
  });

  it('have number 0 as "Default" from the start', async () => {
    const { body } = await mlflow.get('/experiments/get', { experiment_id: '0' });
    expect(body.experiment).toMatchObject({ experiment_id: '0', name: 'Default' });
  });

  it('take their runs along when they are deleted, and bring them back', async () => {
    const id = await mlflow.experiment();
    const run = await mlflow.run(id);
    await mlflow.post('/experiments/delete', { experiment_id: id });
    const log = await mlflow.post('/runs/set-tag', { run_id: run, key: 'a', value: 'b' });
    expect([log.status, log.body.message]).toEqual([
      400,
      `The run ${run} must be in the 'active' state. Current state is deleted.`,
    ]);
    await mlflow.post('/experiments/restore', { experiment_id: id });
    expect((await mlflow.get('/runs/get', { run_id: run })).body.run.info.lifecycle_stage).toBe('active');
  });
});

describe("runs through MLflow's protocol", () => {
  it('hold what was logged, and are ended', async () => {
    const created = await mlflow.post('/runs/create', {
      experiment_id: experimentId,
      user_id: 'ana',
      run_name: 'first',
      start_time: '1700000000000',
      tags: [{ key: 'mlflow.source.name', value: 'train.py' }],
    });
    const { info } = created.body.run;
    expect(info).toEqual({
      run_id: expect.stringMatching(HEX),
      run_uuid: info.run_id,
      run_name: 'first',
      experiment_id: experimentId,
      user_id: 'ana',
      status: 'RUNNING',
      start_time: 1_700_000_000_000,
      artifact_uri: `mlflow-artifacts:/${experimentId}/${info.run_id}/artifacts`,
      lifecycle_stage: 'active',
    });
    const run_id = info.run_id;
    await mlflow.post('/runs/log-metric', { run_id, key: 'loss', value: 0.5, timestamp: 10, step: 1 });
    await mlflow.post('/runs/log-batch', {
      run_id,
      metrics: [{ key: 'loss', value: 0.25, timestamp: 20, step: 2 }],
      params: [{ key: 'depth', value: '3' }],
      tags: [{ key: 'phase', value: 'one' }],
    });
    await mlflow.post('/runs/log-parameter', { run_id, key: 'width', value: '4' });
    await mlflow.post('/runs/set-tag', { run_id, key: 'phase', value: 'two' });
    const ended = await mlflow.post('/runs/update', {
      run_id,
      status: 'FINISHED',
      end_time: 1_700_000_001_000,
    });
    expect(ended.body.run_info).toMatchObject({ status: 'FINISHED', end_time: 1_700_000_001_000 });
    const { body } = await mlflow.get('/runs/get', { run_id });
    expect(body.run.data).toEqual({
      metrics: [{ key: 'loss', value: 0.25, timestamp: 20, step: 2 }],
      params: [
        { key: 'depth', value: '3' },
        { key: 'width', value: '4' },
      ],
      tags: [
        { key: 'mlflow.runName', value: 'first' },
        { key: 'mlflow.source.name', value: 'train.py' },
        { key: 'phase', value: 'two' },
      ],
    });
  });

  it('are the same runs as those of the native API', async () => {
    const run_id = await mlflow.run(experimentId, { run_name: 'seen twice' });
    const native = await registry.call(
      'GET',
      `/runs/${run_id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')}`,
    );
    expect([native.status, native.body.name]).toEqual([200, 'seen twice']);
  });

  it('say by a tag which version they evaluated, which then lists them with their metrics', async () => {
    await registry.call('POST', '/prompts', { name: 'greeting' });
    await registry.call('POST', '/prompts/greeting/versions', {
      content: { type: 'text', text: 'Hi {{name}}' },
    });
    const run_id = await mlflow.run(experimentId);
    const tag = (value: string) => mlflow.post('/runs/set-tag', { run_id, key: 'catena.prompt', value });
    expect((await tag('greeting@1')).status).toBe(200);
    await mlflow.post('/runs/log-metric', { run_id, key: 'quality', value: 0.9, timestamp: 1 });
    const { body } = await registry.call('GET', '/prompts/greeting/versions/1/runs');
    expect(body.items.map(({ id, metrics }: any) => [id.replaceAll('-', ''), metrics.quality.value])).toEqual(
      [[run_id, 0.9]],
    );
    const unknown = await tag('greeting@2');
    expect([unknown.status, unknown.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });

  it('are found by a hyphenated id too, and by run_uuid', async () => {
    const run_id = await mlflow.run(experimentId);
    const hyphenated = run_id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    expect((await mlflow.get('/runs/get', { run_id: hyphenated })).body.run.info.run_id).toBe(run_id);
    const log = await mlflow.post('/runs/log-metric', { run_uuid: run_id, key: 'm', value: 1, timestamp: 1 });
    expect(log.status).toBe(200);
  });

  it('are renamed by the tag mlflow.runName, and the tag by their name', async () => {
    const run_id = await mlflow.run(experimentId);
    await mlflow.post('/runs/set-tag', { run_id, key: 'mlflow.runName', value: 'by tag' });
    expect((await mlflow.get('/runs/get', { run_id })).body.run.info.run_name).toBe('by tag');
    await mlflow.post('/runs/set-tag', { run_id, key: 'mlflow.runName', value: '' });
    await mlflow.post('/runs/update', { run_id, run_name: 'by update' });
    const { info, data } = (await mlflow.get('/runs/get', { run_id })).body.run;
    expect([info.run_name, data.tags]).toEqual([
      'by update',
      [{ key: 'mlflow.runName', value: 'by update' }],
    ]);
  });

  it('are searched in more experiments than a statement has parameters', async () => {
    const experiment_ids = [experimentId, ...Array.from({ length: 70_000 }, (_, n) => String(n + 1_000))];
    const { status, body } = await mlflow.post('/runs/search', { experiment_ids, max_results: 1 });
    expect([status, body.runs.length]).toEqual([200, 1]);
  });

  it('are ended by two clients at once without a conflict', async () => {
    const run_id = await mlflow.run(experimentId);
    const answers = await Promise.all(
      ['FINISHED', 'FAILED'].map((status) => mlflow.post('/runs/update', { run_id, status, end_time: 5 })),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  });

  it('remember the datasets and models that went in', async () => {
    const run_id = await mlflow.run(experimentId);
    const dataset = { name: 'iris', digest: 'd1', source_type: 'http', source: '{"url":"x"}', schema: '{}' };
    await mlflow.post('/runs/log-inputs', {
      run_id,
      datasets: [{ dataset, tags: [{ key: 'mlflow.data.context', value: 'training' }] }],
    });
    const { body } = await mlflow.get('/runs/get', { run_id });
    expect(body.run.inputs).toEqual({
      dataset_inputs: [{ dataset, tags: [{ key: 'mlflow.data.context', value: 'training' }] }],
    });
    const found = await mlflow.post('/experiments/search-datasets', { experiment_ids: [experimentId] });
    expect(found.body).toEqual({
      dataset_summaries: [{ experiment_id: experimentId, name: 'iris', digest: 'd1', context: 'training' }],
    });
  });

  it('keep the newest entries of the model history of old clients that a tag can hold', async () => {
    const run_id = await mlflow.run(experimentId);
    const model = { artifact_path: 'model', utc_time_created: 't', run_id, model_uuid: 'u', extra: 1 };
    for (let index = 0; index < 4; index++) {
      const flavors = { python: { data: 'x'.repeat(3_500), config: { dropped: true } } };
      const model_json = JSON.stringify({ ...model, model_uuid: String(index), flavors });
      expect((await mlflow.post('/runs/log-model', { run_id, model_json })).status).toBe(200);
    }
    const { tags } = (await mlflow.get('/runs/get', { run_id })).body.run.data;
    const history = JSON.parse(tags.find(({ key }: any) => key === 'mlflow.log-model.history').value);
    expect(history.map(({ model_uuid }: any) => model_uuid)).toEqual(['2', '3']);
    expect(Object.keys(history[0].flavors.python)).toEqual(['data']);
  });
});

describe("what MLflow's protocol refuses", () => {
  it('writes nothing of a batch that is half invalid', async () => {
    const run_id = await mlflow.run(experimentId);
    await mlflow.post('/runs/log-parameter', { run_id, key: 'p', value: '1' });
    const answers = [];
    for (const half of [
      { metrics: [{ key: 'a', value: 1, timestamp: 1 }, { key: 'b' }] },
      { metrics: [{ key: 'a', value: 1, timestamp: 1 }], params: [{ key: 'p', value: '2' }] },
      { metrics: [{ key: 'a', value: 1, timestamp: 1 }], tags: [{ key: 'x'.repeat(251), value: '' }] },
      { metrics: [{ key: 'a', value: 1, timestamp: 1 }], tags: [{ key: 'a', value: '\0' }] },
    ])
      answers.push(await mlflow.post('/runs/log-batch', { run_id, ...half }));
    expect(answers.map(({ status, body }) => [status, body.error_code])).toEqual(
      answers.map(() => [400, 'INVALID_PARAMETER_VALUE']),
    );
    expect(answers[1]!.body.message).toBe(
      `Changing param values is not allowed. Params were already logged='[{'key': 'p', 'old_value': '1', 'new_value': '2'}]' for run ID='${run_id}'.`,
    );
    const { data } = (await mlflow.get('/runs/get', { run_id })).body.run;
    expect([data.metrics, data.params]).toEqual([undefined, [{ key: 'p', value: '1' }]]);
  });

  it('cuts long params and tags as MLflow does, and takes the same param again', async () => {
    const run_id = await mlflow.run(experimentId);
    const value = `${'x'.repeat(5_999)}😀`;
    for (let time = 0; time < 2; time++)
      expect((await mlflow.post('/runs/log-parameter', { run_id, key: 'p', value })).status).toBe(200);
    await mlflow.post('/runs/set-tag', { run_id, key: 't', value: 'y'.repeat(9_000) });
    const { data } = (await mlflow.get('/runs/get', { run_id })).body.run;
    expect([data.params[0].value.length, data.tags.find(({ key }: any) => key === 't').value.length]).toEqual(
      [5_999, 8_000],
    );
  });

  it('sees nothing of another workspace, and knows no workspace that does not exist', async () => {
    await registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES ('00000000-0000-7000-8000-0000000000aa', 'lab', now())`,
    );
    const lab = { 'x-mlflow-workspace': 'lab' };
    const mine = await mlflow.post('/experiments/create', { name: 'only in lab' }, lab);
    expect([mine.status, mine.body]).toEqual([200, { experiment_id: '1' }]);
    const run_id = (await mlflow.post('/runs/create', { experiment_id: '1', start_time: 1 }, lab)).body.run
      .info.run_id;
    const stolen = await mlflow.get('/runs/get', { run_id });
    expect([stolen.status, stolen.body.error_code]).toEqual([404, 'RESOURCE_DOES_NOT_EXIST']);
    expect((await mlflow.post('/runs/set-tag', { run_id, key: 'a', value: 'b' })).status).toBe(404);
    expect((await mlflow.post('/runs/set-tag', { run_id, key: 'a', value: 'b' }, lab)).status).toBe(200);
    const unknown = await mlflow.post('/runs/delete', { run_id }, { 'x-mlflow-workspace': 'nowhere' });
    expect([unknown.status, unknown.body]).toEqual([
      404,
      { error_code: 'RESOURCE_DOES_NOT_EXIST', message: "Workspace 'nowhere' not found" },
    ]);
  });

  it('names the user by header, by basic authentication, or by user_id', async () => {
    const user = async (headers: Record<string, string>, fields: object) => {
      const { body } = await mlflow.post('/runs/create', { experiment_id: experimentId, ...fields }, headers);
      return body.run.info.user_id;
    };
    expect(await user({}, { user_id: 'ana' })).toBe('ana');
    expect(await user({ authorization: `Basic ${Buffer.from('bo:secret').toString('base64')}` }, {})).toBe(
      'bo',
    );
    expect(await user({ 'x-catena-actor': 'cy' }, {})).toBe('cy');
  });
});
