import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { arm, EndpointTests } from './support/endpoints.js';
import { eventually } from './support/gateway.js';
import { RegistryProcess } from './support/registry-process.js';

const STEPS = 40;
const KILLS = 2;

let endpoints: EndpointTests;
beforeAll(async () => {
  endpoints = await EndpointTests.start({ CATENA_STEER_INTERVAL_MS: '3600000' });
});
afterAll(() => endpoints.registry.close());

it('takes every step of a ramp once, though the registries that take them are killed again and again', async () => {
  const { registry } = endpoints;
  const name = await endpoints.create([arm('control', 10_000), arm('candidate', 0, 'support@2')]);
  const drafted = await registry.call('POST', `/endpoints/${name}/ab-tests`, {
    hypothesis: 'It can be killed.',
    control: 'control',
    primary: { metric: 'error_rate' },
    minimumEffect: 0.1,
    maximumDays: 1,
  });
  const path = `/endpoints/${name}/ab-tests/${drafted.body.id}`;
  const settings = {
    stepsBps: Array.from({ length: STEPS }, (_, i) => 100 * (i + 1)),
    minimumMinutes: 0,
    minimumUnits: 0,
    lastStepNeeds: 'no_harm',
  };
  expect((await registry.call('PUT', `${path}/ramp`, settings)).status).toBe(200);
  const step = async (): Promise<number> => (await registry.call('GET', `${path}/ramp`)).body.step;
  await registry.call('POST', `${path}/start`);

  const steps: number[] = [];
  for (let kill = 0; kill <= KILLS; kill++) {
    const worker = await RegistryProcess.start(registry.database, { CATENA_STEER_INTERVAL_MS: '10' });
    const goal = kill === KILLS ? STEPS - 1 : Math.min(STEPS - 1, (await step()) + 5);
    await eventually(async () => (await step()) >= goal, 15_000);
    await sleep(kill * 3);
    await worker.kill();
    steps.push(await step());
  }
  // Otherwise the kills came too late to show anything.
  expect(steps.filter((at) => at < STEPS - 1).length).toBeGreaterThan(0);
  expect((await endpoints.get(name)).split).toMatchObject({ revision: 1 + STEPS });
  const { items } = (await registry.call('GET', `${path}/moves?limit=200`)).body;
  const taken = items.filter(({ action }: any) => action === 'split').toReversed();
  expect(taken.map(({ step: at, revision }: any) => [at, revision])).toEqual(
    Array.from({ length: STEPS }, (_, at) => [at, at + 2]),
  );
}, 60_000);
