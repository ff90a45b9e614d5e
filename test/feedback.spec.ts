import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { FeedbackUpkeep } from '../apps/registry/src/feedback/feedback-upkeep.js';
import { listStatement, summaryStatement } from '../apps/registry/src/feedback/feedback-sql.js';
import { MAX_EVENTS } from '../libs/core/feedback/read-feedback.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const NOW = Date.now();
const at = (ms: number) => new Date(NOW + ms).toISOString();
const INFERENCE_ID = '019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11';
const RANGE = { from: at(-86_400_000), to: at(60_000) };

describe('feedback at the registry', () => {
  let registry: TestRegistry;
  const give = (body: unknown) => registry.call('POST', '/feedback', body);
  const list = async (query: Record<string, string>) =>
    registry.call('GET', `/feedback?${new URLSearchParams(query)}`);
  const catchUp = () => registry.app.get(FollowerLoop).catchUp();

  beforeAll(async () => {
    registry = await startTestRegistry({ CATENA_FOLLOW_INTERVAL_MS: '3600000' });
  });
  afterAll(() => registry.close());

  it('takes one event or many, each once, and says which were there already', async () => {
    const one = { eventId: 'x1', unit: 'u', name: 'stars', value: 4 };
    expect((await give(one)).body).toEqual({
      accepted: 1,
      duplicates: 0,
      events: [{ eventId: 'x1', status: 'accepted' }],
    });
    const answer = await give({
      events: [
        { ...one, value: 1 },
        { ...one, eventId: 'x2' },
        { ...one, eventId: 'x2' },
      ],
    });
    expect(answer.body).toMatchObject({
      accepted: 1,
      duplicates: 2,
      events: [{ status: 'duplicate' }, { status: 'accepted' }, { status: 'duplicate' }],
    });
    const { body } = await list({ unit: 'u' });
    expect(body.items.map((item: any) => [item.eventId, item.value])).toEqual([
      ['x2', 4],
      ['x1', 4],
    ]);
    const made = await give({ unit: 'u-made', name: 'stars', value: 5 });
    expect(made.body.events[0].eventId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('keeps every kind of value, and who gave it and why', async () => {
    const kinds = [
      { value: false, kind: undefined, shown: ['boolean', false] },
      { value: -1.5, kind: undefined, shown: ['number', -1.5] },
      { value: 'wrong tone', kind: 'category', shown: ['category', 'wrong tone'] },
      { value: '', kind: 'text', shown: ['text', ''] },
      { value: 'Dear Sir', kind: 'correction', shown: ['correction', 'Dear Sir'] },
      { value: { total: 3 }, kind: 'correction', shown: ['correction', '{"total":3}'] },
    ];
    for (const { value, kind, shown } of kinds) {
      const unit = `kinds-${JSON.stringify(value)}`;
      const about = {
        source: 'llm_judge',
        sourceId: 'judge-2',
        comment: 'why',
        metadata: { n: 1, ok: true, channel: 'mail' },
        givenAt: '2026-11-01T10:00:00.5+02:00',
      };
      expect((await give({ unit, name: 'k', value, kind, ...about })).status).toBe(200);
      const { body } = await list({ unit });
      expect([body.items[0].kind, body.items[0].value]).toEqual(shown);
      expect(body.items[0]).toMatchObject({ ...about, givenAt: '2026-11-01T08:00:00.500Z', match: null });
    }
  });

  it('refuses a batch with anything wrong in it as a whole, and says how to mend it', async () => {
    const good = { unit: 'refused', name: 'n', value: true };
    const id = '019c0f3e-5b7a-4c7e-9f0e-3a5d2f6b8c11';
    const cases: [unknown, string, RegExp][] = [
      [{ ...good, unit: undefined }, '', /what it is about: "inferenceId", "clientRequestId" or "unit"/],
      [{ ...good, clientRequestId: 'r' }, '', /only one of "clientRequestId" and "unit"/],
      [{ ...good, unit: undefined, inferenceId: id }, '/inferenceId', /UUIDv7.*goes into "clientRequestId"/],
      [{ ...good, value: undefined }, '/value', /is missing/],
      [{ ...good, value: 'x' }, '/kind', /say which/],
      [{ ...good, value: 'x', kind: 'number' }, '/value', /must be a number/],
      [{ ...good, value: 1e16 }, '/value', /must be a number between/],
      [{ ...good, kind: 'stars' }, '/kind', /one of "boolean"/],
      [{ ...good, name: 'a:b' }, '/name', /1 to 128/],
      [{ ...good, eventId: 'link:1' }, '/eventId', /feedback links make such ids/],
      [{ ...good, eventId: 7 }, '/eventId', /must be a text/],
      [{ ...good, unit: 'ü'.repeat(257) }, '/unit', /at most 512 bytes/],
      [{ ...good, metadata: { a: [] } }, '/metadata', /flat/],
      [{ ...good, givenAt: 'today' }, '/givenAt', /RFC 3339/],
      [{ ...good, givenAt: '2026-02-31T25:00:00Z' }, '/givenAt', /RFC 3339/],
      [{ ...good, givenAt: at(3_600_000) }, '/givenAt', /future/],
      [{ ...good, score: 1 }, '/score', /unknown field/],
    ];
    for (const [event, path, message] of cases) {
      for (const [body, prefix] of [
        [event, ''],
        [{ events: [good, event] }, '/events/1'],
      ] as const) {
        const answer = await give(body);
        expect([answer.status, answer.body.code]).toEqual([400, 'VALIDATION_FAILED']);
        expect(answer.body.details).toEqual([
          { path: prefix + path, message: expect.stringMatching(message) },
        ]);
      }
    }
    expect((await give({ events: [] })).body.message).toMatch(`1 to ${MAX_EVENTS}`);
    expect((await give({ events: Array.from({ length: MAX_EVENTS + 1 }, () => good) })).status).toBe(400);
    expect((await give({ events: [good], name: 'n' })).body.message).toMatch('beside "events"');
    for (const body of ['3', '"x"', 'null']) expect((await give(body)).status).toBe(400);
    expect((await list({ unit: 'refused' })).body.items).toEqual([]);
  });

  it('lists by what it is about, by name, by time and by whether it has its inference, in pages', async () => {
    const row = inferenceRow({
      startedAt: at(-5000),
      clientRequestId: 'order-1',
      unit: 'list-unit',
      endpoint: 'list-bot',
    });
    await insertInferences(registry.database.client, [row]);
    await give({
      events: [
        { eventId: 'l1', inferenceId: row.id, name: 'thumbs', value: true, givenAt: at(-4000) },
        { eventId: 'l2', clientRequestId: 'order-1', name: 'thumbs', value: false, givenAt: at(-3000) },
        { eventId: 'l3', unit: 'list-unit', name: 'solved', value: true },
        { eventId: 'l4', clientRequestId: 'order-404', endpoint: 'list-bot', name: 'thumbs', value: true },
      ],
    });
    await catchUp();
    const ids = async (query: Record<string, string>) => {
      const { status, body } = await list(query);
      expect([status, body.message]).toEqual([200, undefined]);
      return body.items.map((item: any) => item.eventId).sort();
    };
    expect(await ids({ inferenceId: row.id })).toEqual(['l1', 'l2']);
    expect(await ids({ inferenceId: row.id, latest: 'true' })).toEqual(['l2']);
    expect(await ids({ clientRequestId: 'order-1' })).toEqual(['l2']);
    expect(await ids({ unit: 'list-unit' })).toEqual(['l1', 'l2', 'l3']);
    expect(await ids({ ...RANGE, endpoint: 'list-bot' })).toEqual(['l1', 'l2', 'l3', 'l4']);
    expect(await ids({ ...RANGE, endpoint: 'list-bot', matched: 'false' })).toEqual(['l4']);
    expect(await ids({ ...RANGE, endpoint: 'list-bot', name: 'solved', matched: 'true' })).toEqual(['l3']);
    expect(await ids({ from: at(-86_400_000), to: at(-3_600_000), endpoint: 'list-bot' })).toEqual([]);
    const { body: first } = await list({ unit: 'list-unit', limit: '2' });
    const { body: rest } = await list({ unit: 'list-unit', limit: '2', cursor: first.nextCursor });
    expect([...first.items, ...rest.items].map((item: any) => item.eventId)).toEqual(['l3', 'l2', 'l1']);
    expect(first.items[0].match).toEqual({
      inferenceId: row.id,
      startedAt: row.startedAt,
      endpoint: 'list-bot',
      unit: 'list-unit',
      splitRevision: 1,
      arm: 'control',
      chain: 'support',
      chainVersion: 1,
    });
    const shown = await registry.call('GET', `/inferences/${row.id}`);
    expect(shown.body.feedback.map((each: any) => [each.eventId, each.latest])).toEqual([
      ['l2', true],
      ['l1', false],
    ]);
    expect((await list({ endpoint: 'list-bot' })).body.message).toMatch('/from is missing');
    expect((await list({ ...RANGE, cursor: 'nonsense' })).body.code).toBe('INVALID_CURSOR');
  });

  it('reads no table as a whole for any list or summary', async () => {
    const { client } = registry.database;
    const range = { from: new Date(RANGE.from), to: new Date(RANGE.to) };
    const page = { limit: 50 };
    const statements = [
      listStatement(DEFAULT_WORKSPACE_ID, page, range, undefined),
      listStatement(DEFAULT_WORKSPACE_ID, { ...page, name: 'n', endpoint: 'e' }, range, undefined),
      listStatement(DEFAULT_WORKSPACE_ID, { ...page, matched: false }, range, undefined),
      ...[{ inferenceId: INFERENCE_ID }, { clientRequestId: 'r' }, { unit: 'u' }].map((about) =>
        listStatement(DEFAULT_WORKSPACE_ID, { ...page, ...about }, undefined, INFERENCE_ID),
      ),
      summaryStatement(DEFAULT_WORKSPACE_ID, range, { ...RANGE, endpoint: 'e', groupBy: 'arm' }),
    ];
    await client.query('SET enable_seqscan = off');
    for (const { text, values } of statements) {
      const { rows } = await client.query(`EXPLAIN ${text}`, [...values]);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      expect(plan).not.toMatch(/Seq Scan|feedback_pk/);
      // An index by the workspace alone would be the table as a whole.
      expect(plan).toMatch(/Index Cond: \(\(workspace_id = [^)]*\) AND/);
    }
    await client.query('RESET enable_seqscan');
  });

  it('sums up what counts, per name and arm or version', async () => {
    const rows = ['control', 'control', 'candidate'].map((arm, i) =>
      inferenceRow({
        startedAt: at(-5000 + i),
        arm,
        endpoint: 'sum-bot',
        chainVersion: arm === 'control' ? 1 : 2,
      }),
    );
    await insertInferences(registry.database.client, rows);
    await give({
      events: [
        ...rows.flatMap(({ id: inferenceId }, i) => [
          { inferenceId, name: 'thumbs', value: i > 0, givenAt: at(-4000) },
          { inferenceId, name: 'why', kind: 'category', value: i > 0 ? 'fine' : 'late', givenAt: at(-4000) },
        ]),
        { inferenceId: rows[0]!.id, name: 'why', kind: 'category', value: 'fine', givenAt: at(-3000) },
      ],
    });
    await catchUp();
    const summary = async (groupBy: string) =>
      (
        await registry.call(
          'GET',
          `/feedback/summary?${new URLSearchParams({ ...RANGE, endpoint: 'sum-bot', groupBy })}`,
        )
      ).body.groups;
    const common = { chain: null, chainVersion: null };
    expect(await summary('arm')).toEqual([
      {
        ...common,
        name: 'thumbs',
        kind: 'boolean',
        arm: 'candidate',
        judgements: 1,
        mean: 1,
        categories: null,
      },
      {
        ...common,
        name: 'thumbs',
        kind: 'boolean',
        arm: 'control',
        judgements: 2,
        mean: 0.5,
        categories: null,
      },
      {
        ...common,
        name: 'why',
        kind: 'category',
        arm: 'candidate',
        judgements: 1,
        mean: null,
        categories: { fine: 1 },
      },
      {
        ...common,
        name: 'why',
        kind: 'category',
        arm: 'control',
        judgements: 2,
        mean: null,
        categories: { fine: 2 },
      },
    ]);
    expect((await summary('chainVersion')).map((each: any) => [each.chainVersion, each.mean])).toEqual([
      [1, 0.5],
      [2, 1],
      [1, null],
      [2, null],
    ]);
  });

  it('counts what has found no inference, and says so once it has waited for long', async () => {
    const watch = registry.app.get(FeedbackUpkeep);
    const warnings: string[] = [];
    (watch as any).logger = { warn: (line: string) => warnings.push(line) };
    await watch.look(Date.now());
    const read = async () =>
      Number(
        /^catena_feedback_unmatched (\d+)$/m.exec(await (await fetch(`${registry.url}/metrics`)).text())![1],
      );
    const before = await read();
    expect(warnings).toEqual([]);
    await give({ events: [1, 2].map((i) => ({ clientRequestId: `nowhere-${i}`, name: 'n', value: i })) });
    await watch.look(Date.now() + 3_600_000);
    expect(await read()).toBe(before + 2);
    expect(warnings).toEqual([expect.stringContaining(`${before + 2} judgements have found no inference`)]);
    await watch.look(Date.now() + 3_600_000);
    expect(warnings).toHaveLength(1);
  });

  it('forgets changes that all who go by them have dealt with, and no others', async () => {
    const { client } = registry.database;
    const changes = async () => (await client.query('SELECT FROM feedback_change')).rowCount;
    expect(await changes()).toBeGreaterThan(0);
    await client.query(`UPDATE follower SET position = 0 WHERE name = 'ab-test-judgements'`);
    await registry.app.get(FeedbackUpkeep).forget();
    expect(await changes()).toBeGreaterThan(0);
    await catchUp();
    await registry.app.get(FeedbackUpkeep).forget();
    expect(await changes()).toBe(0);
  });
});
