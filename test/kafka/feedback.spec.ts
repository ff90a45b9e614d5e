import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { eventually } from '../support/gateway.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { KafkaBroker } from './broker.js';
import { KafkaRegistry } from './registry.js';
import { Topics, type Sent } from './topics.js';

const GROUP = 'catena-feedback';
const OTHER_WORKSPACE = '00000000-0000-7000-8000-00000000beef';

describe('feedback from Kafka', () => {
  let broker: KafkaBroker;
  let topics: Topics;
  let database: TestDatabase;
  let topic: string;
  let group: string;
  const registries: KafkaRegistry[] = [];

  beforeAll(async () => {
    broker = await KafkaBroker.start();
    topics = new Topics(broker);
  });
  afterAll(() => broker?.stop());
  beforeEach(async () => {
    database = await createTestDatabase();
    topic = await topics.create('feedback', 3);
    group = `${GROUP}-${topic}`;
  });
  afterEach(async () => {
    broker.resume();
    await broker.start();
    await Promise.all(registries.splice(0).map((registry) => registry.close()));
    await database.drop();
  });

  const start = async (more: Record<string, string> = {}, over: Pick<TestDatabase, 'url'> = database) => {
    const registry = await KafkaRegistry.start(over, {
      CATENA_KAFKA_BROKERS: broker.url,
      CATENA_KAFKA_FEEDBACK_TOPIC: topic,
      CATENA_KAFKA_FEEDBACK_GROUP: group,
      ...more,
    });
    registries.push(registry);
    return registry;
  };
  const stop = async (registry: KafkaRegistry) => {
    registries.splice(registries.indexOf(registry), 1);
    await registry.close();
  };
  const about = (fields: object = {}) => ({ inferenceId: v7(), name: 'thumbs', value: true, ...fields });
  const many = (count: number, fields: object = {}): Sent[] =>
    Array.from({ length: count }, (_, i) => ({
      value: about({ eventId: randomUUID(), name: 'stars', value: i, ...fields }),
    }));
  const rows = async (columns = '*') =>
    (await database.client.query(`SELECT ${columns} FROM feedback ORDER BY event_id`)).rows;
  const count = async () => Number((await rows('count(*) OVER () AS n, event_id'))[0]?.n ?? 0);
  const stored = (n: number) => eventually(async () => (await count()) >= n, 60_000, 20);
  const end = async () =>
    (await topics.committed(group, topic)).filter((at) => at > 0).reduce((a, b) => a + b, 0);

  it('is stored as if it had come by POST /v1/feedback, in the workspace "default"', async () => {
    const registry = await start();
    const event = about({
      eventId: 'e-1',
      name: 'stars',
      value: 4,
      source: 'llm_judge',
      sourceId: 'judge-3',
      comment: 'kind',
      metadata: { locale: 'de' },
      givenAt: '2026-11-01T10:00:00Z',
    });
    await topics.send(topic, [{ value: event }]);
    await stored(1);
    expect(await rows()).toMatchObject([
      {
        event_id: 'e-1',
        workspace_id: '00000000-0000-7000-8000-000000000001',
        inference_id: event.inferenceId,
        name: 'stars',
        kind: 'number',
        number_value: 4,
        source: 'llm_judge',
        source_id: 'judge-3',
        comment: 'kind',
        metadata: { locale: 'de' },
        given_at: new Date('2026-11-01T10:00:00Z'),
      },
    ]);
    expect(await registry.messages('accepted')).toBe(1);
    await eventually(async () => (await end()) === 1);
    await eventually(async () => (await registry.metric('catena_kafka_feedback_lag_messages')) === 0);
    expect(registry.log()).toEqual([]);
  });

  it('has the time of its message, and is named by its place, where it says neither', async () => {
    await start();
    const inferenceId = v7();
    const at = Date.now() - 60_000;
    // Eleven of one millisecond: 10 comes after 9.
    await topics.send(
      topic,
      Array.from({ length: 11 }, (_, value) => ({
        value: { inferenceId, name: 'stars', value },
        partition: 1,
        timestamp: at,
      })),
    );
    await stored(11);
    const found = await rows('event_id, number_value, given_at');
    expect(found.at(-1)).toMatchObject({ number_value: 10, given_at: new Date(at) });
    expect(found[0].event_id).toBe(`kafka:${topic}:1:${'0'.repeat(19)}:${at}`);
    await eventually(async () => {
      const { rows: latest } = await database.client.query('SELECT number_value FROM feedback WHERE latest');
      return latest.length === 1 && latest[0].number_value === 10;
    });
  });

  it('is read however it is compressed, and only where its transaction was committed', async () => {
    const registry = await start();
    for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const)
      await topics.send(topic, many(50), compression);
    const [aborted, committed] = [about({ eventId: 'aborted' }), about({ eventId: 'committed' })];
    await topics.transact(topic, [aborted], 'abort');
    await topics.transact(topic, [committed], 'commit');
    await topics.send(topic, many(50));
    await stored(251);
    const eventIds = (await rows('event_id')).map((row) => row.event_id);
    expect(eventIds).toContain('committed');
    expect(eventIds).not.toContain('aborted');
    expect(await registry.messages('accepted')).toBe(251);
  });

  it('counts once, however often Kafka delivers it, with or without an id of its own', async () => {
    const first = await start();
    const sent = [...many(300), ...Array.from({ length: 300 }, (): Sent => ({ value: about() }))];
    await topics.send(topic, sent);
    await stored(600);
    const before = await rows();
    await stop(first);
    for (const _ of ['again', 'and again']) {
      await topics.rewind(group, topic, 3);
      const registry = await start();
      await eventually(async () => (await registry.messages('duplicate')) === 600, 60_000, 20);
      expect(await registry.messages('accepted')).toBe(0);
      await eventually(async () => (await end()) === 600);
      await stop(registry);
    }
    // Somebody sends the same events once more.
    await topics.send(topic, sent.slice(0, 300));
    const last = await start();
    await eventually(async () => (await last.messages('duplicate')) === 300, 60_000, 20);
    const strip = (all: any[]) => all.map(({ id, event_id, arrived }) => ({ id, event_id, arrived }));
    expect(strip(await rows())).toEqual(strip(before));
  });

  it('that is none goes to the dead letters with its reason, and holds nothing up', async () => {
    const dead = await topics.create('dead');
    const registry = await start({ CATENA_KAFKA_DEAD_LETTER_TOPIC: dead });
    const bad: [Sent, RegExp][] = [
      [{ value: '{"name":' }, /no JSON in UTF-8/],
      [{ value: '[]' }, /must be a JSON object/],
      [{ key: 'tombstone' }, /the message is empty/],
      [{ value: about({ colour: 'red' }) }, /\/colour is an unknown field/],
      [{ value: { name: 'thumbs', value: true } }, /must say what it is about/],
      [{ value: about({ comment: 'a\0b' }) }, /\/comment contains a NUL byte/],
      [{ value: about({ givenAt: '2999-01-01T00:00:00Z' }) }, /\/givenAt lies in the future/],
      [{ value: about(), headers: { 'catena-workspace': 'secret' } }, /there is no workspace "secret"/],
    ];
    const messages = bad.flatMap(([message]) => [
      { ...message, partition: 0 },
      { ...many(1)[0], partition: 0 },
    ]);
    await topics.send(topic, messages);
    await stored(bad.length);
    const letters = await topics.read(dead, bad.length);
    letters.forEach(({ headers, value, key }, i) => {
      const [message, reason] = bad[i]!;
      expect(headers).toMatchObject({
        ...message.headers,
        'catena-topic': topic,
        'catena-partition': '0',
        'catena-offset': String(2 * i),
        'catena-reason': expect.stringMatching(reason),
      });
      const expected = typeof message.value === 'object' ? JSON.stringify(message.value) : message.value;
      expect([key || undefined, value || undefined]).toEqual([message.key, expected]);
    });
    expect(await registry.messages('malformed')).toBe(bad.length);
    expect(await count()).toBe(bad.length);
    await eventually(async () => (await end()) === 2 * bad.length);
  });

  it('that is none leaves what no dead letter can hold where it is', async () => {
    const dead = await topics.create('dead');
    await start({ CATENA_KAFKA_DEAD_LETTER_TOPIC: dead });
    const fields = Object.fromEntries(
      Array.from({ length: 5_000 }, (_, i) => [`a-field-whose-name-is-rather-long-${i}`, i]),
    );
    await topics.send(topic, [{ value: 'x'.repeat(999_900), partition: 0 }]);
    await topics.send(topic, [
      { value: about(fields), partition: 0 },
      { ...many(1)[0], partition: 0 },
    ]);
    await stored(1);
    const [large, verbose] = await topics.read(dead, 2);
    expect(large).toMatchObject({
      headers: { 'catena-offset': '0', 'catena-omitted': 'true', 'catena-reason': 'it is no JSON in UTF-8' },
    });
    expect(large!.value ?? '').toBe('');
    expect(verbose!.headers['catena-reason']!.length).toBe(1_000);
    expect(JSON.parse(verbose!.value!)).toMatchObject(fields);
  });

  it('that is none is logged with its place where there is no topic for it', async () => {
    const registry = await start();
    await topics.send(topic, [
      { value: 'no', partition: 2 },
      { value: about({ eventId: 'good' }), partition: 2 },
      { value: '{}', partition: 2 },
    ]);
    await stored(1);
    await eventually(async () => (await registry.messages('malformed')) === 2);
    const lines = registry.log().join('\n');
    expect(lines).toMatch(/are no feedback \(partition\/offset\): 2\/0/);
    expect(lines).toMatch(/2\/2/);
    expect(lines).toContain('They are skipped');
  });

  it('that only the database refuses goes the same way, alone', async () => {
    await database.client.query(
      `ALTER TABLE feedback ADD CONSTRAINT no_thirteen CHECK (number_value <> 13) NOT VALID`,
    );
    const registry = await start();
    await topics.send(topic, many(30));
    await stored(29);
    await eventually(async () => (await registry.messages('malformed')) === 1);
    expect((await rows('number_value')).map((row) => row.number_value)).not.toContain(13);
    expect(registry.log().join()).toContain('PostgreSQL refuses it (SQLSTATE 23514)');
  });

  it('reaches another workspace only where the registry was told so', async () => {
    await database.client.query(`INSERT INTO workspace (id, name, created_at) VALUES ($1, 'retail', now())`, [
      OTHER_WORKSPACE,
    ]);
    const to = (workspace: string) => ({ ...many(1)[0], headers: { 'catena-workspace': workspace } });
    const first = await start();
    await topics.send(topic, [to('retail'), to('default')]);
    await eventually(async () => (await first.messages('malformed')) === 1);
    await stored(1);
    await stop(first);
    const second = await start({ CATENA_KAFKA_WORKSPACES: 'retail,default' });
    // What names none is for the first.
    await topics.send(topic, [to('retail'), to('default'), ...many(1)]);
    await stored(4);
    const found = await rows('workspace_id');
    expect(found.filter((row) => row.workspace_id === OTHER_WORKSPACE)).toHaveLength(2);
    expect(await second.messages('malformed')).toBe(0);
  });

  it('waits while PostgreSQL is down, and is stored once when it is back', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    const registry = await start({}, { url });
    await topics.send(topic, many(50));
    await stored(50);
    proxy.cut();
    await topics.send(topic, many(500));
    await eventually(async () => (await registry.metric('catena_kafka_feedback_paused')) === 1);
    // Nothing is committed that is not stored, and the group keeps its member.
    expect(await end()).toBeLessThanOrEqual(50);
    expect(await registry.metric('catena_kafka_feedback_up')).toBe(1);
    proxy.mend();
    await stored(550);
    await eventually(async () => (await end()) === 550);
    expect(await registry.metric('catena_kafka_feedback_paused')).toBe(0);
    expect(await count()).toBe(550);
    const told = registry.log().filter((line) => line.startsWith('Feedback from Kafka'));
    expect(told).toEqual([
      expect.stringContaining('Feedback from Kafka cannot be stored; it waits until it can:'),
      'Feedback from Kafka is stored again.',
    ]);
    await stop(registry);
    await proxy.close();
  });

  it('is read again when the broker is back, which is told once; the registry serves meanwhile', async () => {
    const registry = await start();
    await topics.send(topic, many(20));
    await stored(20);
    await broker.kill();
    await eventually(async () => (await registry.metric('catena_kafka_feedback_up')) === 0, 60_000, 20);
    expect((await fetch(`${registry.url}/api/v1/endpoints`)).status).toBe(200);
    // Another one starts all the same.
    const second = await start();
    await eventually(() => second.log().length > 0, 60_000, 20);
    expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
    await broker.start();
    await topics.send(topic, many(20));
    await stored(40);
    await registry.isReading();
    await second.isReading();
    expect(await count()).toBe(40);
    // Nest's logger is one for the process: some of what the first says, the second has logged.
    const told = [...registry.log(), ...second.log()].filter((line) => line.startsWith('Feedback '));
    const times = (start: string) => told.filter((line) => line.startsWith(start)).length;
    expect(times(`Feedback cannot be read from topic ${topic}; trying until it can:`)).toBe(2);
    expect(times(`Feedback is read from topic ${topic} again.`)).toBe(2);
    expect(told).toHaveLength(4);
  });

  it('is shared by two registries of one group, and goes on where one ends', async () => {
    const one = await start();
    await one.isReading();
    const two = await start();
    await two.isReading();
    const accepted = async () => [await one.messages('accepted'), await two.messages('accepted')];
    for (let i = 0; i < 20; i++) await topics.send(topic, many(100));
    await stored(2_000);
    const [first, second] = await accepted();
    expect(first! + second!).toBe(2_000);
    expect(Math.min(first!, second!)).toBeGreaterThan(0);
    await topics.send(topic, many(1_000));
    await stop(one);
    await topics.send(topic, many(1_000));
    await stored(4_000);
    await eventually(async () => (await end()) === 4_000, 60_000);
    expect(await count()).toBe(4_000);
  });
});
