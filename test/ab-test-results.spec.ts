import { DataSource } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { AbTestRowFollower } from '../apps/registry/src/ab-tests/row-follower.js';
import { pass } from '../apps/registry/src/arrivals/pass.js';
import { BlobStore } from '../apps/registry/src/artifacts/blob-store.js';
import { FeedbackService } from '../apps/registry/src/feedback/feedback.service.js';
import { Collector } from '../apps/registry/src/gc/collector.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { haveFollowed, insertRows, newId } from './support/ab-tests.js';
import { abTestApi, DRAFT } from './support/ab-test-api.js';
import { arm, HALVES } from './support/endpoints.js';

describe('results of A/B tests', () => {
  const api = abTestApi();
  const { call, draft, running, rowsOf, results } = api;

  it('are those of the rows: values, differences, guardrails, a decision in words', async () => {
    const { name, path } = await running({ minimumUnits: 50 });
    // Of arm a every fifth request of a unit fails, of b every twentieth.
    await insertRows(
      api.tests.registry,
      rowsOf(name, 4000, (at) => ({
        unit: `u${at % 800}`,
        status: Math.floor(at / 2) % (at % 2 ? 20 : 5) === 0 ? 'error' : 'ok',
        costMicroUsd: at % 2 ? 20 : 30,
        latencyMs: 100 + (at % 50),
      })),
    );
    const body = await results(path);
    expect(body.arms).toMatchObject([
      { arm: 'a', isControl: true, units: 400, requests: 2000 },
      { arm: 'b', isControl: false, units: 400, requests: 2000 },
    ]);
    const value = (at: number, metric: string) =>
      body.arms[at].metrics.find((each: any) => each.metric === metric).value;
    expect([value(0, 'error_rate'), value(1, 'error_rate')]).toEqual([0.2, 0.05]);
    expect([value(0, 'cost_micro_usd_per_unit'), value(1, 'cost_micro_usd_per_unit')]).toEqual([150, 100]);
    expect([value(0, 'latency_ms_mean'), value(1, 'latency_ms_mean')]).toEqual([124, 125]);
    expect(value(0, 'latency_ms_p95')).toBeCloseTo(147, -1);
    const [errors, latency] = body.treatments[0].metrics;
    expect(errors.absolute.estimate).toBeCloseTo(-0.15, 12);
    expect(errors.relative.alwaysValid.interval.upper).toBeLessThan(0);
    expect(latency.guardrail.state).toBe('held');
    expect(body.sampleRatio.alarm).toBe(false);
    expect(body.decision).toMatchObject({ decision: 'ship', reason: 'better', arm: 'b' });
    expect(body.decision.sentence).toMatch(/error_rate/);
    expect(Date.parse(body.freshness.rowsAsOf)).toBeGreaterThan(Date.now() - 60_000);
  });

  it('tell phases apart, count late rows where they belong, and say what does not count', async () => {
    const { name, path } = await running();
    await insertRows(
      api.tests.registry,
      rowsOf(name, 40, () => ({})),
    );
    await api.tests.put(name, { arms: [arm('a', 2000), arm('b', 8000, 'support@2')], reason: 'More of it.' });
    await insertRows(api.tests.registry, [
      ...rowsOf(name, 20, () => ({ splitRevision: 2 })),
      // A gateway that had not heard of the new split yet.
      ...rowsOf(name, 6, (at) => ({ unit: `late${at}` })),
      ...rowsOf(name, 5, () => ({ splitRevision: 2, assignment: 'override' })),
      ...rowsOf(name, 4, () => ({ splitRevision: 2, shadowOf: newId(), arm: 'shadow' })),
      ...rowsOf(name, 3, () => ({ splitRevision: 2, unit: null, assignment: 'random' })),
      ...rowsOf(name, 7, (at) => ({ workspaceId: newId(), unit: `other${at}` })),
      ...rowsOf(name, 9, () => ({ startedAt: new Date(Date.now() - 60_000).toISOString() })),
    ]);
    const body = await results(path);
    expect(body.phases).toMatchObject([
      {
        splitRevision: 1,
        arms: [{ arm: 'a', units: 23, weightBps: 5000 }, { units: 23 }],
        endReason: 'More of it.',
        newUnits: 46,
        overrides: 0,
      },
      {
        splitRevision: 2,
        startReason: 'More of it.',
        endedAt: null,
        arms: [{ arm: 'a', units: 12, weightBps: 2000 }, { units: 11 }],
        newUnits: 3,
        overrides: 5,
        shadows: 4,
        withoutUnit: 3,
      },
    ]);
    const second = await results(path, '?phase=2');
    expect(second.phases.map((phase: any) => phase.splitRevision)).toEqual([2]);
    expect(second.arms[0].units).toBe(12);
    expect((await call('GET', `${path}/results?phase=9`)).status).toBe(404);
    expect((await call('GET', `${path}/results?phase=x`)).status).toBe(400);
  });

  it('take rows that come after the stop if they began before it', async () => {
    const { name, path } = await running();
    const before = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await call('POST', `${path}/stop`, {});
    await insertRows(api.tests.registry, [
      ...rowsOf(name, 10, () => ({ startedAt: before })),
      ...rowsOf(name, 30, () => ({ startedAt: new Date(Date.now() + 1000).toISOString() })),
    ]);
    const body = await results(path);
    expect([body.status, body.arms[0].requests, body.arms[1].requests]).toEqual(['stopped', 5, 5]);
  });

  it('stay when the units are forgotten, two weeks after the end', async () => {
    const { name, path, id } = await running();
    await insertRows(
      api.tests.registry,
      rowsOf(name, 20, () => ({})),
    );
    const before = await results(path);
    await call('POST', `${path}/stop`, {});
    const { app, database } = api.tests.registry;
    const collect = () =>
      new Collector(app.get(DataSource), app.get(BlobStore, { strict: false })).collect({
        before: new Date(0),
      });
    const units = async () =>
      (
        await database.client.query(
          'SELECT FROM ab_test_unit u JOIN ab_test t ON t.serial = u.test WHERE t.id = $1',
          [id],
        )
      ).rowCount;
    await collect();
    expect(await units()).toBe(20);
    await database.client.query(`UPDATE ab_test SET stopped_at = now() - interval '15 days' WHERE id = $1`, [
      id,
    ]);
    await collect();
    expect(await units()).toBe(0);
    await insertRows(
      api.tests.registry,
      rowsOf(name, 20, () => ({})),
    );
    expect((await results(path)).arms).toEqual(before.arms);
  });

  it('are there before the first row, and not before the start', async () => {
    const made = await draft();
    expect((await call('GET', `${made.path}/results`)).status).toBe(404);
    await call('POST', `${made.path}/start`);
    expect(await results(made.path)).toMatchObject({
      decision: { decision: 'keep_running' },
      arms: [{ units: 0 }, { units: 0 }],
    });
  });

  it('are not held up by a row whose times are none', async () => {
    const { name, path } = await running();
    await insertRows(
      api.tests.registry,
      rowsOf(name, 4, () => ({})),
    );
    const { app, database } = api.tests.registry;
    const setTimes = (latency: string, ttft: string) =>
      database.client.query(
        `UPDATE inference SET latency_ms = $2, ttft_ms = $3 WHERE endpoint = $1 AND unit = 'u0'`,
        [name, latency, ttft],
      );
    await setTimes('NaN', '-1e300');
    try {
      const follower = app.get(AbTestRowFollower, { strict: false });
      do await pass(app.get(DataSource), follower);
      while (!(await haveFollowed(api.tests.registry, [follower.name])));
      const { body } = await call('GET', `${path}/results`);
      expect(body.arms.map(({ requests }: any) => requests)).toEqual([2, 2]);
    } finally {
      await setTimes('1', '1');
    }
  });

  it('ring where units do not fall as the split says', async () => {
    const { name, path } = await running();
    await insertRows(
      api.tests.registry,
      rowsOf(name, 2000, (at) => ({ arm: at % 5 < 2 ? 'b' : 'a' })),
    );
    const { sampleRatio, decision } = await results(path);
    expect(sampleRatio.alarm).toBe(true);
    expect(sampleRatio.cause).toEqual(expect.any(String));
    expect(decision.reason).toBe('sample_ratio_mismatch');
  });

  it('follow feedback given late, changed, and after the stop', async () => {
    const { name, path } = await running({
      primary: { metric: 'feedback_rate:solved' },
      secondary: [{ metric: 'feedback:solved' }],
    });
    const ids = await insertRows(
      api.tests.registry,
      rowsOf(name, 100, (at) => ({ unit: `u${at % 20}` })),
    );
    const judge = (at: number, value: boolean) =>
      api.tests.registry.app
        .get(FeedbackService)
        .give(
          { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'ada' },
          { name: 'solved', value, inferenceId: ids[at] },
        );
    const read = async () => {
      const { arms } = await results(path);
      return arms.map(({ metrics }: any) => [metrics[0].value, metrics.at(-1).value]);
    };
    await judge(0, true);
    await judge(20, false);
    await judge(1, false);
    // One of ten units of a; of its two judgements one; of b none, of one.
    expect(await read()).toEqual([
      [0.1, 0.5],
      [0, 0],
    ]);
    await call('POST', `${path}/stop`, {});
    await judge(0, false);
    await judge(3, true);
    expect(await read()).toEqual([
      [0, 0],
      [0.1, 0.5],
    ]);
  });

  it('are narrower with what the units did before the test, when all were served alike', async () => {
    const name = await api.tests.create([arm('a', 10_000)]);
    const cost = (at: number) => 100 + ((at * 7919) % 400);
    const earlier = new Date(Date.now() - 86_400_000).toISOString();
    await insertRows(
      api.tests.registry,
      rowsOf(name, 400, (at) => ({ startedAt: earlier, arm: 'a', costMicroUsd: cost(at) })),
    );
    await api.tests.put(name, { arms: HALVES });
    const { body } = await call('POST', `${name}/ab-tests`, {
      ...DRAFT,
      primary: { metric: 'cost_micro_usd_per_unit' },
      secondary: [],
    });
    const path = `${name}/ab-tests/${body.id}`;
    await call('POST', `${path}/start`);
    await insertRows(
      api.tests.registry,
      rowsOf(name, 400, (at) => ({ splitRevision: 2, costMicroUsd: cost(at) + (at % 3) })),
    );
    const [metric] = (await results(path)).treatments[0].metrics;
    expect(metric.cuped.varianceReduction).toBeGreaterThan(0.9);
    expect(metric.cuped.theta).toBeCloseTo(1, 1);
  });

  it('tell the effects of two factors and their interaction', async () => {
    const { name, path } = await running(
      {
        primary: { metric: 'cost_micro_usd_per_unit' },
        secondary: [],
        factors: {
          names: ['prompt', 'model'],
          arms: [
            { arm: 'a', levels: ['long', 'large'] },
            { arm: 'b', levels: ['short', 'large'] },
            { arm: 'c', levels: ['long', 'small'] },
            { arm: 'd', levels: ['short', 'small'] },
          ],
        },
      },
      ['a', 'b', 'c', 'd'].map((each, at) => arm(each, 2500, `support@${(at % 3) + 1}`)),
    );
    const costs = { a: 100, b: 80, c: 60, d: 30 };
    await insertRows(
      api.tests.registry,
      rowsOf(name, 400, (at) => {
        const name = (['a', 'b', 'c', 'd'] as const)[at % 4]!;
        return { arm: name, costMicroUsd: costs[name] + (Math.floor(at / 4) % 10) };
      }),
    );
    const { factorial } = await results(path);
    expect(factorial.map(({ kind, name, estimate }: any) => [kind, name, estimate])).toEqual([
      ['main', 'prompt: short − long', -25],
      ['main', 'model: small − large', -45],
      ['interaction', 'prompt short × model small', -10],
    ]);
  });
});
