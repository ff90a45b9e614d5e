import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { BaseOptions, SASLMechanismValue } from '@platformatic/kafka';
import { SettingsError, type Settings } from '#libs/platform/config/settings.js';

/**
 * What consumers and producers share. Files are read each time, so that certificates may be renewed.
 * Failures are told soon: whoever uses a client tries again by itself.
 */
export function connection(settings: Settings): BaseOptions {
  const {
    CATENA_KAFKA_SASL_MECHANISM: mechanism,
    CATENA_KAFKA_SASL_USERNAME: username,
    CATENA_KAFKA_SASL_PASSWORD: password,
  } = settings;
  const brokers = settings.CATENA_KAFKA_BROKERS!.split(',');
  // Managed clusters route by the name (SNI), which must be none where it is an address (RFC 6066 §3).
  const tlsServerName = brokers.every((broker) => isIP(broker.split(':')[0]!) === 0);
  return {
    clientId: 'catena-registry',
    bootstrapBrokers: brokers,
    connectTimeout: 3_000,
    // Of a producer that is idempotent the client takes 0 and 1 for "without end".
    retries: 2,
    retryDelay: 250,
    ...(settings.CATENA_KAFKA_TLS === 'on' && { tls: certificates(settings), tlsServerName }),
    ...(mechanism && {
      sasl: { mechanism: mechanism as SASLMechanismValue, username: username!, password: password! },
    }),
  };
}

/** @throws SettingsError for settings that do not go together. */
export function checkKafka(settings: Settings): void {
  const problems = RULES.filter(([, isBroken]) => isBroken(settings)).map(([problem]) => `  ${problem}`);
  if (problems.length === 0 && settings.CATENA_KAFKA_TLS === 'on')
    problems.push(...certificateProblems(settings));
  if (problems.length > 0) throw new SettingsError(`Bad settings:\n${problems.join('\n')}`);
}

const RULES: readonly (readonly [problem: string, isBroken: (settings: Settings) => boolean])[] = [
  [
    'CATENA_KAFKA_BROKERS: must be set where a topic is',
    (settings) =>
      !settings.CATENA_KAFKA_BROKERS &&
      Boolean(settings.CATENA_KAFKA_FEEDBACK_TOPIC ?? settings.CATENA_KAFKA_INFERENCE_TOPIC),
  ],
  [
    'CATENA_KAFKA_FEEDBACK_TOPIC, CATENA_KAFKA_DEAD_LETTER_TOPIC and CATENA_KAFKA_INFERENCE_TOPIC: must differ, or what is written is read again',
    (settings) => {
      const topics = [
        settings.CATENA_KAFKA_FEEDBACK_TOPIC,
        settings.CATENA_KAFKA_DEAD_LETTER_TOPIC,
        settings.CATENA_KAFKA_INFERENCE_TOPIC,
      ].filter((topic) => topic !== undefined);
      return new Set(topics).size < topics.length;
    },
  ],
  [
    'CATENA_KAFKA_SASL_MECHANISM, CATENA_KAFKA_SASL_USERNAME and CATENA_KAFKA_SASL_PASSWORD: must be set together',
    (settings) =>
      new Set([
        settings.CATENA_KAFKA_SASL_MECHANISM === undefined,
        settings.CATENA_KAFKA_SASL_USERNAME === undefined,
        settings.CATENA_KAFKA_SASL_PASSWORD === undefined,
      ]).size > 1,
  ],
  [
    'CATENA_KAFKA_TLS_CERT_FILE and CATENA_KAFKA_TLS_KEY_FILE: must be set together',
    (settings) => !settings.CATENA_KAFKA_TLS_CERT_FILE !== !settings.CATENA_KAFKA_TLS_KEY_FILE,
  ],
  [
    'CATENA_KAFKA_TLS: must be on where its files are given',
    (settings) =>
      settings.CATENA_KAFKA_TLS === 'off' &&
      Boolean(settings.CATENA_KAFKA_TLS_CA_FILE ?? settings.CATENA_KAFKA_TLS_CERT_FILE),
  ],
];

function certificateProblems(settings: Settings): string[] {
  try {
    createSecureContext(certificates(settings));
    return [];
  } catch (error) {
    return [`CATENA_KAFKA_TLS_…_FILE: cannot be used: ${(error as Error).message}`];
  }
}

function certificates(settings: Settings): Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> {
  const {
    CATENA_KAFKA_TLS_CA_FILE: ca,
    CATENA_KAFKA_TLS_CERT_FILE: cert,
    CATENA_KAFKA_TLS_KEY_FILE: key,
  } = settings;
  return {
    ...(ca && { ca: readFileSync(ca) }),
    ...(cert && key && { cert: readFileSync(cert), key: readFileSync(key) }),
  };
}
