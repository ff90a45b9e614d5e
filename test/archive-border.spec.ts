import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferenceRow } from '../libs/core/inference/inference-row.js';
import { readArchive, startArchiveRegistry, type ArchiveRegistry } from './support/archive.js';
import { inferenceRow, insertInferences } from './support/inferences.js';

const DAYS = ['2026-11-10', '2026-11-11', '2026-11-12'] as const;
const FROM = `${DAYS[0]}T00:00:00Z`;
const TO = '2026-11-13T00:00:00Z';
const PER_DAY = 60;

const STRANGE = [
  'plain',
  '',
  ' ',
  'null',
  '\\N',
  '\\.',
  'a,b;c\td',
  'say "hi"',
  "it's; DROP TABLE inference; --",
  'line\nline\r\nline',
  '\u0001\u0002\u0003\u001f\u007f',
  '😀 ünïcödé \u2028 \u202e',
  '=1+1',
];

/** Columns of type jsonb are inserted as what they hold. */
const json = (value: unknown) => value as string;

/** One of a list, by turns. */
const turn = <T>(list: readonly T[], n: number): T => list[n % list.length]!;

function varied(n: number): InferenceRow {
  const day = turn(DAYS, n);
  const startedAt = new Date(Date.parse(`${day}T00:00:00Z`) + n * 400_123).toISOString();
  const isOk = n % 5 !== 0;
  return inferenceRow({
    startedAt,
    endpoint: turn(['support-bot', 'other'], n),
    arm: turn(['control', 'candidate'], n >> 1),
    chain: turn(['support', 'Support', 'x'], n),
    chainVersion: 1 + (n % 3),
    unit: turn([...STRANGE, null], n),
    status: isOk ? 'ok' : turn(['error', 'cancelled', 'interrupted'] as const, n / 5),
    errorCode: isOk ? null : 'upstream_error',
    modelEndpoint: turn(['gpu', 'vendor', null], n),
    dataClass: turn(['internal', 'public', null] as const, n),
    apiKey: turn(['checkout', null], n),
    team: turn(['payments', null], n),
    clientRequestId: turn(['order-1', 'order-2', null], n),
    shadowOf: n % 11 === 0 ? v7() : null,
    cacheHit: turn([true, false, null], n),
    schemaValid: turn([true, false, null], n),
    contractOutcome: turn(['valid', 'repaired', 'violated', null] as const, n),
    contractRungs: n % 4 === 0 ? json([{ rung: 'repair', outcome: 'valid' }]) : null,
    attempts: n % 6,
    modelCalls:
      n % 6 > 1
        ? json([
            {
              step: 'ask',
              modelEndpoint: 'gpu',
              model: 'm',
              replica: 'r',
              outcome: 'failed',
              httpStatus: 500,
              errorCode: 'x',
              inputTokens: null,
              outputTokens: null,
              costMicroUsd: null,
              offsetMs: 1.5,
              latencyMs: 2,
              ttftMs: null,
            },
            {
              step: 'retry',
              modelEndpoint: 'gpu',
              model: 'm',
              replica: 'r',
              outcome: 'ok',
              httpStatus: 200,
              errorCode: null,
              inputTokens: 3,
              outputTokens: 4,
              costMicroUsd: 5_000_000_000,
              offsetMs: 4,
              latencyMs: 0.1 + n,
              ttftMs: 1,
            },
          ])
        : null,
    costMicroUsd: n % 7 === 0 ? 5_000_000_000_000 : n,
    latencyMs: n % 9 === 0 ? null : 100 / 3 + n * 1.1,
    ttftMs: n % 3 === 0 ? null : Math.PI * n,
    metadata: turn([null, '{"a":"\\u0000 \\n"}', '[]'], n),
    request: turn(['{"model":"m"}', ...STRANGE], n),
    response: turn([null, '{\n "choices": []\n}', ...STRANGE, 'x'.repeat(1024 * 1024)], n),
  });
}

/** The two interpolate percentiles in different orders: the last bit may differ. */
const rounded = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, it: unknown) => (typeof it === 'number' ? Number(it.toPrecision(13)) : it)),
  );

describe('questions over archived days', () => {
  let registry: ArchiveRegistry;
  const rows = Array.from({ length: DAYS.length * PER_DAY }, (_, n) => varied(n));

  beforeAll(async () => {
    registry = await startArchiveRegistry();
    await insertInferences(registry.database.client, rows);
  });
  afterAll(() => registry.close());

  const get = async (path: string, query: Record<string, string> = {}) =>
    (await registry.call('GET', `/inferences${path}?${new URLSearchParams(query)}`)).body;

  async function pages(query: Record<string, string>): Promise<unknown[]> {
    const found: unknown[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const body: any = await get('', { from: FROM, to: TO, ...query, ...(cursor && { cursor }) });
      found.push(...body.items);
      cursor = body.nextCursor;
    }
    return found;
  }

  /** Everything that can be asked. */
  async function answers(): Promise<Record<string, unknown>> {
    const shadow = rows.find(({ shadowOf }) => shadowOf !== null)!;
    const filters: Record<string, string>[] = [
      { limit: '200' },
      { limit: '20' },
      { limit: '200', from: '2026-11-10T03:20:00.123Z', to: '2026-11-12T01:00:00Z' },
      { endpoint: 'other' },
      { arm: 'candidate' },
      { chain: 'Support' },
      { chain: 'support', chainVersion: '1' },
      ...STRANGE.filter((text) => text !== '').map((unit) => ({ unit })),
      { status: 'error' },
      { modelEndpoint: 'vendor' },
      { contractOutcome: 'violated' },
      { dataClass: 'public' },
      { apiKey: 'checkout' },
      { team: 'payments' },
      { clientRequestId: 'order-1' },
      { shadows: 'include' },
      { shadows: 'only' },
      { shadowOf: shadow.shadowOf!.toUpperCase() },
      { endpoint: 'nobody' },
    ];
    const found: Record<string, unknown> = {};
    for (const filter of filters) found[JSON.stringify(filter)] = await pages(filter);
    for (const groupBy of ['arm', 'chainVersion'])
      found[groupBy] = rounded(
        await get('/summary', { from: FROM, to: TO, endpoint: 'support-bot', groupBy }),
      );
    for (const { id } of rows.slice(0, 90)) found[id] = await get(`/${id}`);
    return found;
  }

  it('get the answers they got when PostgreSQL had the rows', { timeout: 120_000 }, async () => {
    const before = await answers();
    expect((before['{"limit":"200"}'] as unknown[]).length).toBeGreaterThan(150);
    expect(await registry.archiveBefore(DAYS[2])).toBe(2);
    await registry.dropDay(DAYS[0]);
    await registry.dropDay(DAYS[1]);
    const after = await answers();
    for (const [question, answer] of Object.entries(before))
      expect([question, after[question]]).toEqual([question, answer]);
  });

  it('see a late row of an archived day at once, and a row that came twice once', async () => {
    const late = inferenceRow({ startedAt: `${DAYS[0]}T23:00:00.000Z`, endpoint: 'late-bot' });
    const again = rows.find(({ startedAt, shadowOf }) => startedAt.startsWith(DAYS[0]) && shadowOf === null)!;
    const before = (await pages({ limit: '200' })) as { id: string }[];
    const summary = await get('/summary', { from: FROM, to: TO, endpoint: again.endpoint, groupBy: 'arm' });
    await insertInferences(registry.database.client, [late, again]);
    const check = async () => {
      const ids = ((await pages({ limit: '200' })) as { id: string }[]).map(({ id }) => id);
      expect(ids).toEqual([...before.map(({ id }) => id), late.id].toSorted().toReversed());
      expect(await get(`/${late.id}`)).toMatchObject({ endpoint: 'late-bot', payload: 'stored' });
      expect(
        (await get('/summary', { from: FROM, to: TO, endpoint: 'late-bot', groupBy: 'arm' })).groups,
      ).toMatchObject([{ requests: 1 }]);
      expect(await get('/summary', { from: FROM, to: TO, endpoint: again.endpoint, groupBy: 'arm' })).toEqual(
        summary,
      );
    };
    await check();
    expect(await registry.archiveBefore(DAYS[2])).toBe(1);
    await check();
    await registry.dropDay(DAYS[0]);
    await check();
    const archive = await readArchive(registry.bucket);
    expect(await archive.query(`SELECT id FROM inferences GROUP BY id HAVING count(*) > 1`)).toEqual([]);
    expect(
      await archive.query(`SELECT inference_id, position FROM model_calls GROUP BY ALL HAVING count(*) > 1`),
    ).toEqual([]);
    expect(await archive.query(`SELECT id FROM inferences WHERE endpoint = 'late-bot'`)).toEqual([
      { id: late.id },
    ]);
    expect(archive.keys.filter((key) => key.includes('part-00001'))).toHaveLength(2);
  });

  it('do not open files of other workspaces', async () => {
    const foreign = inferenceRow({ startedAt: `${DAYS[1]}T12:00:00.000Z`, workspaceId: v7() });
    await registry.database.client.query(
      `INSERT INTO workspace (id, name, created_at) VALUES ($1, 'other', now())`,
      [foreign.workspaceId],
    );
    await insertInferences(registry.database.client, [foreign]);
    await registry.archiveBefore(DAYS[2]);
    await registry.dropDay(DAYS[1]);
    expect((await registry.call('GET', `/inferences/${foreign.id}`)).status).toBe(404);
    const ids = (await pages({ limit: '200' })) as { id: string }[];
    expect(ids.map(({ id }) => id)).not.toContain(foreign.id);
  });
});
