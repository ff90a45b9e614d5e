import { describe, expect, it } from 'vitest';
import { insertRows, newId } from './support/ab-tests.js';
import { abTestApi, DRAFT } from './support/ab-test-api.js';
import { arm, HALVES } from './support/endpoints.js';
import { seedChain } from './support/serving.js';

describe('A/B tests', () => {
  const api = abTestApi();
  const { call, draft, running, rowsOf } = api;

  describe('drafts', () => {
    it('keep what they were given with every default written down', async () => {
      const { path, name, id } = await draft();
      expect((await call('GET', path)).body).toMatchObject({
        id,
        endpoint: name,
        status: 'draft',
        primary: { metric: 'error_rate', direction: 'lower' },
        guardrails: [{ metric: 'latency_ms_p95', direction: 'lower', margin: 0.1, scale: 'relative' }],
        secondary: [
          { metric: 'cost_micro_usd_per_unit', direction: 'lower' },
          { metric: 'latency_ms_mean', direction: 'lower' },
        ],
        scale: 'relative',
        alpha: 0.05,
        power: 0.8,
        tunedUnits: 5000,
        minimumUnits: 100,
        createdBy: 'ada',
        startedAt: null,
        factors: null,
      });
    });

    it.each([
      ['a metric that does not exist', { primary: { metric: 'speed' } }, '/primary/metric'],
      ['a metric named twice', { secondary: [{ metric: 'error_rate' }] }, '/secondary/0/metric'],
      ['a control that is no arm', { control: 'c' }, '/control'],
      ['no effect that matters', { minimumEffect: 0 }, '/minimumEffect'],
      ['errors in half of all tests', { alpha: 0.5 }, '/alpha'],
      ['a guardrail without a margin', { guardrails: [{ metric: 'cancel_rate' }] }, '/guardrails/0/margin'],
      ['an unknown field', { winner: 'b' }, '/winner'],
      [
        'factors that leave out an arm',
        { factors: { names: ['p', 'm'], arms: [{ arm: 'a', levels: ['x', 'y'] }] } },
        '/factors/arms',
      ],
      ['a null for the rules', { primary: null }, '/primary'],
    ])('are refused for %s', async (_, fields, path) => {
      const name = await api.tests.create(HALVES);
      const { status, body } = await call('POST', `${name}/ab-tests`, { ...DRAFT, ...fields });
      expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
      expect(body.details.map((problem: any) => problem.path)).toContain(path);
    });

    it('need an endpoint with two arms', async () => {
      const [bare, single] = [await api.tests.create(), await api.tests.create([arm('a', 10_000)])];
      for (const name of [bare, single])
        expect((await call('POST', `${name}/ab-tests`, DRAFT)).body.code).toBe('VALIDATION_FAILED');
      expect((await call('POST', `no-such/ab-tests`, DRAFT)).status).toBe(404);
      await call('POST', `${single}/archive`);
      expect((await call('POST', `${single}/ab-tests`, DRAFT)).body.code).toBe('ARCHIVED');
    });

    it('change field by field until they are started, and then no more', async () => {
      const { path } = await draft();
      const changed = await call('PATCH', path, { hypothesis: 'Other.', secondary: [] });
      expect(changed.body).toMatchObject({
        hypothesis: 'Other.',
        secondary: [],
        primary: { metric: 'error_rate' },
      });
      expect((await call('PATCH', path, { control: 'z' })).body.code).toBe('VALIDATION_FAILED');
      const started = await call('POST', `${path}/start`);
      expect(started.body).toMatchObject({ status: 'running', startedBy: 'ada', firstRevision: 1 });
      for (const [method, at, body] of [
        ['PATCH', path, { hypothesis: 'Late.' }],
        ['POST', `${path}/start`, undefined],
      ] as const) {
        const refused = await call(method, at, body);
        expect([refused.status, refused.body.code]).toEqual([409, 'IMMUTABLE']);
      }
    });

    it('are found under their own endpoint only', async () => {
      const [mine, other] = [await draft(), await draft()];
      for (const id of [other.id, newId(), 'x'])
        expect((await call('GET', `${mine.name}/ab-tests/${id}`)).status).toBe(404);
      expect((await call('GET', `${mine.name}/ab-tests`)).body.items).toHaveLength(1);
      expect((await call('GET', `${mine.name}/ab-tests?status=running`)).body.items).toEqual([]);
    });
  });

  describe('running', () => {
    it('is one at a time on an endpoint', async () => {
      const { name, path } = await running();
      const second = (await call('POST', `${name}/ab-tests`, DRAFT)).body.id;
      const refused = await call('POST', `${name}/ab-tests/${second}/start`);
      expect([refused.status, refused.body.code]).toEqual([409, 'IN_USE']);
      expect((await call('POST', `${path}/stop`, { reason: 'Enough.' })).body).toMatchObject({
        status: 'stopped',
        stoppedBy: 'ada',
        stopReason: 'Enough.',
        lastRevision: 1,
      });
      expect((await call('POST', `${path}/stop`, {})).body.code).toBe('IMMUTABLE');
      expect((await call('POST', `${name}/ab-tests/${second}/start`)).status).toBe(200);
      const decided = await call('POST', `${path}/decide`, { decision: 'ship' });
      expect([decided.status, decided.body.code]).toEqual([409, 'IN_USE']);
    });

    it('ships a treatment: one split, which names the test, and the end of it', async () => {
      const { name, path, id } = await running();
      const decided = await call('POST', `${path}/decide`, {
        decision: 'ship',
        reason: 'Fewer errors.',
        expectedRevision: 1,
      });
      expect(decided.body).toMatchObject({
        status: 'stopped',
        decision: 'ship',
        decidedArm: 'b',
        decidedBy: 'ada',
        decisionReason: 'Fewer errors.',
        lastRevision: 1,
      });
      expect((await api.tests.get(name)).split).toMatchObject({
        revision: 2,
        reason: `A/B test ${id} ships "b": Fewer errors.`,
        createdBy: 'ada',
        arms: [{ name: 'b', weightBps: 10_000, chain: { version: 2 } }],
      });
      expect((await call('POST', `${path}/decide`, { decision: 'roll_back' })).body.code).toBe('IMMUTABLE');
    });

    it('goes back to control, also after it was stopped', async () => {
      const { name, path } = await running();
      expect((await call('POST', `${path}/decide`)).status).toBe(400);
      expect((await call('POST', `${path}/stop`)).status).toBe(200);
      expect((await call('POST', `${path}/decide`, { decision: 'roll_back' })).body.decidedArm).toBe('a');
      expect((await api.tests.get(name)).split.arms).toMatchObject([{ name: 'a', weightBps: 10_000 }]);
    });

    it('goes back to a control that was archived meanwhile', async () => {
      await seedChain(api.tests.registry, 'old');
      const { name, path } = await running({}, [arm('a', 5000, 'old@1'), arm('b', 5000)]);
      expect((await api.tests.registry.call('POST', '/chains/old/archive')).status).toBe(200);
      expect((await call('POST', `${path}/decide`, { decision: 'roll_back' })).status).toBe(200);
      expect((await api.tests.get(name)).split.arms).toMatchObject([{ name: 'a', chain: { name: 'old' } }]);
      expect((await api.tests.put(name, { arms: [arm('a', 10_000, 'old@1')] })).body.code).toBe(
        'REFERENCE_ARCHIVED',
      );
    });

    it('goes on as if nothing had been asked where a decision is refused', async () => {
      const { name, path } = await running({}, [
        arm('a', 4000),
        arm('b', 3000, 'support@2'),
        arm('c', 3000, 'support@3'),
      ]);
      for (const [body, code] of [
        [{ decision: 'ship' }, 'VALIDATION_FAILED'],
        [{ decision: 'ship', arm: 'a' }, 'VALIDATION_FAILED'],
        [{ decision: 'roll_back', arm: 'b' }, 'VALIDATION_FAILED'],
        [{ decision: 'ship', arm: 'b', expectedRevision: 7 }, 'REVISION_CONFLICT'],
        [{ decision: 'keep_running' }, 'VALIDATION_FAILED'],
      ] as const)
        expect((await call('POST', `${path}/decide`, body)).body.code).toBe(code);
      expect((await call('GET', path)).body.status).toBe('running');
      expect((await api.tests.get(name)).split.revision).toBe(1);
    });
  });

  describe('planning', () => {
    it('says units and days from what the endpoint did lately', async () => {
      const name = await api.tests.create(HALVES);
      await insertRows(
        api.tests.registry,
        rowsOf(name, 1400, (at) => ({ unit: `u${at % 700}`, status: at % 10 === 0 ? 'error' : 'ok' })),
      );
      const { status, body } = await call('POST', `${name}/ab-tests/power`, {
        metric: 'error_rate',
        minimumEffect: 0.1,
        maximumDays: 28,
      });
      expect([status, body]).toMatchObject([200, { units: 700, value: 0.1, unitsPerDay: 100 }]);
      // By hand: unit variance 0.05 of two requests that fail together; (1.96 + 0.8416)² · 4 · 0.09/0.01² …
      expect(body.fixedHorizonUnits).toBeGreaterThan(10_000);
      expect(body.alwaysValidUnits / body.fixedHorizonUnits).toBeGreaterThan(1.5);
      expect(body.days).toBeCloseTo(body.alwaysValidUnits / 100, 6);
      expect(body.detectableEffect).toBeGreaterThan(0.1);
      const percentile = await call('POST', `${name}/ab-tests/power`, {
        metric: 'latency_ms_p95',
        minimumEffect: 0.1,
        maximumDays: 28,
      });
      expect(percentile.body.code).toBe('VALIDATION_FAILED');
    });

    it('answers an endpoint that nobody uses', async () => {
      const name = await api.tests.create(HALVES);
      for (const metric of [
        'error_rate',
        'cost_micro_usd_per_unit',
        'feedback:solved',
        'feedback_rate:solved',
      ]) {
        const { status, body } = await call('POST', `${name}/ab-tests/power`, {
          metric,
          minimumEffect: 0.1,
          maximumDays: 28,
        });
        expect([metric, status, body]).toMatchObject([metric, 200, { units: 0, value: null, days: null }]);
      }
    });
  });
});
