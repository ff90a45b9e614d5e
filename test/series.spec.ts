import fc from 'fast-check';
import { DataSource, type EntityManager } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Arrivals } from '../apps/registry/src/arrivals/follower.js';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { catchUp, pass } from '../apps/registry/src/arrivals/pass.js';
import { SumsFollower } from '../apps/registry/src/series/sums-follower.js';
import { SumsRetention } from '../apps/registry/src/series/sums-retention.js';
import { seriesStatement } from '../apps/registry/src/series/series-sql.js';
import { binOf, binSql } from '../libs/core/histogram/log-bins.js';
import type { InferenceRow, InferenceStatus } from '../libs/core/inference/inference-row.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

/** Is killed after its writes, as often as it is told to. */
class Killed extends SumsFollower {
  override rowsPerPass = 3;
  kills = 0;

  override async apply(tx: EntityManager, arrivals: Arrivals): Promise<void> {
    await super.apply(tx, arrivals);
    if (this.kills-- > 0) await tx.query('SELECT pg_terminate_backend(pg_backend_pid())');
  }
}

let registry: TestRegistry;
let source: DataSource;

beforeAll(async () => {
  // Its own followers stand still.
  registry = await startTestRegistry({ CATENA_FOLLOW_INTERVAL_MS: '3600000' });
  const { url } = registry.database;
  source = await new DataSource(
    dataSourceOptions({ url, poolSize: 2, applicationName: 'test' }),
  ).initialize();
});

afterAll(async () => {
  await source?.destroy();
  await registry?.close();
});

const rarely = <T>(usual: T, other: T) => fc.constantFrom(usual, usual, usual, usual, usual, other);

/** Those that are no whole microseconds tell how they were rounded; the last are no times, and must hold up nothing. */
const milliseconds = fc.oneof(
  { weight: 8, arbitrary: fc.double({ min: 0, max: 4e6, noNaN: true }) },
  { weight: 4, arbitrary: fc.constantFrom(0.0004, 2.0006) },
  { weight: 1, arbitrary: fc.constantFrom(-1, Number.NaN, 1e300) },
);

const row = fc
  .record({
    startedAt: fc.constantFrom(
      '2026-09-30T23:59:59.999Z',
      '2026-10-01T00:00:00.000Z',
      '2026-10-01T00:00:59.999Z',
      '2026-10-20T12:34:56.789Z',
    ),
    // Mostly alike, so that rows meet in one minute's sums.
    endpoint: rarely('a', 'b'),
    splitRevision: rarely(1, 2),
    arm: fc.constantFrom('control', 'new'),
    chainVersion: rarely(1, 2),
    shadowOf: rarely(null, '01935b7c-0000-7000-8000-000000000000'),
    modelEndpoint: rarely<string | null>('gpu', null),
    status: fc.constantFrom<InferenceStatus>('ok', 'ok', 'ok', 'error', 'cancelled', 'interrupted'),
    cacheHit: fc.constantFrom(null, true, false),
    attempts: fc.integer({ min: 0, max: 4 }),
    schemaValid: fc.constantFrom(null, true, false),
    inputTokens: fc.option(fc.integer({ min: 0, max: 1e6 })),
    cachedInputTokens: fc.option(fc.integer({ min: 0, max: 1e6 })),
    outputTokens: fc.option(fc.integer({ min: 0, max: 1e6 })),
    costMicroUsd: fc.option(fc.integer({ min: 0, max: 1e9 })),
    latencyMs: fc.option(milliseconds),
    ttftMs: fc.option(milliseconds),
    isFallback: fc.boolean(),
  })
  .map(({ isFallback, ...fields }) => ({
    ...inferenceRow(fields),
    modelCalls: isFallback ? FALLBACK : null,
  }));
// As a list, which JSON carries into the column; the row type has its text.
const FALLBACK = [{ step: 'ask' }, { step: 'fallback' }] as unknown as string;

/** What rows add up to, per key. */
function addedUp(
  rows: readonly InferenceRow[],
  timeOf: (row: InferenceRow) => string,
): Record<string, Record<string, unknown>> {
  const groups = Map.groupBy(rows, (of) =>
    [
      of.endpoint,
      timeOf(of),
      of.splitRevision,
      of.arm,
      of.chainVersion,
      of.shadowOf !== null,
      of.modelEndpoint ?? '',
    ].join(' '),
  );
  const sums = (all: InferenceRow[]) => {
    const count = (is: (of: InferenceRow) => boolean) => all.filter(is).length;
    const sum = (of: (row: InferenceRow) => number | null) =>
      all.reduce((total, one) => total + (of(one) ?? 0), 0);
    const times = (of: (row: InferenceRow) => number | null) => {
      const measured = all
        .filter(({ status, cacheHit }) => status === 'ok' && cacheHit !== true)
        .flatMap((one) => of(one) ?? [])
        .filter((ms) => ms >= 0 && ms <= 1e9);
      const bins = [...Map.groupBy(measured, binOf)].map(([bin, values]) => values.length * 1024 + bin);
      return {
        rows: measured.length,
        us: measured.reduce((total, ms) => total + Math.round(ms * 1_000), 0),
        bins: bins.toSorted((a, b) => (a % 1024) - (b % 1024)),
      };
    };
    const [latency, ttft] = [times(({ latencyMs }) => latencyMs), times(({ ttftMs }) => ttftMs)];
    return {
      requests: all.length,
      ok: count(({ status }) => status === 'ok'),
      errors: count(({ status }) => status === 'error'),
      cancelled: count(({ status }) => status === 'cancelled'),
      interrupted: count(({ status }) => status === 'interrupted'),
      cache_hits: count(({ cacheHit }) => cacheHit === true),
      fallbacks: count(({ modelCalls }) => modelCalls !== null),
      attempts: sum(({ attempts }) => attempts),
      schema_rows: count(({ schemaValid }) => schemaValid !== null),
      schema_valid: count(({ schemaValid }) => schemaValid === true),
      input_tokens: sum(({ inputTokens }) => inputTokens),
      cached_input_tokens: sum(({ cachedInputTokens }) => cachedInputTokens),
      output_tokens: sum(({ outputTokens }) => outputTokens),
      cost_micro_usd: sum(({ costMicroUsd }) => costMicroUsd),
      latency_rows: latency.rows,
      latency_us: latency.us,
      latency_bins: latency.bins,
      ttft_rows: ttft.rows,
      ttft_us: ttft.us,
      ttft_bins: ttft.bins,
    };
  };
  return Object.fromEntries([...groups].map(([key, all]) => [key, sums(all)]));
}

async function stored(table: string): Promise<Record<string, Record<string, unknown>>> {
  const { rows } = await registry.database.client.query(
    `SELECT concat_ws(' ', endpoint, to_char(starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:00.000"Z"'), split_revision,
                      arm, chain_version, shadow::text, model_endpoint) AS key, m.* FROM ${table} m`,
  );
  const outside = [
    'key',
    'workspace_id',
    'endpoint',
    'starts_at',
    'split_revision',
    'arm',
    'chain',
    'chain_version',
  ];
  outside.push('shadow', 'model_endpoint', 'model');
  return Object.fromEntries(
    rows.map((one) => {
      const sums = Object.entries<any>(one).filter(([name]) => !outside.includes(name));
      return [
        one.key,
        Object.fromEntries(
          sums.map(([name, value]) => [name, Array.isArray(value) ? value.map(Number) : value]),
        ),
      ];
    }),
  );
}

describe('sums per minute', () => {
  it('are the sums of the rows, in whatever order and batches they came and however often the follower was killed', async () => {
    const { client } = registry.database;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            rows: fc.array(row, { minLength: 1, maxLength: 8 }),
            kills: fc.constantFrom(0, 0, 1, 2),
          }),
          {
            minLength: 1,
            maxLength: 6,
          },
        ),
        async (batches) => {
          await client.query(
            'TRUNCATE inference; TRUNCATE inference_payload; TRUNCATE inference_minute, inference_hour; DELETE FROM follower',
          );
          await client.query(`INSERT INTO follower VALUES ('inference-sums', 0, now())`);
          const follower = new Killed();
          for (const { rows, kills } of batches) {
            await insertInferences(client, rows);
            follower.kills = kills;
            await pass(source, follower).catch(() => undefined);
          }
          follower.kills = 0;
          await catchUp(source, follower);
          const all = batches.flatMap(({ rows }) => rows);
          const minuteOf = ({ startedAt }: InferenceRow) => `${startedAt.slice(0, 16)}:00.000Z`;
          expect(await stored('inference_minute')).toEqual(addedUp(all, minuteOf));
          const hourOf = ({ startedAt }: InferenceRow) => `${startedAt.slice(0, 13)}:00:00.000Z`;
          expect(await stored('inference_hour')).toEqual(addedUp(all, hourOf));
        },
      ),
      { numRuns: 12 },
    );
  });

  it('are as late as the metrics of the registry say', async () => {
    const metrics = await (await fetch(`${registry.url}/metrics`)).text();
    expect(metrics).toMatch(/^catena_follower_behind_seconds\{follower="inference-sums"\} [0-9.]+$/m);
    expect(metrics).toMatch(/^catena_follower_failures_total\{follower="inference-sums"\} 0$/m);
  });

  it('have the bins that the code has', async () => {
    const values = fc.sample(fc.double({ min: 0, max: 1e8, noNaN: true }), 2_000);
    const { rows } = await registry.database.client.query<{ bin: number | null }>(
      `SELECT ${binSql('ms')} AS bin FROM unnest($1::float8[]) WITH ORDINALITY AS x (ms, n) ORDER BY n`,
      [[...values, -1, null]],
    );
    expect(rows.map(({ bin }) => bin)).toEqual([...values.map(binOf), 0, null]);
  });

  it('are dropped by whole months when they are older than they are kept', async () => {
    const { client } = registry.database;
    const { rows: others } = await client.query(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent IN ('inference_minute'::regclass, 'inference_hour'::regclass)`,
    );
    for (const { name } of others) await client.query(`DROP TABLE ${name}`);
    const months = await client.query<{ month: string }>(
      `SELECT to_char(now() AT TIME ZONE 'UTC' - n * interval '1 month', 'YYYYMM') AS month,
              catena_ensure_sums_partition((now() AT TIME ZONE 'UTC' - n * interval '1 month')::date)
         FROM generate_series(3, 1, -1) n`,
    );
    const [three, two, one] = months.rows.map(({ month }) => [
      `inference_hour_${month}`,
      `inference_minute_${month}`,
    ]);
    const retention = registry.app.get(SumsRetention);
    const age = `SELECT (now() AT TIME ZONE 'UTC')::date - date_trunc('month', now() AT TIME ZONE 'UTC' - interval '1 month')::date AS days`;
    // So long ago began the month before: it is kept, and so is none of those before it.
    const { days } = (await client.query<{ days: number }>(age)).rows[0]!;
    expect(await retention.drop(days + 1)).toEqual(three);
    expect(await retention.drop(days)).toEqual(two);
    expect(await retention.drop(days)).toEqual([]);
    expect(await retention.drop(days - 31)).toEqual(one);
  });
});

describe('the series of an endpoint', () => {
  const read = (query: string) => registry.call('GET', `/endpoints/shop/series?${query}`);
  const DAY = 'from=2026-10-20T00:00:00Z&to=2026-10-21T00:00:00Z';

  beforeAll(async () => {
    const { client } = registry.database;
    await client.query('TRUNCATE inference; TRUNCATE inference_minute, inference_hour');
    for (const name of ['shop', 'quiet'])
      await client.query(
        `INSERT INTO endpoint (id, workspace_id, name, split_revision, created_at, created_by, updated_at)
         VALUES (gen_random_uuid(), $1, $2, 1, now(), 'test', now())`,
        [DEFAULT_WORKSPACE_ID, name],
      );
    const rows: InferenceRow[] = [];
    for (let n = 0; n < 400; n++)
      rows.push(
        inferenceRow({
          startedAt: new Date(Date.UTC(2026, 9, 20, 10, n % 20, n % 60)).toISOString(),
          endpoint: 'shop',
          arm: n % 4 === 0 ? 'new' : 'control',
          chainVersion: n % 4 === 0 ? 2 : 1,
          latencyMs: n + 1,
          ttftMs: n % 3 === 1 ? null : (n + 1) / 10,
          schemaValid: n % 3 === 0 ? null : n % 5 !== 0,
          status: n % 40 === 39 ? 'error' : 'ok',
        }),
      );
    rows.push(
      inferenceRow({ startedAt: '2026-10-20T10:00:00.000Z', endpoint: 'shop', shadowOf: rows[0]!.id }),
    );
    rows.push(inferenceRow({ startedAt: '2026-10-20T10:00:00.000Z', endpoint: 'other' }));
    await insertInferences(client, rows);
    await registry.app.get(FollowerLoop).catchUp();
  });

  it('agrees with the summary, which reads the rows', async () => {
    const { body: summary } = await registry.call(
      'GET',
      `/inferences/summary?${DAY}&endpoint=shop&groupBy=arm`,
    );
    const { body } = await read(`${DAY}&step=1d&groupBy=arm`);
    expect(body.series.map((one: any) => one.arm)).toEqual(['control', 'new']);
    for (const [index, { points }] of body.series.entries()) {
      const group = summary.groups.filter(({ shadow }: any) => !shadow)[index];
      expect(points).toHaveLength(1);
      const { at, latencyMs, ttftMs, errors, interrupted, ...same } = points[0];
      expect(at).toBe('2026-10-20T00:00:00.000Z');
      expect(errors + interrupted).toBe(group.errors);
      for (const name of [
        'requests',
        'ok',
        'cancelled',
        'cacheHits',
        'schemaValidRate',
        'inputTokens',
        'outputTokens',
        'costMicroUsd',
      ])
        expect([name, same[name]]).toEqual([name, group[name]]);
      for (const [mine, exact] of [
        [latencyMs, group.latencyMs],
        [ttftMs, group.ttftMs],
      ])
        for (const level of ['p50', 'p95'])
          expect(Math.abs(mine[level] / exact[level] - 1)).toBeLessThan(0.03);
    }
  });

  it('has a point per step that has requests', async () => {
    const minutes = (await read(`${DAY}&step=1m`)).body.series;
    expect(minutes).toHaveLength(1);
    expect(minutes[0].points).toHaveLength(20);
    expect(minutes[0].points[3].at).toBe('2026-10-20T10:03:00.000Z');
    const steps = (await read('from=2026-10-20T10:07:30Z&to=2026-10-20T10:12:01Z&step=5m')).body.series[0]
      .points;
    expect(steps.map((point: any) => [point.at, point.requests])).toEqual([
      ['2026-10-20T10:05:00.000Z', 60],
      ['2026-10-20T10:10:00.000Z', 60],
    ]);
    const versions = (await read(`${DAY}&step=1h&groupBy=chainVersion`)).body.series;
    expect(versions.map((one: any) => [one.chain, one.chainVersion, one.points[0].requests])).toEqual([
      ['support', 1, 300],
      ['support', 2, 100],
    ]);
    const models = (await read(`${DAY}&step=1h&groupBy=model&shadows=include`)).body.series;
    expect(models.map((one: any) => [one.modelEndpoint, one.model, one.points[0].requests])).toEqual([
      ['gpu', 'llama-8b', 401],
    ]);
    expect((await read(`${DAY}&step=1h&shadows=only`)).body.series[0].points[0].requests).toBe(1);
  });

  it('is empty where nothing was asked, and refuses unknown endpoints and ranges that are too long', async () => {
    const of = (name: string) => registry.call('GET', `/endpoints/${name}/series?${DAY}&step=1h`);
    expect((await of('quiet')).body).toEqual({ series: [] });
    expect(await of('none')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
    expect((await read('from=2026-10-01T00:00:00Z&to=2026-10-21T00:00:00Z&step=1m')).body).toMatchObject({
      code: 'VALIDATION_FAILED',
      message:
        'The time range is not valid: the range has 28800 steps of 1m; ask for at most 2000, or for a wider step.',
    });
    for (const query of [
      'step=1m',
      `${DAY}&step=2m`,
      DAY,
      'from=2026-10-01T00:00:00Z&to=2026-12-21T00:00:00Z&step=1d',
    ])
      expect([query, (await read(query)).status]).toEqual([query, 400]);
  });

  it('reads an interval of the primary key, in the months of the range only', async () => {
    const { client } = registry.database;
    await client.query(
      `INSERT INTO inference_minute SELECT workspace_id, 'e' || n, starts_at, split_revision, arm, chain, chain_version, shadow, model_endpoint,
              model, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1, '{}', 0, 0, '{}' FROM inference_minute, generate_series(1, 200) n
        WHERE endpoint = 'shop'`,
    );
    await client.query('VACUUM ANALYZE inference_minute');
    const range = { from: new Date('2026-10-20T10:03:00Z'), to: new Date('2026-10-20T10:05:00Z') };
    const { text, values } = seriesStatement(DEFAULT_WORKSPACE_ID, 'shop', range, {
      from: '',
      to: '',
      step: '1m',
      shadows: 'exclude',
    });
    const answer = await client.query(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${text}`, [...values]);
    const plan = answer.rows.map((one) => one['QUERY PLAN']).join('\n');
    expect(plan).toMatch(
      /Index Scan using inference_minute_202610_pkey|Bitmap Index Scan on inference_minute_202610_pkey/,
    );
    expect(plan).not.toMatch(/Seq Scan|inference_minute_202609/);
  });
});
