import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AbTestJudgementFollower } from '../apps/registry/src/ab-tests/judgement-follower.js';
import { AbTestRowFollower } from '../apps/registry/src/ab-tests/row-follower.js';
import type { Follower } from '../apps/registry/src/arrivals/follower.js';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { pass } from '../apps/registry/src/arrivals/pass.js';
import {
  FeedbackEventFollower,
  FeedbackRowFollower,
} from '../apps/registry/src/feedback/feedback-matcher.js';
import { FeedbackService } from '../apps/registry/src/feedback/feedback.service.js';
import { readEvent } from '../libs/core/feedback/read-feedback.js';
import { STANDARD_METRICS } from '../libs/core/ab-test/metrics.js';
import type { InferenceRow } from '../libs/core/inference/inference-row.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { FELL_BACK, fromScratch, haveFollowed, insertRows, newId } from './support/ab-tests.js';
import { arm, EndpointTests } from './support/endpoints.js';
import { inferenceRow, insertInferences } from './support/inferences.js';

const METRICS = [...STANDARD_METRICS.map(({ name }) => name), 'feedback:score', 'feedback_rate:score'];
const [primary, ...others] = METRICS;
const HOUR = 3_600_000;
const RUNS = Number(process.env.RUNS ?? 20);

const request = fc.record({
  unit: fc.constantFrom('u1', 'u2', 'u3', 'u4', null),
  arm: fc.constantFrom('a', 'b'),
  /** Of the splits there are by then: 0 the last, 1 the one before. */
  back: fc.constantFrom(0, 0, 1),
  /** Of the row's gateway, in hours: early rows are of before the start; some clocks are ahead. */
  hours: fc.constantFrom(0, 0, 0, -1, 1),
  excluded: fc.constantFrom(null, null, null, null, 'override', 'shadow'),
  status: fc.constantFrom('ok', 'ok', 'error', 'cancelled', 'interrupted'),
  finishReason: fc.constantFrom('stop', 'content_filter', null),
  fellBack: fc.boolean(),
  schemaValid: fc.constantFrom(true, false, null),
  latencyMs: fc.option(fc.integer({ min: 1, max: 4_000_000 }).map((us) => us / 1000)),
  ttftMs: fc.option(fc.integer({ min: 1, max: 400_000 }).map((us) => us / 1000)),
  costMicroUsd: fc.option(fc.nat(1000)),
  inputTokens: fc.option(fc.nat(1000)),
  outputTokens: fc.option(fc.nat(1000)),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('rows' as const),
      rows: fc.array(request, { minLength: 1, maxLength: 8 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('judge' as const),
      /** Which of the rows there are, and those that will come. */
      which: fc.nat(40),
      score: fc.integer({ min: -4, max: 4 }).map((half) => half / 2),
      /** Judgements arrive in any order of the time they were given at. */
      minutes: fc.integer({ min: 1, max: 50 }),
      unit: fc.constantFrom(null, null, 'u1', 'u2'),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      follower: fc.constantFrom(0, 0, 1, 1, 2, 3),
      atOnce: fc.integer({ min: 1, max: 6 }),
      killed: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('split' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

describe('the sums of an A/B test', () => {
  let tests: EndpointTests;
  let followers: Follower[];
  let database: DataSource;
  beforeAll(async () => {
    tests = await EndpointTests.start({ CATENA_FOLLOW_INTERVAL_MS: '3600000' });
    const { app } = tests.registry;
    database = app.get(DataSource);
    followers = [AbTestRowFollower, AbTestJudgementFollower, FeedbackEventFollower, FeedbackRowFollower].map(
      (type) => app.get<Follower>(type, { strict: false }),
    );
    await app.get(FollowerLoop).catchUp();
  });
  afterAll(() => tests.registry.close());

  const settle = async () => {
    do
      for (const follower of followers)
        while ((await pass(database, Object.assign(follower, { rowsPerPass: 10_000 }))) === 'more');
    while (!(await haveFollowed(tests.registry)));
  };

  /** A pass that dies before it is committed. */
  const killed = (follower: Follower): Follower =>
    Object.assign(Object.create(follower) as Follower, {
      apply: async (...args: Parameters<Follower['apply']>) => {
        await follower.apply(...args);
        throw new Error('killed');
      },
    });

  async function stored(id: string) {
    const query = async (text: string) => (await tests.registry.database.client.query(text, [id])).rows;
    const of = 'WHERE test = (SELECT serial FROM ab_test WHERE id = $1)';
    const sums = await query(`SELECT * FROM ab_test_sums ${of}`);
    const exposure = await query(`SELECT * FROM ab_test_exposure ${of}`);
    const histogram = await query(
      `SELECT revision, arm, fact, bin, sum(n)::integer AS n
         FROM ab_test_histogram h CROSS JOIN LATERAL unnest(h.bins, h.requests) AS counted (bin, n) ${of} GROUP BY 1, 2, 3, 4`,
    );
    return { sums, exposure, histogram };
  }

  async function compare(id: string) {
    const expected = await fromScratch(tests.registry, id);
    const { sums, exposure, histogram } = await stored(id);
    const found = new Map(sums.map((row) => [`${row.revision} ${row.arm} ${row.metric}`, row]));
    for (const [key, wanted] of expected.sums) {
      const row = found.get(key) ?? {};
      // Of a rate over feedback the units are those of the exposure.
      const names = Object.keys(wanted).filter(
        (name) => !(name === 'units' && key.includes('feedback_rate')),
      );
      const seen = names.map((name) => [name, Number(row[name] ?? 0)]);
      expect([key, Object.fromEntries(seen)]).toEqual([
        key,
        Object.fromEntries(names.map((n) => [n, (wanted as any)[n]])),
      ]);
    }
    for (const [key, row] of found)
      if (!expected.sums.has(key)) expect([key, Number(row.y), row.units]).toEqual([key, 0, 0]);
    const exposed = exposure.map(({ test: _test, revision, arm: name, ...counts }) => [
      `${revision} ${name}`,
      counts,
    ]);
    expect(Object.fromEntries(exposed)).toEqual(Object.fromEntries(expected.exposure));
    const bins = histogram.map((row) => [`${row.revision} ${row.arm} ${row.fact} ${row.bin}`, row.n]);
    expect(Object.fromEntries(bins)).toEqual(Object.fromEntries(expected.histogram));
    return expected;
  }

  /** Runs a story with one test in it, and compares what was added up with what is there. */
  async function play(steps: readonly Step[], startAt: number, stopAt: number) {
    const { registry } = tests;
    const name = await tests.create([arm('a', 10_000)]);
    const start = new Date();
    const past = (requests: readonly Request[]) =>
      requests.map((each) => ({ ...each, hours: -1 as const, back: 0 as const }));
    let revision = 1;
    const known: string[] = [];
    const insert = async (requests: readonly Request[]) => {
      const rows = requests.map((each): Partial<InferenceRow> => {
        const { hours, back, excluded, fellBack, arm: assigned, ...fields } = each;
        const startedAt = new Date(Date.now() + hours * HOUR).toISOString();
        return {
          ...fields,
          startedAt,
          endpoint: name,
          arm: assigned,
          splitRevision: Math.max(1, revision - back),
          assignment: excluded === 'override' ? 'override' : fields.unit === null ? 'random' : 'split',
          shadowOf: excluded === 'shadow' ? newId() : null,
          modelCalls: fellBack ? FELL_BACK : null,
        };
      });
      const inserted = await insertRows(registry, rows);
      known.push(...inserted);
    };
    // Of the time when all were served alike: the past that CUPED goes by.
    const first = steps.find((each) => each.do === 'rows');
    if (first) await insert(past(first.rows));
    await tests.put(name, { arms: [arm('a', 5000), arm('b', 5000, 'support@2')] });
    revision = 2;
    const { body: draft, status } = await registry.call('POST', `/endpoints/${name}/ab-tests`, {
      hypothesis: 'None.',
      control: 'a',
      primary: { metric: primary },
      secondary: others.slice(0, 19).map((metric) => ({ metric })),
      guardrails: others.slice(19).map((metric) => ({ metric, margin: 0 })),
      minimumEffect: 0.1,
      maximumDays: 7,
    });
    expect([status, draft]).toEqual([201, draft]);
    const path = `/endpoints/${name}/ab-tests/${draft.id}`;
    for (const [at, each] of steps.entries()) {
      if (at === startAt) expect((await registry.call('POST', `${path}/start`)).status).toBe(200);
      if (at === startAt + stopAt) expect((await registry.call('POST', `${path}/stop`, {})).status).toBe(200);
      if (each.do === 'rows') await insert(each.rows);
      else if (each.do === 'judge')
        await registry.app.get(FeedbackService).accept({ workspaceId: DEFAULT_WORKSPACE_ID }, [
          readEvent(
            {
              name: 'score',
              value: each.score,
              givenAt: new Date(start.getTime() + each.minutes * 60_000).toISOString(),
              ...(each.unit === null
                ? { inferenceId: known[each.which % Math.max(1, known.length)] ?? newId() }
                : { unit: each.unit, endpoint: name }),
            },
            '',
            { nowMs: Date.now() + HOUR, eventId: newId },
          ) as any,
        ]);
      else if (each.do === 'pass') {
        const follower = Object.assign(followers[each.follower]!, { rowsPerPass: each.atOnce });
        if (each.killed) await pass(database, killed(follower)).catch(() => undefined);
        else await pass(database, follower);
      } else {
        revision++;
        const weight = revision % 2 === 0 ? 5000 : 3000;
        await tests.put(name, { arms: [arm('a', weight), arm('b', 10_000 - weight, 'support@2')] });
      }
    }
    await settle();
    const found = startAt < steps.length ? await compare(draft.id) : undefined;
    // The next story has one test to follow, not all of them.
    await registry.database.client.query('DELETE FROM ab_test WHERE id = $1', [draft.id]);
    return found;
  }

  it('are those of its rows and feedback, whatever the order, the batches, the repeats and the deaths on the way', async () => {
    let rows = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 10, maxLength: 30 }),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 5, max: 40 }),
        async (steps, startAt, stopAt) => {
          const found = await play(steps, startAt, stopAt);
          rows += found?.sums.size ?? 0;
        },
      ),
      { numRuns: RUNS, endOnFailure: true },
    );
    expect(rows).toBeGreaterThan(15 * RUNS);
  }, 120_000);

  it('are those of its rows when it is started and stopped amid transactions, and two registries count', async () => {
    const { registry } = tests;
    const name = await tests.create([arm('a', 5000), arm('b', 5000, 'support@2')]);
    const { body } = await registry.call('POST', `/endpoints/${name}/ab-tests`, {
      hypothesis: 'None.',
      control: 'a',
      primary: { metric: 'error_rate' },
      secondary: [{ metric: 'latency_ms_p95' }, { metric: 'ttft_ms_p95' }],
      minimumEffect: 0.1,
      maximumDays: 7,
    });
    const path = `/endpoints/${name}/ab-tests/${body.id}`;
    const over = new AbortController();
    const insert = async (seed: number) => {
      const client = new Client({ connectionString: registry.database.url });
      await client.connect();
      for (let at = seed; !over.signal.aborted; at += 7) {
        await client.query('BEGIN');
        await insertInferences(
          client,
          [0, 1, 2].map((more) =>
            inferenceRow({
              startedAt: new Date().toISOString(),
              endpoint: name,
              arm: 'ab'[(at + more) % 2]!,
              unit: `u${(at + more) % 50}`,
            }),
          ),
        );
        await sleep(at % 11);
        await client.query('COMMIT');
      }
      await client.end();
    };
    const [rows] = followers as [Follower];
    const count = async () => {
      while (!over.signal.aborted) await pass(database, Object.assign(rows, { rowsPerPass: 20 }));
    };
    const busy = [insert(1), insert(2), insert(3), count(), count()];
    await sleep(300);
    expect((await registry.call('POST', `${path}/start`)).status).toBe(200);
    await sleep(600);
    expect((await registry.call('POST', `${path}/stop`, {})).status).toBe(200);
    await sleep(300);
    over.abort();
    await Promise.all(busy);
    await settle();
    const { exposure } = await compare(body.id);
    expect(exposure.get('1 a')!.requests).toBeGreaterThan(20);
  }, 30_000);
});
