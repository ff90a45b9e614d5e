import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { givenVersion, textPrompt } from './support/entries.js';
import { mlflowCalls, type MlflowAnswer, type MlflowCalls } from './support/mlflow.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let mlflow: MlflowCalls;
beforeAll(async () => {
  registry = await startTestRegistry();
  mlflow = mlflowCalls(registry);
});
afterAll(() => registry.close());

const call: TestRegistry['call'] = (...args) => registry.call(...args);
const send = (method: string, path: string, body: unknown): Promise<MlflowAnswer> =>
  mlflow.raw(method, `/api/2.0/mlflow${path}`, JSON.stringify(body), { 'content-type': 'application/json' });
const said = ({ status, body }: MlflowAnswer) => [status, body.error_code];

let made = 0;
async function givenModel(fields: object = {}): Promise<string> {
  const name = `model ${++made}`;
  expect((await mlflow.post('/registered-models/create', { name, ...fields })).status).toBe(200);
  return name;
}
async function givenModelVersion(name: string, fields: object = {}): Promise<any> {
  const { status, body } = await mlflow.post('/model-versions/create', {
    name,
    source: 's3://b/m',
    ...fields,
  });
  expect([status, body.message]).toEqual([200, undefined]);
  return body.model_version;
}
const getVersion = async (name: string, version: string): Promise<any> =>
  (await mlflow.get('/model-versions/get', { name, version })).body.model_version;

describe("registered models through MLflow's protocol", () => {
  it('have at most 1 000 tags', async () => {
    const tags = Array.from({ length: 1_001 }, (_, at) => ({ key: `k${at}`, value: '' }));
    const { status, body } = await mlflow.post('/registered-models/create', { name: 'tagged', tags });
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(
      (await mlflow.post('/registered-models/create', { name: 'tagged', tags: tags.slice(1) })).status,
    ).toBe(200);
  });

  it('are created, read, described, tagged, renamed and deleted', async () => {
    const { body } = await mlflow.post('/registered-models/create', {
      name: 'My Model 1',
      description: 'd',
      tags: [{ key: 'a:b', value: 'x'.repeat(6000) }],
    });
    expect(body.registered_model).toEqual({
      name: 'My Model 1',
      creation_timestamp: expect.any(Number),
      last_updated_timestamp: expect.any(Number),
      description: 'd',
      tags: [{ key: 'a:b', value: 'x'.repeat(6000) }],
    });
    await mlflow.post('/registered-models/set-tag', { name: 'My Model 1', key: 'team', value: 'a' });
    await send('DELETE', '/registered-models/delete-tag', { name: 'My Model 1', key: 'a:b' });
    await send('PATCH', '/registered-models/update', { name: 'My Model 1', description: 'other' });
    await mlflow.post('/registered-models/rename', { name: 'My Model 1', new_name: 'Renamed' });
    const read = await mlflow.get('/registered-models/get', { name: 'Renamed' });
    expect(read.body.registered_model).toMatchObject({
      description: 'other',
      tags: [{ key: 'team', value: 'a' }],
    });
    expect(said(await mlflow.get('/registered-models/get', { name: 'My Model 1' }))).toEqual([
      404,
      'RESOURCE_DOES_NOT_EXIST',
    ]);
    expect((await send('DELETE', '/registered-models/delete', { name: 'Renamed' })).body).toEqual({});
    expect(said(await send('DELETE', '/registered-models/delete', { name: 'Renamed' }))).toEqual([
      404,
      'RESOURCE_DOES_NOT_EXIST',
    ]);
  });

  it('are our models: what one protocol writes, the other reads', async () => {
    const name = await givenModel({ description: 'd', tags: [{ key: 'k', value: 'v' }] });
    const native = await call('GET', `/models/${encodeURIComponent(name)}`);
    expect(native.body).toMatchObject({ description: 'd', tags: { k: 'v' }, latestVersion: null });
    await givenModelVersion(name, {
      tags: [{ key: 'k', value: 'v' }],
      description: 'first',
      run_link: 'http://r',
    });
    const version = await call('GET', `/models/${encodeURIComponent(name)}/versions/1`);
    expect(version.body).toMatchObject({
      content: { format: 'mlflow', source: 's3://b/m', runLink: 'http://r' },
      description: 'first',
      tags: { k: 'v' },
      digest: expect.stringMatching(/^sha256:/),
    });

    await givenVersion(registry, 'models', 'native', { format: 'lora', model: 'm', source: 'hub/m' });
    await call('PATCH', '/models/native/versions/1', { description: 'said', stage: 'Production' });
    await call('PUT', '/models/native/aliases/best', { version: 1 });
    expect(await getVersion('native', '1')).toMatchObject({
      source: 'hub/m',
      description: 'said',
      current_stage: 'Production',
      status: 'READY',
      aliases: ['best'],
    });
  });

  it('that were deleted give their name back, and never a number again', async () => {
    const name = await givenModel({ description: 'old', tags: [{ key: 'old', value: '1' }] });
    await givenModelVersion(name);
    await mlflow.post('/registered-models/alias', { name, alias: 'best', version: '1' });
    await send('DELETE', '/registered-models/delete', { name });
    const path = `/models/${encodeURIComponent(name)}`;
    expect((await call('GET', path)).body.archivedAt).not.toBeNull();
    expect((await call('GET', `${path}/versions/1`)).body.archivedAt).not.toBeNull();
    const moves = await call('GET', `${path}/aliases/best/moves`);
    expect(moves.body.items[0]).toMatchObject({ fromVersion: 1, toVersion: null });

    const before = Date.now();
    const again = await mlflow.post('/registered-models/create', { name });
    expect(again.body.registered_model.creation_timestamp).toBeGreaterThanOrEqual(before);
    expect(again.body.registered_model).toEqual({
      name,
      creation_timestamp: expect.any(Number),
      last_updated_timestamp: expect.any(Number),
    });
    expect((await givenModelVersion(name)).version).toBe('2');
    const found = await mlflow.get('/model-versions/search', { filter: `name = '${name}'` });
    expect(found.body.model_versions.map((version: any) => version.version)).toEqual(['2']);
  });

  it('are created once when fifty ask at the same time, a prompt among them', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        mlflow.post('/registered-models/create', {
          name: 'contended',
          ...(i % 2 && { tags: [{ key: 'mlflow.prompt.is_prompt', value: 'true' }] }),
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(
      new Set(answers.filter(({ status }) => status !== 200).map((answer) => said(answer).join())),
    ).toEqual(new Set(['400,RESOURCE_ALREADY_EXISTS']));
  });

  it.each([
    ['a name that is taken', 'POST', '/registered-models/create', { name: 'contended' }, 400, 'already'],
    ['no name', 'POST', '/registered-models/create', {}, 400, "Missing value for required parameter 'name'"],
    ['a blank name', 'POST', '/registered-models/create', { name: ' ' }, 400, "parameter 'name'"],
    ['a slash', 'POST', '/registered-models/create', { name: 'a/b' }, 400, "cannot contain '/' or ':'"],
    ['a step out', 'POST', '/registered-models/create', { name: '..' }, 400, 'resolve to'],
    ['a newline', 'POST', '/registered-models/create', { name: 'a\nb' }, 400, 'control characters'],
    ['a long name', 'POST', '/registered-models/create', { name: 'a'.repeat(257) }, 400, '256'],
    ['NUL', 'POST', '/registered-models/create', { name: 'a\0' }, 400, 'NUL'],
    [
      'a number for a name',
      'POST',
      '/registered-models/create',
      { name: 7 },
      400,
      "Invalid value 7 for parameter 'name'",
    ],
    [
      'a tag key of 251 characters',
      'POST',
      '/registered-models/create',
      { name: 'x', tags: [{ key: 'k'.repeat(251), value: '' }] },
      400,
      '250',
    ],
    [
      'a tag value of 100 001 characters',
      'POST',
      '/registered-models/create',
      { name: 'x', tags: [{ key: 'k', value: 'v'.repeat(100_001) }] },
      400,
      'exceeds the maximum length of 100000',
    ],
    [
      'an odd tag key',
      'POST',
      '/registered-models/set-tag',
      { name: 'contended', key: 'a=b' },
      400,
      'alphanumerics',
    ],
    ['a tag of nobody', 'POST', '/registered-models/set-tag', { name: 'nobody', key: 'a' }, 404, 'nobody'],
    [
      'a rename to nothing',
      'POST',
      '/registered-models/rename',
      { name: 'contended', new_name: '' },
      400,
      'new_name',
    ],
    [
      'an unknown stage',
      'POST',
      '/registered-models/get-latest-versions',
      { name: 'x', stages: ['Live'] },
      400,
      'Live',
    ],
  ])('refuse %s', async (_, method, path, body, status, message) => {
    const answer = await send(method, path, body);
    expect([answer.status, answer.body.message]).toEqual([status, expect.stringContaining(message)]);
  });
});

describe("model versions through MLflow's protocol", () => {
  it('get a number of their own each, whatever they hold, and digests all the same', async () => {
    const name = await givenModel();
    const versions = await Promise.all(Array.from({ length: 50 }, () => givenModelVersion(name)));
    expect(versions.map(({ version }) => Number(version)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
    const path = `/models/${encodeURIComponent(name)}/versions`;
    const native = await call('POST', path, { content: { format: 'mlflow', source: 's3://b/m' } });
    expect([native.status, native.body.version]).toEqual([200, 50]);
  });

  it('move through stages, and push others out of one', async () => {
    const name = await givenModel();
    for (let i = 0; i < 3; i++) await givenModelVersion(name);
    const move = (version: string, stage: string, archive_existing_versions = false) =>
      mlflow.post('/model-versions/transition-stage', { name, version, stage, archive_existing_versions });
    await move('1', 'production');
    expect((await move('2', 'Production', true)).body.model_version.current_stage).toBe('Production');
    expect((await getVersion(name, '1')).current_stage).toBe('Archived');
    const latest = await mlflow.post('/registered-models/get-latest-versions', { name });
    expect(latest.body.model_versions.map((v: any) => [v.version, v.current_stage])).toEqual([
      ['1', 'Archived'],
      ['2', 'Production'],
      ['3', 'None'],
    ]);
    const one = await mlflow.get('/registered-models/get-latest-versions', {
      name,
      stages: ['none', 'Staging'],
    });
    expect(one.body.model_versions.map((v: any) => v.version)).toEqual(['3']);
    expect(said(await move('1', 'Archived', true))).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(said(await move('9', 'Staging'))).toEqual([404, 'RESOURCE_DOES_NOT_EXIST']);
  });

  it('that were deleted are gone with their aliases, and archived natively', async () => {
    const name = await givenModel();
    await givenModelVersion(name, { description: 'kept' });
    await mlflow.post('/registered-models/alias', { name, alias: 'best', version: '1' });
    expect((await send('DELETE', '/model-versions/delete', { name, version: '1' })).status).toBe(200);
    for (const path of ['/model-versions/get', '/model-versions/get-download-uri'])
      expect(said(await mlflow.get(path, { name, version: '1' }))).toEqual([404, 'RESOURCE_DOES_NOT_EXIST']);
    expect(said(await mlflow.post('/model-versions/set-tag', { name, version: '1', key: 'k' }))).toEqual([
      404,
      'RESOURCE_DOES_NOT_EXIST',
    ]);
    const native = await call('GET', `/models/${encodeURIComponent(name)}/versions/1`);
    expect(native.body).toMatchObject({ archivedAt: expect.any(String), aliases: [], description: 'kept' });
    expect((await givenModelVersion(name)).version).toBe('2');
  });

  it('have aliases, which are ours', async () => {
    const name = await givenModel();
    await givenModelVersion(name);
    await givenModelVersion(name);
    for (const version of ['1', '2'])
      await mlflow.post('/registered-models/alias', { name, alias: 'Größe-1_x', version });
    const byAlias = await mlflow.get('/registered-models/alias', { name, alias: 'Größe-1_x' });
    expect(byAlias.body.model_version).toMatchObject({ version: '2', aliases: ['Größe-1_x'] });
    const moves = await call(
      'GET',
      `/models/${encodeURIComponent(name)}/aliases/${encodeURIComponent('Größe-1_x')}/moves`,
    );
    expect(moves.body.items.map((move: any) => [move.fromVersion, move.toVersion])).toEqual([
      [1, 2],
      [null, 1],
    ]);
    const model = await mlflow.get('/registered-models/get', { name });
    expect(model.body.registered_model.aliases).toEqual([{ alias: 'Größe-1_x', version: '2' }]);
    expect(
      (await mlflow.get('/registered-models/alias', { name, alias: 'LATEST' })).body.model_version.version,
    ).toBe('2');
    const remove = () => send('DELETE', '/registered-models/alias', { name, alias: 'Größe-1_x' });
    expect([(await remove()).status, (await remove()).status]).toEqual([200, 200]);
    expect(said(await mlflow.get('/registered-models/alias', { name, alias: 'Größe-1_x' }))).toEqual([
      400,
      'INVALID_PARAMETER_VALUE',
    ]);
    for (const alias of ['latest', 'V7', '7', 'a b', 'a.b', 'x'.repeat(256)])
      expect(said(await mlflow.post('/registered-models/alias', { name, alias, version: '1' }))).toEqual([
        400,
        'INVALID_PARAMETER_VALUE',
      ]);
    for (const version of ['3', '0', '-1', '99999999999999999999'])
      expect(said(await mlflow.post('/registered-models/alias', { name, alias: 'a', version }))).toEqual([
        404,
        'RESOURCE_DOES_NOT_EXIST',
      ]);
    expect(said(await mlflow.get('/model-versions/get', { name, version: '1.5' }))).toEqual([
      400,
      'INVALID_PARAMETER_VALUE',
    ]);
  });
});

describe('where a model version comes from', () => {
  let run: string;
  let experiment: string;
  const put = (path: string, bytes: string) =>
    mlflow.raw('PUT', `/api/2.0/mlflow-artifacts/artifacts/${path}`, bytes, { 'content-type': 'text/plain' });
  const download = async (uri: string, file: string) =>
    mlflow.raw('GET', `/api/2.0/mlflow-artifacts/artifacts/${uri.replace('mlflow-artifacts:/', '')}/${file}`);
  const downloadUri = async (name: string, version: string): Promise<string> =>
    (await mlflow.get('/model-versions/get-download-uri', { name, version })).body.artifact_uri;
  beforeAll(async () => {
    experiment = await mlflow.experiment();
    run = await mlflow.run(experiment);
    for (const [file, bytes] of [
      ['model/MLmodel', 'flavors'],
      ['model/data/w.bin', 'weights'],
      ['model2/other', 'not this one'],
    ])
      expect((await put(`${experiment}/${run}/artifacts/${file}`, bytes!)).status).toBe(200);
  });

  it.each([
    ['runs:/', () => `runs:/${run}/model`],
    ['mlflow-artifacts:/', () => `mlflow-artifacts:/${experiment}/${run}/artifacts/model`],
  ])('as %s of a run: the version has its own files, which the run cannot change', async (_, sourceOf) => {
    const name = await givenModel();
    const source = sourceOf();
    const version = await givenModelVersion(name, { source, run_id: run });
    expect(version).toMatchObject({ source, run_id: run });
    await put(`${experiment}/${run}/artifacts/model/MLmodel`, 'changed');
    await put(`${experiment}/${run}/artifacts/model/added`, 'later');

    const uri = await downloadUri(name, '1');
    expect((await download(uri, 'MLmodel')).body).toBe('flavors');
    expect((await download(uri, 'data/w.bin')).body).toBe('weights');
    expect((await download(uri, 'added')).status).toBe(404);
    expect((await download(uri, 'other')).status).toBe(404);
    const listed = await call('GET', `/models/${encodeURIComponent(name)}/versions/1/artifacts`);
    expect(listed.body.items.map((item: any) => item.path)).toEqual(['MLmodel', 'data/w.bin']);
    await expect(
      registry.database.client.query(`DELETE FROM artifact WHERE version_id IS NOT NULL`),
    ).rejects.toThrow('immutable');
    await put(`${experiment}/${run}/artifacts/model/MLmodel`, 'flavors');
    await mlflow.raw(
      'DELETE',
      `/api/2.0/mlflow-artifacts/artifacts/${experiment}/${run}/artifacts/model/added`,
    );
  });

  it('as a logged model: files and run go along, and the model knows of its versions', async () => {
    const { body } = await mlflow.post('/logged-models', {
      experiment_id: experiment,
      name: 'logged',
      source_run_id: run,
    });
    const { model_id } = body.model.info;
    await put(`${experiment}/models/${model_id}/artifacts/MLmodel`, 'logged flavors');
    const name = await givenModel();
    for (let i = 0; i < 2; i++)
      expect(await givenModelVersion(name, { source: `models:/${model_id}`, model_id })).toMatchObject({
        run_id: run,
        model_id,
      });
    expect((await download(await downloadUri(name, '2'), 'MLmodel')).body).toBe('logged flavors');
    const model = await mlflow.get(`/logged-models/${model_id}`);
    const links = model.body.model.info.tags.find((tag: any) => tag.key === 'mlflow.modelVersions');
    expect(JSON.parse(links.value)).toEqual([
      { name, version: 1 },
      { name, version: 2 },
    ]);
    expect(links.value).toBe(`[{"name": "${name}", "version": 1}, {"name": "${name}", "version": 2}]`);
    for (const fields of [{}, { model_id: `m-${'0'.repeat(32)}` }, { run_id: run }])
      expect(
        (await mlflow.post('/model-versions/create', { name, source: `models:/${model_id}`, ...fields }))
          .status,
      ).toBeGreaterThanOrEqual(400);
  });

  it('as another version: files, run and link go along', async () => {
    const [first, second] = [await givenModel(), await givenModel()];
    await givenModelVersion(first, { source: `runs:/${run}/model`, run_id: run });
    await mlflow.post('/registered-models/alias', { name: first, alias: 'best', version: '1' });
    for (const source of [`models:/${first}/1`, `models:/${first}@best`, `models:/${first}/latest`])
      expect(await givenModelVersion(second, { source })).toMatchObject({
        source: `models:/${first}/1`,
        run_id: run,
      });
    expect((await download(await downloadUri(second, '3'), 'MLmodel')).body).toBe('flavors');
    expect(
      said(
        await mlflow.post('/model-versions/create', {
          name: second,
          source: `models:/${first}/1`,
          run_id: 'x',
        }),
      ),
    ).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });

  it('as a copy of what is elsewhere: it is downloaded from there', async () => {
    const [first, second, third] = [await givenModel(), await givenModel(), await givenModel()];
    expect(await givenModelVersion(first, { source: 's3://b/far' })).toMatchObject({ description: '' });
    await givenModelVersion(second, { source: `models:/${first}/1` });
    const copy = await givenModelVersion(third, { source: `models:/${second}/1` });
    expect(copy.source).toBe(`models:/${second}/1`);
    expect(await downloadUri(third, '1')).toBe('s3://b/far');
    await send('DELETE', '/registered-models/delete', { name: first });
    expect(await downloadUri(third, '1')).toBe(`models:/${first}/1`);
  });

  it('as a run that no server knows: it is kept as old clients say it, without files', async () => {
    const name = await givenModel();
    const given = { source: 'runs:/nobody/model', run_id: 'somebody' };
    expect(await givenModelVersion(name, given)).toMatchObject(given);
    expect(await downloadUri(name, '1')).toBe('runs:/nobody/model');
    const another = { name, source: `runs:/${run}/model`, run_id: 'somebody' };
    expect(said(await mlflow.post('/model-versions/create', another))).toEqual([
      400,
      'INVALID_PARAMETER_VALUE',
    ]);
  });

  it('as elsewhere: it is kept as it is, and so is where to download it', async () => {
    const name = await givenModel();
    await givenModelVersion(name, { source: 'dbfs:/m', run_id: 'of another server' });
    expect(await getVersion(name, '1')).toMatchObject({ source: 'dbfs:/m', run_id: 'of another server' });
    expect(await downloadUri(name, '1')).toBe('dbfs:/m');
    const added = await fetch(
      `${registry.url}/api/v1/models/${encodeURIComponent(name)}/versions/1/artifacts/content?path=notes`,
      { method: 'PUT', body: 'added later' },
    );
    expect([added.status, await downloadUri(name, '1')]).toEqual([201, 'dbfs:/m']);
  });

  it.each([
    '/etc/passwd',
    'etc/passwd',
    'file:///etc/passwd',
    'FILE:/etc',
    'file://host/etc',
    's3://b/../c',
    's3://b/%2e%2e/c',
    's3://b/%252E%252e%252fc',
    's3://b/./c',
    's3://b/c%00',
    's3:b',
    'mlflow-artifacts:/../x',
    'mlflow-artifacts:/1/..%2f..%2fx',
    'mlflow-artifacts://host/1/x',
    'http://h/api/2.0/mlflow-artifacts/artifacts/../../x',
    'http://h/api/2.0/mlflow-artifacts/artifacts/x',
    'models:/x',
    'models:/',
    'models:',
    'models://host/a/1',
    'models:/a/b/c',
    'models:/a/',
    'models:/a@',
    'runs:/',
    'runs:/abc/model',
    'runs://host/abc',
    '://',
    '%',
    '?',
  ])('as %s is refused', async (source) => {
    const name = await givenModel();
    const answer = await mlflow.post('/model-versions/create', { name, source });
    expect(said(answer)).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect((await call('GET', `/models/${encodeURIComponent(name)}`)).body.latestVersion).toBeNull();
  });

  it.each([
    [
      'a run that is not there',
      () => ({ source: `mlflow-artifacts:/1/${'0'.repeat(32)}/artifacts/m`, run_id: '0'.repeat(32) }),
      400,
    ],
    [
      'another run',
      () => ({ source: `mlflow-artifacts:/${experiment}/${run}/artifacts/m`, run_id: '0'.repeat(32) }),
      400,
    ],
    [
      'a logged model that is not there',
      () => ({ source: 's3://b/m', model_id: `m-${'0'.repeat(32)}` }),
      404,
    ],
    ['a version that is not there', () => ({ source: 'models:/nobody/1' }), 404],
    ['an unknown stage', () => ({ source: 'models:/contended/Live' }), 400],
    ['no source', () => ({}), 400],
    ['a source of 3 000 characters', () => ({ source: `s3://${'x'.repeat(3000)}` }), 400],
  ])('as %s is refused', async (_, fields, status) => {
    const name = await givenModel();
    const answer = await mlflow.post('/model-versions/create', { name, ...fields() });
    expect(answer.status).toBe(status);
  });
});

describe("prompts through MLflow's protocol", () => {
  const isPrompt = { key: 'mlflow.prompt.is_prompt', value: 'true' };
  async function givenPrompt(name: string, text: string, type = 'text', tags: object[] = []): Promise<any> {
    await mlflow.post('/registered-models/create', { name, tags: [isPrompt] });
    const { status, body } = await mlflow.post('/model-versions/create', {
      name,
      source: 'dummy-source',
      tags: [
        isPrompt,
        { key: 'mlflow.prompt.text', value: text },
        { key: '_mlflow_prompt_type', value: type },
        ...tags,
      ],
    });
    expect([status, body.message]).toEqual([200, undefined]);
    return body.model_version;
  }
  const tagsOf = ({ tags }: any) => Object.fromEntries(tags.map(({ key, value }: any) => [key, value]));

  it('are our prompts, which chains can use', async () => {
    const config = { key: '_mlflow_prompt_model_config', value: '{"model_name": "m"}' };
    const version = await givenPrompt('greeting', 'Hi {{ name }}', 'text', [config]);
    expect(tagsOf(version)).toEqual({
      'mlflow.prompt.is_prompt': 'true',
      'mlflow.prompt.text': 'Hi {{ name }}',
      _mlflow_prompt_type: 'text',
      _mlflow_prompt_model_config: '{"model_name": "m"}',
    });
    const native = await call('GET', '/prompts/greeting/versions/1');
    expect(native.body).toMatchObject({
      content: { type: 'text', text: 'Hi {{ name }}' },
      tags: { _mlflow_prompt_model_config: '{"model_name": "m"}' },
    });
    await call('POST', '/chains', { name: 'greeter' });
    await call('POST', '/model-endpoints', {
      name: 'gpu-pool',
      protocol: 'openai',
      replicas: [{ baseUrl: 'http://127.0.0.1:9/v1' }],
      models: ['tiny'],
    });
    const chain = await call('POST', '/chains/greeter/versions', {
      content: { prompt: 'greeting@1', generate: { modelEndpoint: 'gpu-pool', model: 'tiny' } },
    });
    expect(chain.status).toBe(201);
  });

  it('of chats come back byte by byte, ours with their slot as the variable it is to MLflow', async () => {
    const text =
      '[{"role": "system", "content": "Gr\\u00fc\\u00dfe"}, {"role": "user", "content": "{{messages}}"}]';
    expect(tagsOf(await givenPrompt('chatty', text, 'chat'))['mlflow.prompt.text']).toBe(text);
    expect((await call('GET', '/prompts/chatty/versions/1')).body.content).toEqual({
      type: 'chat',
      messages: [{ role: 'system', content: 'Grüße' }, '{{messages}}'],
    });
    const parts = '[{"role":"user","content":[{"type":"text","text":"a"}]}]';
    expect(tagsOf(await givenPrompt('chatty', parts, 'chat'))['mlflow.prompt.text']).toBe(parts);
    expect((await call('GET', '/prompts/chatty/versions/2')).body.content).toEqual({
      type: 'mlflow',
      form: 'chat',
      text: parts,
    });
  });

  it('that were registered natively are prompts to MLflow, their message being the commit message', async () => {
    await call('POST', '/prompts', { name: 'native-prompt' });
    await call('POST', '/prompts/native-prompt/versions', { content: textPrompt(), message: 'why' });
    const model = await mlflow.get('/registered-models/get', { name: 'native-prompt' });
    expect(model.body.registered_model.tags).toEqual([isPrompt]);
    const version = await getVersion('native-prompt', '1');
    expect(version.description).toBe('why');
    expect(tagsOf(version)).toMatchObject({ 'mlflow.prompt.text': 'Answer {{question}}' });
  });

  it.each([
    ['mlflow.prompt.text', 'other'],
    ['_mlflow_prompt_type', 'chat'],
    ['mlflow.prompt.is_prompt', 'false'],
  ])('keep the tag %s, for it is what they are', async (key, value) => {
    await givenPrompt('fixed', 'as it is');
    const set = (given: string) =>
      mlflow.post('/model-versions/set-tag', { name: 'fixed', version: '1', key, value: given });
    const now = tagsOf(await getVersion('fixed', '1'))[key];
    expect((await set(now)).status).toBe(200);
    expect(said(await set(value))).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(
      said(await send('DELETE', '/model-versions/delete-tag', { name: 'fixed', version: '1', key })),
    ).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(
      (await mlflow.post('/model-versions/set-tag', { name: 'fixed', version: '1', key: 'a', value: 'b' }))
        .status,
    ).toBe(200);
  });

  it.each([
    ['a source', { source: 's3://b/x', tags: [isPrompt] }, 'placeholder'],
    ['no template', { source: 'dummy-source', tags: [isPrompt] }, 'mlflow.prompt.text'],
    [
      'a template of 100 001 characters',
      { source: 'dummy-source', tags: [isPrompt, { key: 'mlflow.prompt.text', value: 'x'.repeat(100_001) }] },
      'Prompt text exceeds',
    ],
    ['the form of a model', { source: 's3://b/x' }, 'is a prompt'],
  ])('refuse %s', async (_, fields, message) => {
    await givenPrompt('fixed', 'as it is');
    const answer = await mlflow.post('/model-versions/create', { name: 'fixed', ...fields });
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(message)]);
  });

  it('share their names with models, in words of their own', async () => {
    await givenPrompt('shared', 'x');
    const model = await mlflow.post('/registered-models/create', { name: 'shared' });
    expect([...said(model), model.body.message]).toEqual([
      400,
      'RESOURCE_ALREADY_EXISTS',
      expect.stringContaining('already taken by a prompt'),
    ]);
    const again = await mlflow.post('/registered-models/create', { name: 'shared', tags: [isPrompt] });
    expect(again.body.message).toBe('Prompt (name=shared) already exists.');
  });
});

describe("searches through MLflow's protocol", () => {
  const search = async (filter: string, more: object = {}): Promise<string[]> => {
    const { status, body } = await mlflow.get('/registered-models/search', { filter, ...more });
    expect([status, body.message]).toEqual([200, undefined]);
    return (body.registered_models ?? []).map((model: any) => model.name);
  };
  beforeAll(async () => {
    for (const [name, team, prompt] of [
      ['find-a', 'x', false],
      ['find-b', 'y', false],
      ['find-C', 'x', false],
      ['find-p', 'x', true],
    ] as const)
      await mlflow.post('/registered-models/create', {
        name,
        tags: [
          { key: 'team', value: team },
          { key: 'with space', value: '1' },
          ...(prompt ? [{ key: 'mlflow.prompt.is_prompt', value: 'true' }] : []),
        ],
      });
    for (let i = 0; i < 5; i++)
      await givenModelVersion('find-a', { tags: [{ key: 'n', value: String(i) }], run_id: `r${i}` });
  });

  it.each([
    ["name = 'find-a'", ['find-a']],
    ["name LIKE 'find-%'", ['find-C', 'find-a', 'find-b']],
    ["name ILIKE 'FIND-c'", ['find-C']],
    ["name LIKE 'FIND-%'", []],
    ["name IN ('find-a', 'find-p')", ['find-a']],
    ["name LIKE 'find-%' AND tags.team = 'x'", ['find-C', 'find-a']],
    ["name LIKE 'find-%' AND tag.team != 'x'", ['find-b']],
    ["name LIKE 'find-%' AND tags.`with space` = '1' AND tags.team LIKE 'y%'", ['find-b']],
    ["tags.team = 'y' OR name = 'find-a'", ['find-a', 'find-b']],
    ["(tags.team = 'y' OR name = 'find-a') AND name != 'find-b'", ['find-a']],
    ["name LIKE 'find-%' AND tags.`mlflow.prompt.is_prompt` = 'true'", ['find-p']],
    // As the client appends it.
    ["name = 'find-p' OR name = 'find-a' AND tag.`mlflow.prompt.is_prompt` != 'true'", ['find-a']],
    ["name LIKE 'find-%' AND tags.`mlflow.prompt.is_prompt` != 'false'", ['find-p']],
    ["name = 'x''; DROP TABLE entry; --'", []],
  ])('find models by %s', async (filter, names) => {
    expect(await search(filter)).toEqual(names);
  });

  it('go page by page, stable while others write', async () => {
    const seen: string[] = [];
    let page_token = '';
    do {
      const { body } = await mlflow.get('/registered-models/search', {
        filter: "name LIKE 'find-%'",
        order_by: ['name DESC'],
        max_results: 1,
        page_token,
      });
      seen.push(body.registered_models[0].name);
      await givenModel(); // sorts elsewhere
      page_token = body.next_page_token;
    } while (page_token);
    expect(seen).toEqual(['find-b', 'find-a', 'find-C']);
  });

  it.each(['version_number DESC', 'version_number ASC', 'creation_timestamp DESC', 'last_updated_timestamp'])(
    'find all versions once in the order %s, whatever the page',
    async (order) => {
      const all = await mlflow.get('/model-versions/search', {
        filter: "name = 'find-a'",
        order_by: [order],
      });
      const numbers: string[] = [];
      let page_token = '';
      do {
        const { body } = await mlflow.get('/model-versions/search', {
          filter: "name = 'find-a'",
          order_by: [order],
          max_results: 2,
          page_token,
        });
        numbers.push(...body.model_versions.map((version: any) => version.version));
        page_token = body.next_page_token;
      } while (page_token);
      expect(numbers).toEqual(all.body.model_versions.map((version: any) => version.version));
      expect(numbers).toHaveLength(5);
    },
  );

  it.each([
    ["run_id = 'r1'", ['2']],
    ["run_id IN ('r1', 'r3')", ['4', '2']],
    ["source_path LIKE 's3:%' AND version_number >= 4 AND name = 'find-a'", ['5', '4']],
    ["tags.n = '0' OR tags.n = '4'", ['5', '1']],
    ["tags.n != '0' AND tags.n NOT LIKE 'x'", undefined],
  ])('find versions by %s', async (filter, versions) => {
    const { status, body } = await mlflow.get('/model-versions/search', { filter });
    if (versions) expect(body.model_versions.map((version: any) => version.version)).toEqual(versions);
    else expect(status).toBe(400);
  });

  it.each([
    ['/registered-models/search', { filter: 'name' }],
    ['/registered-models/search', { filter: "run_id = 'x'" }],
    ['/registered-models/search', { filter: 'name = 7' }],
    ['/registered-models/search', { max_results: 0 }],
    ['/registered-models/search', { max_results: 1001 }],
    ['/registered-models/search', { order_by: 'size' }],
    ['/registered-models/search', { page_token: 'eyJvZmZzZXQiOiA1fQ==' }],
    ['/model-versions/search', { max_results: 200_001 }],
    ['/model-versions/search', { filter: "version_number = 'x'" }],
    ['/model-versions/search', { order_by: ['name', 'name'] }],
  ])('refuse %s with %j', async (path, query) => {
    expect(said(await mlflow.get(path, query))).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });
});
