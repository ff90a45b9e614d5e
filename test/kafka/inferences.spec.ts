import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { InferenceRow } from '../../libs/core/inference/inference-row.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { eventually } from '../support/gateway.js';
import { inferenceRow, insertInferences } from '../support/inferences.js';
import { KafkaBroker } from './broker.js';
import { KafkaRegistry } from './registry.js';
import { Topics } from './topics.js';

const OTHER_WORKSPACE = '00000000-0000-7000-8000-00000000beef';
const FAILURES = 'catena_follower_failures_total{follower="kafka-inferences"}';

describe('inferences in Kafka', () => {
  let broker: KafkaBroker;
  let topics: Topics;
  let database: TestDatabase;
  let topic: string;
  const registries: KafkaRegistry[] = [];

  beforeAll(async () => {
    broker = await KafkaBroker.start();
    topics = new Topics(broker);
  });
  afterAll(() => broker?.stop());
  beforeEach(async () => {
    database = await createTestDatabase();
    topic = await topics.create('inferences', 3);
  });
  afterEach(async () => {
    broker.resume();
    await broker.start();
    await Promise.all(registries.splice(0).map((registry) => registry.close()));
    await database.drop();
  });

  const start = async (more: Record<string, string> = {}) => {
    const registry = await KafkaRegistry.start(database, {
      CATENA_KAFKA_BROKERS: broker.url,
      CATENA_KAFKA_INFERENCE_TOPIC: topic,
      CATENA_FOLLOW_INTERVAL_MS: '50',
      ...more,
    });
    registries.push(registry);
    return registry;
  };
  const stop = async (registry: KafkaRegistry) => {
    registries.splice(registries.indexOf(registry), 1);
    await registry.close();
  };
  const add = async (count: number, fields: Partial<InferenceRow> = {}) => {
    const startedAt = new Date().toISOString();
    const rows = Array.from({ length: count }, (_, i) =>
      inferenceRow({ startedAt, unit: `unit-${i % 7}`, ...fields }),
    );
    await insertInferences(database.client, rows);
    return rows.map(({ id }) => id);
  };
  const read = async (count: number) =>
    (await topics.read(topic, count)).map(({ value, ...message }) => ({
      ...message,
      row: JSON.parse(value!),
    }));
  const ids = async (count: number) => (await read(count)).map(({ row }) => row.id as string);

  it('are the rows as the API shows them, without their payload', async () => {
    const registry = await start();
    await add(1, {
      apiKey: 'shop',
      metadata: '{"a":1}',
      errorMessage: 'said: private',
      clientRequestId: 'order-7',
    });
    const [message] = await read(1);
    expect(message).toMatchObject({
      key: 'unit-0',
      headers: {
        'content-type': 'application/json',
        'catena-schema': 'inference/1',
        'catena-workspace': 'default',
      },
    });
    const shown = await (await fetch(`${registry.url}/api/v1/inferences/${message!.row.id}`)).json();
    const { workspace, modelCalls, ...row } = message!.row;
    expect([workspace, modelCalls]).toEqual(['default', null]);
    expect(shown).toMatchObject(row);
    expect(row).toMatchObject({ endpoint: 'support-bot', clientRequestId: 'order-7', latencyMs: 200 });
    for (const field of ['metadata', 'request', 'response', 'errorMessage', 'place', 'workspaceId'])
      expect(row).not.toHaveProperty(field);
    await eventually(async () => (await registry.metric('catena_kafka_inferences_published_total')) === 1);
  });

  it('have what the row has of the payload where that is asked for, as far as a message holds it', async () => {
    const registry = await start({
      CATENA_KAFKA_INFERENCE_PAYLOADS: 'include',
      CATENA_KAFKA_MAX_MESSAGE_BYTES: '20000',
    });
    await add(1, { unit: 'small', metadata: '{"a":1}', request: '{"q":"ü"}', response: '{"a":"b"}' });
    await add(1, { unit: 'large', request: JSON.stringify({ q: 'x'.repeat(30_000) }) });
    // As rows of restricted data are, unless their endpoint says otherwise.
    await add(1, { unit: 'bare', dataClass: 'restricted', request: null as never, response: null });
    const messages = await read(3);
    const of = (unit: string) => messages.find(({ key }) => key === unit)!.row;
    expect(of('small')).toMatchObject({
      payloadOmitted: false,
      metadata: '{"a":1}',
      request: '{"q":"ü"}',
      response: '{"a":"b"}',
    });
    expect(of('large')).toMatchObject({ payloadOmitted: true, endpoint: 'support-bot', inputTokens: 100 });
    expect(of('large')).not.toHaveProperty('request');
    expect(of('bare')).toMatchObject({ payloadOmitted: false, request: null, response: null });
    await eventually(async () => (await registry.metric('catena_kafka_payloads_omitted_total')) === 1);
  });

  it('come in the order of arrival by unit, each once, in batches that a broker takes', async () => {
    await start({ CATENA_KAFKA_MAX_MESSAGE_BYTES: '10000' });
    const sent: string[] = [];
    for (let i = 0; i < 10; i++) sent.push(...(await add(100)));
    const messages = await read(1_000);
    expect(messages.map(({ row }) => row.id as string).toSorted()).toEqual(sent.toSorted());
    for (let unit = 0; unit < 7; unit++) {
      const its = messages.filter(({ key }) => key === `unit-${unit}`);
      expect(new Set(its.map(({ partition }) => partition)).size).toBe(1);
      const order = its.map(({ row }) => Math.floor(sent.indexOf(row.id) / 100));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    }
  });

  it('are those of the workspaces that the registry was told of', async () => {
    await database.client.query(`INSERT INTO workspace (id, name, created_at) VALUES ($1, 'retail', now())`, [
      OTHER_WORKSPACE,
    ]);
    const first = await start();
    await add(1, { workspaceId: OTHER_WORKSPACE });
    const own = await add(1);
    expect(await ids(1)).toEqual(own);
    await stop(first);
    await start({ CATENA_KAFKA_WORKSPACES: '*' });
    const [foreign] = await add(1, { workspaceId: OTHER_WORKSPACE });
    const messages = await read(2);
    expect(messages.find(({ row }) => row.id === foreign)).toMatchObject({
      headers: { 'catena-workspace': 'retail' },
      row: { workspace: 'retail' },
    });
    expect(messages).toHaveLength(2);
  });

  it('begin with what arrives after it was turned on, and go on where they were', async () => {
    await add(5);
    // It begins with the oldest transaction that still runs, in whatever database of the server.
    await eventually(async () => {
      const { rows } = await database.client.query(
        `SELECT max(arrived) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS past FROM inference`,
      );
      return rows[0].past;
    }, 60_000);
    await stop(await start());
    const meanwhile = await add(5);
    const registry = await start();
    const later = await add(5);
    expect((await ids(10)).toSorted()).toEqual([...meanwhile, ...later].toSorted());
    expect(await registry.metric('catena_kafka_inferences_published_total')).toBe(10);
  });

  it('are late, not lost, when the broker was down', async () => {
    const registry = await start();
    const before = await add(10);
    await ids(10);
    await broker.kill();
    const meanwhile = await add(10);
    await eventually(async () => (await registry.metric(FAILURES)) > 0, 60_000, 20);
    await broker.start();
    expect((await ids(20)).toSorted()).toEqual([...before, ...meanwhile].toSorted());
    expect(registry.log().join('\n')).toContain('Follower kafka-inferences failed');
  });

  it('end a pass that a broker which answers nothing holds up', async () => {
    const registry = await start();
    await ids((await add(1), 1));
    broker.stall();
    await add(1);
    await eventually(async () => (await registry.metric(FAILURES)) > 0, 60_000, 50);
    const { rows } = await database.client.query(
      `SELECT query FROM pg_stat_activity
        WHERE datname = current_database() AND xact_start < clock_timestamp() - interval '15 seconds'`,
    );
    expect(rows).toEqual([]);
    broker.resume();
    await eventually(async () => new Set(await ids(2)).size === 2, 60_000);
  });

  it('are sent again, never left out, where the registry ends before it has noted that they were sent', async () => {
    await database.client.query(`
      CREATE FUNCTION no_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'power is lost'; END $$;
      CREATE TRIGGER no_note BEFORE UPDATE ON follower FOR EACH ROW WHEN (NEW.name = 'kafka-inferences') EXECUTE FUNCTION no_note()`);
    const registry = await start();
    const sent = await add(3);
    await eventually(async () => (await registry.metric(FAILURES)) > 0, 60_000, 20);
    await database.client.query('DROP TRIGGER no_note ON follower');
    const all = await ids(6);
    expect(new Set(all)).toEqual(new Set(sent));
  });
});
