import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 } from 'uuid';
import { eventually } from '../support/gateway.js';
import { inferenceRow, insertInferences } from '../support/inferences.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import type { Checks } from './checks.js';
import { chatBody, Load, post } from './load.js';
import type { Server } from './server.js';
import { GROUP, type Stack } from './stack.js';

const DAY_MS = 86_400_000;
/** For what follows by itself when a fault is over. */
const SOON_MS = 60_000;

export interface Options {
  readonly outageSeconds: number;
}

/** A fault of issue 5, brought about and looked at. */
export type Fault = (stack: Stack, checks: Checks, options: Options) => Promise<void>;

const ROWS = 'SELECT id::text FROM inference WHERE id = ANY ($1::uuid[])';
const EVENTS = 'SELECT event_id FROM feedback WHERE event_id = ANY ($1)';
const soon = (check: () => Promise<boolean>) => eventually(check, SOON_MS, 50).catch(() => undefined);

/** Waits for all of `ids`, and looks at what is missing and what is there twice. */
async function once(
  checks: Checks,
  stack: Stack,
  what: string,
  text: string,
  ids: readonly string[],
): Promise<void> {
  const find = () => stack.column<string>(text, [ids]);
  await soon(async () => (await find()).length >= ids.length);
  const found = await find();
  checks.equal(`${what} lost`, 0, ids.filter((id) => !new Set(found).has(id)).length, `of ${ids.length}`);
  checks.equal(`${what} twice`, 0, found.length - new Set(found).size);
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  'PostgreSQL down under load': async (stack, checks, { outageSeconds }) => {
    const gateway = await stack.gateway();
    const publisher = await stack.publisher();
    const load = new Load(gateway);
    await sleep(2_000);
    const before = load.answered.length;
    await stack.stopPostgres();
    await sleep(outageSeconds * 1_000);
    const during = load.answered.length - before;
    await stack.startPostgres();
    await sleep(2_000);
    await load.stop();
    checks.above(`answers in ${outageSeconds} s without it`, outageSeconds, during);
    checks.equal(
      'requests refused',
      0,
      [...load.refused.values()].reduce((a, b) => a + b, 0),
    );
    await once(checks, stack, 'rows', ROWS, load.answered);
    await once(checks, stack, 'judgements', EVENTS, load.judged);
    const published = () => publisher.metric('catena_kafka_inferences_published_total');
    await soon(async () => (await published()) >= load.answered.length);
    const messages = await stack.topics.read(stack.inferenceTopic, load.answered.length);
    const ids = new Set(messages.map(({ value }) => (JSON.parse(value!) as { id: string }).id));
    checks.equal('rows not published to Kafka', 0, load.answered.filter((id) => !ids.has(id)).length);
    await checks.metric(gateway, 'catena_ship_failures_total');
    checks.said(gateway, 'inference rows cannot be stored; they stay in the spool until they can');
    await checks.metric(gateway, 'catena_feedback_ship_failures_total');
    checks.said(gateway, 'feedback cannot be stored; it stays in the spool until it can');
    await publisher.kill();
    await gateway.kill();
  },

  'spool at its limit, and disk full': async (stack, checks) => {
    const { proxy, url } = await TcpProxy.before(stack.databaseUrl);
    const gateway = await stack.gateway({ DATABASE_URL: url, CATENA_SPOOL_MAX_BYTES: '1048576' });
    proxy.cut();
    const answered: string[] = [];
    const statuses = new Set<string>();
    const ask = async (server: Server, bytes: number) => {
      const response = await post(server, '/v1/chat/completions', chatBody('x'.repeat(bytes)));
      if (response.ok) answered.push(response.headers.get('x-catena-inference-id')!);
      else statuses.add(`${response.status} ${JSON.parse(response.text_).error.code}`);
      return response.status;
    };
    for (let n = 0; n < 20; n++) await ask(gateway, 100_000);
    checks.text('beyond the limit', '503 spool_full', [...statuses].join(', '));
    await checks.metric(gateway, 'catena_spool_bytes');
    proxy.mend();
    await soon(async () => (await ask(gateway, 10)) === 200);
    checks.equal('when there is room again', 200, await ask(gateway, 10));
    // Files of at most 512 blocks stand for a disk without room: the error is another one, what comes of it the same.
    const full = await stack.gateway({}, 512);
    statuses.clear();
    await ask(full, 400_000);
    checks.text('a request that the disk does not hold', '503 spool_full', [...statuses].join(', '));
    checks.equal('one that it holds', 200, await ask(full, 10));
    checks.said(full, /spool/);
    await once(checks, stack, 'rows of answers', ROWS, answered);
    await gateway.kill();
    await full.kill();
    await proxy.close();
  },

  'S3 down during archiving': async (stack, checks) => {
    const day = new Date(Date.now() - 10 * DAY_MS).toISOString().slice(0, 10);
    const rows = Array.from({ length: 500 }, () => inferenceRow({ startedAt: `${day}T12:00:00.000Z` }));
    await stack.withClient((client) => insertInferences(client, rows));
    stack.s3.cut();
    const registry = await stack.registry({ CATENA_ARCHIVE_AFTER_DAYS: '1' });
    await soon(async () => (await registry.metric('catena_archive_failures_total')) > 0);
    const archived = `SELECT sum(row_count)::integer FROM archive_file WHERE day = '${day}' AND table_name = 'inferences'`;
    checks.equal('rows in the archive meanwhile', 0, (await stack.column<number>(archived))[0] ?? 0);
    await checks.metric(registry, 'catena_archive_failures_total');
    checks.said(registry, 'A day could not be archived; it stays in PostgreSQL');
    stack.s3.mend();
    await eventually(async () => (await stack.column<number>(archived))[0] !== null, 2 * SOON_MS, 100).catch(
      () => undefined,
    );
    checks.equal('rows in the archive after', rows.length, (await stack.column<number>(archived))[0] ?? 0);
    const isComplete = await stack.column<boolean>(`SELECT catena_day_is_archived('${day}')`);
    checks.text('the day is complete', 'true', String(isComplete[0]));
    await registry.kill();
  },

  'Kafka delivers everything twice more': async (stack, checks) => {
    const events = Array.from({ length: 2_000 }, () => ({
      eventId: randomUUID(),
      unit: 'u',
      name: 'stars',
      value: 4,
    }));
    const nameless = Array.from({ length: 500 }, () => ({ unit: 'kafka-only', name: 'stars', value: 4 }));
    const total = events.length + nameless.length;
    let reader = await stack.reader();
    await stack.topics.send(
      stack.feedbackTopic,
      [...events, ...nameless].map((value) => ({ value })),
    );
    const handled = async () =>
      (await reader.metric('catena_kafka_feedback_messages_total{outcome="accepted"}')) +
      (await reader.metric('catena_kafka_feedback_messages_total{outcome="duplicate"}'));
    await soon(async () => (await handled()) >= total);
    for (let n = 0; n < 2; n++) {
      await reader.kill();
      // The group keeps a dead member for as long as its session lasts.
      await eventually(
        () =>
          stack.topics.rewind(GROUP, stack.feedbackTopic, 3).then(
            () => true,
            () => false,
          ),
        SOON_MS,
        500,
      );
      reader = await stack.reader();
      await soon(async () => (await handled()) >= total);
      checks.equal(
        `delivered again (${n + 1}): known`,
        total,
        await reader.metric('catena_kafka_feedback_messages_total{outcome="duplicate"}'),
      );
    }
    await once(
      checks,
      stack,
      'judgements',
      EVENTS,
      events.map(({ eventId }) => eventId),
    );
    const [count] = await stack.column<string>(`SELECT count(*) FROM feedback WHERE unit = 'kafka-only'`);
    checks.equal('judgements without an id', nameless.length, Number(count));
    await stack.topics.send(stack.feedbackTopic, [{ value: 'nonsense' }]);
    const malformed = 'catena_kafka_feedback_messages_total{outcome="malformed"}';
    await soon(async () => (await reader.metric(malformed)) > 0);
    await checks.metric(reader, malformed);
    checks.said(reader, /messages of topic .* are no feedback/);
    await reader.kill();
  },

  'clocks of gateways apart': async (stack, checks) => {
    const registry = await stack.registry();
    const skews = { 'two hours ahead': 7_200_000, 'three days behind': -3 * DAY_MS };
    const answered: string[] = [];
    const judged: string[] = [];
    for (const [what, skewMs] of Object.entries(skews)) {
      const gateway = await stack.gateway({ NODE_OPTIONS: withClock(skewMs) });
      const load = new Load(gateway);
      await sleep(2_000);
      await load.stop();
      answered.push(...load.answered);
      judged.push(...load.judged);
      const seconds = () => gateway.metric('catena_clock_skew_seconds');
      await soon(async () => Math.abs(await seconds()) > 1);
      checks.equal(`${what}: catena_clock_skew_seconds`, skewMs / 1_000, Math.round(await seconds()));
      checks.said(gateway, `the clock of this gateway is ${Math.abs(skewMs / 1_000).toFixed(1)} s`);
      await gateway.stop();
    }
    await once(checks, stack, 'rows', ROWS, answered);
    await once(checks, stack, 'judgements', EVENTS, judged);
    const matched = `SELECT event_id FROM feedback WHERE event_id = ANY ($1) AND matched_inference_id IS NOT NULL`;
    await soon(async () => (await stack.column(matched, [judged])).length === judged.length);
    checks.equal(
      'judgements without their inference',
      0,
      judged.length - (await stack.column(matched, [judged])).length,
    );
    const sums = `SELECT (SELECT sum(requests) FROM inference_minute) - (SELECT count(*) FROM inference)`;
    await soon(async () => Number((await stack.column(sums))[0]) === 0);
    checks.equal('rows summed up but not there, or not at all', 0, Number((await stack.column(sums))[0]));
    await registry.kill();
  },

  'feedback for unknown ids, on and on': async (stack, checks) => {
    // An hour ago, as far as it can tell: what finds no inference is told of after some minutes.
    const gateway = await stack.gateway({ NODE_OPTIONS: withClock(-3_600_000) });
    const unknown: string[] = [];
    for (let n = 0; n < 20; n++) {
      const events = Array.from({ length: 500 }, () => ({
        eventId: randomUUID(),
        ...(n % 2 ? { inferenceId: v7() } : { clientRequestId: randomUUID() }),
        name: 'thumbs',
        value: false,
      }));
      const response = await post(gateway, '/v1/feedback', { events });
      if (response.ok) unknown.push(...events.map(({ eventId }) => eventId));
    }
    await once(checks, stack, 'judgements', EVENTS, unknown);
    // It does not stand in the way of what is known.
    const registry = await stack.registry();
    const answer = await post(gateway, '/v1/chat/completions', chatBody());
    const eventId = randomUUID();
    const inferenceId = answer.headers.get('x-catena-inference-id');
    await post(gateway, '/v1/feedback', { eventId, inferenceId, name: 'thumbs', value: true });
    const since = performance.now();
    const matched = `SELECT 1 FROM feedback WHERE event_id = $1 AND matched_inference_id IS NOT NULL`;
    await soon(async () => (await stack.column(matched, [eventId])).length === 1);
    const tookMs = performance.now() - since;
    checks.text('one that is known is matched within 10 s', 'yes', tookMs < 10_000 ? 'yes' : `${tookMs} ms`);
    await checks.metric(registry, 'catena_feedback_unmatched');
    checks.said(registry, 'judgements have found no inference');
    await registry.kill();
    await gateway.kill();
  },
};

/** Shifts what JavaScript thinks the time is, before anything else runs. */
function withClock(skewMs: number): string {
  const code = `const Now = Date; globalThis.Date = class Date extends Now {
    constructor(...given) { given.length ? super(...given) : super(Now.now() + ${skewMs}); }
    static now() { return Now.now() + ${skewMs}; } };`;
  return `--import=data:text/javascript,${encodeURIComponent(code)}`;
}
