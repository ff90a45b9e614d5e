import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

interface Point {
  value: number | string;
  step: number | string;
  timeMs: number | string;
}

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry.close());

async function runWith(key: string, points: readonly Point[]): Promise<string> {
  const { body: run } = await registry.call('POST', '/runs', {});
  for (let from = 0; from < points.length; from += 1000) {
    const metrics = points.slice(from, from + 1000).map((point) => ({ key, ...point }));
    expect((await registry.call('POST', `/runs/${run.id}/log`, { metrics })).status).toBe(204);
  }
  return run.id;
}

async function pages(path: string): Promise<Point[]> {
  const points: Point[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const { status, body }: { status: number; body: any } = await registry.call(
      'GET',
      `${path}${cursor && `&cursor=${cursor}`}`,
    );
    expect([status, body]).toEqual([200, body]);
    points.push(...body.items);
    cursor = body.nextCursor;
  }
  return points;
}

describe('the history of a metric', () => {
  it('is paged by step, and by time as the MLflow protocol wants it, each point once', async () => {
    const points = Array.from({ length: 25 }, (_, step) => ({
      value: step % 3,
      step,
      timeMs: 1000 - step * 10,
    }));
    const id = await runWith('loss', points);
    expect(await pages(`/runs/${id}/metrics?key=loss&limit=4`)).toEqual(points);
    expect(await pages(`/runs/${id}/metrics?key=loss&limit=4&order=time`)).toEqual(points.toReversed());
    expect(await pages(`/runs/${id}/metrics?key=loss&startStep=3&endStep=5`)).toEqual(points.slice(3, 6));
  });

  it('pages over NaN, infinities, equal steps and steps beyond 2^53', async () => {
    const points = [
      { step: '-9223372036854775808', timeMs: 1, value: 0 },
      { step: -1, timeMs: 1, value: '-Infinity' },
      { step: 0, timeMs: 1, value: 1 },
      { step: 0, timeMs: 1, value: 2 },
      { step: 0, timeMs: 1, value: 'Infinity' },
      { step: 0, timeMs: 1, value: 'NaN' },
      { step: 0, timeMs: 2, value: 'NaN' },
      { step: 9007199254740991, timeMs: 1, value: 1 },
      { step: '9223372036854775807', timeMs: '9223372036854775807', value: 1 },
    ];
    const id = await runWith('x', points);
    for (const limit of [1, 2, 100])
      expect(await pages(`/runs/${id}/metrics?key=x&limit=${limit}`)).toEqual(points);
  });

  it('stays the same from page to page when points are added behind', async () => {
    const id = await runWith(
      'x',
      [1, 2, 3].map((step) => ({ step, timeMs: 1, value: step })),
    );
    const { body } = await registry.call('GET', `/runs/${id}/metrics?key=x&limit=2`);
    await registry.call('POST', `/runs/${id}/log`, { metrics: [{ key: 'x', step: 1, timeMs: 0, value: 9 }] });
    const next = await registry.call('GET', `/runs/${id}/metrics?key=x&limit=2&cursor=${body.nextCursor}`);
    expect(next.body.items.map(({ step }: Point) => step)).toEqual([3]);
  });

  it('is empty for a metric that was never logged, and 404 for a run that does not exist', async () => {
    const id = await runWith('x', []);
    expect(await pages(`/runs/${id}/metrics?key=never`)).toEqual([]);
    const missing = await registry.call('GET', `/runs/${randomUUID()}/metrics?key=x`);
    expect([missing.status, missing.body.code]).toEqual([404, 'NOT_FOUND']);
  });

  it.each([
    ['no key', ''],
    ['a step that is none', 'key=x&startStep=a'],
    ['a limit of 10 001', 'key=x&limit=10001'],
    ['an order that is none', 'key=x&order=value'],
  ])('refuses %s', async (_, query) => {
    const id = await runWith('x', []);
    const { status, body } = await registry.call('GET', `/runs/${id}/metrics?${query}`);
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
  });

  it.each(['abc', '[1,2]', '[1.5,1,"1"]', '["9223372036854775808",1,"1"]', '[1,1,"x"]'])(
    'refuses the cursor %s',
    async (text) => {
      const id = await runWith('x', []);
      const cursor = Buffer.from(text).toString('base64url');
      const { status, body } = await registry.call('GET', `/runs/${id}/metrics?key=x&cursor=${cursor}`);
      expect([status, body.code]).toEqual([400, 'INVALID_CURSOR']);
    },
  );
});

describe('a drawing of a metric', () => {
  const draw = async (ids: readonly string[], query = '') =>
    registry.call('GET', `/runs/metrics?key=x&runIds=${ids.join()}${query}`);

  it('has all points where there are no more than asked for, per run, in order of ids', async () => {
    const points = [1, 2, 3].map((step) => ({ step, timeMs: 1, value: step }));
    const ids = [await runWith('x', points), await runWith('x', []), await runWith('x', points.slice(1))];
    const { status, body } = await draw(ids, '&points=3');
    expect([status, body.runs]).toEqual([
      200,
      [
        { runId: ids[0], points },
        { runId: ids[1], points: [] },
        { runId: ids[2], points: points.slice(1) },
      ],
    ]);
  });

  it('keeps the first, the last, and a spike however thin it is', async () => {
    const points = Array.from({ length: 3000 }, (_, step) => ({
      step,
      timeMs: step,
      value: step === 1234 ? 99 : step === 2345 ? -99 : Math.sin(step / 100),
    }));
    const { body } = await draw([await runWith('x', points)], '&points=50');
    const drawn: Point[] = body.runs[0].points;
    expect(drawn.length).toBeLessThanOrEqual(50);
    expect(drawn.length).toBeGreaterThan(40);
    expect(drawn[0]).toEqual(points[0]);
    expect(drawn.at(-1)).toEqual(points.at(-1));
    expect(drawn).toContainEqual(points[1234]);
    expect(drawn).toContainEqual(points[2345]);
    const part = await draw([body.runs[0].runId], '&points=10&startStep=1200&endStep=1300');
    expect(part.body.runs[0].points.map(({ step }: Point) => step)).toEqual(
      expect.arrayContaining([1200, 1234, 1300]),
    );
  });

  it('keeps the extremes of any metric, and never has more points than asked for', async () => {
    const value = fc.oneof(fc.integer({ min: -9, max: 9 }), fc.constantFrom('NaN', 'Infinity', '-Infinity'));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), value), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 70 }),
        async (given, limit) => {
          const points = given.map(([step, value], timeMs) => ({ step, timeMs, value }));
          const sorted = points.toSorted((a, b) => a.step - b.step || a.timeMs - b.timeMs);
          const drawn: Point[] = (await draw([await runWith('x', points)], `&points=${limit}`)).body.runs[0]
            .points;
          expect(drawn.length).toBeLessThanOrEqual(limit);
          expect(drawn.at(-1)).toEqual(sorted.at(-1));
          if (points.length <= limit) {
            expect(drawn).toEqual(sorted);
            return;
          }
          expect(sorted).toEqual(expect.arrayContaining(drawn));
          if (limit > 1) expect(drawn[0]).toEqual(sorted[0]);
          const numbers = (list: readonly Point[]) =>
            list.map(({ value }) => Number(value)).filter((number) => !Number.isNaN(number));
          if (limit < 4 || numbers(sorted).length === 0) return;
          expect(Math.min(...numbers(drawn))).toBe(Math.min(...numbers(sorted)));
          expect(Math.max(...numbers(drawn))).toBe(Math.max(...numbers(sorted)));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('takes 1 to 100 runs that all exist', async () => {
    const id = await runWith('x', []);
    for (const ids of [['abc'], Array.from({ length: 101 }, () => randomUUID())]) {
      const { status, body } = await draw(ids);
      expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    }
    const missing = await draw([id, randomUUID()]);
    expect([missing.status, missing.body.code]).toEqual([404, 'NOT_FOUND']);
  });
});
