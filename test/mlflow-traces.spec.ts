import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MlflowAnswer } from './support/mlflow.js';
import { newTraceId, otlpJson } from './support/otlp.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';
import { JSON_TYPE, traceCalls, V3, type TraceCalls } from './support/traces.js';

let registry: TestRegistry;
let calls: TraceCalls;
let experiment: string;
beforeAll(async () => {
  registry = await startTestRegistry();
  calls = traceCalls(registry, () => experiment);
  experiment = await calls.experiment();
});
afterAll(() => registry.close());

const v3: TraceCalls['v3'] = (...given) => calls.v3(...given);
const send: TraceCalls['send'] = (...given) => calls.send(...given);
const search: TraceCalls['search'] = (...given) => calls.search(...given);

const info = (id: string, fields: object = {}): object => ({
  trace: {
    trace_info: {
      trace_id: id,
      trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: experiment } },
      request_time: '2026-11-22T08:00:00.123Z',
      execution_duration: '1.500s',
      state: 'OK',
      ...fields,
    },
  },
});

describe('a trace that its client reports', () => {
  it('is kept with its id, and told in the words of the protocol', async () => {
    const id = `tr-${newTraceId()}`;
    const given = {
      client_request_id: 'req-7',
      request_preview: 'q',
      response_preview: 'a',
      trace_metadata: { 'mlflow.trace.session': 's' },
      tags: { 'mlflow.traceName': 'answer', team: 'x' },
    };
    const made = await v3('POST', '/traces', info(id, given));
    expect(made.status).toBe(200);
    expect(made.body.trace.trace_info).toEqual({
      trace_id: id,
      trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: experiment } },
      request_time: '2026-11-22T08:00:00.123Z',
      execution_duration: '1.500s',
      state: 'OK',
      ...given,
      tags: {
        ...given.tags,
        'mlflow.artifactLocation': `mlflow-artifacts:/${experiment}/traces/${id}/artifacts`,
      },
    });
    expect((await v3('GET', `/traces/${id}`)).body).toEqual(made.body);
  });

  it('is there once when it is sent again, with its assessments', async () => {
    const id = `tr-${newTraceId()}`;
    const assessments = [
      { assessment_name: 'ok', feedback: { value: true }, source: { source_type: 'CODE' } },
    ];
    const body = info(id, {
      assessments: assessments.map((one) => ({
        ...one,
        create_time: '2026-11-22T08:00:00Z',
        last_update_time: '2026-11-22T08:00:00Z',
      })),
    });
    await v3('POST', '/traces', body);
    const again = await v3('POST', '/traces', body);
    expect(again.body.trace.trace_info.assessments).toHaveLength(1);
    expect(await search(`trace_id = '${id}'`)).toEqual([id]);
  });

  it('replaces what its spans told before, and keeps the spans', async () => {
    const traceId = newTraceId();
    await send(otlpJson([{ traceId, name: 'root' }]));
    const told = await v3('POST', '/traces', info(`tr-${traceId}`, { state: 'ERROR' }));
    expect(told.body.trace.trace_info).toMatchObject({ state: 'ERROR', execution_duration: '1.500s' });
    await send(otlpJson([{ traceId, name: 'late', startMs: 1_000 }]));
    const whole = await v3('GET', `/traces/get?trace_id=tr-${traceId}`);
    expect(whole.body.trace.trace_info.request_time).toBe('2026-11-22T08:00:00.123Z');
    expect(whole.body.trace.spans).toHaveLength(2);
  });

  it.each([
    ['no id', { trace_id: '' }],
    ['a slash in its id', { trace_id: 'tr/../x' }],
    ['no time', { request_time: undefined }],
    ['a time of words', { request_time: 'today' }],
    ['a bad duration', { execution_duration: '5 minutes' }],
    ['a NUL in a tag', { tags: { a: 'x\0' } }],
    ['an unknown state', { state: 'FINE' }],
    ['an assessment of nothing', { assessments: [{ assessment_name: 'x' }] }],
    ['1 001 tags', { tags: Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`k${at}`, ''])) }],
    ['a long tag key', { tags: { ['k'.repeat(251)]: 'x' } }],
  ])('is refused with %s, and nothing is stored', async (_, fields) => {
    const id = `tr-${newTraceId()}`;
    const { status, body } = await v3('POST', '/traces', info(id, fields));
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect((await v3('GET', `/traces/${id}`)).status).toBe(404);
  });

  it('needs an experiment that is there', async () => {
    const location = { mlflow_experiment: { experiment_id: '4711' } };
    const { status, body } = await v3('POST', '/traces', info('tr-1', { trace_location: location }));
    expect([status, body]).toEqual([
      404,
      { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'No Experiment with id=4711 exists' },
    ]);
  });
});

describe('what is done to traces later', () => {
  it('never gives them more than 1 000 tags', async () => {
    const id = `tr-${newTraceId()}`;
    const tags = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`k${at}`, '']));
    expect((await v3('POST', '/traces', info(id, { tags }))).status).toBe(200);
    const set = (key: string): Promise<MlflowAnswer> =>
      calls.raw('PATCH', `${V3}/traces/${id}/tags`, JSON.stringify({ key, value: 'x' }), JSON_TYPE);
    expect(await set('one too many')).toMatchObject({
      status: 400,
      body: { error_code: 'INVALID_PARAMETER_VALUE' },
    });
    expect((await set('k7')).status).toBe(200);
  });

  it('tags are set and removed, by either version of the call', async () => {
    const traceId = newTraceId();
    await send(otlpJson([{ traceId }]));
    const path = `/traces/tr-${traceId}/tags`;
    const patch = (prefix: string): Promise<MlflowAnswer> =>
      calls.raw('PATCH', prefix + path, JSON.stringify({ key: 'k', value: prefix }), JSON_TYPE);
    for (const prefix of ['/api/2.0/mlflow', V3]) {
      expect((await patch(prefix)).status).toBe(200);
      expect((await v3('GET', `/traces/tr-${traceId}`)).body.trace.trace_info.tags.k).toBe(prefix);
      const remove = (): Promise<MlflowAnswer> =>
        calls.raw('DELETE', prefix + path, JSON.stringify({ key: 'k' }), JSON_TYPE);
      expect((await remove()).status).toBe(200);
      const { status, body } = await remove();
      expect([status, body.message]).toEqual([
        404,
        `No trace tag with key 'k' for trace with ID 'tr-${traceId}'`,
      ]);
    }
  });

  it('prompts are linked once, and searched by', async () => {
    const traceId = newTraceId();
    await send(otlpJson([{ traceId }]));
    const link = { trace_id: `tr-${traceId}`, prompt_versions: [{ name: 'hello', version: '3' }] };
    for (let again = 0; again < 2; again++)
      expect((await calls.post('/traces/link-prompts', link)).status).toBe(200);
    expect(await search("prompt = 'hello/3'")).toEqual([`tr-${traceId}`]);
  });

  it('a prompt of a name that no prompt can have is not linked', async () => {
    const traceId = newTraceId();
    await send(otlpJson([{ traceId }]));
    // Long, and nothing that an index could compress.
    const name = Array.from({ length: 200 }, newTraceId).join('');
    const link = { trace_id: `tr-${traceId}`, prompt_versions: [{ name, version: '3' }] };
    expect((await calls.post('/traces/link-prompts', link)).status).toBe(400);
  });

  it('a run is linked before the trace has arrived, as clients do that send in the background', async () => {
    const run_id = await calls.run(experiment);
    const [early, late, other] = [newTraceId(), newTraceId(), newTraceId()];
    await send(otlpJson([{ traceId: early }]));
    const trace_ids = [`tr-${early}`, `tr-${late}`];
    for (let again = 0; again < 2; again++)
      expect((await calls.post('/traces/link-to-run', { run_id, trace_ids })).status).toBe(200);
    await send(otlpJson([{ traceId: late }]));
    await send(otlpJson([{ traceId: other }]));
    expect((await search(`run_id = '${run_id}'`)).sort()).toEqual(trace_ids.sort());
    await calls.post('/traces/delete-traces', { experiment_id: experiment, request_ids: [`tr-${early}`] });
    await send(otlpJson([{ traceId: early }]));
    expect(await search(`run_id = '${run_id}'`)).toEqual([`tr-${late}`]);
  });

  it('linking more than 100 traces, or to no run, is refused', async () => {
    const run_id = await calls.run(experiment);
    const many = await calls.post('/traces/link-to-run', {
      run_id,
      trace_ids: Array.from({ length: 101 }, String),
    });
    expect(many.body.message).toContain('Cannot link more than 100 traces');
    const none = await calls.post('/traces/link-to-run', { run_id: 'f'.repeat(32), trace_ids: ['tr-1'] });
    expect(none.status).toBe(404);
  });

  it('deleting takes the spans and assessments along, the oldest first', async () => {
    const to = await calls.experiment();
    const ids = [newTraceId(), newTraceId(), newTraceId()];
    for (const [at, traceId] of ids.entries())
      await send(otlpJson([{ traceId, startMs: 1_795_305_600_000 + at * 1000 }]), {}, to);
    await v3('POST', `/traces/tr-${ids[0]}/assessments`, {
      assessment: { assessment_name: 'x', feedback: { value: 1 }, source: { source_type: 'HUMAN' } },
    });
    const remove = (fields: object): Promise<MlflowAnswer> =>
      v3('POST', '/traces/delete-traces', { experiment_id: to, ...fields });
    expect((await remove({ max_timestamp_millis: 1_795_305_602_000, max_traces: 1 })).body).toEqual({
      traces_deleted: 1,
    });
    expect(await search('', to)).toEqual([`tr-${ids[2]}`, `tr-${ids[1]}`]);
    expect((await remove({ request_ids: [`tr-${ids[1]}`, 'tr-unknown'] })).body).toEqual({
      traces_deleted: 1,
    });
    expect((await remove({})).status).toBe(400);
    const { rows } = await registry.database.client.query(
      `SELECT (SELECT count(*) FROM span s LEFT JOIN trace t ON t.serial = s.trace WHERE t.serial IS NULL) +
              (SELECT count(*) FROM assessment a LEFT JOIN trace t ON t.serial = a.trace WHERE t.serial IS NULL) AS orphans`,
    );
    expect(Number(rows[0].orphans)).toBe(0);
  });

  it('deleting while spans arrive does not deadlock', async () => {
    const to = await calls.experiment();
    // The later by time come first by id.
    const spans = Array.from({ length: 40 }, (_, at) => ({
      traceId: String(40 - at).padStart(32, '1'),
      startMs: 1_795_305_600_000 + at,
    }));
    const body = otlpJson(spans);
    await send(body, {}, to);
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, at) =>
        at % 3 === 0
          ? v3('POST', '/traces/delete-traces', {
              experiment_id: to,
              max_timestamp_millis: 1_795_305_700_000,
            })
          : send(body, {}, to),
      ),
    );
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
  });

  it('clients of version 2 start, end, get and search theirs', async () => {
    const to = await calls.experiment();
    const started = await calls.post('/traces', {
      experiment_id: to,
      timestamp_ms: 1000,
      request_metadata: [{ key: 'a', value: 'b' }],
      tags: [],
    });
    const { request_id, status } = started.body.trace_info;
    expect(status).toBe('IN_PROGRESS');
    const end = {
      timestamp_ms: '1250',
      status: 'OK',
      request_metadata: [{ key: 'c', value: 'd' }],
      tags: [{ key: 't', value: 'u' }],
    };
    const ended = await calls.raw(
      'PATCH',
      `/api/2.0/mlflow/traces/${request_id}`,
      JSON.stringify(end),
      JSON_TYPE,
    );
    expect(ended.body.trace_info).toMatchObject({
      request_id,
      experiment_id: to,
      timestamp_ms: 1000,
      execution_time_ms: 250,
      status: 'OK',
    });
    expect((await calls.get(`/traces/${request_id}/info`)).body).toEqual(ended.body);
    expect(
      (await calls.get('/traces', { experiment_ids: [to], filter: "tags.t = 'u'" })).body.traces,
    ).toEqual([ended.body.trace_info]);
  });
});

it('one id in two workspaces names two traces, and neither is seen from the other', async () => {
  await registry.database.client.query(
    `INSERT INTO workspace (id, name, created_at) VALUES (gen_random_uuid(), 'other', now())`,
  );
  const other = { 'x-mlflow-workspace': 'other' };
  const traceId = newTraceId();
  const only = newTraceId();
  await send(otlpJson([{ traceId, name: 'ours' }]), {}, '0');
  await send(otlpJson([{ traceId, name: 'theirs' }, { traceId: only }]), other, '0');
  const nameIn = async (headers: Record<string, string>): Promise<string> =>
    (await calls.raw('GET', `${V3}/traces/get?trace_id=tr-${traceId}`, undefined, headers)).body.trace
      .spans[0].name;
  expect([await nameIn({}), await nameIn(other)]).toEqual(['ours', 'theirs']);
  expect((await v3('GET', `/traces/tr-${only}`)).status).toBe(404);
  expect(await search('', '0')).not.toContain(`tr-${only}`);
  const tag = JSON.stringify({ key: 'k', value: 'v' });
  expect((await calls.raw('PATCH', `${V3}/traces/tr-${only}/tags`, tag, JSON_TYPE)).status).toBe(404);
  const removed = await v3('POST', '/traces/delete-traces', {
    experiment_id: '0',
    request_ids: [`tr-${only}`],
  });
  expect(removed.body).toEqual({ traces_deleted: 0 });
});

describe('a trace of another workspace', () => {
  const traceId = `tr-${newTraceId()}`;
  const assessment = { assessment_name: 'a', feedback: { value: 1 }, source: { source_type: 'HUMAN' } };
  const experiment_ids = ['0'];
  let assessmentId: string;
  let whole: unknown;
  const apart = { 'x-mlflow-workspace': 'apart', ...JSON_TYPE };
  const read = async () =>
    (await calls.raw('GET', `${V3}/traces/get?trace_id=${traceId}`, undefined, apart)).body.trace;
  beforeAll(async () => {
    await registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES (gen_random_uuid(), 'apart', now())`,
    );
    await send(otlpJson([{ traceId: traceId.slice(3) }]), apart, '0');
    await calls.raw('PATCH', `${V3}/traces/${traceId}/tags`, '{"key":"k","value":"v"}', apart);
    const body = JSON.stringify({ assessment });
    const made = await calls.raw('POST', `${V3}/traces/${traceId}/assessments`, body, apart);
    assessmentId = made.body.assessment.assessment_id;
    whole = await read();
  });
  const expectUntouched = async (answer: Promise<MlflowAnswer>) => {
    expect((await answer).status).toBe(404);
    expect(await read()).toEqual(whole);
  };

  it.each<[string, string, object?]>([
    ['GET', ''],
    ['PATCH', '/tags', { key: 'k', value: 'ours' }],
    ['DELETE', '/tags', { key: 'k' }],
    ['POST', '/assessments', { assessment }],
  ])('is not there for %s /traces/…%s', (method, path, body) =>
    expectUntouched(v3(method, `/traces/${traceId}${path}`, body)),
  );

  it.each<[string, object?]>([
    ['GET'],
    ['PATCH', { assessment: { feedback: { value: 2 } }, update_mask: 'feedback' }],
    ['DELETE'],
  ])('is not there for %s of its assessment', (method, body) =>
    expectUntouched(v3(method, `/traces/${traceId}/assessments/${assessmentId}`, body)),
  );

  it('is not there for links to prompts, nor for the end of version 2', async () => {
    const prompt_versions = [{ name: 'p', version: '1' }];
    await expectUntouched(calls.post('/traces/link-prompts', { trace_id: traceId, prompt_versions }));
    const end = JSON.stringify({ timestamp_ms: 9, status: 'ERROR', request_metadata: [], tags: [] });
    await expectUntouched(calls.raw('PATCH', `/api/2.0/mlflow/traces/${traceId}`, end, JSON_TYPE));
  });

  it('is neither found, nor counted, nor deleted with others', async () => {
    expect(await search('', '0')).not.toContain(traceId);
    const infos = await v3('GET', `/traces/batchGet?trace_ids=${traceId}`);
    expect(JSON.stringify(infos.body)).not.toContain(traceId);
    const counted = await v3('POST', '/traces/metrics', {
      experiment_ids,
      view_type: 'TRACES',
      metric_name: 'trace_count',
      aggregations: [{ aggregation_type: 'COUNT' }],
      filters: ["trace.tag.k = 'v'"],
    });
    expect(counted.body.data_points[0].values).toEqual({ COUNT: 0 });
    const gone = await v3('POST', '/traces/delete-traces', {
      experiment_id: '0',
      max_timestamp_millis: Date.now() * 2,
    });
    expect(gone.status).toBe(200);
    expect(await read()).toEqual(whole);
  });
});

it('what is not implemented says so', async () => {
  const { status, body } = await v3('POST', '/prompt-optimization/jobs', {});
  expect([status, body.error_code]).toEqual([501, 'NOT_IMPLEMENTED']);
});
