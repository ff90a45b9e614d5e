import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createApp } from '../apps/registry/src/app.js';
import { createLogger } from '../libs/platform/log/logger.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry.close());

async function newRun(body: object = {}): Promise<string> {
  const { status, body: run } = await registry.call('POST', '/runs', body);
  expect([status, run]).toEqual([201, run]);
  return run.id;
}

const log = (id: string, body: unknown) => registry.call('POST', `/runs/${id}/log`, body);
const get = async (id: string) => (await registry.call('GET', `/runs/${id}`)).body;

/** Rows of a run in every table of volume. */
async function rowsOf(id: string): Promise<Record<string, number>> {
  const { rows } = await registry.database.client.query(
    `SELECT (SELECT count(*) FROM metric WHERE run = serial)::integer AS metric,
            (SELECT count(*) FROM latest_metric WHERE run = serial)::integer AS latest_metric,
            (SELECT count(*) FROM param WHERE run = serial)::integer AS param,
            (SELECT count(*) FROM run_tag WHERE run = serial)::integer AS run_tag
       FROM run WHERE id = $1`,
    [id],
  );
  return rows[0];
}

describe('logging', () => {
  it('writes metrics, params and tags of one call, and reads the latest values back', async () => {
    const id = await newRun({ name: 'first' });
    const { status } = await log(id, {
      metrics: [
        { key: 'loss', value: 0.5, step: 1, timeMs: 1000 },
        { key: 'loss', value: 0.3, step: 2, timeMs: 2000 },
        { key: 'accuracy', value: 0.9 },
      ],
      params: [{ key: 'lr', value: '0.1' }],
      tags: [{ key: 'team', value: 'support' }],
    });
    expect(status).toBe(204);
    const run = await get(id);
    expect(run.metrics.loss).toEqual({ value: 0.3, step: 2, timeMs: 2000 });
    expect(run.metrics.accuracy).toEqual({ value: 0.9, step: 0, timeMs: expect.any(Number) });
    expect(Math.abs(run.metrics.accuracy.timeMs - Date.now())).toBeLessThan(60_000);
    expect(run.params).toEqual({ lr: '0.1' });
    expect(run.tags).toEqual({ team: 'support', 'mlflow.runName': 'first' });
  });

  it('keeps as latest what has the greatest step, then time, then value, whatever comes last', async () => {
    const id = await newRun();
    const points = [
      { step: 2, timeMs: 5, value: 1 },
      { step: 1, timeMs: 9, value: 2 },
      { step: 2, timeMs: 5, value: 3 },
      { step: 2, timeMs: 4, value: 9 },
      { step: -7, timeMs: 99, value: 10 },
    ];
    for (const point of points) await log(id, { metrics: [{ key: 'x', ...point }] });
    const together = await newRun();
    await log(together, { metrics: points.map((point) => ({ key: 'x', ...point })) });
    for (const run of [id, together])
      expect((await get(run)).metrics.x).toEqual({ step: 2, timeMs: 5, value: 3 });
  });

  it('may be repeated: the same call again changes nothing', async () => {
    const id = await newRun();
    const batch = {
      metrics: Array.from({ length: 50 }, (_, step) => ({ key: 'x', value: step, step, timeMs: step })),
      params: [{ key: 'p', value: '1' }],
      tags: [{ key: 't', value: '1' }],
    };
    await log(id, batch);
    const before = [await rowsOf(id), await get(id)];
    expect((await log(id, batch)).status).toBe(204);
    expect([await rowsOf(id), await get(id)]).toEqual(before);
    expect(before[0]).toMatchObject({ metric: 50, latest_metric: 1, param: 1 });
  });

  it('keeps NaN, the infinities, 1e300, the smallest double and the sign of zero exactly', async () => {
    const id = await newRun();
    // JSON.stringify would write 0 for -0.
    const values = ['"NaN"', '"Infinity"', '"-Infinity"', '1e300', '-1e300', '5e-324', '-0', '0.1'];
    const body = `{"metrics":[${values.map((value, step) => `{"key":"x","value":${value},"step":${step},"timeMs":1}`).join()}]}`;
    expect((await log(id, body)).status).toBe(204);
    const answer = await fetch(`${registry.url}/api/v1/runs/${id}/metrics?key=x`);
    const text = await answer.text();
    expect(text).toContain('"value":-0,');
    const read = JSON.parse(text).items.map((point: { value: unknown }) => point.value);
    expect(read).toEqual(['NaN', 'Infinity', '-Infinity', 1e300, -1e300, 5e-324, -0, 0.1]);
    const { rows } = await registry.database.client.query(
      `SELECT m.value FROM metric m JOIN run r ON r.serial = m.run WHERE r.id = $1 ORDER BY m.step`,
      [id],
    );
    expect(rows.map(({ value }) => value)).toEqual([
      NaN,
      Infinity,
      -Infinity,
      1e300,
      -1e300,
      5e-324,
      -0,
      0.1,
    ]);
  });

  it('keeps every double and every int64 it is given', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        async (value, step, timeMs) => {
          const id = await newRun();
          const body = `{"metrics":[{"key":"x","value":${Object.is(value, -0) ? '-0' : value},"step":"${step}","timeMs":"${timeMs}"}]}`;
          expect((await log(id, body)).status).toBe(204);
          const { x } = (await get(id)).metrics;
          expect(Object.is(x.value, value)).toBe(true);
          expect([BigInt(x.step), BigInt(x.timeMs)]).toEqual([step, timeMs]);
          expect(typeof x.step).toBe(Number.isSafeInteger(Number(step)) ? 'number' : 'string');
        },
      ),
      { numRuns: 40 },
    );
  });

  it('renames the run by its tag mlflow.runName, and the tag by the name', async () => {
    const id = await newRun({ name: 'one' });
    await log(id, { tags: [{ key: 'mlflow.runName', value: 'two' }] });
    expect(await get(id)).toMatchObject({ name: 'two', tags: { 'mlflow.runName': 'two' } });
    await registry.call('PATCH', `/runs/${id}`, { name: 'three' });
    expect(await get(id)).toMatchObject({ name: 'three', tags: { 'mlflow.runName': 'three' } });
  });

  it('sets and deletes one tag', async () => {
    const id = await newRun();
    expect((await registry.call('PUT', `/runs/${id}/tags/a%2Fb`, { value: '1' })).status).toBe(204);
    expect((await get(id)).tags['a/b']).toBe('1');
    expect((await registry.call('DELETE', `/runs/${id}/tags/a%2Fb`)).status).toBe(204);
    expect((await get(id)).tags['a/b']).toBeUndefined();
    const again = await registry.call('DELETE', `/runs/${id}/tags/a%2Fb`);
    expect([again.status, again.body.code]).toEqual([404, 'NOT_FOUND']);
  });
});

describe('params', () => {
  it('are set once: the same value again is fine, another one is refused and names both', async () => {
    const id = await newRun();
    await log(id, { params: [{ key: 'lr', value: '0.1' }] });
    expect((await log(id, { params: [{ key: 'lr', value: '0.1' }] })).status).toBe(204);
    const { status, body } = await log(id, {
      params: [
        { key: 'lr', value: '0.2' },
        { key: 'new', value: '1' },
      ],
      metrics: [{ key: 'x', value: 1 }],
      tags: [{ key: 't', value: '1' }],
    });
    expect([status, body.code, body.details]).toEqual([
      409,
      'IMMUTABLE',
      { params: [{ key: 'lr', value: '0.1', given: '0.2' }] },
    ]);
    expect(body.message).toContain('"lr" is "0.1", not "0.2"');
    expect(await rowsOf(id)).toEqual({ metric: 0, latest_metric: 0, param: 1, run_tag: 1 });
  });

  it('have one value when many clients set them to different values at the same time', async () => {
    const id = await newRun();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => log(id, { params: [{ key: 'p', value: String(index % 5) }] })),
    );
    const value = (await get(id)).params.p;
    answers.forEach(({ status }, index) => expect(status).toBe(String(index % 5) === value ? 204 : 409));
  });
});

describe('bad input is refused with a 4xx, and nothing of the call is written', () => {
  const good = { key: 'good', value: 1, step: 1, timeMs: 1 };
  it.each<[string, object, string]>([
    ['a key of 1 000 characters', { metrics: [good, { key: 'k'.repeat(1000), value: 1 }] }, '/metrics/1/key'],
    ['an empty key', { metrics: [good], params: [{ key: '', value: '1' }] }, '/params/0/key'],
    [
      '10 000 metrics in one call',
      { metrics: Array.from({ length: 10_000 }, (_, step) => ({ ...good, step })) },
      '/metrics',
    ],
    [
      '901 metrics with 100 tags',
      {
        metrics: Array.from({ length: 901 }, (_, step) => ({ ...good, step })),
        tags: Array.from({ length: 100 }, (_, index) => ({ key: `t${index}`, value: '' })),
      },
      '',
    ],
    [
      'a param twice with different values',
      {
        params: [
          { key: 'p', value: '1' },
          { key: 'p', value: '2' },
        ],
      },
      '/params/1',
    ],
    [
      'a tag twice with different values',
      {
        tags: [
          { key: 't', value: '1' },
          { key: 't', value: '2' },
        ],
      },
      '/tags/1',
    ],
    ['a step that is a fraction', { metrics: [good, { ...good, step: 1.5 }] }, '/metrics/1/step'],
    ['a step beyond 2^53 as a number', { metrics: [{ ...good, step: 2 ** 60 }] }, '/metrics/0/step'],
    ['a step beyond 64 bits', { metrics: [{ ...good, step: '9223372036854775808' }] }, '/metrics/0/step'],
    ['a negative time', { metrics: [{ ...good, timeMs: -1 }] }, '/metrics/0/timeMs'],
    ['a value that is text', { metrics: [{ ...good, value: 'high' }] }, '/metrics/0/value'],
    ['a value that is null', { metrics: [{ ...good, value: null }] }, '/metrics/0/value'],
    ['an unknown field', { metrics: [{ ...good, steps: 1 }] }, '/metrics/0/steps'],
    ['a param that is a number', { params: [{ key: 'p', value: 1 }] }, '/params/0/value'],
    ['a param of 6 001 characters', { params: [{ key: 'p', value: 'x'.repeat(6001) }] }, '/params/0/value'],
    ['a tag of 8 001 characters', { tags: [{ key: 't', value: 'x'.repeat(8001) }] }, '/tags/0/value'],
    ['a tag with NUL', { metrics: [good], tags: [{ key: 't', value: 'a\0b' }] }, '/tags/0/value'],
    ['a list of nothing', { metrics: [null] }, '/metrics/0'],
    ['metrics that are no list', { metrics: { good: 1 } }, '/metrics'],
    [
      'a name that no run has',
      { tags: [{ key: 'mlflow.runName', value: '' }], metrics: [good] },
      '/tags/mlflow.runName',
    ],
    [
      'a model version that is none',
      { tags: [{ key: 'catena.model', value: 'no version' }], metrics: [good] },
      '/tags/catena.model',
    ],
  ])('%s', async (_, body, path) => {
    const id = await newRun();
    const answer = await log(id, body);
    expect([answer.status, answer.body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect(answer.body.details[0].path).toBe(path);
    expect(await rowsOf(id)).toEqual({ metric: 0, latest_metric: 0, param: 0, run_tag: 1 });
  });

  it('a version that does not exist', async () => {
    const id = await newRun();
    const answer = await log(id, { metrics: [good], tags: [{ key: 'catena.chain', value: 'nobody@3' }] });
    expect([answer.status, answer.body.code]).toEqual([422, 'REFERENCE_NOT_FOUND']);
    expect(await rowsOf(id)).toMatchObject({ metric: 0, run_tag: 1 });
  });

  it('a run that does not exist, or is deleted, or whose experiment is', async () => {
    const unknown = await log(randomUUID(), { metrics: [good] });
    expect([unknown.status, unknown.body.code]).toEqual([404, 'NOT_FOUND']);
    const id = await newRun();
    await registry.call('DELETE', `/runs/${id}`);
    for (const body of [
      { metrics: [good] },
      { params: [{ key: 'p', value: '1' }] },
      { tags: [{ key: 't', value: '' }] },
    ]) {
      const deleted = await log(id, body);
      expect([deleted.status, deleted.body.code]).toEqual([409, 'DELETED']);
    }
    expect(await rowsOf(id)).toMatchObject({ metric: 0, param: 0, run_tag: 1 });
    await registry.call('POST', `/runs/${id}/restore`);
    expect((await log(id, { metrics: [good] })).status).toBe(204);
  });

  it('of one client without spoiling what another logs at the same moment', async () => {
    const [id, deleted] = [await newRun(), await newRun()];
    await registry.call('DELETE', `/runs/${deleted}`);
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, step) =>
        log([id, deleted, randomUUID()][step % 3]!, { metrics: [{ ...good, step }] }),
      ),
    );
    answers.forEach(({ status }, step) => expect(status).toBe([204, 409, 404][step % 3]));
    expect(await rowsOf(id)).toMatchObject({ metric: 20, latest_metric: 1 });
  });
});

it('20 clients of two servers that write the same runs and keys in any order never deadlock', async () => {
  const second = await createApp(registry.settings, createLogger('registry', 'error'));
  onTestFinished(() => second.close());
  await second.listen(0, '127.0.0.1');
  const urls = [registry.url, await second.getUrl()];
  const send = async (client: number, method: string, path: string, body: unknown) => {
    const answer = await fetch(`${urls[client % 2]}/api/v1${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.text() };
  };

  const runs = await Promise.all(Array.from({ length: 3 }, () => newRun()));
  const names = Array.from({ length: 30 }, (_, index) => `key ${index}`);
  const shuffled = <T>(list: readonly T[]): T[] =>
    list
      .map((item) => [Math.random(), item] as const)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item);
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, client) => {
      const statuses: number[] = [];
      for (const id of shuffled([...runs, ...runs, ...runs])) {
        const { status } = await send(client, 'POST', `/runs/${id}/log`, {
          metrics: shuffled(names).map((key) => ({ key, value: client, step: client % 4, timeMs: 1 })),
          params: client % 4 < 2 ? shuffled(names).map((key) => ({ key, value: key })) : [],
          tags: [
            ...shuffled(names).map((key) => ({ key, value: String(client) })),
            ...(client % 5 === 0 ? [{ key: 'mlflow.runName', value: `run ${client}` }] : []),
          ],
        });
        statuses.push(status);
        if (client % 3 === 0)
          statuses.push((await send(client, 'PATCH', `/runs/${id}`, { name: `n${client}` })).status);
      }
      return statuses;
    }),
  );
  expect(answers.flat().filter((status) => status >= 300)).toEqual([]);
  const { rows } = await registry.database.client.query(
    `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`,
  );
  expect(rows[0].deadlocks).toBe(0);
  for (const id of runs) {
    expect(await rowsOf(id)).toEqual({ metric: 600, latest_metric: 30, param: 30, run_tag: 31 });
    expect((await get(id)).metrics['key 7']).toEqual({ value: 19, step: 3, timeMs: 1 });
  }
});
