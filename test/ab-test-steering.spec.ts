import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SteeringLoop } from '../apps/registry/src/ab-tests/steering/steering-loop.js';
import { Steerer } from '../apps/registry/src/ab-tests/steering/steerer.js';
import { createApp } from '../apps/registry/src/app.js';
import { createLogger } from '../libs/platform/log/logger.js';
import type { InferenceRow } from '../libs/core/inference/inference-row.js';
import { insertRows } from './support/ab-tests.js';
import { arm, EndpointTests } from './support/endpoints.js';
import { rowsCounted } from './support/rows-counted.js';

// Ramps and adaptive tests over real splits, real rows and the real follower. The loop of the registry is asked by hand.

const MINUTE = 60_000;

let endpoints: EndpointTests;
beforeAll(async () => {
  endpoints = await EndpointTests.start({ CATENA_STEER_INTERVAL_MS: '3600000' });
});
afterAll(() => endpoints.registry.close());

const call = (method: string, path: string, body?: unknown) => endpoints.registry.call(method, path, body);

interface Running {
  readonly name: string;
  readonly id: string;
  readonly path: string;
}

const RULES = {
  hypothesis: 'It costs less.',
  control: 'control',
  primary: { metric: 'cost_micro_usd_per_request' },
  guardrails: [{ metric: 'error_rate', margin: 0.2 }],
  minimumEffect: 0.05,
  maximumDays: 30,
};

/** A running test on an endpoint of its own, all units on control at first. */
async function start(rules: object = {}, treatments: readonly string[] = ['candidate']): Promise<Running> {
  const arms = [arm('control', 10_000), ...treatments.map((name) => arm(name, 0, 'support@2'))];
  const name = await endpoints.create(arms);
  const drafted = await call('POST', `/endpoints/${name}/ab-tests`, { ...RULES, ...rules });
  expect(drafted.status, JSON.stringify(drafted.body)).toBe(201);
  const path = `/endpoints/${name}/ab-tests/${drafted.body.id}`;
  expect((await call('POST', `${path}/start`)).status).toBe(200);
  return { name, id: drafted.body.id, path };
}

const put = async (test: Running, kind: 'ramp' | 'adaptive', settings: object) => {
  const answer = await call('PUT', `${test.path}/${kind}`, settings);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
};
const look = (test: Running, minutes = 0) =>
  endpoints.registry.app.get(Steerer).look(test.id, new Date(Date.now() + minutes * MINUTE));
const ramp = async (test: Running) => (await call('GET', `${test.path}/ramp`)).body;
const splitOf = async (test: Running) => (await endpoints.get(test.name)).split;
const weights = async (test: Running): Promise<Record<string, number>> =>
  Object.fromEntries((await splitOf(test)).arms.map((each: any) => [each.name, each.weightBps]));

let units = 0;
/** Units that come to an arm of the split in force, one request each. */
async function seen(
  test: Running,
  name: string,
  count: number,
  row: (i: number) => Partial<InferenceRow> = () => ({}),
) {
  const { revision } = await splitOf(test);
  await insertRows(
    endpoints.registry,
    Array.from({ length: count }, (_, i) => ({
      endpoint: test.name,
      splitRevision: revision,
      arm: name,
      unit: `unit-${++units}`,
      costMicroUsd: 100 + ((i * 7919) % 41),
      ...row(i),
    })),
  );
}
const followed = () => rowsCounted(endpoints.registry);

const failing =
  (share: number) =>
  (i: number): Partial<InferenceRow> =>
    i % 100 < share * 100 ? { status: 'error', errorCode: 'UPSTREAM_ERROR' } : {};

describe('a ramp', () => {
  const QUICK = { minimumMinutes: 10, minimumUnits: 20, lastStepNeeds: 'no_harm' };

  it('takes its first step at the next look, as one split by the test with a reason', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    expect(await look(test)).toBe('split');
    expect(await weights(test)).toEqual({ control: 9900, candidate: 100 });
    expect(await splitOf(test)).toMatchObject({
      revision: 2,
      createdBy: `ab-test:${test.id}`,
      reason: `A/B test ${test.id}: Step 1 of 5: 1 % to the treatments; its gates are open.`,
    });
    expect(await ramp(test)).toMatchObject({ state: 'going', step: 0, revision: 2, dropped: [] });
  });

  it('waits for the duration and for the units of a step, says which, and then goes on to the end', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [500, 5000, 10_000], holdoutBps: 1000 });
    await look(test);
    await seen(test, 'control', 190);
    await seen(test, 'candidate', 10);
    await followed();
    expect(await look(test, 5)).toBe('nothing');
    expect((await ramp(test)).note).toBe('The step has lasted 5 of at least 10 minutes.');
    expect(await look(test, 11)).toBe('nothing');
    expect((await ramp(test)).note).toBe('Arm "candidate" has 10 of at least 20 units in this step.');
    await seen(test, 'candidate', 10);
    await followed();
    expect(await look(test, 11)).toBe('split');
    expect(await weights(test)).toEqual({ control: 5000, candidate: 5000 });
    await seen(test, 'control', 30);
    await seen(test, 'candidate', 30);
    await followed();
    expect(await look(test, 40)).toBe('split');
    // The holdout stays on control.
    expect(await weights(test)).toEqual({ control: 1000, candidate: 9000 });
    expect(await look(test, 400)).toBe('nothing');
    expect(await ramp(test)).toMatchObject({
      step: 2,
      note: 'All steps have been taken; decide to end the test.',
    });
    const moves = (await call('GET', `${test.path}/moves`)).body.items;
    expect(moves.map(({ action, step, revision }: any) => [action, step, revision])).toEqual([
      ['split', 2, 4],
      ['split', 1, 3],
      ['split', 0, 2],
      ['set', -1, null],
    ]);
  });

  it('does not take its last step before the test is decided to ship', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000], lastStepNeeds: 'ship' });
    await look(test);
    await seen(test, 'control', 150);
    await seen(test, 'candidate', 150);
    await followed();
    expect(await look(test, 11)).toBe('nothing');
    expect((await ramp(test)).note).toMatch(
      /^The last step needs a decision to ship\. Nothing is proven yet/,
    );
    await seen(test, 'control', 400);
    await seen(test, 'candidate', 400, (i) => ({ costMicroUsd: 20 + (i % 7) }));
    await followed();
    expect(await look(test, 11)).toBe('split');
    expect(await weights(test)).toEqual({ control: 0, candidate: 10_000 });
  });

  it('gives the last step to the treatment to ship, and to no other', async () => {
    const test = await start({}, ['cheap', 'same']);
    await put(test, 'ramp', { ...QUICK, stepsBps: [6000, 10_000], lastStepNeeds: 'ship' });
    await look(test);
    await seen(test, 'control', 320);
    await seen(test, 'cheap', 240, (i) => ({ costMicroUsd: 50 + (i % 7) }));
    await seen(test, 'same', 240);
    await followed();
    expect(await look(test, 11)).toBe('split');
    expect(await weights(test)).toEqual({ control: 0, cheap: 10_000, same: 0 });
    expect((await splitOf(test)).reason).toContain('Ship "cheap": cost_micro_usd_per_request −');
  });

  it('pauses when its split is refused, and says why', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    const { client } = endpoints.registry.database;
    await client.query('UPDATE endpoint SET archived_at = now() WHERE name = $1', [test.name]);
    expect(await look(test)).toBe('pause');
    expect((await ramp(test)).note).toMatch(/^The split was refused: .*archived/);
    expect(await splitOf(test)).toMatchObject({ revision: 1 });
  });

  it('does not begin before its time, and takes steps only inside its windows', async () => {
    const test = await start();
    const soon = new Date(Date.now() + 30 * MINUTE).toISOString();
    const day = ((new Date().getUTCDay() + 6) % 7) + 1;
    const windows = [{ days: [(day % 7) + 1], from: '00:00', to: '24:00' }];
    await put(test, 'ramp', { ...QUICK, schedule: { notBefore: soon, windows } });
    expect(await look(test)).toBe('nothing');
    expect((await ramp(test)).note).toBe(`It is not to begin before ${soon}.`);
    const toEvening = Math.ceil((86_400_000 - (Date.now() % 86_400_000)) / MINUTE) + 1;
    if (toEvening > 60) {
      expect(await look(test, 40)).toBe('nothing');
      expect((await ramp(test)).note).toMatch(/outside the windows/);
    }
    expect(await look(test, toEvening + 31)).toBe('split');
  });

  it('sends all units back to control by itself when a guardrail is breached, and the test ends', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000] });
    await look(test);
    await seen(test, 'control', 300, failing(0.02));
    await seen(test, 'candidate', 300, failing(0.3));
    await followed();
    // At once: no gate delays it.
    expect(await look(test)).toBe('roll_back');
    expect(await weights(test)).toEqual({ control: 10_000 });
    expect(await splitOf(test)).toMatchObject({
      createdBy: `ab-test:${test.id}`,
      revision: 3,
      reason: expect.stringContaining('guardrail error_rate'),
    });
    expect((await call('GET', test.path)).body).toMatchObject({
      status: 'stopped',
      decision: 'roll_back',
      decidedBy: `ab-test:${test.id}`,
    });
    expect(await ramp(test)).toMatchObject({
      state: 'ended',
      note: expect.stringContaining('guardrail error_rate'),
    });
    expect(await look(test, 100)).toBe('nothing');
  });

  it('pauses instead when it is not to roll back by itself', async () => {
    const test = await start();
    await put(test, 'ramp', {
      ...QUICK,
      lastStepNeeds: 'ship',
      stepsBps: [5000, 10_000],
      autoRollBack: false,
    });
    await look(test);
    await seen(test, 'control', 300, failing(0.02));
    await seen(test, 'candidate', 300, failing(0.3));
    await followed();
    expect(await look(test)).toBe('pause');
    expect(await weights(test)).toEqual({ control: 5000, candidate: 5000 });
    expect(await look(test, 100)).toBe('nothing');
    expect(await ramp(test)).toMatchObject({ alarms: ['harm:2:candidate'], acknowledged: [] });
    const resumed = await call('POST', `${test.path}/ramp/resume`, { reason: 'known.' });
    expect(resumed.body).toMatchObject({
      note: 'known. Acknowledged: harm:2:candidate.',
      alarms: [],
      acknowledged: ['harm:2:candidate'],
    });
    // The last step needs a decision to ship, which is another thing to be told of, and to acknowledge.
    expect(await look(test, 11)).toBe('pause');
    expect(await ramp(test)).toMatchObject({ alarms: ['roll_back:2'] });
    await call('POST', `${test.path}/ramp/resume`, {});
    expect(await look(test, 11)).toBe('nothing');
    expect(await ramp(test)).toMatchObject({
      state: 'going',
      note: expect.stringMatching(/^The last step needs a decision to ship/),
    });
  });

  it('drops the one treatment of several that does harm: what it had goes to control, the others keep theirs', async () => {
    const test = await start({}, ['good', 'bad']);
    await put(test, 'ramp', { ...QUICK, stepsBps: [6000, 10_000] });
    await look(test);
    expect(await weights(test)).toEqual({ control: 4000, good: 3000, bad: 3000 });
    await seen(test, 'control', 320, failing(0.02));
    await seen(test, 'good', 240, failing(0.02));
    await seen(test, 'bad', 240, failing(0.4));
    await followed();
    expect(await look(test)).toBe('split');
    expect(await weights(test)).toEqual({ control: 7000, good: 3000, bad: 0 });
    expect(await ramp(test)).toMatchObject({ state: 'going', step: 0, dropped: ['bad'] });
  });

  it('pauses on a sample-ratio mismatch, with its likely cause', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000] });
    await look(test);
    await seen(test, 'control', 300);
    await seen(test, 'candidate', 180);
    await followed();
    expect(await look(test, 11)).toBe('pause');
    expect((await ramp(test)).note).toMatch(
      /do not fall as the split says.*"candidate" has 180 units where 240 were expected/,
    );
    expect(await weights(test)).toEqual({ control: 5000, candidate: 5000 });
    await call('POST', `${test.path}/ramp/resume`, { reason: 'A known bot.' });
    expect(await ramp(test)).toMatchObject({ state: 'going', acknowledged: ['sample_ratio:2'] });
    const [move] = (await call('GET', `${test.path}/moves`)).body.items;
    expect(move).toMatchObject({ action: 'resume', reason: 'A known bot. Acknowledged: sample_ratio:2.' });
    expect(await look(test, 11)).toBe('split');
  });

  it('pauses when somebody else has set the split, says who, and goes on from there when resumed', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    await look(test);
    const arms = [arm('control', 7000), arm('candidate', 3000, 'support@2')];
    expect((await endpoints.put(test.name, { arms, reason: 'because' })).status).toBe(200);
    expect(await look(test, 11)).toBe('pause');
    expect((await ramp(test)).note).toBe(
      'Split revision 3 was set by anonymous ("because"), not by this test; resume to go on from it.',
    );
    expect(await weights(test)).toEqual({ control: 7000, candidate: 3000 });
    expect((await call('POST', `${test.path}/ramp/resume`, {})).body).toMatchObject({
      state: 'going',
      revision: 3,
      step: 2,
    });
    await seen(test, 'control', 70);
    await seen(test, 'candidate', 30);
    await followed();
    expect(await look(test, 11)).toBe('split');
    expect(await weights(test)).toEqual({ control: 5000, candidate: 5000 });
  });

  it('goes on by one step from a split that was lowered by hand, through its gates', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    for (let step = 0; step < 4; step++) await call('POST', `${test.path}/ramp/advance`, {});
    expect(await weights(test)).toEqual({ control: 5000, candidate: 5000 });
    await endpoints.put(test.name, { arms: [arm('control', 9800), arm('candidate', 200, 'support@2')] });
    expect(await look(test)).toBe('pause');
    expect((await call('POST', `${test.path}/ramp/resume`, {})).body).toMatchObject({ step: 0, revision: 6 });
    expect(await look(test)).toBe('nothing');
    expect((await ramp(test)).note).toMatch(/^The step has lasted 0 of at least 10 minutes/);
    expect((await call('POST', `${test.path}/ramp/advance`, {})).body).toMatchObject({ step: 1 });
    expect(await weights(test)).toEqual({ control: 9500, candidate: 500 });
    await call('POST', `${test.path}/ramp/pause`, {});
    const stepsBps = [100, 200, 400, 800, 10_000];
    expect((await call('PUT', `${test.path}/ramp`, { ...QUICK, stepsBps })).body).toMatchObject({ step: 2 });
  });

  it('begins with the step that the split in force has reached, and with its gates', async () => {
    const test = await start();
    await endpoints.put(test.name, { arms: [arm('control', 5000), arm('candidate', 5000, 'support@2')] });
    await put(test, 'ramp', QUICK);
    expect(await look(test)).toBe('nothing');
    expect((await ramp(test)).note).toMatch(/^The step has lasted/);
    expect((await call('POST', `${test.path}/ramp/advance`, {})).body).toMatchObject({ step: 4 });
  });

  it('obeys: pause, resume, advance', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    expect((await call('POST', `${test.path}/ramp/pause`, { reason: 'lunch' })).body).toMatchObject({
      state: 'paused',
      note: 'lunch',
    });
    expect(await look(test)).toBe('nothing');
    expect((await call('POST', `${test.path}/ramp/advance`, {})).body).toMatchObject({
      state: 'going',
      step: 0,
    });
    expect((await call('POST', `${test.path}/ramp/advance`, { reason: 'hurry' })).body).toMatchObject({
      step: 1,
    });
    expect(await weights(test)).toEqual({ control: 9500, candidate: 500 });
    expect(await splitOf(test)).toMatchObject({
      createdBy: 'anonymous',
      reason: expect.stringContaining('hurry'),
    });
    expect((await call('PUT', `${test.path}/ramp`, {})).status).toBe(409);
    expect((await call('PUT', `${test.path}/adaptive`, {})).body.code).toBe('IMMUTABLE');
  });

  it('has a kill switch: all units to control in one revision, overrides too, and never moves again', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000] });
    await look(test);
    const split = await splitOf(test);
    const arms = split.arms.map(({ name, chain, weightBps }: any) => ({ name, chain, weightBps }));
    await endpoints.put(test.name, { arms, overrides: [{ unit: 'boss', arm: 'candidate' }] });
    const killed = await call('POST', `${test.path}/ramp/kill`, { reason: 'smoke' });
    expect(killed.body).toMatchObject({ state: 'ended', note: 'smoke' });
    expect((await splitOf(test)).revision).toBe(4);
    for (const unit of ['boss', 'a', 'b', 'c', 'd'])
      expect((await endpoints.assigned(test.name, unit)).arm).toBe('control');
    expect(await look(test, 100)).toBe('nothing');
    for (const action of ['resume', 'advance', 'pause', 'kill'])
      expect((await call('POST', `${test.path}/ramp/${action}`, {})).body.code).toBe('IMMUTABLE');
  });

  it.each([
    [
      'its endpoint is archived',
      (test: Running) =>
        endpoints.registry.database.client.query('UPDATE endpoint SET archived_at = now() WHERE name = $1', [
          test.name,
        ]),
      /archived/,
    ],
    [
      'the split by hand has no control',
      async (test: Running) => {
        const arms = [arm('candidate', 10_000, 'support@2')];
        expect((await endpoints.put(test.name, { arms })).status).toBe(200);
        await call('POST', `${test.path}/ramp/resume`, {});
      },
      /cannot be "control"/,
    ],
  ])(
    'pauses when its roll-back is refused because %s, and shows the harm, once',
    async (_, spoil, refusal) => {
      const test = await start();
      await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000] });
      await look(test);
      await seen(test, 'control', 300, failing(0.02));
      await seen(test, 'candidate', 300, failing(0.3));
      await followed();
      await spoil(test);
      expect(await look(test)).toBe('pause');
      const { state, note } = await ramp(test);
      expect([state, note]).toEqual([
        'paused',
        expect.stringMatching(/^The (roll-back|split) was refused: /),
      ]);
      expect(note).toMatch(refusal);
      expect(note).toMatch(/guardrail error_rate/);
      expect(await look(test, 1)).toBe('nothing');
      const moves = (await call('GET', `${test.path}/moves`)).body.items;
      expect(moves.filter(({ action }: any) => action === 'pause')).toHaveLength(1);
    },
  );

  it('acts on harm while it is paused', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000] });
    await look(test);
    await call('POST', `${test.path}/ramp/pause`, {});
    await seen(test, 'control', 300, failing(0.02));
    await seen(test, 'candidate', 300, failing(0.3));
    await followed();
    expect(await look(test)).toBe('roll_back');
    expect(await weights(test)).toEqual({ control: 10_000 });
  });

  it('ends with the test, and is refused for one that has ended', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    await call('POST', `${test.path}/stop`, { reason: 'budget' });
    expect(await look(test)).toBe('end');
    expect(await ramp(test)).toMatchObject({ state: 'ended', note: 'The test was stopped: budget.' });
    expect((await call('PUT', `${test.path}/ramp`, {})).status).toBe(409);
  });

  it('takes one step when it is looked at many times at once', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => look(test)));
    expect(outcomes.filter((outcome) => outcome === 'split')).toHaveLength(1);
    expect((await splitOf(test)).revision).toBe(2);
  });

  it('takes no half step: what fails between the split and the ramp leaves both as they were, and the next look goes on', async () => {
    const test = await start();
    await put(test, 'ramp', QUICK);
    const { client } = endpoints.registry.database;
    await client.query(`ALTER TABLE ab_test_move ADD CONSTRAINT crash CHECK (action <> 'split') NOT VALID`);
    await expect(look(test)).rejects.toThrow('crash');
    expect(await splitOf(test)).toMatchObject({ revision: 1 });
    expect(await ramp(test)).toMatchObject({ step: -1, revision: null });
    await client.query('ALTER TABLE ab_test_move DROP CONSTRAINT crash');
    expect(await look(test)).toBe('split');
    expect(await splitOf(test)).toMatchObject({ revision: 2 });
  });

  it('finds its end where the process died between the roll-back and its own row', async () => {
    const test = await start();
    await put(test, 'ramp', { ...QUICK, stepsBps: [5000, 10_000] });
    await look(test);
    await seen(test, 'control', 300, failing(0.02));
    await seen(test, 'candidate', 300, failing(0.3));
    await followed();
    const { client } = endpoints.registry.database;
    await client.query(
      `ALTER TABLE ab_test_move ADD CONSTRAINT crash CHECK (action <> 'roll_back') NOT VALID`,
    );
    await expect(look(test)).rejects.toThrow('crash');
    expect(await splitOf(test)).toMatchObject({ revision: 3 });
    expect(await look(test)).toBe('end');
    await client.query('ALTER TABLE ab_test_move DROP CONSTRAINT crash');
    expect(await ramp(test)).toMatchObject({
      state: 'ended',
      note: 'The test was decided: back to control.',
    });
    expect(await splitOf(test)).toMatchObject({ revision: 3 });
  });

  it.each([
    [{ stepsBps: [500, 500] }, '/stepsBps'],
    [{ stepsBps: [] }, '/stepsBps'],
    [{ holdoutBps: 10_000 }, '/holdoutBps'],
    [{ schedule: { timeZone: 'Mars/Base' } }, '/schedule/timeZone'],
    [{ schedule: { windows: [{ days: [1], from: '12:00', to: '09:00' }] } }, '/schedule/windows/0/to'],
    [{ schedule: { windows: [{ days: [8], from: '09:00', to: '12:00' }] } }, '/schedule/windows/0/days'],
    [{ schedule: { notBefore: '20261201T080000Z' } }, '/schedule/notBefore'],
    [{ schedule: { notBefore: '2026-W49-2' } }, '/schedule/notBefore'],
    [{ schedule: { notBefore: '2026-12-01T08:00:00' } }, '/schedule/notBefore'],
    [{ schedule: { notBefore: '2026-12-01' } }, '/schedule/notBefore'],
    [{ steps: [1] }, '/steps'],
  ])('refuses %j', async (settings, path) => {
    const test = await start();
    const { status, body } = await call('PUT', `${test.path}/ramp`, settings);
    expect([status, body.details[0].path]).toEqual([400, path]);
  });
});

describe('two registries', () => {
  it('take each step once, by their own loops', async () => {
    const test = await start();
    await put(test, 'ramp', {
      minimumMinutes: 0,
      minimumUnits: 0,
      lastStepNeeds: 'no_harm',
      stepsBps: [1000, 2000, 3000],
    });
    const settings = { ...endpoints.registry.settings, CATENA_STEER_INTERVAL_MS: 20 };
    const others = await Promise.all(
      [0, 1].map(() => createApp(settings, createLogger('registry', 'error'))),
    );
    await Promise.all(others.map((app) => app.init()));
    expect(others[0]!.get(SteeringLoop)).toBeDefined();
    for (let tries = 0; tries < 200 && (await ramp(test)).step < 2; tries++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    await Promise.all(others.map((app) => app.close()));
    expect(await splitOf(test)).toMatchObject({ revision: 4 });
    expect(await weights(test)).toEqual({ control: 7000, candidate: 3000 });
    const moves = (await call('GET', `${test.path}/moves`)).body.items;
    expect(moves.map(({ action, step }: any) => `${action} ${step}`)).toEqual([
      'split 2',
      'split 1',
      'split 0',
      'set -1',
    ]);
  });
});

describe('an adaptive test', () => {
  const halves = async (rules: object = {}) => {
    const test = await start(rules);
    await endpoints.put(test.name, { arms: [arm('control', 5000), arm('candidate', 5000, 'support@2')] });
    return test;
  };
  const adaptive = async (test: Running) => (await call('GET', `${test.path}/adaptive`)).body;

  it('gives the better arm more after the interval, not below the floor for the other, pooled over the phases', async () => {
    const test = await halves();
    await put(test, 'adaptive', {
      intervalMinutes: 30,
      floorBps: 1000,
      minimumUnits: 50,
      minimumChangeBps: 1,
    });
    await seen(test, 'control', 60);
    await seen(test, 'candidate', 60, (i) => ({ costMicroUsd: 105 + ((i * 7919) % 41) }));
    await followed();
    expect(await look(test, 10)).toBe('nothing');
    expect((await adaptive(test)).note).toMatch(/every 30 minutes/);
    expect(await look(test, 31)).toBe('split');
    const first = await weights(test);
    expect(first['control']).toBeGreaterThan(6500);
    expect(first['candidate']).toBeGreaterThanOrEqual(1000);
    // Dearer days for both: within each phase control stays the cheaper one, and more surely so.
    await seen(test, 'control', 132, (i) => ({ costMicroUsd: 1100 + ((i * 7919) % 41) }));
    await seen(test, 'candidate', 18, (i) => ({ costMicroUsd: 1120 + ((i * 7919) % 41) }));
    await followed();
    await look(test, 80);
    const second = await weights(test);
    expect(second['candidate']).toBeGreaterThanOrEqual(1000);
    expect(second['candidate']).toBeLessThan(first['candidate']!);
  });

  it('never moves again once it was stopped, while the test goes on', async () => {
    const test = await halves();
    await put(test, 'adaptive', { intervalMinutes: 15, minimumUnits: 10 });
    expect((await call('POST', `${test.path}/adaptive/stop`, { reason: 'enough' })).body).toMatchObject({
      state: 'ended',
      note: 'enough',
    });
    await seen(test, 'control', 60);
    await seen(test, 'candidate', 60, () => ({ costMicroUsd: 1 }));
    await followed();
    expect(await look(test, 100)).toBe('nothing');
    expect(await weights(test)).toEqual({ control: 5000, candidate: 5000 });
    for (const again of [
      call('PUT', `${test.path}/adaptive`, {}),
      call('PUT', `${test.path}/ramp`, {}),
      call('POST', `${test.path}/adaptive/stop`, {}),
    ])
      expect((await again).body.code).toBe('IMMUTABLE');
    expect((await call('GET', test.path)).body.status).toBe('running');
  });

  it('pauses when somebody else has set the split, and can be resumed', async () => {
    const test = await halves();
    await put(test, 'adaptive', { intervalMinutes: 15, minimumUnits: 10 });
    await seen(test, 'control', 60);
    await seen(test, 'candidate', 60, (i) => ({ costMicroUsd: 150 + (i % 5) }));
    await followed();
    expect(await look(test, 16)).toBe('split');
    await endpoints.put(test.name, { arms: [arm('control', 5000), arm('candidate', 5000, 'support@2')] });
    expect(await look(test, 18)).toBe('pause');
    expect(await look(test, 400)).toBe('nothing');
    expect((await call('POST', `${test.path}/adaptive/resume`, {})).body).toMatchObject({
      state: 'going',
      revision: 4,
    });
    expect((await call('POST', `${test.path}/adaptive/pause`, {})).body).toMatchObject({ state: 'paused' });
  });

  it('waits for enough units in every arm', async () => {
    const test = await halves();
    await put(test, 'adaptive', { intervalMinutes: 15, minimumUnits: 50 });
    await seen(test, 'control', 60);
    await seen(test, 'candidate', 49);
    await followed();
    expect(await look(test, 16)).toBe('nothing');
    expect((await adaptive(test)).note).toBe(
      'Every arm needs 50 units before the weights change; "candidate" has 49.',
    );
  });

  it('refuses a floor that its arms have no room for, and one that by hand have become too many', async () => {
    const test = await start({}, ['one', 'two']);
    const arms = [arm('control', 3400), arm('one', 3300), arm('two', 3300, 'support@2')];
    await endpoints.put(test.name, { arms });
    const { status, body } = await call('PUT', `${test.path}/adaptive`, { floorBps: 5000 });
    expect([status, body.details[0]]).toEqual([
      400,
      { path: '/floorBps', message: expect.stringContaining('at most 3333: the split in force has 3 arms') },
    ]);
    await put(test, 'adaptive', { floorBps: 3000, intervalMinutes: 15, minimumUnits: 10 });
    await endpoints.put(test.name, {
      arms: [arm('control', 2500), arm('one', 2500), arm('two', 2500, 'support@2'), arm('three', 2500)],
    });
    for (const name of ['control', 'one', 'two', 'three']) await seen(test, name, 60);
    await followed();
    expect(await look(test, 16)).toBe('nothing');
    expect((await adaptive(test)).note).toMatch(/^The weights would change by less/);
  });

  it.each([1, 14])('refuses to change the weights every %i minutes', async (intervalMinutes) => {
    const { status, body } = await call('PUT', `${(await halves()).path}/adaptive`, { intervalMinutes });
    expect([status, body.details[0].path]).toEqual([400, '/intervalMinutes']);
  });
});
