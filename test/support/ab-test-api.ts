import { afterAll, beforeAll, expect } from 'vitest';
import { FollowerLoop } from '../../apps/registry/src/arrivals/follower-loop.js';
import type { InferenceRow } from '../../libs/core/inference/inference-row.js';
import { haveFollowed } from './ab-tests.js';
import { EndpointTests, HALVES } from './endpoints.js';

export const DRAFT = {
  hypothesis: 'Version 2 fails less often.',
  control: 'a',
  primary: { metric: 'error_rate' },
  guardrails: [{ metric: 'latency_ms_p95', margin: 0.1 }],
  secondary: [{ metric: 'cost_micro_usd_per_unit' }, { metric: 'latency_ms_mean' }],
  minimumEffect: 0.05,
  maximumDays: 14,
};

/** A registry with A/B tests, whose followers are at work when `follow` is called. */
export function abTestApi() {
  let tests: EndpointTests;
  beforeAll(async () => {
    tests = await EndpointTests.start({ CATENA_FOLLOW_INTERVAL_MS: '3600000' });
    await follow();
  });
  afterAll(() => tests.registry.close());

  const call = (method: string, path: string, body?: unknown) =>
    tests.registry.call(method, `/endpoints/${path}`, body, { 'x-catena-actor': 'ada' });
  const follow = async () => {
    do await tests.registry.app.get(FollowerLoop).catchUp();
    while (!(await haveFollowed(tests.registry)));
  };
  /** An endpoint with this split and a test on it; path of the test. */
  async function draft(
    fields: object = {},
    arms: object[] = HALVES,
  ): Promise<{ name: string; path: string; id: string }> {
    const name = await tests.create(arms);
    const { status, body } = await call('POST', `${name}/ab-tests`, { ...DRAFT, ...fields });
    expect([status, body]).toEqual([201, body]);
    return { name, path: `${name}/ab-tests/${body.id}`, id: body.id };
  }
  async function running(fields: object = {}, arms: object[] = HALVES) {
    const made = await draft(fields, arms);
    expect((await call('POST', `${made.path}/start`)).status).toBe(200);
    return made;
  }
  /** Rows of units u0, u1, … of an arm. */
  const rowsOf = (name: string, count: number, each: (at: number) => Partial<InferenceRow>) =>
    Array.from({ length: count }, (_, at): Partial<InferenceRow> => ({
      endpoint: name,
      splitRevision: 1,
      unit: `u${at}`,
      arm: at % 2 ? 'b' : 'a',
      ...each(at),
    }));
  const results = async (path: string, query = '') => {
    await follow();
    const { status, body } = await call('GET', `${path}/results${query}`);
    expect([status, body]).toEqual([200, body]);
    return body;
  };
  return {
    get tests() {
      return tests;
    },
    call,
    follow,
    draft,
    running,
    rowsOf,
    results,
  };
}
