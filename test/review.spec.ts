import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mlflowCalls, type MlflowAnswer, type MlflowCalls } from './support/mlflow.js';
import { newTraceId, otlpJson } from './support/otlp.js';
import { startTestRegistry, type Answer, type TestRegistry } from './support/registry.js';

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
  calls.raw(method, `/api/3.0/mlflow${path}`, body === undefined ? undefined : JSON.stringify(body), {
    'content-type': 'application/json',
  });
const ADA = { 'x-catena-actor': 'Ada' };

async function newTrace(to = experiment): Promise<string> {
  const traceId = newTraceId();
  await calls.raw('POST', '/v1/traces', JSON.stringify(otlpJson([{ traceId }])), {
    'content-type': 'application/json',
    'x-mlflow-experiment-id': to,
  });
  return `tr-${traceId}`;
}

async function otherWorkspace(): Promise<string> {
  const name = `w${Date.now()}`;
  await registry.database.client.query(
    `INSERT INTO workspace (id, name, created_at) VALUES (gen_random_uuid(), $1, now())`,
    [name],
  );
  return name;
}

describe('an issue', () => {
  it('is one thing in both protocols', async () => {
    const made = await registry.call(
      'POST',
      '/issues',
      {
        experimentId: experiment,
        name: 'slow',
        description: 'takes long',
        severity: 'low',
        categories: ['latency'],
      },
      ADA,
    );
    expect(made).toMatchObject({
      status: 201,
      body: { status: 'pending', createdBy: 'Ada', sourceRunId: null },
    });
    const hex = `iss-${made.body.id.replaceAll('-', '')}`;
    expect((await v3('GET', `/issues/${hex}`)).body.issue).toMatchObject({
      issue_id: hex,
      experiment_id: experiment,
      name: 'slow',
      severity: 'low',
      categories: ['latency'],
      created_by: 'Ada',
    });
    await v3('PATCH', `/issues/${hex}`, { status: 'resolved' });
    const changed = await registry.call('PATCH', `/issues/${made.body.id}`, { severity: null });
    expect(changed.body).toMatchObject({ status: 'resolved', severity: null, name: 'slow' });
    expect((await v3('GET', `/issues/${hex}`)).body.issue).not.toHaveProperty('severity');
  });

  it('is listed the worst first, in pages that miss and repeat none', async () => {
    const to = await calls.experiment();
    for (let at = 0; at < 7; at++)
      await registry.call('POST', '/issues', {
        experimentId: to,
        name: `i${at}`,
        description: 'd',
        severity: at % 2 ? 'high' : null,
      });
    for (const more of ['', '&withTraceCount=true']) {
      const seen: string[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const page: Answer = await registry.call(
          'GET',
          `/issues?experimentId=${to}&limit=2${more}${cursor && `&cursor=${cursor}`}`,
        );
        seen.push(...page.body.items.map(({ name }: { name: string }) => name));
        cursor = page.body.nextCursor;
      }
      expect(seen).toEqual(['i5', 'i3', 'i1', 'i6', 'i4', 'i2', 'i0']);
    }
  });

  it("says of MLflow's last page, like label schemas and review queues, that nothing follows", async () => {
    const { body: queue } = await registry.call('POST', '/review-queues', {
      experimentId: experiment,
      name: 'last page',
      kind: 'custom',
    });
    for (const [method, path, body] of [
      ['POST', '/issues/search', { experiment_id: experiment }],
      ['GET', `/label-schemas/list?experiment_id=${experiment}`],
      ['GET', `/review-queues/list?experiment_id=${experiment}`],
      ['GET', `/review-queues/items/list?queue_id=${queue.id}`],
    ] as const)
      expect((await v3(method, path, body)).body).toHaveProperty('next_page_token', '');
  });

  it('belongs to its workspace', async () => {
    const { body } = await registry.call('POST', '/issues', {
      experimentId: experiment,
      name: 'a',
      description: 'b',
    });
    const workspace = await otherWorkspace();
    const there = (method: string, path: string, given?: object): Promise<MlflowAnswer> =>
      calls.raw(method, `/api/3.0/mlflow${path}`, given && JSON.stringify(given), {
        'content-type': 'application/json',
        'x-mlflow-workspace': workspace,
      });
    expect((await there('GET', `/issues/${body.id}`)).status).toBe(404);
    expect((await there('PATCH', `/issues/${body.id}`, { name: 'x' })).status).toBe(404);
    expect((await there('POST', '/issues/search', {})).body).toEqual({ next_page_token: '' });
    const queue = (
      await registry.call('POST', '/review-queues', { experimentId: experiment, name: 'w', kind: 'custom' })
    ).body;
    const schema = (
      await registry.call('POST', '/label-schemas', {
        experimentId: experiment,
        name: 'w',
        type: 'feedback',
        input: { kind: 'text', maxLength: null },
      })
    ).body;
    expect((await there('GET', `/review-queues/get?queue_id=${queue.id}`)).status).toBe(404);
    expect((await there('POST', '/review-queues/delete', { queue_id: queue.id })).status).toBe(200);
    expect(
      (await there('POST', '/review-queues/items/add', { queue_id: queue.id, item_ids: [await newTrace()] }))
        .status,
    ).toBe(404);
    expect((await there('DELETE', '/label-schemas/delete', { schema_id: schema.id })).status).toBe(200);
    expect((await registry.call('GET', `/review-queues/${queue.id}`)).status).toBe(200);
    expect((await registry.call('GET', `/label-schemas/${schema.id}`)).status).toBe(200);
  });

  it('outlives the run that found it', async () => {
    const run = await calls.run(experiment);
    const { body } = await v3('POST', '/issues', {
      experiment_id: experiment,
      name: 'a',
      description: 'b',
      source_run_id: run,
    });
    expect(body.issue.source_run_id).toBe(run);
    await registry.database.client.query(`DELETE FROM run WHERE replace(id::text, '-', '') = $1`, [run]);
    expect((await v3('GET', `/issues/${body.issue.issue_id}`)).body.issue).not.toHaveProperty(
      'source_run_id',
    );
  });

  it.each([
    ['no name', { name: '' }],
    ['a name of 251 characters', { name: 'n'.repeat(251) }],
    ['NUL in the description', { description: 'a\0' }],
    ['an unknown status', { status: 'open' }],
    ['an unknown severity', { severity: 'worst' }],
    ['root causes that are no list', { rootCauses: 'a' }],
    ['an unknown field', { owner: 'a' }],
  ])('with %s is refused', async (_, given) => {
    const answer = await registry.call('POST', '/issues', {
      experimentId: experiment,
      name: 'a',
      description: 'b',
      ...given,
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
  });

  it.each([
    ['/issues?cursor=x', 'INVALID_CURSOR'],
    [`/issues?cursor=${Buffer.from('[9,0,0,"a"]').toString('base64url')}`, 'INVALID_CURSOR'],
    ['/issues?filter=name%20%3D%20%27a%27', 'VALIDATION_FAILED'],
    ['/issues?withTraceCount=perhaps', 'VALIDATION_FAILED'],
    ['/issues/nonsense', 'NOT_FOUND'],
    [
      `/label-schemas?experimentId=0&cursor=${Buffer.from('[1e300,"a"]').toString('base64url')}`,
      'INVALID_CURSOR',
    ],
    ['/label-schemas', 'VALIDATION_FAILED'],
    ['/label-schemas/nonsense', 'NOT_FOUND'],
    ['/review-queues?experimentId=0&cursor=x', 'INVALID_CURSOR'],
    ['/review-queues/nonsense', 'NOT_FOUND'],
    ['/review-queues/nonsense/items', 'NOT_FOUND'],
  ])('GET %s is refused with %s', async (path, code) => {
    expect((await registry.call('GET', path)).body.code).toBe(code);
  });
});

describe('a label schema', () => {
  const create = (given: object): Promise<Answer> =>
    registry.call('POST', '/label-schemas', {
      experimentId: experiment,
      name: `q${Math.random()}`,
      type: 'feedback',
      ...given,
    });

  it.each([
    [{ kind: 'passFail', positiveLabel: 'Yes', negativeLabel: 'No' }],
    [{ kind: 'categorical', options: ['a', 'ü'], multiSelect: false }],
    [{ kind: 'numeric', minValue: -0.5, maxValue: null }],
    [{ kind: 'text', maxLength: 9_007_199_254_740_991 }],
  ])('keeps how it is answered: %o', async (input) => {
    const made = await create({ input });
    expect(made).toMatchObject({ status: 201, body: { input, isDefault: false, enableComment: false } });
    const { body } = await v3('GET', `/label-schemas/get?schema_id=ls-${made.body.id.replaceAll('-', '')}`);
    expect(Object.keys(body.label_schema.input)).toHaveLength(1);
  });

  it.each([
    ['no kind', {}],
    ['an unknown kind', { kind: 'stars' }],
    ['a member too many', { kind: 'text', maxLength: 1, minLength: 1 }],
    ['a member too few', { kind: 'numeric', minValue: 1 }],
    ['a label that is no text', { kind: 'passFail', positiveLabel: 1, negativeLabel: 'b' }],
    ['an inherited name', { kind: 'toString' }],
    ['options that are no list', { kind: 'categorical', options: { 0: 'a', length: 1 }, multiSelect: true }],
    ['bounds that are no numbers', { kind: 'numeric', minValue: '1', maxValue: null }],
    ['half a character', { kind: 'text', maxLength: 1.5 }],
  ])('with %s is refused', async (_, input) => {
    expect(await create({ input })).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
  });

  it('of MLflow has exactly one input', async () => {
    const body = { experiment_id: experiment, name: 'two', type: 'FEEDBACK' };
    for (const input of [undefined, {}, { text: {}, numeric: {} }, { numeric: { min_value: 'NaN' } }])
      expect((await v3('POST', '/label-schemas/create', { ...body, input })).body.error_code).toBe(
        'INVALID_PARAMETER_VALUE',
      );
    expect(
      (await v3('POST', '/label-schemas/create', { ...body, type: 0, input: { text: {} } })).status,
    ).toBe(400);
  });

  it('that every experiment has is made once, whoever looks first', async () => {
    const to = await calls.experiment();
    const lists = await Promise.all(
      Array.from({ length: 8 }, () => registry.call('GET', `/label-schemas?experimentId=${to}`)),
    );
    const [first] = lists;
    expect(first!.body.items).toMatchObject([{ name: 'Feedback', isDefault: true, input: { kind: 'text' } }]);
    for (const list of lists) expect(list.body).toEqual(first!.body);
    const { id } = first!.body.items[0];
    expect((await registry.call('DELETE', `/label-schemas/${id}`)).body.code).toBe('IMMUTABLE');
    expect((await registry.call('PATCH', `/label-schemas/${id}`, { enableComment: true })).body.code).toBe(
      'IMMUTABLE',
    );
  });

  it('keeps the kind of its input, and may change the rest', async () => {
    const { body } = await create({ input: { kind: 'text', maxLength: 5 }, instruction: 'look' });
    const path = `/label-schemas/${body.id}`;
    const patch = { instruction: null, enableComment: true, input: { kind: 'text', maxLength: null } };
    expect((await registry.call('PATCH', path, patch)).body).toMatchObject(patch);
    const other = { input: { kind: 'passFail', positiveLabel: 'a', negativeLabel: 'b' } };
    expect((await registry.call('PATCH', path, other)).body.code).toBe('IMMUTABLE');
    expect((await registry.call('DELETE', path)).status).toBe(204);
    expect((await registry.call('DELETE', path)).status).toBe(404);
  });
});

describe('a review queue', () => {
  let queue: string;
  beforeAll(async () => {
    const made = await registry.call('POST', '/review-queues', {
      experimentId: experiment,
      name: 'week 1',
      kind: 'custom',
      users: ['Grace', 'grace ', 'Ada'],
    });
    expect(made).toMatchObject({ status: 201, body: { users: ['ada', 'grace'], labelSchemaIds: [] } });
    queue = made.body.id;
  });

  it('is worked off by whoever calls', async () => {
    const [one, two] = [await newTrace(), await newTrace()];
    const added = await registry.call('POST', `/review-queues/${queue}/items`, { traceIds: [two, one] });
    expect(added.body.items).toMatchObject([
      { traceId: two, status: 'pending', completedBy: null },
      { traceId: one, status: 'pending', completedAt: null },
    ]);
    const item = `/review-queues/${queue}/items/${one}`;
    const done = await registry.call('PATCH', item, { status: 'complete' }, ADA);
    expect(done.body).toMatchObject({ status: 'complete', completedBy: 'ada' });
    expect((await registry.call('PATCH', item, { status: 'complete' })).body).toEqual(done.body);
    expect((await registry.call('PATCH', item, { status: 'declined' })).body.completedBy).toBe('anonymous');
    const pending = await registry.call('GET', `/review-queues/${queue}/items?status=pending`);
    expect(pending.body.items).toMatchObject([{ traceId: two }]);
    expect(
      (await registry.call('GET', `/review-queues?experimentId=${experiment}&traceId=${one}`)).body.items,
    ).toMatchObject([{ id: queue }]);
    expect((await registry.call('DELETE', item)).status).toBe(204);
    expect((await registry.call('PATCH', item, { status: 'complete' })).status).toBe(404);
  });

  it('keeps its questions while it holds traces, whoever comes first', async () => {
    const schema = await registry.call('POST', '/label-schemas', {
      experimentId: experiment,
      name: 'racing',
      type: 'feedback',
      input: { kind: 'text', maxLength: null },
    });
    for (let round = 0; round < 5; round++) {
      const { id } = (
        await registry.call('POST', '/review-queues', {
          experimentId: experiment,
          name: `race ${round}`,
          kind: 'custom',
        })
      ).body;
      const trace = await newTrace();
      const [changed, added] = await Promise.all([
        registry.call('PATCH', `/review-queues/${id}`, { labelSchemaIds: [schema.body.id] }),
        registry.call('POST', `/review-queues/${id}/items`, { traceIds: [trace] }),
      ]);
      expect(added.status).toBe(200);
      const { labelSchemaIds, updatedAt } = (await registry.call('GET', `/review-queues/${id}`)).body;
      if (changed.status === 200)
        expect(Date.parse(updatedAt)).toBeLessThanOrEqual(Date.parse(added.body.items[0].createdAt));
      else expect([changed.body.code, labelSchemaIds]).toEqual(['IMMUTABLE', []]);
    }
  });

  it('adds all traces or none', async () => {
    const elsewhere = await newTrace(await calls.experiment());
    const answer = await registry.call('POST', `/review-queues/${queue}/items`, {
      traceIds: [await newTrace(), elsewhere],
    });
    expect(answer).toMatchObject({ status: 404, body: { details: { missing: [elsewhere] } } });
    const { items } = (await registry.call('GET', `/review-queues/${queue}/items?status=pending`)).body;
    expect(items).toHaveLength(1);
  });

  it('and its traces may be deleted at once', async () => {
    for (let round = 0; round < 6; round++) {
      const made = { experimentId: experiment, name: `doomed ${round}`, kind: 'custom' };
      const { id } = (await registry.call('POST', '/review-queues', made)).body;
      const traceIds = await Promise.all(Array.from({ length: 50 }, () => newTrace()));
      await registry.call('POST', `/review-queues/${id}/items`, { traceIds });
      const deleted = { experiment_id: experiment, request_ids: traceIds.toReversed() };
      const answers = await Promise.all([
        calls.post('/traces/delete-traces', deleted),
        v3('POST', '/review-queues/items/remove', { queue_id: id, item_ids: traceIds.toReversed() }),
        registry.call('DELETE', `/review-queues/${id}`),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([
        200,
        expect.toSatisfy((status) => status < 500),
        204,
      ]);
    }
  });

  it('is made once for a user, however often it is asked for at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        v3('POST', '/review-queues/get-or-create-user', { experiment_id: experiment, user: 'Linus' }),
      ),
    );
    expect(new Set(answers.map(({ body }) => body.review_queue.queue_id)).size).toBe(1);
  });

  it('completes in the name of who calls, where somebody is named', async () => {
    const trace = await newTrace();
    const given = { queue_id: `rq-${queue.replaceAll('-', '')}`, item_id: trace };
    await v3('POST', '/review-queues/items/add', { queue_id: given.queue_id, item_ids: [trace] });
    const answer = await calls.raw(
      'POST',
      '/api/3.0/mlflow/review-queues/items/set-status',
      JSON.stringify({ ...given, status: 'COMPLETE', completed_by: 'somebody else' }),
      { 'content-type': 'application/json', ...ADA },
    );
    expect(answer.body.item).toMatchObject({ status: 'COMPLETE', completed_by: 'ada' });
  });

  it.each([
    ['the name "default"', { name: 'DEFAULT' }],
    ['a name of spaces', { name: '  ' }],
    ['an unknown kind', { kind: 'team' }],
    ['eleven users', { users: Array.from({ length: 11 }, (_, at) => `u${at}`) }],
    ['a user queue of somebody else', { kind: 'user', users: ['b'] }],
    [
      'a user queue with questions',
      { kind: 'user', labelSchemaIds: ['019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11'] },
    ],
    ['questions that are no ids', { labelSchemaIds: ['a'] }],
  ])('with %s is refused', async (_, given) => {
    const answer = await registry.call('POST', '/review-queues', {
      experimentId: experiment,
      name: 'a',
      kind: 'custom',
      ...given,
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
  });
});

it('goes with its experiment', async () => {
  const to = await calls.experiment();
  const { body: issue } = await registry.call('POST', '/issues', {
    experimentId: to,
    name: 'a',
    description: 'b',
  });
  await registry.call('GET', `/label-schemas?experimentId=${to}`);
  await registry.call('POST', '/review-queues', { experimentId: to, name: 'a', kind: 'custom' });
  await registry.database.client.query(`DELETE FROM experiment WHERE number = $1`, [Number(to)]);
  expect((await registry.call('GET', `/issues/${issue.id}`)).status).toBe(404);
});
