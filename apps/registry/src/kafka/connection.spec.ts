import { describe, expect, it } from 'vitest';
import { readSettings } from '#libs/platform/config/settings.js';
import { checkKafka, connection } from './connection.js';

const BROKERS = { CATENA_KAFKA_BROKERS: 'one:9092,two:9092' };
const check = (given: Record<string, string>) => () => checkKafka(readSettings(given));

describe('the settings of Kafka', () => {
  it('are nothing by default', () => {
    expect(check({})).not.toThrow();
    expect(check(BROKERS)).not.toThrow();
  });

  it.each<[string, Record<string, string>]>([
    ['CATENA_KAFKA_BROKERS', { CATENA_KAFKA_FEEDBACK_TOPIC: 'f' }],
    ['CATENA_KAFKA_BROKERS', { CATENA_KAFKA_INFERENCE_TOPIC: 'i' }],
    ['must differ', { ...BROKERS, CATENA_KAFKA_FEEDBACK_TOPIC: 'f', CATENA_KAFKA_DEAD_LETTER_TOPIC: 'f' }],
    ['must differ', { ...BROKERS, CATENA_KAFKA_FEEDBACK_TOPIC: 'f', CATENA_KAFKA_INFERENCE_TOPIC: 'f' }],
    ['CATENA_KAFKA_SASL_PASSWORD', { ...BROKERS, CATENA_KAFKA_SASL_MECHANISM: 'PLAIN' }],
    ['CATENA_KAFKA_SASL_MECHANISM', { ...BROKERS, CATENA_KAFKA_SASL_PASSWORD: 'p' }],
    ['CATENA_KAFKA_TLS_KEY_FILE', { ...BROKERS, CATENA_KAFKA_TLS: 'on', CATENA_KAFKA_TLS_CERT_FILE: 'c' }],
    ['CATENA_KAFKA_TLS', { ...BROKERS, CATENA_KAFKA_TLS_CA_FILE: 'c' }],
    ['cannot be used', { ...BROKERS, CATENA_KAFKA_TLS: 'on', CATENA_KAFKA_TLS_CA_FILE: '/nowhere.pem' }],
  ])('must go together: %s', (message, given) => expect(check(given)).toThrow(message));

  it('say whom to ask, and who asks', () => {
    expect(connection(readSettings(BROKERS))).toMatchObject({ bootstrapBrokers: ['one:9092', 'two:9092'] });
    const secure = connection(
      readSettings({
        ...BROKERS,
        CATENA_KAFKA_TLS: 'on',
        CATENA_KAFKA_SASL_MECHANISM: 'SCRAM-SHA-512',
        CATENA_KAFKA_SASL_USERNAME: 'alice',
        CATENA_KAFKA_SASL_PASSWORD: 'secret',
      }),
    );
    expect(secure).toMatchObject({
      tls: {},
      tlsServerName: true,
      sasl: { mechanism: 'SCRAM-SHA-512', username: 'alice', password: 'secret' },
    });
  });

  // The client takes fewer for "without end": a send would never fail, and its transaction never end.
  it('have clients try more than once, and not for ever', () => {
    expect(connection(readSettings(BROKERS)).retries).toBeGreaterThan(1);
  });
});
