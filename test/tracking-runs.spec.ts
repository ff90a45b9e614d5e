import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry.close());

const call = (method: string, path: string, body?: unknown) => registry.call(method, path, body);
async function made(path: string, body: unknown): Promise<any> {
  const answer = await call('POST', path, body);
  expect([answer.status, answer.body]).toEqual([201, answer.body]);
  return answer.body;
}
let count = 0;
const newExperiment = (body: object = {}) => made('/experiments', { name: `experiment ${++count}`, ...body });
const newRun = (body: object = {}) => made('/runs', body);
const refusal = ({ status, body }: { status: number; body: any }) => [status, body.code];

describe('experiments', () => {
  it('exist from the start: number 0 is Default', async () => {
    const { status, body } = await call('GET', '/experiments/0');
    expect([status, body.name, body.number]).toEqual([200, 'Default', 0]);
    expect((await call('GET', `/experiments/${body.id}`)).body).toEqual(body);
  });

  it('get numbers that only grow, each once, also when many are created at the same time', async () => {
    const created = await Promise.all(Array.from({ length: 12 }, () => newExperiment()));
    const numbers = created.map(({ number }) => number).sort((a, b) => a - b);
    expect(new Set(numbers).size).toBe(12);
    await call('DELETE', `/experiments/${numbers.at(-1)}`);
    expect((await newExperiment()).number).toBe(numbers.at(-1)! + 1);
  });

  it('have unique names, also among deleted ones, and a refused one costs no number', async () => {
    const first = await newExperiment({ name: 'unique' });
    const again = await call('POST', '/experiments', { name: 'unique' });
    expect(refusal(again)).toEqual([409, 'ALREADY_EXISTS']);
    expect(again.body.details).toEqual({
      name: 'unique',
      id: first.id,
      number: first.number,
      deleted: false,
    });
    await call('DELETE', `/experiments/${first.number}`);
    const deleted = await call('POST', '/experiments', { name: 'unique' });
    expect([...refusal(deleted), deleted.body.details.deleted]).toEqual([409, 'ALREADY_EXISTS', true]);
    expect((await newExperiment()).number).toBe(first.number + 1);
  });

  it('are renamed and tagged; null removes a tag', async () => {
    const { number, name } = await newExperiment({ tags: { team: 'a', draft: 'yes' } });
    const { body } = await call('PATCH', `/experiments/${number}`, {
      name: `${name} renamed`,
      tags: { team: 'b', draft: null },
    });
    expect([body.name, body.tags]).toEqual([`${name} renamed`, { team: 'b' }]);
    expect(refusal(await call('PATCH', `/experiments/${number}`, { name: 'Default' }))).toEqual([
      409,
      'ALREADY_EXISTS',
    ]);
  });

  it('take their runs with them when deleted, and bring exactly those back when restored', async () => {
    const { number } = await newExperiment();
    const [kept, before] = [
      await newRun({ experimentId: String(number) }),
      await newRun({ experimentId: String(number) }),
    ];
    await call('DELETE', `/runs/${before.id}`);
    const { body: deleted } = await call('DELETE', `/experiments/${number}`);
    expect(deleted.deletedAt).not.toBeNull();
    expect((await call('GET', `/runs/${kept.id}`)).body.deletedAt).toBe(deleted.deletedAt);
    expect(refusal(await call('POST', '/runs', { experimentId: String(number) }))).toEqual([409, 'DELETED']);
    expect(refusal(await call('PATCH', `/experiments/${number}`, { name: 'x' }))).toEqual([409, 'DELETED']);
    expect(refusal(await call('DELETE', `/experiments/${number}`))).toEqual([409, 'DELETED']);
    await call('POST', `/experiments/${number}/restore`);
    expect((await call('GET', `/runs/${kept.id}`)).body.deletedAt).toBeNull();
    expect((await call('GET', `/runs/${before.id}`)).body.deletedAt).not.toBeNull();
  });

  it('leave no active run behind when deleted while runs are being created', async () => {
    const { number } = await newExperiment();
    const creations = Array.from({ length: 12 }, () =>
      call('POST', '/runs', { experimentId: String(number) }),
    );
    await call('DELETE', `/experiments/${number}`);
    await Promise.all(creations);
    const { rows } = await registry.database.client.query(
      `SELECT count(*)::integer AS active FROM run r JOIN experiment e ON e.serial = r.experiment_serial
        WHERE e.number = $1 AND r.deleted_at IS NULL`,
      [number],
    );
    expect(rows[0].active).toBe(0);
  });

  it('are found by filters, page by page', async () => {
    for (let index = 0; index < 5; index++)
      await newExperiment({ name: `paged ${index}`, tags: { paged: 'yes' } });
    const filter = encodeURIComponent(`tags.paged = 'yes' AND name LIKE 'paged%'`);
    const names: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body }: { body: any } = await call(
        'GET',
        `/experiments?limit=2&orderBy=name%20DESC&filter=${filter}${cursor && `&cursor=${cursor}`}`,
      );
      names.push(...body.items.map(({ name }: any) => name));
      cursor = body.nextCursor;
    }
    expect(names).toEqual([4, 3, 2, 1, 0].map((index) => `paged ${index}`));
    const bad = await call('GET', `/experiments?filter=${encodeURIComponent("name ~ 'x'")}`);
    expect(refusal(bad)).toEqual([400, 'VALIDATION_FAILED']);
  });

  it.each([
    ['no name', {}],
    ['a name of spaces', { name: '  ' }],
    ['a name of 501 characters', { name: 'x'.repeat(501) }],
    ['a location that is no URI', { name: 'x', artifactLocation: 'somewhere' }],
    ['a location with a fragment', { name: 'x', artifactLocation: 's3://bucket/x#y' }],
    ['a tag that is a number', { name: 'x', tags: { a: 1 } }],
  ])('refuse %s', async (_, body) => {
    expect(refusal(await call('POST', '/experiments', body))).toEqual([400, 'VALIDATION_FAILED']);
  });

  it.each(['99999', '9999999999', randomUUID()])('that do not exist are 404: %s', async (id) => {
    expect(refusal(await call('GET', `/experiments/${id}`))).toEqual([404, 'NOT_FOUND']);
  });
});

describe('runs', () => {
  it('get a name of adjective, noun and number when they are given none', async () => {
    const { id, name } = await newRun();
    expect(name).toMatch(/^[a-z-]+-[a-z-]+-\d{1,3}$/);
    expect((await call('GET', `/runs/${id}`)).body.tags).toEqual({ 'mlflow.runName': name });
  });

  it('are named by the tag mlflow.runName, and refuse two different names', async () => {
    expect((await newRun({ tags: { 'mlflow.runName': 'tagged' } })).name).toBe('tagged');
    const answer = await call('POST', '/runs', { name: 'a', tags: { 'mlflow.runName': 'b' } });
    expect(refusal(answer)).toEqual([400, 'VALIDATION_FAILED']);
  });

  it('nest: parentRunId is the tag mlflow.parentRunId, both ways', async () => {
    const parent = await newRun();
    const child = await newRun({ parentRunId: parent.id });
    const read = (await call('GET', `/runs/${child.id}`)).body;
    expect([read.parentRunId, read.tags['mlflow.parentRunId']]).toEqual([
      parent.id,
      parent.id.replaceAll('-', ''),
    ]);
    await call('PATCH', `/runs/${child.id}`, { parentRunId: null });
    expect((await call('GET', `/runs/${child.id}`)).body.parentRunId).toBeNull();
    await call('PUT', `/runs/${child.id}/tags/mlflow.parentRunId`, { value: parent.id.replaceAll('-', '') });
    expect((await call('GET', `/runs/${child.id}`)).body.parentRunId).toBe(parent.id);
    expect(refusal(await call('POST', '/runs', { parentRunId: randomUUID() }))).toEqual([
      422,
      'REFERENCE_NOT_FOUND',
    ]);
    expect(refusal(await call('PATCH', `/runs/${child.id}`, { parentRunId: child.id }))).toEqual([
      400,
      'VALIDATION_FAILED',
    ]);
  });

  it('ended by two clients at the same time are ended: the last write wins', async () => {
    const { id } = await newRun();
    const answers = await Promise.all(
      ['FINISHED', 'FAILED'].map((status) =>
        call('PATCH', `/runs/${id}`, { status, endedAt: '2026-11-22T19:00:00Z' }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    const { status, endedAt } = (await call('GET', `/runs/${id}`)).body;
    expect(['FINISHED', 'FAILED']).toContain(status);
    expect(endedAt).toBe('2026-11-22T19:00:00.000Z');
  });

  it('are deleted and restored, again and again; deleted ones refuse changes', async () => {
    const { id } = await newRun();
    const first = (await call('DELETE', `/runs/${id}`)).body.deletedAt;
    expect(first).not.toBeNull();
    expect((await call('DELETE', `/runs/${id}`)).body.deletedAt).toBe(first);
    expect(refusal(await call('PATCH', `/runs/${id}`, { name: 'x' }))).toEqual([409, 'DELETED']);
    expect(refusal(await call('PUT', `/runs/${id}/tags/a`, { value: 'b' }))).toEqual([409, 'DELETED']);
    expect(refusal(await call('POST', `/runs/${id}/inputs`, {}))).toEqual([409, 'DELETED']);
    for (let again = 0; again < 2; again++)
      expect((await call('POST', `/runs/${id}/restore`)).body.deletedAt).toBeNull();
  });

  it.each([
    ['a start in the far future', { startedAt: '+275760-09-13T00:00:00Z' }],
    ['a start before 1970', { startedAt: '1969-12-31T23:59:59Z' }],
    ['a start that is a number', { startedAt: 1e18 }],
    ['an unknown status', { status: 'DONE' }],
    ['an experiment that is none', { experimentId: 'abc' }],
    ['a tag with NUL', { tags: { a: 'b\0' } }],
    ['a parent that is none', { parentRunId: 'abc' }],
    ['a version without name', { versions: [{ kind: 'chain', version: 1 }] }],
    ['a version with neither number nor alias', { versions: [{ kind: 'chain', name: 'x' }] }],
    ['an unknown kind', { versions: [{ kind: 'agent', name: 'x', version: 1 }] }],
  ])('refuse %s', async (_, body) => {
    expect(refusal(await call('POST', '/runs', body))).toEqual([400, 'VALIDATION_FAILED']);
  });

  it('of one experiment are listed by their start, latest first, page by page', async () => {
    const { number } = await newExperiment();
    const days = [3, 1, 5, 2, 4];
    for (const day of days)
      await newRun({
        experimentId: String(number),
        name: `day ${day}`,
        startedAt: `2026-11-0${day}T00:00:00Z`,
      });
    const names: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body }: { body: any } = await call(
        'GET',
        `/runs?experimentId=${number}&limit=2${cursor && `&cursor=${cursor}`}`,
      );
      names.push(...body.items.map(({ name }: any) => name));
      cursor = body.nextCursor;
    }
    expect(names).toEqual([5, 4, 3, 2, 1].map((day) => `day ${day}`));
  });

  it('are searched by what they logged', async () => {
    const { number } = await newExperiment();
    for (const accuracy of [0.5, 0.95, 0.8]) {
      const { id } = await newRun({ experimentId: String(number), name: `a ${accuracy}` });
      await call('POST', `/runs/${id}/log`, {
        metrics: [{ key: 'accuracy', value: accuracy }],
        params: [{ key: 'lr', value: '0.1' }],
      });
    }
    const { status, body } = await call('POST', '/runs/search', {
      experimentIds: [String(number)],
      filter: "metrics.accuracy > 0.7 AND (params.lr = '0.1' OR tags.none = 'x')",
      orderBy: ['metrics.accuracy DESC'],
    });
    expect([status, body.items?.map(({ name }: any) => name)]).toEqual([200, ['a 0.95', 'a 0.8']]);
    expect(body.items[0]).toMatchObject({
      experimentNumber: number,
      params: { lr: '0.1' },
      metrics: { accuracy: { value: 0.95 } },
    });
    const bad = await call('POST', '/runs/search', { experimentIds: ['0'], filter: 'metrics.accuracy >' });
    expect(refusal(bad)).toEqual([400, 'VALIDATION_FAILED']);
  });
});

describe('the versions a run evaluates', () => {
  beforeAll(async () => {
    await made('/models', { name: 'judge' });
    for (const model of ['a', 'b'])
      await made('/models/judge/versions', { content: { format: 'hosted', model } });
    const { status, body } = await call('PUT', '/models/judge/aliases/champion', { version: 2 });
    expect([status, body]).toEqual([200, body]);
  });

  const versionsOf = async (id: string) => (await call('GET', `/runs/${id}`)).body.versions;
  const runsOf = async (number: number) =>
    (await call('GET', `/models/judge/versions/${number}/runs`)).body.items.map(({ id }: any) => id);

  it('are named by number or alias, pinned when written, and shown by the version with latest metrics', async () => {
    const { id } = await newRun({ versions: [{ kind: 'model', name: 'judge', alias: 'champion' }] });
    await call('POST', `/runs/${id}/log`, { metrics: [{ key: 'accuracy', value: 0.9, step: 3 }] });
    expect(await versionsOf(id)).toEqual([{ kind: 'model', name: 'judge', version: 2 }]);
    expect((await call('GET', `/runs/${id}`)).body.tags['catena.model']).toBe('judge@2');
    await call('PUT', '/models/judge/aliases/champion', { version: 1 });
    expect(await versionsOf(id)).toEqual([{ kind: 'model', name: 'judge', version: 2 }]);
    await call('PUT', '/models/judge/aliases/champion', { version: 2 });
    const { body } = await call('GET', '/models/judge/versions/2/runs');
    expect(body.items[0]).toMatchObject({ id, metrics: { accuracy: { value: 0.9, step: 3 } } });
  });

  it('are written by tags of MLflow clients, replaced and removed with them', async () => {
    const { id } = await newRun({ tags: { 'catena.model': 'judge@1' } });
    expect(await runsOf(1)).toContain(id);
    await call('PUT', `/runs/${id}/tags/catena.model`, { value: 'judge@1, judge@champion' });
    expect((await versionsOf(id)).map(({ version }: any) => version)).toEqual([1, 2]);
    await call('DELETE', `/runs/${id}/tags/catena.model`);
    expect(await versionsOf(id)).toEqual([]);
    const missing = await call('PUT', `/runs/${id}/tags/catena.model`, { value: 'judge@7' });
    expect(refusal(missing)).toEqual([422, 'REFERENCE_NOT_FOUND']);
  });

  it('are replaced as a list by PATCH', async () => {
    const { id } = await newRun({ versions: [{ kind: 'model', name: 'judge', version: 1 }] });
    await call('PATCH', `/runs/${id}`, { versions: [{ kind: 'model', name: 'judge', version: 2 }] });
    expect((await versionsOf(id)).map(({ version }: any) => version)).toEqual([2]);
    await call('PATCH', `/runs/${id}`, { versions: [] });
    const run = (await call('GET', `/runs/${id}`)).body;
    expect([run.versions, run.tags['catena.model']]).toEqual([[], undefined]);
  });

  it('leave out deleted runs, and are 404 when there is no such version', async () => {
    const { id } = await newRun({ versions: [{ kind: 'model', name: 'judge', version: 1 }] });
    await call('DELETE', `/runs/${id}`);
    expect(await runsOf(1)).not.toContain(id);
    expect(refusal(await call('GET', '/models/judge/versions/9/runs'))).toEqual([404, 'NOT_FOUND']);
    expect(refusal(await call('GET', '/models/nobody/versions/1/runs'))).toEqual([404, 'NOT_FOUND']);
  });
});

describe('a comparison', () => {
  it('sets params and tags apart by whether they differ; what is missing is null', async () => {
    const ids: string[] = [];
    for (const lr of ['0.1', '0.2', null]) {
      const { id } = await newRun({ name: 'same', tags: { team: 'x' } });
      ids.push(id);
      await call('POST', `/runs/${id}/log`, {
        metrics: lr === null ? [] : [{ key: 'loss', value: 'NaN', step: 1, timeMs: 2 }],
        params: [{ key: 'seed', value: '7' }, ...(lr === null ? [] : [{ key: 'lr', value: lr }])],
      });
    }
    const { status, body } = await call('GET', `/runs/compare?runIds=${ids.join()}`);
    expect([status, body.runs.map(({ id }: any) => id)]).toEqual([200, ids]);
    expect(body.params).toEqual({
      differing: [{ key: 'lr', values: ['0.1', '0.2', null] }],
      equal: [{ key: 'seed', value: '7' }],
    });
    const loss = { value: 'NaN', step: 1, timeMs: 2 };
    expect(body.metrics).toEqual([{ key: 'loss', values: [loss, loss, null] }]);
    expect(body.tags.differing).toEqual([]);
    expect(body.tags.equal).toContainEqual({ key: 'team', value: 'x' });
  });

  it('takes 2 to 50 runs, each once, and all must exist', async () => {
    const [a, b] = [(await newRun()).id, (await newRun()).id];
    const many = Array.from({ length: 51 }, () => randomUUID());
    for (const ids of [[a], many, [a, a], [a, 'x']])
      expect(refusal(await call('GET', `/runs/compare?runIds=${ids.join()}`))).toEqual([
        400,
        'VALIDATION_FAILED',
      ]);
    expect(refusal(await call('GET', `/runs/compare?runIds=${a},${randomUUID()}`))).toEqual([
      404,
      'NOT_FOUND',
    ]);
    expect((await call('GET', `/runs/compare?runIds=${a},${b}`)).status).toBe(200);
  });
});

describe('inputs', () => {
  const dataset = { name: 'tickets', digest: 'abc', sourceType: 'local', source: '{}' };

  it('are datasets, known by name and digest in an experiment; repeating changes nothing', async () => {
    const { number } = await newExperiment();
    const runs = [
      await newRun({ experimentId: String(number) }),
      await newRun({ experimentId: String(number) }),
    ];
    const body = { datasets: [{ dataset, tags: { 'mlflow.data.context': 'training' } }] };
    for (const { id } of [...runs, ...runs])
      expect((await call('POST', `/runs/${id}/inputs`, body)).status).toBe(204);
    const [first, second] = await Promise.all(
      runs.map(async ({ id }) => (await call('GET', `/runs/${id}/inputs`)).body),
    );
    expect(first.datasets).toEqual([
      {
        id: expect.any(String),
        ...dataset,
        schema: null,
        profile: null,
        tags: { 'mlflow.data.context': 'training' },
      },
    ]);
    expect(second).toEqual(first);
    const { body: listed } = await call('GET', `/datasets?experiments=${number}`);
    expect(listed.items).toEqual([
      { experimentNumber: number, name: 'tickets', digest: 'abc', context: 'training' },
    ]);
  });

  it('write nothing when a logged model does not exist', async () => {
    const { id } = await newRun();
    const answer = await call('POST', `/runs/${id}/inputs`, {
      datasets: [{ dataset }],
      modelInputs: [{ loggedModelId: randomUUID() }],
    });
    expect(refusal(answer)).toEqual([422, 'REFERENCE_NOT_FOUND']);
    expect((await call('GET', `/runs/${id}/inputs`)).body.datasets).toEqual([]);
  });

  it.each([
    ['an empty name', { ...dataset, name: '' }],
    ['a digest of 37 characters', { ...dataset, digest: 'x'.repeat(37) }],
    ['a source of 65 536 characters', { ...dataset, source: 'x'.repeat(65_536) }],
    ['no source', { ...dataset, source: undefined }],
  ])('refuse %s', async (_, bad) => {
    const { id } = await newRun();
    const answer = await call('POST', `/runs/${id}/inputs`, { datasets: [{ dataset: bad }] });
    expect(refusal(answer)).toEqual([400, 'VALIDATION_FAILED']);
  });
});

describe('metrics about a logged model', () => {
  it('are kept beside the model as well, with the dataset they were computed on', async () => {
    const { id } = await newRun();
    const modelId = randomUUID();
    await registry.database.client.query(
      `INSERT INTO logged_model (id, workspace_id, experiment, name, status, params, tags, created_at, created_by, updated_at)
       SELECT $1, workspace_id, serial, 'm', 'READY', '{}', '{}', now(), 'x', now() FROM experiment WHERE number = 0`,
      [modelId],
    );
    await call('POST', `/runs/${id}/inputs`, {
      datasets: [{ dataset: { name: 'd', digest: '1', sourceType: 'local', source: '{}' } }],
      modelOutputs: [{ loggedModelId: modelId, step: 4 }],
    });
    const body = {
      metrics: [
        { key: 'acc', value: 0.5, step: 1, loggedModelId: modelId, datasetName: 'd', datasetDigest: '1' },
      ],
    };
    expect((await call('POST', `/runs/${id}/log`, body)).status).toBe(204);
    const { rows } = await registry.database.client.query(
      `SELECT value, dataset_name, dataset_id IS NOT NULL AS known FROM logged_model_metric WHERE logged_model_id = $1`,
      [modelId],
    );
    expect(rows).toEqual([{ value: 0.5, dataset_name: 'd', known: true }]);
    expect((await call('GET', `/runs/${id}/inputs`)).body.modelOutputs).toEqual([
      { loggedModelId: modelId, step: 4 },
    ]);
    const missing = await call('POST', `/runs/${id}/log`, {
      metrics: [
        { key: 'other', value: 1 },
        { key: 'acc', value: 1, loggedModelId: randomUUID() },
      ],
    });
    expect(refusal(missing)).toEqual([422, 'REFERENCE_NOT_FOUND']);
    expect((await call('GET', `/runs/${id}`)).body.metrics.other).toBeUndefined();
  });
});

describe('another workspace', () => {
  it('sees no run of this one, and has its own experiment 0 from its first call on', async () => {
    const { id } = await newRun();
    const { ExperimentService } = await import('../apps/registry/src/experiments/experiment.service.js');
    const { RunService } = await import('../apps/registry/src/runs/run.service.js');
    const { RunLog } = await import('../apps/registry/src/runs/log/run-log.service.js');
    const find = <T>(type: new (...args: never[]) => T) => registry.app.get(type, { strict: false });
    const workspaceId = randomUUID();
    await registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES ($1, 'other', now())`,
      [workspaceId],
    );
    const other = { workspaceId, actor: 'eve' };
    const mine = await find(RunService).create(other, {});
    expect((await find(ExperimentService).get(other, { number: 0 })).name).toBe('Default');
    expect(mine.experimentNumber).toBe(0);
    await expect(find(RunService).get(other, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const metrics = [{ key: 'x', value: 1 }];
    const caller = { workspaceId: '00000000-0000-7000-8000-000000000001', actor: 'ana' };
    // Keys that are known by now do not keep the two writes from being one group.
    await find(RunLog).log(caller, id, { metrics: [{ key: 'x', value: 1, timeMs: 1 }] });
    await find(RunLog).log(other, mine.id, { metrics });
    const [allowed, refused] = await Promise.allSettled([
      find(RunLog).log(caller, id, { metrics: [{ key: 'x', value: 1, timeMs: 2 }] }),
      find(RunLog).log(other, id, { metrics: [{ key: 'x', value: 2, step: 9 }] }),
    ]);
    expect([allowed.status, refused]).toEqual([
      'fulfilled',
      { status: 'rejected', reason: expect.objectContaining({ code: 'NOT_FOUND' }) },
    ]);
    expect((await call('GET', `/runs/${id}`)).body.metrics.x.value).toBe(1);
  });
});
