import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { eventually, temporaryDirectory } from '../support/gateway.js';
import { KafkaBroker } from './broker.js';
import { KafkaRegistry } from './registry.js';
import { Topics } from './topics.js';

describe('Kafka with TLS and SASL', () => {
  let broker: KafkaBroker;
  let database: TestDatabase;
  let directory: string;
  let secure: Record<string, string>;
  let topic: string;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    const [certificate, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'].concat([
        '-addext',
        'subjectAltName=DNS:localhost',
        '-keyout',
        key,
        '-out',
        certificate,
      ]),
      { stdio: 'ignore' },
    );
    const port = await freePort();
    const line = (file: string) => readFileSync(file, 'utf8').trim().replaceAll('\n', '\\n');
    broker = await KafkaBroker.start(undefined, {
      listener: `SECURE://localhost:${port}`,
      properties: `
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.certificate.chain=${line(certificate)}
ssl.keystore.key=${line(key)}
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_bob="plain-secret";
`,
      format: ['--add-scram', 'SCRAM-SHA-512=[name=alice,password=scram-secret]'],
    });
    topic = await new Topics(broker).create('feedback');
    database = await createTestDatabase();
    secure = {
      CATENA_KAFKA_BROKERS: `localhost:${port}`,
      CATENA_KAFKA_FEEDBACK_TOPIC: topic,
      CATENA_KAFKA_TLS: 'on',
      CATENA_KAFKA_TLS_CA_FILE: certificate,
      CATENA_KAFKA_SASL_MECHANISM: 'SCRAM-SHA-512',
      CATENA_KAFKA_SASL_USERNAME: 'alice',
      CATENA_KAFKA_SASL_PASSWORD: 'scram-secret',
    };
  });
  afterAll(async () => {
    await broker?.stop();
    await database?.drop();
    await rm(directory, { recursive: true, force: true });
  });

  const withRegistry = async (
    more: Record<string, string>,
    test: (registry: KafkaRegistry) => Promise<void>,
  ) => {
    const registry = await KafkaRegistry.start(database, {
      ...secure,
      CATENA_KAFKA_FEEDBACK_GROUP: v7(),
      ...more,
    });
    try {
      await test(registry);
    } finally {
      await registry.close();
    }
  };

  it.each([
    ['SCRAM-SHA-512', 'alice', 'scram-secret'],
    ['PLAIN', 'bob', 'plain-secret'],
  ])('is read as %s', (mechanism, name, password) =>
    withRegistry(
      {
        CATENA_KAFKA_SASL_MECHANISM: mechanism,
        CATENA_KAFKA_SASL_USERNAME: name,
        CATENA_KAFKA_SASL_PASSWORD: password,
      },
      async (registry) => {
        await registry.isReading();
        const eventId = v7();
        await new Topics(broker).send(topic, [{ value: { eventId, unit: 'u', name: 'stars', value: 1 } }]);
        await eventually(async () => {
          const { rowCount } = await database.client.query('SELECT FROM feedback WHERE event_id = $1', [
            eventId,
          ]);
          return rowCount === 1;
        });
      },
    ),
  );

  it.each<[string, Record<string, string>]>([
    ['a wrong password', { CATENA_KAFKA_SASL_PASSWORD: 'other-secret' }],
    ['a broker that nobody it knows vouches for', { CATENA_KAFKA_TLS_CA_FILE: '' }],
  ])('is not read with %s, which is logged, without the password', (_, more) =>
    withRegistry(more, async (registry) => {
      await eventually(() => registry.log().length > 0, 60_000, 20);
      expect(registry.log()).toEqual([expect.stringContaining('Feedback cannot be read')]);
      expect(registry.log(0).join()).not.toContain('-secret');
      expect(await registry.metric('catena_kafka_feedback_up')).toBe(0);
    }),
  );
});
