import { afterAll, beforeAll, expect, it } from 'vitest';
import { insertRows } from './support/ab-tests.js';
import { arm, EndpointTests } from './support/endpoints.js';
import { rowsCounted } from './support/rows-counted.js';

// Whole tests from rows to decision: rows by SQL, the registry's own followers, and what GET …/results says.

const UNITS = 12_000;
/** Two requests for every unit, which resemble each other. */
const REQUESTS = 2;

let endpoints: EndpointTests;
beforeAll(async () => {
  endpoints = await EndpointTests.start({ CATENA_STEER_INTERVAL_MS: '3600000' });
});
afterAll(() => endpoints.registry.close());

const call = (method: string, path: string, body?: unknown) => endpoints.registry.call(method, path, body);

interface Planted {
  /** Share of failing requests by arm. */
  readonly errors: readonly [control: number, treatment: number];
  /** Mean cost of a request by arm. */
  readonly cost: readonly [control: number, treatment: number];
  /** Share of the treatment's units whose rows never come. */
  readonly lost: number;
}

/** A started test over an endpoint's traffic with what is planted in it, and what it says. */
async function results({ errors, cost, lost }: Planted): Promise<any> {
  const name = await endpoints.create([arm('control', 5000), arm('treatment', 5000, 'support@2')]);
  const drafted = await call('POST', `/endpoints/${name}/ab-tests`, {
    hypothesis: 'The shorter prompt costs less.',
    control: 'control',
    primary: { metric: 'cost_micro_usd_per_request' },
    guardrails: [
      { metric: 'error_rate', margin: 0.1 },
      { metric: 'latency_ms_p95', margin: 0.1 },
    ],
    minimumEffect: 0.05,
    maximumDays: 28,
  });
  const path = `/endpoints/${name}/ab-tests/${drafted.body.id}`;
  expect((await call('POST', `${path}/start`)).status).toBe(200);
  const [template] = await insertRows(endpoints.registry, [{ endpoint: 'elsewhere' }]);
  const planted = {
    id: 'gen_random_uuid()',
    started_at: 'clock_timestamp()',
    endpoint: '$2',
    unit: 'name',
    arm: `CASE WHEN treated THEN 'treatment' ELSE 'control' END`,
    status: `CASE WHEN error < CASE WHEN treated THEN $6::float8 ELSE $5 END THEN 'error' ELSE 'ok' END`,
    latency_ms: '300 * exp(habit + spread)',
    cost_micro_usd:
      'round(CASE WHEN treated THEN $8::float8 ELSE $7 END * (0.5 + 0.6 * habit + 0.4 * spread))',
    arrived: 'catena_arrival()',
  };
  const { client } = endpoints.registry.database;
  const columns = await client.query(
    `SELECT string_agg(column_name, ', ') AS others FROM information_schema.columns
      WHERE table_name = 'inference' AND column_name <> ALL ($1)`,
    [Object.keys(planted)],
  );
  const { others } = columns.rows[0];
  await client.query(
    `WITH unit AS (
       SELECT u, $2::text || u AS name, draw(u, 'arm') < 0.5 AS treated FROM generate_series(1, $3::int) u),
     request AS (
       SELECT *, draw(u, 'lost') AS lost, draw(u, 'habit') AS habit, draw(u * 10 + r, 'error') AS error, draw(u * 10 + r, 'cost') AS spread
         FROM unit, generate_series(1, $4::int) r)
     INSERT INTO inference (${Object.keys(planted).join(', ')}, ${others})
     SELECT ${Object.values(planted).join(', ')}, ${others}
       FROM request, (SELECT * FROM inference WHERE id = $1) i
      WHERE NOT (treated AND lost < $9::float8)`,
    [template, name, UNITS, REQUESTS, ...errors, ...cost, lost],
  );
  await rowsCounted(endpoints.registry);
  const answer = await call('GET', `${path}/results`);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  expect(answer.body.arms.reduce((sum: number, each: any) => sum + each.requests, 0)).toBeGreaterThan(
    0.9 * UNITS * REQUESTS,
  );
  return answer.body;
}

const same = { errors: [0.03, 0.03], cost: [400, 400], lost: 0 } as const;

beforeAll(async () => {
  // Uniform in 0…1 from its arguments alone, so that every run sees the same traffic.
  await endpoints.registry.database.client.query(
    `CREATE FUNCTION draw(i bigint, salt text) RETURNS float8 LANGUAGE sql IMMUTABLE
     RETURN ('x' || substr(md5(salt || i), 1, 8))::bit(32)::bigint / 4294967296.0`,
  );
});

it('finds nothing in an A/A test, and no mismatch', async () => {
  const { decision, sampleRatio, treatments } = await results(same);
  expect(sampleRatio).toMatchObject({ alarm: false, cause: null });
  expect(['undecided', 'too_small_to_matter']).toContain(decision.reason);
  expect(treatments[0].metrics[0].relative.alwaysValid.pValue).toBeGreaterThan(0.05);
});

it('ships a planted saving of 20 %, with the estimate and the interval around it', async () => {
  const { decision, treatments } = await results({ ...same, cost: [400, 320] });
  expect(decision).toMatchObject({ decision: 'ship', reason: 'better', arm: 'treatment' });
  const { estimate, alwaysValid } = treatments[0].metrics[0].relative;
  expect(estimate).toBeCloseTo(-0.2, 1);
  expect(alwaysValid.interval.lower).toBeLessThan(-0.2 + 0.01);
  expect(alwaysValid.interval.upper).toBeLessThan(0);
});

it('rolls back what saves 20 % but fails twice as often', async () => {
  const { decision } = await results({ ...same, cost: [400, 320], errors: [0.03, 0.06] });
  expect(decision).toMatchObject({
    decision: 'roll_back',
    reason: 'guardrail_breached',
    sentence: expect.stringContaining('error_rate'),
  });
});

it('decides nothing where 5 % of the rows of one arm never come, and says so', async () => {
  const { decision, sampleRatio } = await results({ ...same, cost: [400, 320], lost: 0.1 });
  expect(sampleRatio).toMatchObject({ alarm: true, cause: expect.stringContaining('Arm "treatment" has') });
  expect(decision).toMatchObject({ decision: 'keep_running', reason: 'sample_ratio_mismatch' });
});
