import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usageStatement } from '../apps/registry/src/inferences/usage-sql.js';
import type { UsageQuery } from '../apps/registry/src/inferences/usage.dto.js';
import type { InferenceRow } from '../libs/core/inference/inference-row.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const DAY = { from: '2026-11-20T00:00:00Z', to: '2026-11-21T00:00:00Z' };
const WEEK = { from: '2026-11-20T00:00:00Z', to: '2026-11-27T00:00:00Z' };

const nothingCopied = { shadowRequests: 0, shadowCostMicroUsd: 0, cacheHits: 0 };

describe('the usage', () => {
  let registry: TestRegistry;
  const usage = (query: Record<string, string>) =>
    registry.call('GET', `/usage?${new URLSearchParams(query)}`);
  const items = async (query: Record<string, string>) => (await usage(query)).body.items;

  beforeAll(async () => {
    registry = await startTestRegistry();
    const row = (hour: string, fields: Partial<InferenceRow>) =>
      inferenceRow({ startedAt: `2026-11-${hour}:00:00.000Z`, ...fields });
    await insertInferences(registry.database.client, [
      row('20T01', {
        team: 'payments',
        apiKey: 'checkout',
        endpoint: 'support',
        model: 'small',
        costMicroUsd: 10,
      }),
      row('20T02', {
        team: 'payments',
        apiKey: 'refunds',
        endpoint: 'support',
        model: 'large',
        costMicroUsd: 500,
      }),
      row('20T03', { team: null, endpoint: 'search', model: 'small', costMicroUsd: 7, chainVersion: 12 }),
      row('20T04', { team: null, endpoint: 'search', model: 'small', costMicroUsd: 7, chainVersion: 2 }),
      row('21T00', {
        team: 'risk',
        endpoint: 'search',
        chain: 'search',
        model: 'large',
        inputTokens: 1000,
        cachedInputTokens: 600,
        cacheWriteInputTokens: 300,
        outputTokens: 100,
        reasoningTokens: 40,
        costMicroUsd: 6175,
      }),
      row('21T01', {
        team: 'risk',
        endpoint: 'search',
        chain: 'search',
        modelEndpoint: null,
        model: null,
        status: 'error',
        inputTokens: null,
        outputTokens: null,
        costMicroUsd: null,
      }),
    ]);
  });
  afterAll(() => registry.close());

  it('is told by day, with all that tokens were spent on, once each', async () => {
    expect(await items(WEEK)).toEqual([
      {
        day: '2026-11-20',
        requests: 4,
        ok: 4,
        inputTokens: 400,
        cachedInputTokens: 0,
        cacheWriteInputTokens: 0,
        outputTokens: 80,
        reasoningTokens: 0,
        costMicroUsd: 524,
        requestsWithoutCost: 0,
        ...nothingCopied,
      },
      {
        day: '2026-11-21',
        requests: 2,
        ok: 1,
        inputTokens: 1000,
        cachedInputTokens: 600,
        cacheWriteInputTokens: 300,
        outputTokens: 100,
        reasoningTokens: 40,
        costMicroUsd: 6175,
        requestsWithoutCost: 1,
        ...nothingCopied,
      },
    ]);
  });

  it('says what shadows cost and what the cache saved, and leaves shadows out when asked to', async () => {
    const at = (hour: string, fields: Partial<InferenceRow>) =>
      inferenceRow({ startedAt: `2026-10-01T${hour}:00:00.000Z`, endpoint: 'copied', ...fields });
    const original = at('01', { costMicroUsd: 10 });
    const hit = { cacheHit: true, inputTokens: 0, outputTokens: 0, costMicroUsd: 0 };
    await insertInferences(registry.database.client, [
      original,
      at('02', { shadowOf: original.id, arm: 'next', costMicroUsd: 25 }),
      at('03', { ...hit, modelEndpoint: null, model: null }),
    ]);
    const october = { from: '2026-10-01T00:00:00Z', to: '2026-10-02T00:00:00Z', groupBy: 'endpoint' };
    const [all] = await items(october);
    expect(all).toMatchObject({ requests: 3, shadowRequests: 1, cacheHits: 1, costMicroUsd: 35 });
    expect(all.shadowCostMicroUsd).toBe(25);
    const [without] = await items({ ...october, shadows: 'exclude' });
    expect(without).toMatchObject({ requests: 2, shadowRequests: 0, costMicroUsd: 10, inputTokens: 100 });
    const [only] = await items({ ...october, shadows: 'only' });
    expect(only).toMatchObject({ requests: 1, shadowRequests: 1, costMicroUsd: 25, shadowCostMicroUsd: 25 });
    expect((await usage({ ...october, shadows: 'some' })).status).toBe(400);
  });

  it('is told by team, endpoint, version, model and day in one call, in the order asked for', async () => {
    const found = await items({ ...WEEK, groupBy: 'team,endpoint,chainVersion,modelEndpoint,model,day' });
    expect(
      found.map((item: any) => [
        item.team,
        item.endpoint,
        item.chain,
        item.chainVersion,
        item.modelEndpoint,
        item.model,
        item.day,
        item.costMicroUsd,
      ]),
    ).toEqual([
      [null, 'search', 'support', 2, 'gpu', 'small', '2026-11-20', 7],
      [null, 'search', 'support', 12, 'gpu', 'small', '2026-11-20', 7],
      ['payments', 'support', 'support', 1, 'gpu', 'large', '2026-11-20', 500],
      ['payments', 'support', 'support', 1, 'gpu', 'small', '2026-11-20', 10],
      ['risk', 'search', 'search', 1, null, null, '2026-11-21', 0],
      ['risk', 'search', 'search', 1, 'gpu', 'large', '2026-11-21', 6175],
    ]);
  });

  it('can be narrowed by each of them', async () => {
    const cost = async (query: Record<string, string>) =>
      (await items({ ...WEEK, groupBy: 'day', ...query })).reduce(
        (sum: number, one: any) => sum + one.costMicroUsd,
        0,
      );
    expect(await cost({ team: 'payments' })).toBe(510);
    expect(await cost({ apiKey: 'refunds' })).toBe(500);
    expect(await cost({ endpoint: 'search' })).toBe(6189);
    expect(await cost({ chain: 'search' })).toBe(6175);
    expect(await cost({ modelEndpoint: 'gpu' })).toBe(6699);
    expect(await cost({ model: 'small' })).toBe(24);
    expect(await cost({ from: DAY.from, to: DAY.to })).toBe(524);
  });

  it('comes in pages that leave nothing out and repeat nothing, groups without a name included', async () => {
    const query = { ...WEEK, groupBy: 'team,chainVersion,model', limit: '1' };
    const all = await items({ ...query, limit: '200' });
    expect(all).toHaveLength(6);
    const paged: unknown[] = [];
    let cursor: string | null = null;
    do {
      const { body }: any = await usage({ ...query, ...(cursor && { cursor }) });
      paged.push(...body.items);
      cursor = body.nextCursor;
    } while (cursor);
    expect(paged).toEqual(all);
  });

  it.each([
    [{}, 'VALIDATION_FAILED'],
    [{ from: WEEK.to, to: WEEK.from }, 'VALIDATION_FAILED'],
    [{ from: '2026-01-01T00:00:00Z', to: '2026-12-01T00:00:00Z' }, 'VALIDATION_FAILED'],
    [{ ...WEEK, groupBy: 'unit' }, 'VALIDATION_FAILED'],
    [{ ...WEEK, groupBy: '' }, 'VALIDATION_FAILED'],
    [{ ...WEEK, groupBy: 'day,day' }, 'VALIDATION_FAILED'],
    [{ ...WEEK, cursor: 'WzFd' }, 'INVALID_CURSOR'],
    [{ ...WEEK, cursor: 'x' }, 'INVALID_CURSOR'],
    [
      { ...WEEK, groupBy: 'chainVersion', cursor: Buffer.from('["a",1.5]').toString('base64url') },
      'INVALID_CURSOR',
    ],
  ] as [Record<string, string>, string][])('refuses %j', async (query, code) => {
    const { status, body } = await usage(query);
    expect([status, body.code]).toEqual([400, code]);
  });

  it('reads only the days asked for, by an index where they are many', async () => {
    const { client } = registry.database;
    const many = Array.from({ length: 5000 }, (_, n) =>
      inferenceRow({ startedAt: new Date(Date.parse('2026-12-01T00:00:00Z') + n * 17_000).toISOString() }),
    );
    await insertInferences(client, many);
    await client.query('ANALYZE inference');
    const range = { from: new Date('2026-12-01T10:00:00Z'), to: new Date('2026-12-01T10:30:00Z') };
    const query = { groupBy: ['endpoint', 'model'], limit: 50 } as unknown as UsageQuery;
    const { text, values } = usageStatement(DEFAULT_WORKSPACE_ID, range, query, undefined);
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) ${text}`, [...values]);
    const plan = JSON.stringify(rows[0]);
    expect(plan).toContain('inference_20261201');
    expect(plan).not.toContain('inference_20261120');
    expect(plan).toMatch(/"Node Type":"(Bitmap )?Index/);
    expect(plan).not.toContain('"Seq Scan"');
  });
});
