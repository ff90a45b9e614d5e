import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mlflowCalls, type MlflowAnswer, type MlflowCalls } from './support/mlflow.js';
import { newTraceId, otlpJson } from './support/otlp.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let calls: MlflowCalls;
let experiment: string;
beforeAll(async () => {
  registry = await startTestRegistry();
  calls = mlflowCalls(registry);
  experiment = await calls.experiment();
});
afterAll(() => registry.close());

const v3 = (method: string, path: string, body?: unknown): Promise<MlflowAnswer> =>
  calls.raw(
    method,
    `/api/3.0/mlflow${path}`,
    body === undefined ? undefined : JSON.stringify(body),
    body === undefined ? {} : { 'content-type': 'application/json' },
  );

async function newTrace(): Promise<string> {
  const traceId = newTraceId();
  await calls.raw('POST', '/v1/traces', JSON.stringify(otlpJson([{ traceId }])), {
    'content-type': 'application/json',
    'x-mlflow-experiment-id': experiment,
  });
  return `tr-${traceId}`;
}

describe('assessments', () => {
  const HUMAN = { source_type: 'HUMAN', source_id: 'ada' };
  const assess = (trace: string, assessment: object): Promise<MlflowAnswer> =>
    v3('POST', `/traces/${trace}/assessments`, {
      assessment: { assessment_name: 'quality', source: HUMAN, ...assessment },
    });

  it.each([
    ['a boolean', false],
    ['a number', 0.25],
    ['text', 'yes'],
    ['null', null],
    ['a list', [1, 'a']],
    ['an object', { constructor: 1, b: [null] }],
  ])('of %s come back as they were', async (_, value) => {
    const trace = await newTrace();
    const made = (
      await assess(trace, { feedback: { value }, rationale: 'because', metadata: { k: 'v' }, span_id: 's' })
    ).body.assessment;
    expect(made).toMatchObject({
      assessment_name: 'quality',
      trace_id: trace,
      source: HUMAN,
      rationale: 'because',
      metadata: { k: 'v' },
      span_id: 's',
      valid: true,
    });
    expect(made.feedback.value).toEqual(value);
    const read = await v3('GET', `/traces/${trace}/assessments/${made.assessment_id}`);
    expect(read.body.assessment).toEqual(made);
    expect((await v3('GET', `/traces/${trace}`)).body.trace.trace_info.assessments).toEqual([made]);
  });

  it('expectations keep the digits of what they hold', async () => {
    const trace = await newTrace();
    const serialized_value = {
      serialization_format: 'JSON_FORMAT',
      value: '{"a": [1.0, 12345678901234567890]}',
    };
    const made = (await assess(trace, { expectation: { serialized_value } })).body.assessment;
    expect(made.expectation).toEqual({ serialized_value });
    expect((await assess(trace, { expectation: { value: 'plain' } })).body.assessment.expectation).toEqual({
      value: 'plain',
    });
  });

  it('errors stand in for a value', async () => {
    const error = { error_code: 'TIMEOUT', error_message: 'too slow', stack_trace: 'at judge' };
    const made = await assess(await newTrace(), { feedback: { value: null, error } });
    expect(made.body.assessment.feedback).toEqual({ value: null, error });
  });

  it('change by a mask, which says what of them', async () => {
    const trace = await newTrace();
    const { assessment_id } = (
      await assess(trace, { feedback: { value: 1 }, rationale: 'old', metadata: { a: '1' } })
    ).body.assessment;
    const path = `/traces/${trace}/assessments/${assessment_id}`;
    const changed = await v3('PATCH', path, {
      assessment: { feedback: { value: 2 }, rationale: 'ignored', metadata: { b: '2' } },
      update_mask: 'feedback,metadata',
    });
    expect(changed.body.assessment).toMatchObject({
      feedback: { value: 2 },
      rationale: 'old',
      metadata: { a: '1', b: '2' },
    });
    const other = await v3('PATCH', path, {
      assessment: { expectation: { value: 2 } },
      update_mask: 'expectation',
    });
    expect([other.status, other.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
  });

  it('one that overrides another makes it invalid, until it is deleted', async () => {
    const trace = await newTrace();
    const old = (await assess(trace, { feedback: { value: 1 } })).body.assessment.assessment_id;
    const isValid = async (): Promise<boolean> =>
      (await v3('GET', `/traces/${trace}/assessments/${old}`)).body.assessment.valid;
    const over = (await assess(trace, { feedback: { value: 2 }, overrides: old })).body.assessment;
    expect([over.overrides, await isValid()]).toEqual([old, false]);
    for (let again = 0; again < 2; again++)
      expect((await v3('DELETE', `/traces/${trace}/assessments/${over.assessment_id}`)).status).toBe(200);
    expect(await isValid()).toBe(true);
  });

  it.each([
    ['no value at all', {}, 400],
    ['two kinds', { feedback: { value: 1 }, expectation: { value: 1 } }, 400],
    ['no name', { assessment_name: '', feedback: { value: 1 } }, 400],
    ['a NUL', { feedback: { value: { a: 'x\0' } } }, 400],
    ['an unknown source', { source: { source_type: 'ORACLE' }, feedback: { value: 1 } }, 400],
    ['a value 300 levels deep', { feedback: { value: JSON.parse('['.repeat(300) + ']'.repeat(300)) } }, 400],
    ['no JSON in its serialized value', { expectation: { serialized_value: { value: '{' } } }, 400],
    ['an unknown assessment to override', { feedback: { value: 1 }, overrides: 'a-none' }, 404],
  ])('with %s are refused', async (_, assessment, status) => {
    const trace = await newTrace();
    expect((await assess(trace, assessment)).status).toBe(status);
    expect((await v3('GET', `/traces/${trace}`)).body.trace.trace_info.assessments).toBeUndefined();
  });

  it('add up to more than a double holds: that is said, and no failure', async () => {
    for (let made = 0; made < 2; made++)
      await v3('POST', `/traces/${await newTrace()}/assessments`, {
        assessment: {
          assessment_name: 'vast',
          feedback: { value: 1e308 },
          source: { source_type: 'HUMAN', source_id: 'ada' },
        },
      });
    const answer = await v3('POST', '/traces/metrics', {
      experiment_ids: [experiment],
      view_type: 'ASSESSMENTS',
      metric_name: 'assessment_value',
      aggregations: [{ aggregation_type: 'AVG' }],
      filters: ["assessment.name = 'vast'"],
    });
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringMatching(/more than a double/)]);
  });

  it('need their trace', async () => {
    expect((await assess('tr-none', { feedback: { value: 1 } })).status).toBe(404);
    expect((await v3('GET', '/traces/tr-none/assessments/a-1')).status).toBe(404);
  });
});

describe('evaluation datasets', () => {
  const create = async (fields: object = {}): Promise<any> =>
    (await v3('POST', '/datasets/create', { name: 'cases', ...fields })).body.dataset;
  const upsert = (id: string, records: string): Promise<MlflowAnswer> =>
    v3('POST', `/datasets/${id}/records`, { records });
  const recordsOf = async (id: string): Promise<string> =>
    (await v3('GET', `/datasets/${id}/records`)).body.records;

  it('are created with tags and experiments, and found by them', async () => {
    const tags = JSON.stringify({ team: 'x', 'mlflow.user': 'ada' });
    const made = await create({ name: 'found', tags, experiment_ids: [experiment] });
    expect(made).toMatchObject({ name: 'found', tags, created_by: 'ada', experiment_ids: [experiment] });
    expect(made.dataset_id).toMatch(/^d-[0-9a-f]{32}$/);
    expect((await v3('GET', `/datasets/${made.dataset_id}`)).body.dataset).toEqual(made);
    const find = async (body: object): Promise<string[]> =>
      ((await v3('POST', '/datasets/search', body)).body.datasets ?? []).map((one: any) => one.name);
    expect(await find({ experiment_ids: [experiment] })).toEqual(['found']);
    expect(await find({ filter_string: "name LIKE 'fo%' AND tags.team = 'x'" })).toEqual(['found']);
    expect(await find({ filter_string: "name = 'nobody'" })).toEqual([]);
    expect((await v3('POST', '/datasets/search', { filter_string: 'colour = 1' })).status).toBe(400);
  });

  it('are not searched on from a page token of its own making', async () => {
    const token = (key: unknown): string => Buffer.from(JSON.stringify(key)).toString('base64url');
    const id = '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c';
    for (const body of [
      { page_token: token([1, '-'.repeat(36)]) },
      { order_by: ['name ASC'], page_token: token(['a\0', id]) },
    ])
      expect((await v3('POST', '/datasets/search', body)).status).toBe(400);
  });

  it('keep what records say to the digit, and merge those of the same inputs', async () => {
    const { dataset_id } = await create();
    const first =
      '[{"inputs": {"q": "a", "n": 1.0, "big": 12345678901234567890}, "expectations": {"e": 1}}, {"inputs": {"q": "b"}, "outputs": "text"}]';
    expect((await upsert(dataset_id, first)).body).toEqual({ inserted_count: 2, updated_count: 0 });
    const second =
      '[{"inputs": {"big": 12345678901234567890, "n": 1.0, "q": "a"}, "expectations": {"f": 2.50}, "tags": {"t": "x"}}]';
    expect((await upsert(dataset_id, second)).body).toEqual({ inserted_count: 0, updated_count: 1 });
    const text = await recordsOf(dataset_id);
    expect(text).toContain('"inputs": {"q": "a", "n": 1.0, "big": 12345678901234567890}');
    const [a, b] = JSON.parse(text);
    expect(text).toContain('2.50');
    expect([a.expectations, a.tags]).toEqual([{ e: 1, f: 2.5 }, { t: 'x' }]);
    expect(b).toMatchObject({ inputs: { q: 'b' }, outputs: 'text', dataset_id });
    const { dataset } = (await v3('GET', `/datasets/${dataset_id}`)).body;
    expect(JSON.parse(dataset.profile)).toEqual({ num_records: 2 });
    expect(Object.keys(JSON.parse(dataset.schema).inputs).toSorted()).toEqual(['big', 'n', 'q']);
  });

  it('1 and 1.0 are different inputs, as they are to Python', async () => {
    const { dataset_id } = await create();
    const { body } = await upsert(dataset_id, '[{"inputs": {"n": 1}}, {"inputs": {"n": 1.0}}]');
    expect(body.inserted_count).toBe(2);
  });

  it('records twice in one call are merged, and counted once as new', async () => {
    const { dataset_id } = await create();
    const twice =
      '[{"inputs": {"q": 1}, "expectations": {"a": 1}}, {"inputs": {"q": 1}, "expectations": {"b": NaN}}]';
    expect((await upsert(dataset_id, twice)).body).toEqual({ inserted_count: 1, updated_count: 1 });
    expect(JSON.parse(await recordsOf(dataset_id))[0].expectations).toEqual({ a: 1, b: null });
  });

  it('give their records in pages, and lose those that are deleted', async () => {
    const { dataset_id } = await create();
    await upsert(dataset_id, JSON.stringify(Array.from({ length: 25 }, (_, n) => ({ inputs: { n } }))));
    const seen: any[] = [];
    let token = '';
    do {
      const { body } = await v3('GET', `/datasets/${dataset_id}/records?max_results=10&page_token=${token}`);
      seen.push(...JSON.parse(body.records));
      token = body.next_page_token ?? '';
    } while (token !== '');
    expect(new Set(seen.map((record) => record.inputs.n)).size).toBe(25);
    const ids = seen.slice(0, 3).map((record) => record.dataset_record_id);
    const deleted = await v3('DELETE', `/datasets/${dataset_id}/records`, {
      dataset_record_ids: [...ids, 'dr-none'],
    });
    expect(deleted.body).toEqual({ deleted_count: 3 });
    expect(JSON.parse(await recordsOf(dataset_id))).toHaveLength(22);
  });

  it('10 clients that add the same records at once make each of them once', async () => {
    const { dataset_id } = await create();
    const recordsOfClient = (client: number): string =>
      JSON.stringify([
        ...Array.from({ length: 50 }, (_, n) => ({ inputs: { n } })),
        { inputs: { [`of${client}`]: 1 } },
      ]);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, client) => upsert(dataset_id, recordsOfClient(client))),
    );
    expect(answers.reduce((sum, answer) => sum + (answer.body.inserted_count ?? 0), 0)).toBe(60);
    const { dataset } = (await v3('GET', `/datasets/${dataset_id}`)).body;
    expect(JSON.parse(dataset.profile)).toEqual({ num_records: 60 });
    expect(Object.keys(JSON.parse(dataset.schema).inputs)).toHaveLength(11);
  });

  it('tags and experiments come and go', async () => {
    const { dataset_id } = await create({ tags: '{"a":"1"}' });
    const set = await v3('PATCH', `/datasets/${dataset_id}/tags`, { tags: '{"b":2,"c":null}' });
    expect(JSON.parse(set.body.dataset.tags)).toEqual({ a: '1', b: '2' });
    expect((await v3('DELETE', `/datasets/${dataset_id}/tags/a`)).status).toBe(200);
    const other = await calls.experiment();
    const added = await v3('POST', `/datasets/${dataset_id}/add-experiments`, { experiment_ids: [other] });
    expect(added.body.dataset.experiment_ids).toEqual([other]);
    expect(
      (await v3('POST', `/datasets/${dataset_id}/add-experiments`, { experiment_ids: ['4711'] })).status,
    ).toBe(404);
    expect(
      (await v3('POST', `/datasets/${dataset_id}/remove-experiments`, { experiment_ids: [other, '4711'] }))
        .status,
    ).toBe(200);
    expect((await v3('GET', `/datasets/${dataset_id}/experiment-ids`)).body).toEqual({});
  });

  it('are deleted with their records; again is no error', async () => {
    const { dataset_id } = await create();
    await upsert(dataset_id, '[{"inputs": {"q": 1}}]');
    for (let again = 0; again < 2; again++)
      expect((await v3('DELETE', `/datasets/${dataset_id}`)).status).toBe(200);
    const { status, body } = await v3('GET', `/datasets/${dataset_id}/records`);
    expect([status, body.message]).toEqual([404, `Evaluation dataset with id '${dataset_id}' not found`]);
  });

  it.each([
    ['no JSON', '{'],
    ['no list', '{}'],
    ['a number', '[1]'],
    ['inputs that are a list', '[{"inputs": []}]'],
    ['a NUL', '[{"inputs": {"q": "\\u0000"}}]'],
    ['a lone surrogate', '[{"inputs": {"q": "\\ud800"}}]'],
    ['a depth of 300', `[{"inputs": {"q": ${'['.repeat(300)}${']'.repeat(300)}}}]`],
    ['one bad record among good ones', '[{"inputs": {"q": 1}}, 5]'],
  ])('refuse records with %s, and store none', async (_, records) => {
    const { dataset_id } = await create();
    const { status, body } = await upsert(dataset_id, records);
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(await recordsOf(dataset_id)).toBe('[]');
  });

  it('are not created without a name, or for an unknown experiment', async () => {
    expect((await v3('POST', '/datasets/create', { name: '' })).status).toBe(400);
    expect((await v3('POST', '/datasets/create', { name: 'x', tags: '[]' })).status).toBe(400);
    expect((await v3('POST', '/datasets/create', { name: 'x', experiment_ids: ['4711'] })).status).toBe(404);
  });
});

describe('scorers', () => {
  const register = (name: string, serialized_scorer: string, to = experiment): Promise<MlflowAnswer> =>
    v3('POST', '/scorers/register', { experiment_id: to, name, serialized_scorer });
  const named = (name: string): string => `experiment_id=${experiment}&name=${name}`;

  it('are versioned, and never given a number twice', async () => {
    for (const number of [1, 2, 3])
      expect((await register('polite', `{"v": ${number}.0}`)).body.version).toBe(number);
    expect((await v3('GET', `/scorers/get?${named('polite')}`)).body.scorer).toMatchObject({
      scorer_version: 3,
      serialized_scorer: '{"v": 3.0}',
    });
    await v3('DELETE', '/scorers/delete', { experiment_id: experiment, name: 'polite', version: 3 });
    expect((await register('polite', '{}')).body.version).toBe(4);
    const { scorers } = (await v3('GET', `/scorers/versions?${named('polite')}`)).body;
    expect(scorers.map((one: any) => one.scorer_version)).toEqual([1, 2, 4]);
    const listed = (await v3('GET', `/scorers/list?experiment_id=${experiment}`)).body.scorers;
    expect(listed).toEqual([
      expect.objectContaining({
        experiment_id: Number(experiment),
        scorer_name: 'polite',
        scorer_version: 4,
      }),
    ]);
  });

  it('20 at once of one name get 20 numbers', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => register('many', '{}')));
    expect(made.map((answer) => answer.body.version).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, n) => n + 1),
    );
  });

  it('tell which traces they are to score while they come in', async () => {
    const { scorer_id } = (await register('online', '{}')).body;
    expect((await v3('GET', `/scorers/online-configs?scorer_ids=${scorer_id}`)).body).toEqual({
      configs: [],
    });
    const config = {
      experiment_id: experiment,
      name: 'online',
      sample_rate: 0.5,
      filter_string: "status = 'OK'",
    };
    expect((await v3('PUT', '/scorers/online-config', config)).body.config).toMatchObject({
      scorer_id,
      sample_rate: 0.5,
    });
    expect((await v3('GET', `/scorers/online-configs?scorer_ids=${scorer_id}`)).body.configs).toHaveLength(1);
    expect((await v3('PUT', '/scorers/online-config', { ...config, sample_rate: 2 })).status).toBe(400);
    expect((await v3('PUT', '/scorers/online-config', { ...config, filter_string: 'what?' })).status).toBe(
      400,
    );
  });

  it('are gone when deleted', async () => {
    await register('gone', '{}');
    expect((await v3('DELETE', '/scorers/delete', { experiment_id: experiment, name: 'gone' })).status).toBe(
      200,
    );
    const { status, body } = await v3('GET', `/scorers/get?${named('gone')}`);
    expect([status, body.message]).toEqual([
      404,
      `Scorer with name 'gone' not found for experiment ${experiment}.`,
    ]);
  });

  it.each([
    ['no JSON', '{', '', 400],
    ['code that clients would have to run', '{"inner": [{"call_source": "import os"}]}', '', 400],
    ['an unknown experiment', '{}', '4711', 404],
  ])('with %s are refused', async (_, definition, to, status) => {
    expect((await register('bad', definition, to || experiment)).status).toBe(status);
  });
});
