import { v4, v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  getStatement,
  listStatement,
  summaryStatement,
  type Statement,
} from '../apps/registry/src/inferences/inference-sql.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-11-01T00:00:00Z');
const at = (ms: number) => new Date(START + ms).toISOString();
/** Ten days, 3000 rows each, spread evenly over the day. */
const DAYS = 10;
const PER_DAY = 3000;

describe('reading inferences', () => {
  let registry: TestRegistry;
  const list = (query: Record<string, string>) =>
    registry.call('GET', `/inferences?${new URLSearchParams(query)}`);
  const summary = (query: Record<string, string>) =>
    registry.call('GET', `/inferences/summary?${new URLSearchParams(query)}`);
  const range = (fromMs: number, toMs: number) => ({ from: at(fromMs), to: at(toMs) });

  /** Partitions, and node types by name, of the plan PostgreSQL makes for a statement. */
  async function planOf({ text, values }: Statement): Promise<{ partitions: string[]; nodes: string[] }> {
    const { rows } = await registry.database.client.query(`EXPLAIN (FORMAT JSON) ${text}`, [...values]);
    const partitions = new Set<string>();
    const nodes = new Set<string>();
    const visit = (node: any): void => {
      nodes.add(node['Node Type']);
      if (node['Relation Name']) partitions.add(node['Relation Name']);
      for (const child of node.Plans ?? []) visit(child);
    };
    visit(rows[0]['QUERY PLAN'][0].Plan);
    return { partitions: [...partitions].sort(), nodes: [...nodes] };
  }

  beforeAll(async () => {
    registry = await startTestRegistry();
    const rows = Array.from({ length: DAYS * PER_DAY }, (_, i) =>
      inferenceRow({
        startedAt: at(Math.floor((i * DAY_MS) / PER_DAY)),
        unit: `user-${i % 1000}`,
        endpoint: `bot-${i % 50}`,
        chain: `chain-${i % 50}`,
        chainVersion: 1 + (i % 2),
      }),
    );
    await insertInferences(registry.database.client, rows);
    await registry.database.client.query('ANALYZE inference');
  });
  afterAll(() => registry.close());

  it('pages newest first without gap or repetition, items without bodies', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { status, body }: { status: number; body: any } = await list({
        ...range(DAY_MS - 3_600_000, DAY_MS + 3_600_000),
        limit: '37',
        ...(cursor && { cursor }),
      });
      expect(status).toBe(200);
      for (const item of body.items) {
        expect(item).not.toHaveProperty('request');
        expect(item).not.toHaveProperty('response');
        seen.push(item.id);
      }
      cursor = body.nextCursor;
    } while (cursor);
    // 3000 rows a day are 125 an hour; two hours, over midnight.
    expect(seen).toHaveLength(250);
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => (a < b ? 1 : -1)));
  });

  it('includes `from` and excludes `to`, to the millisecond, in any time zone', async () => {
    const startedAt = '2026-12-24T12:00:00.500Z';
    await insertInferences(registry.database.client, [inferenceRow({ startedAt, endpoint: 'edge' })]);
    const found = async (from: string, to: string) =>
      (await list({ from, to, endpoint: 'edge' })).body.items.length;
    expect(await found('2026-12-24T12:00:00.500Z', '2026-12-24T12:00:00.501Z')).toBe(1);
    expect(await found('2026-12-24T12:00:00.501Z', '2026-12-25T00:00:00Z')).toBe(0);
    expect(await found('2026-12-24T00:00:00Z', '2026-12-24T12:00:00.500Z')).toBe(0);
    expect(await found('2026-12-24T13:00:00.5+01:00', '2026-12-24T13:00:00.501+01:00')).toBe(1);
  });

  it('filters by every field that can be asked for', async () => {
    const startedAt = '2026-12-01T10:00:00.000Z';
    const special = {
      endpoint: 'special',
      arm: 'candidate',
      chain: 'other',
      chainVersion: 7,
      unit: 'ünit 7',
      status: 'error',
      modelEndpoint: 'cpu',
      replica: 'http://10.0.0.7:8000/v1',
      contractOutcome: 'violated',
      clientRequestId: 'Bestellung 7 ü',
    } as const;
    await insertInferences(registry.database.client, [
      inferenceRow({ startedAt, ...special }),
      inferenceRow({ startedAt, endpoint: 'plain' }),
    ]);
    for (const [field, value] of Object.entries(special)) {
      const { body } = await list({
        from: '2026-12-01T00:00:00Z',
        to: '2026-12-02T00:00:00Z',
        [field]: String(value),
      });
      expect([field, body.items.map((item: any) => item.endpoint)]).toEqual([field, ['special']]);
    }
  });

  it('gives one with everything: bodies as JSON where they are JSON, else as text', async () => {
    const row = inferenceRow({
      startedAt: '2026-12-02T10:00:00.123Z',
      metadata: '{"variables":{"ticket":"é"}}',
      request: '{"a":[1,2]}',
      response: '<html>502 Bad Gateway</html>',
      schemaValid: false,
      status: 'error',
      errorCode: 'upstream_error',
    });
    const bare = inferenceRow({
      startedAt: '2026-12-02T10:00:00.123Z',
      status: 'interrupted',
      modelEndpoint: null,
      latencyMs: null,
      response: null,
      unit: null,
    });
    await insertInferences(registry.database.client, [row, bare]);
    const { workspaceId: _, ...fields } = row;
    expect((await registry.call('GET', `/inferences/${row.id}`)).body).toEqual({
      ...fields,
      payload: 'stored',
      feedback: [],
      metadata: { variables: { ticket: 'é' } },
      request: { a: [1, 2] },
      modelCalls: [
        {
          position: 1,
          step: 'ask',
          modelEndpoint: 'gpu',
          model: 'llama-8b',
          replica: row.replica,
          outcome: 'failed',
          httpStatus: null,
          errorCode: 'upstream_error',
          inputTokens: 100,
          outputTokens: 20,
          costMicroUsd: 30,
          offsetMs: 1,
          latencyMs: 199,
          ttftMs: 49,
        },
      ],
    });
    expect((await registry.call('GET', `/inferences/${bare.id}`)).body).toMatchObject({
      response: null,
      metadata: null,
      unit: null,
    });
  });

  it('gives a body that is nested too deeply to be written as JSON as text', async () => {
    const response = '{"a":'.repeat(20_000) + '1' + '}'.repeat(20_000);
    const row = inferenceRow({ startedAt: at(-DAY_MS), response });
    await insertInferences(registry.database.client, [row]);
    const answer = await registry.call('GET', `/inferences/${row.id}`);
    expect(answer.status).toBe(200);
    expect(answer.body.response).toBe(response);
  });

  it('sums up by chain version and by arm what the rows say', async () => {
    const startedAt = '2026-12-03T10:00:00.000Z';
    const endpoint = 'compared';
    const row = (fields: object) => inferenceRow({ startedAt, endpoint, ...fields });
    await insertInferences(registry.database.client, [
      ...Array.from({ length: 100 }, (_, i) =>
        row({
          latencyMs: i + 1,
          ttftMs: (i + 1) / 10,
          schemaValid: i < 90,
          contractOutcome: i < 70 ? 'valid' : i < 90 ? 'repaired' : 'violated',
          costMicroUsd: 3_000_000_000,
        }),
      ),
      row({ status: 'error', latencyMs: 99_999, inputTokens: null, outputTokens: null, costMicroUsd: null }),
      row({
        status: 'interrupted',
        latencyMs: null,
        inputTokens: null,
        outputTokens: null,
        costMicroUsd: null,
      }),
      row({ chainVersion: 2, arm: 'candidate', status: 'cancelled', latencyMs: 5 }),
    ]);
    const query = { from: '2026-12-03T00:00:00Z', to: '2026-12-04T00:00:00Z', endpoint };
    const first = {
      shadow: false,
      cacheHits: 0,
      requests: 102,
      ok: 100,
      errors: 2,
      cancelled: 0,
      schemaValidRate: 0.9,
      contractOutcomes: { valid: 70, repaired: 20, violated: 10 },
      latencyMs: { p50: 50.5, p95: 95.05 },
      ttftMs: { p50: expect.closeTo(5.05), p95: expect.closeTo(9.505) },
      inputTokens: 10_000,
      outputTokens: 2000,
      costMicroUsd: 300_000_000_000,
    };
    const second = {
      shadow: false,
      cacheHits: 0,
      requests: 1,
      ok: 0,
      errors: 0,
      cancelled: 1,
      schemaValidRate: null,
      contractOutcomes: {},
      latencyMs: { p50: null, p95: null },
      ttftMs: { p50: null, p95: null },
      inputTokens: 100,
      outputTokens: 20,
      costMicroUsd: 30,
    };
    expect((await summary(query)).body.groups).toEqual([
      { arm: null, chain: 'support', chainVersion: 1, ...first },
      { arm: null, chain: 'support', chainVersion: 2, ...second },
    ]);
    expect((await summary({ ...query, groupBy: 'arm' })).body.groups).toEqual([
      { arm: 'candidate', chain: null, chainVersion: null, ...second },
      { arm: 'control', chain: null, chainVersion: null, ...first },
    ]);
    expect((await summary({ ...query, endpoint: 'nobody' })).body.groups).toEqual([]);
  });

  describe('the plan', () => {
    const times = (fromMs: number, toMs: number) => ({
      from: new Date(START + fromMs),
      to: new Date(START + toMs),
    });
    const query = (fields: object) => ({
      ...range(0, 1),
      limit: 50,
      shadows: 'exclude' as const,
      ...fields,
    });
    const indexed = ['Index Scan', 'Index Only Scan', 'Bitmap Heap Scan', 'Bitmap Index Scan'];

    it('of one inference reads one partition, by an index', async () => {
      const id = v7({ msecs: START + 3 * DAY_MS + 1 });
      const { partitions, nodes } = await planOf(getStatement(DEFAULT_WORKSPACE_ID, id));
      expect(partitions).toEqual(['inference_20261104', 'inference_payload_20261104']);
      expect(nodes).not.toContain('Seq Scan');
    });

    it.each([
      ['no filter', {}],
      ['an endpoint', { endpoint: 'bot-7' }],
      ['a unit', { unit: 'user-7' }],
      ['a chain version', { chain: 'chain-7', chainVersion: 2 }],
      ['a request id of the caller', { clientRequestId: 'order-7' }],
      ['a request copied', { shadowOf: v7({ msecs: START + 3 * DAY_MS }) }],
    ])('of a list with %s reads the partitions of its range, by an index', async (_, fields) => {
      const statement = listStatement(
        DEFAULT_WORKSPACE_ID,
        times(2 * DAY_MS, 4 * DAY_MS),
        query(fields),
        v7({ msecs: START + 3.5 * DAY_MS }),
      );
      const { partitions, nodes } = await planOf(statement);
      expect(partitions.filter((name) => name < 'inference_20261103')).toEqual([]);
      expect(partitions.filter((name) => name > 'inference_20261104')).toEqual([]);
      expect(nodes).not.toContain('Seq Scan');
      expect(nodes.some((node) => indexed.includes(node))).toBe(true);
    });

    it('of a summary reads the partitions of its range, by an index', async () => {
      const { partitions, nodes } = await planOf(
        summaryStatement(DEFAULT_WORKSPACE_ID, times(2 * DAY_MS, 3 * DAY_MS), 'bot-7', 'chainVersion'),
      );
      expect(partitions).toEqual(['inference_20261103']);
      expect(nodes).not.toContain('Seq Scan');
    });
  });

  describe('bad input', () => {
    const day = { from: '2026-11-01T00:00:00Z', to: '2026-11-02T00:00:00Z' };
    it.each<[string, Record<string, string>, RegExp]>([
      ['no time range', {}, /from must be an RFC 3339 time/],
      ['no end', { from: day.from }, /to must be an RFC 3339 time/],
      ['a date only', { ...day, from: '2026-11-01' }, /RFC 3339/],
      ['no time zone', { ...day, from: '2026-11-01T00:00:00' }, /RFC 3339/],
      ['30 February', { ...day, from: '2026-02-30T00:00:00Z' }, /RFC 3339/],
      ['a leap second', { ...day, from: '2016-12-31T23:59:60Z' }, /RFC 3339/],
      ['an end before the start', { from: day.to, to: day.from }, /`to` must lie after `from`/],
      ['an empty range', { from: day.to, to: day.to }, /`to` must lie after `from`/],
      ['32 days', { from: '2026-10-01T00:00:00Z', to: '2026-11-02T00:00:00Z' }, /at most 31/],
      ['an unknown status', { ...day, status: 'great' }, /ok, error, cancelled, interrupted/],
      ['version 0', { ...day, chainVersion: '0' }, /not be less than 1/],
      ['a version beyond int4', { ...day, chainVersion: '99999999999' }, /not be greater/],
      ['a unit of 10 kB', { ...day, unit: 'x'.repeat(10_000) }, /512/],
      ['a unit with NUL', { ...day, unit: '\0' }, /NUL/],
      ['a page of 201', { ...day, limit: '201' }, /not be greater than 200/],
      ['a cursor of another list', { ...day, cursor: 'Nw' }, /cursor/],
      ['an unknown filter', { ...day, colour: 'red' }, /unknown field/],
    ])('refuses %s and says how to mend it', async (_, query, message) => {
      const { status, body } = await list(query);
      expect([status, body.message]).toEqual([400, expect.stringMatching(message)]);
    });

    it('refuses a summary without endpoint, or by something else', async () => {
      expect((await summary(day)).status).toBe(400);
      expect((await summary({ ...day, endpoint: 'a', groupBy: 'mood' })).status).toBe(400);
    });

    it('takes 31 days, and times before there were any', async () => {
      expect((await list({ from: '2026-10-01T00:00:00Z', to: '2026-11-01T00:00:00Z' })).status).toBe(200);
      expect((await list({ from: '1969-12-31T00:00:00Z', to: '1970-01-02T00:00:00Z' })).body.items).toEqual(
        [],
      );
      expect((await list({ from: '9999-12-01T00:00:00Z', to: '9999-12-31T00:00:00Z' })).body.items).toEqual(
        [],
      );
      expect((await list({ from: '0000-01-01T00:00:00Z', to: '0000-01-02T00:00:00Z' })).status).toBeLessThan(
        500,
      );
    });

    it('answers 404 to an id that nobody has', async () => {
      for (const id of [v7(), v4(), 'nonsense', '%27;--', 'ffffffff-ffff-7fff-bfff-ffffffffffff'])
        expect([id, (await registry.call('GET', `/inferences/${id}`)).status]).toEqual([id, 404]);
    });
  });
});
