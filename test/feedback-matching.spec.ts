import fc from 'fast-check';
import { DataSource } from 'typeorm';
import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FollowerLoop } from '../apps/registry/src/arrivals/follower-loop.js';
import { catchUp as caughtUp, pass } from '../apps/registry/src/arrivals/pass.js';
import {
  FeedbackEventFollower,
  FeedbackRowFollower,
} from '../apps/registry/src/feedback/feedback-matcher.js';
import { FeedbackService } from '../apps/registry/src/feedback/feedback.service.js';
import type { FeedbackEvent } from '../libs/core/feedback/feedback-event.js';
import { readEvent } from '../libs/core/feedback/read-feedback.js';
import type { InferenceRow } from '../libs/core/inference/inference-row.js';
import { inferenceRow, insertInferences } from './support/inferences.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const START = Date.parse('2026-11-20T23:59:55Z');
/** Seconds after the start, which lies just before midnight: rows fall into two partitions. */
const at = (seconds: number) => new Date(START + seconds * 1000).toISOString();

describe('matching feedback with inferences', () => {
  let registry: TestRegistry;
  const source = () => registry.app.get(DataSource);
  const matchers = () => [registry.app.get(FeedbackEventFollower), registry.app.get(FeedbackRowFollower)];
  const catchUp = () => registry.app.get(FollowerLoop).catchUp();
  const accept = (workspaceId: string, events: FeedbackEvent[]) =>
    registry.app.get(FeedbackService).accept({ workspaceId }, events);
  const query = async (text: string, values: unknown[]) =>
    (await registry.database.client.query(text, values)).rows;
  const stateOf = (workspaceId: string) =>
    query(
      `SELECT event_id, matched_inference_id AS row, split_revision, arm, latest FROM feedback
        WHERE workspace_id = $1 ORDER BY event_id`,
      [workspaceId],
    );

  async function workspace(): Promise<string> {
    const id = v7();
    await query(`INSERT INTO workspace (id, name, created_at) VALUES ($1, $2, now())`, [id, `w-${id}`]);
    return id;
  }

  beforeAll(async () => {
    registry = await startTestRegistry({ CATENA_FOLLOW_INTERVAL_MS: '3600000' });
    await query(`SELECT catena_ensure_inference_partition(day) FROM unnest($1::date[]) AS day`, [
      ['2026-11-20', '2026-11-21'],
    ]);
    await catchUp();
  });
  afterAll(() => registry.close());

  it('matches feedback with its row whichever comes first, and takes over what the row says', async () => {
    const id = await workspace();
    const early = inferenceRow({
      startedAt: at(0),
      workspaceId: id,
      splitRevision: 3,
      arm: 'candidate',
      unit: 'u-9',
    });
    await accept(id, [event({ eventId: 'a', inferenceId: early.id })]);
    await catchUp();
    expect(await stateOf(id)).toEqual([
      { event_id: 'a', row: null, split_revision: null, arm: null, latest: true },
    ]);
    await insertInferences(registry.database.client, [early]);
    await accept(id, [event({ eventId: 'b', inferenceId: early.id, name: 'tone' })]);
    await catchUp();
    const matched = { row: early.id, split_revision: 3, arm: 'candidate', latest: true };
    expect(await stateOf(id)).toEqual([
      { event_id: 'a', ...matched },
      { event_id: 'b', ...matched },
    ]);
  });

  it('keeps what a caller cannot name for ever, and matches it days later', async () => {
    const id = await workspace();
    await accept(
      id,
      Array.from({ length: 500 }, (_, i) => event({ eventId: `e${i}`, clientRequestId: `order-${i}` })),
    );
    await catchUp();
    const row = inferenceRow({ startedAt: at(-40 * 86_400), workspaceId: id, clientRequestId: 'order-77' });
    await insertInferences(registry.database.client, [row]);
    await catchUp();
    const matched = (await stateOf(id)).filter((each) => each.row !== null);
    expect(matched).toMatchObject([{ event_id: 'e77', row: row.id }]);
  });

  it('matches an event and its row that arrive in transactions at the same time', async () => {
    const id = await workspace();
    const row = inferenceRow({ startedAt: at(0), workspaceId: id });
    const { client } = registry.database;
    await client.query('BEGIN');
    await insertInferences(client, [row]);
    await accept(id, [event({ eventId: 'a', inferenceId: row.id })]);
    // Neither follower may go beyond the open transaction.
    for (const follower of matchers()) await pass(source(), follower);
    await client.query('COMMIT');
    await catchUp();
    expect(await stateOf(id)).toMatchObject([{ row: row.id, latest: true }]);
  });

  it('takes nothing of another workspace, or of another endpoint than the one that is meant', async () => {
    const [id, other] = [await workspace(), await workspace()];
    const row = inferenceRow({
      startedAt: at(0),
      workspaceId: id,
      clientRequestId: 'r',
      unit: 'u',
      endpoint: 'a',
    });
    await insertInferences(registry.database.client, [row]);
    const targets = [{ inferenceId: row.id }, { clientRequestId: 'r' }, { unit: 'u' }];
    await accept(
      other,
      targets.map((target, i) => event({ ...target, eventId: `e${i}` })),
    );
    await accept(
      id,
      targets.map((target, i) => event({ ...target, eventId: `e${i}`, endpoint: 'b' })),
    );
    await accept(id, [event({ inferenceId: row.id, eventId: 'good', givenAt: at(-100) })]);
    await catchUp();
    expect((await stateOf(other)).map((each) => each.row)).toEqual([null, null, null]);
    expect(await stateOf(id)).toMatchObject([
      { row: null },
      { row: null },
      { row: null },
      { row: row.id, latest: true },
    ]);
  });

  it('says of which inferences the judgements that count have changed, those matched before included', async () => {
    const id = await workspace();
    const [first, second] = [1, 2].map((s) =>
      inferenceRow({ startedAt: at(s), workspaceId: id, clientRequestId: 'r', unit: `u${s}` }),
    ) as [InferenceRow, InferenceRow];
    const changes = async () =>
      (await query(`DELETE FROM feedback_change WHERE workspace_id = $1 RETURNING unit, endpoint`, [id])).map(
        ({ unit }) => unit,
      );
    await insertInferences(registry.database.client, [first]);
    await accept(id, [event({ eventId: 'a', clientRequestId: 'r', givenAt: at(5) })]);
    await catchUp();
    expect(await changes()).toEqual(['u1']);
    await insertInferences(registry.database.client, [second]);
    await catchUp();
    expect(new Set(await changes())).toEqual(new Set(['u1', 'u2']));
    await accept(id, [event({ eventId: 'b', inferenceId: second.id, givenAt: at(4) })]);
    await accept(id, [event({ eventId: 'a', inferenceId: first.id, givenAt: at(9) })]);
    await catchUp();
    expect(await stateOf(id)).toMatchObject([
      { event_id: 'a', row: second.id, latest: true },
      { event_id: 'b', row: second.id, latest: false },
    ]);
  });

  it('lets the judgement before count again where the one that counted turns out to be about another inference', async () => {
    const id = await workspace();
    const [first, second] = [1, 2].map((s) =>
      inferenceRow({ startedAt: at(s), workspaceId: id, clientRequestId: 'r' }),
    ) as [InferenceRow, InferenceRow];
    await insertInferences(registry.database.client, [first]);
    await accept(id, [event({ eventId: 'a', clientRequestId: 'r', givenAt: at(5) })]);
    await accept(id, [event({ eventId: 'b', inferenceId: first.id, givenAt: at(4) })]);
    await catchUp();
    expect(await stateOf(id)).toMatchObject([{ latest: true }, { latest: false }]);
    await insertInferences(registry.database.client, [second]);
    await catchUp();
    expect(await stateOf(id)).toMatchObject([
      { row: second.id, latest: true },
      { row: first.id, latest: true },
    ]);
  });

  /** Of one unit, a second apart from second 0 on. */
  const fillUnit = (id: string, unit: string, endpoint: string, from: number, rows: number) =>
    query(
      `INSERT INTO inference (id, started_at, workspace_id, endpoint, split_revision, arm, chain, chain_version, chain_digest,
                              unit, bucket, sticky, assignment, status, attempts, streamed)
       SELECT (left(catena_last_uuid_at(t)::text, 13) || '-7' || substr(gen_random_uuid()::text, 16))::uuid, t, $1, $3, 1, 'a', 'c', 1, 'd', $2, 1, true, 'split', 'ok', 1, false
         FROM generate_series($4::int, $4::int + $5::int - 1) second, LATERAL (SELECT $6::timestamptz + second * interval '1 second' AS t)`,
      [id, unit, endpoint, from, rows, at(0)],
    );
  const durationMs = async (work: () => Promise<unknown>) => {
    const since = performance.now();
    await work();
    return performance.now() - since;
  };

  it('reads none of the thousands of judgements of a unit that a fresh row cannot be better for', async () => {
    const id = await workspace();
    const judge = (count: number, prefix: string, fields: (i: number) => Record<string, unknown>) =>
      accept(
        id,
        Array.from({ length: count }, (_, i) =>
          event({ eventId: `${prefix}${i}`, unit: 'big', ...fields(i) }),
        ),
      );
    await fillUnit(id, 'big', 'a', 0, 10);
    await judge(5000, 'e', (i) => ({ name: `n${i}`, givenAt: at(20 + i / 100) }));
    await judge(2000, 'other', (i) => ({ name: `n${i}`, endpoint: 'b', givenAt: at(20 + i / 100) }));
    await catchUp();
    await fillUnit(id, 'big', 'a', 3000, 2000);
    expect(await durationMs(() => caughtUp(source(), registry.app.get(FeedbackRowFollower)))).toBeLessThan(
      1500,
    );
    // What can be better is read once, not once for each row.
    await fillUnit(id, 'big', 'b', 0, 1);
    await fillUnit(id, 'big', 'a', 10, 60);
    expect(await durationMs(() => caughtUp(source(), registry.app.get(FeedbackRowFollower)))).toBeLessThan(
      8000,
    );
    const matched = await query(
      `SELECT endpoint, matched_endpoint, min(given_at - matched_started_at), max(given_at - matched_started_at) < '1 second' AS near, count(*)::int
         FROM feedback WHERE workspace_id = $1 GROUP BY 1, 2 ORDER BY 1`,
      [id],
    );
    expect(matched).toMatchObject([
      { endpoint: 'b', matched_endpoint: 'b', count: 2000 },
      { endpoint: null, matched_endpoint: 'a', near: true, count: 5000 },
    ]);
  }, 60_000);

  it('does not read a busy unit from end to end for judgements on an endpoint that it hardly uses', async () => {
    const id = await workspace();
    await fillUnit(id, 'busy', 'b', 0, 1);
    await fillUnit(id, 'busy', 'a', 1, 40_000);
    const about = { unit: 'busy', endpoint: 'b' };
    await accept(id, [
      event({ ...about, eventId: 'near', givenAt: at(500) }),
      ...Array.from({ length: 400 }, (_, i) =>
        event({ ...about, name: `n${i}`, eventId: `w${i}`, givenAt: at(35_000 + i) }),
      ),
    ]);
    expect(await durationMs(() => caughtUp(source(), registry.app.get(FeedbackEventFollower)))).toBeLessThan(
      1000,
    );
    expect((await stateOf(id)).filter(({ row }) => row !== null)).toMatchObject([{ event_id: 'near' }]);
  }, 60_000);

  it('ends in the same state in whatever order events and rows arrive, and however often', async () => {
    const names = ['r1', 'r2', null];
    const rows = fc.array(
      fc.record({
        second: fc.integer({ min: 0, max: 9 }),
        unit: fc.constantFrom('u1', 'u2', null),
        clientRequestId: fc.constantFrom(...names),
        endpoint: fc.constantFrom('a', 'b'),
        isShadow: fc.boolean(),
      }),
      { maxLength: 5 },
    );
    const events = fc.array(
      fc.record({
        target: fc.constantFrom('inference', 'request', 'unit'),
        which: fc.integer({ min: 0, max: 5 }),
        endpoint: fc.constantFrom(null, null, 'a'),
        name: fc.constantFrom('n1', 'n2'),
        second: fc.integer({ min: 0, max: 9 }),
      }),
      { minLength: 1, maxLength: 8 },
    );
    const order = fc.array(fc.record({ place: fc.integer(), settles: fc.boolean(), again: fc.boolean() }), {
      minLength: 13,
      maxLength: 13,
    });
    await fc.assert(
      fc.asyncProperty(rows, events, order, async (rowsGiven, eventsGiven, steps) => {
        const id = await workspace();
        const made = rowsGiven.map(({ second, isShadow, ...fields }) =>
          inferenceRow({
            ...fields,
            startedAt: at(second),
            workspaceId: id,
            shadowOf: isShadow ? v7() : null,
          }),
        );
        const given = eventsGiven.map(({ target, which, endpoint, name, second }, i) =>
          event({
            eventId: `e${i}`,
            name,
            ...(endpoint !== null && { endpoint }),
            givenAt: at(second),
            ...(target === 'inference'
              ? { inferenceId: made[which]?.id ?? v7() }
              : target === 'request'
                ? { clientRequestId: `r${1 + (which % 3)}` }
                : { unit: `u${1 + (which % 3)}` }),
          }),
        );
        // The same id again, saying something else: the first content stays.
        const repeated = given.map((each) => ({ ...each, name: 'n3', givenAt: at(20) }));
        const tasks = [
          ...made.map((row) => () => insertInferences(registry.database.client, [row])),
          ...given.map((each, i) => async (again: boolean) => {
            await accept(id, again ? [each, repeated[i]!] : [each]);
          }),
        ].map((run, i) => ({ run, ...steps[i]! }));
        tasks.sort((a, b) => a.place - b.place);
        for (const { run, settles, again } of tasks) {
          await run(again);
          // In either order, and without waiting for what others of the server have under way.
          if (settles)
            for (const follower of again ? matchers() : matchers().toReversed())
              await pass(source(), follower);
        }
        await accept(id, given);
        for (const follower of matchers()) await caughtUp(source(), follower);
        expect(await stateOf(id)).toMatchObject(expected(made, given));
      }),
      { numRuns: 60, interruptAfterTimeLimit: 25_000 },
    );
  }, 60_000);
});

function event(fields: Record<string, unknown>): FeedbackEvent {
  const reading = readEvent({ name: 'thumbs', value: true, givenAt: at(60), ...fields }, '', {
    nowMs: Date.now(),
    eventId: v7,
  });
  if (!('eventId' in reading)) throw new Error(JSON.stringify(reading.problems));
  return reading;
}

/** What must come out, worked out the slow way. */
function expected(rows: readonly InferenceRow[], events: readonly FeedbackEvent[]) {
  const settled = events.map((event) => {
    const row = rowFor(event, rows);
    const about =
      event.unit !== null
        ? `unit ${row?.endpoint ?? event.endpoint ?? ''} ${event.unit}`
        : (row?.id ?? JSON.stringify([event.endpoint, event.inferenceId ?? event.clientRequestId]));
    return { event, row, question: `${about} ${event.name}` };
  });
  const later = (a: FeedbackEvent, b: FeedbackEvent) =>
    a.givenAt > b.givenAt || (a.givenAt === b.givenAt && a.eventId > b.eventId);
  return settled.map(({ event, row, question }) => ({
    event_id: event.eventId,
    row: row?.id ?? null,
    latest: !settled.some((other) => other.question === question && later(other.event, event)),
  }));
}

function rowFor(event: FeedbackEvent, rows: readonly InferenceRow[]): InferenceRow | undefined {
  const meant = rows.filter(
    (row) =>
      (event.endpoint === null || row.endpoint === event.endpoint) &&
      (row.id === event.inferenceId ||
        (row.shadowOf === null &&
          ((event.unit !== null && row.unit === event.unit) ||
            (event.clientRequestId !== null && row.clientRequestId === event.clientRequestId)))),
  );
  const sorted = meant.sort((a, b) => (a.id < b.id ? -1 : 1));
  return sorted.findLast((row) => row.startedAt <= event.givenAt) ?? sorted[0];
}
