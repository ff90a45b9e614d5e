/**
 * Every setting of every Catena process, in one table. Documented in docs/settings.md, which a test holds
 * against this table. Nothing else reads `process.env`.
 */
import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import { resolve } from 'node:path';

/** Beyond the maximum a timer of Node fires at once. https://nodejs.org/api/timers.html#settimeoutcallback-delay-args */
const timeout = { type: 'integer', minimum: 1, maximum: 2_147_483_647 } as const;
/** https://kafka.apache.org/41/javadoc/ org.apache.kafka.common.internals.Topic */
const topic = { type: 'string', pattern: '^[A-Za-z0-9._-]{1,249}$' } as const;
const port = { type: 'integer', minimum: 0, maximum: 65_535 } as const;

export const SETTINGS = {
  CATENA_HOST: {
    type: 'string',
    minLength: 1,
    default: '127.0.0.1',
    description: 'Address the registry and the gateway bind to.',
  },
  CATENA_ACCESS: {
    type: 'string',
    enum: ['auto', 'keys', 'open'],
    default: 'auto',
    description:
      'Who is answered without a key. auto: on loopback everybody, by gateways until the first API key is made; at any other address nothing starts before this is set. keys: nobody. open: as on loopback, at any address.',
  },
  CATENA_ADMIN_KEY: {
    type: 'string',
    pattern: '^[\\x21-\\x7e]{32,512}$',
    description: 'Bearer token that the registry asks for: 32 visible ASCII characters or more.',
  },
  CATENA_ALLOWED_HOSTS: {
    type: 'string',
    minLength: 1,
    maxLength: 4096,
    description:
      'Hosts, comma-separated, that requests may name beside loopback while CATENA_HOST is loopback (against DNS rebinding). *: any.',
  },
  CATENA_REGISTRY_PORT: { ...port, default: 5080, description: 'Port of the registry: REST, Swagger.' },
  CATENA_GATEWAY_PORT: {
    ...port,
    default: 5081,
    description: 'Port of the gateway: resolve, chat completions.',
  },
  CATENA_GATEWAY_URL: {
    type: 'string',
    pattern: '^https?://[^\\s?#]+$',
    description:
      'Base URL under which browsers reach the gateways: what feedback links begin with. Unset: http, CATENA_HOST and CATENA_GATEWAY_PORT.',
  },
  CATENA_SIMULATOR_PORT: { ...port, default: 5082, description: 'Port of the model simulator.' },
  CATENA_DATA_DIR: {
    type: 'string',
    minLength: 1,
    default: '.catena',
    description: 'Directory of the embedded stores, the spool, the last snapshot and the generated key.',
  },
  CATENA_LOG_LEVEL: {
    type: 'string',
    enum: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    default: 'info',
    description: 'Least severe level that is logged.',
  },
  DATABASE_URL: {
    type: 'string',
    pattern: '^postgres(ql)?://',
    description: 'PostgreSQL to use. Unset: the launcher starts an embedded PostgreSQL 18.',
  },
  CATENA_DATABASE_POOL: {
    type: 'integer',
    minimum: 1,
    maximum: 500,
    default: 16,
    description: 'Most connections the registry holds to PostgreSQL.',
  },
  CATENA_STATEMENT_TIMEOUT_MS: {
    ...timeout,
    minimum: 0,
    default: 60_000,
    description:
      'Longest time PostgreSQL works on one statement of the registry, in milliseconds: slower searches are refused. 0: any.',
  },
  S3_ENDPOINT: {
    type: 'string',
    format: 'uri',
    description: 'S3-compatible store to use. Unset: the launcher starts an embedded S3 server.',
  },
  S3_BUCKET: {
    type: 'string',
    minLength: 3,
    maxLength: 63,
    default: 'catena',
    description: 'Bucket for artifacts.',
  },
  S3_PUBLIC_ENDPOINT: {
    type: 'string',
    format: 'uri',
    description: 'Base URL put into presigned URLs, where clients reach the store at another address.',
  },
  AWS_REGION: { type: 'string', minLength: 1, default: 'us-east-1', description: 'Region of the bucket.' },
  AWS_ACCESS_KEY_ID: { type: 'string', minLength: 1, description: 'Access key of the bucket.' },
  AWS_SECRET_ACCESS_KEY: { type: 'string', minLength: 1, description: 'Secret key of the bucket.' },
  CATENA_PRICE_FILE: {
    type: 'string',
    minLength: 1,
    description:
      'JSON file of what vendors ask, in the form of libs/core/cost/prices.json; its entries win over those that ship.',
  },
  CATENA_ENCRYPTION_KEYS: {
    type: 'string',
    pattern: '^[A-Za-z0-9_-]{1,32}:[A-Za-z0-9+/]{43}=(,[A-Za-z0-9_-]{1,32}:[A-Za-z0-9+/]{43}=)*$',
    description:
      'Keys for credentials at rest, as id:base64 of 32 bytes, comma-separated; the first encrypts, all decrypt. The launcher makes one.',
  },
  CATENA_MAX_BODY_BYTES: {
    type: 'integer',
    minimum: 1024,
    maximum: 1_073_741_824,
    default: 10_485_760,
    description: 'Largest JSON request body; a larger one is answered 413.',
  },
  CATENA_POLL_INTERVAL_MS: {
    type: 'integer',
    minimum: 10,
    maximum: 60_000,
    default: 1000,
    description: 'How often a gateway asks for changes when no notification arrives, in milliseconds.',
  },
  CATENA_SPOOL_MAX_BYTES: {
    type: 'integer',
    minimum: 1_048_576,
    default: 10_737_418_240,
    description: 'Most bytes of inference rows a gateway keeps on disk while PostgreSQL is away.',
  },
  CATENA_SPOOL_FULL: {
    type: 'string',
    enum: ['refuse', 'drop'],
    default: 'refuse',
    description: 'When the spool is full: refuse requests (503), or answer them without a row and count it.',
  },
  CATENA_SPOOL_FSYNC: {
    type: 'string',
    enum: ['off', 'interval', 'always'],
    default: 'interval',
    description:
      'When rows are forced to the disk: never, every second, or before every answer (survives power loss).',
  },
  CATENA_QUEUE_MAX: {
    type: 'integer',
    minimum: 0,
    maximum: 1_000_000,
    default: 1000,
    description: 'Most requests waiting for a free replica of one model endpoint; beyond it 429.',
  },
  CATENA_QUEUE_TIMEOUT_MS: {
    ...timeout,
    default: 30_000,
    description: 'Longest wait for a free replica, in milliseconds; beyond it 429.',
  },
  CATENA_SHADOW_MAX: {
    type: 'integer',
    minimum: 0,
    maximum: 100_000,
    default: 64,
    description:
      'Most copies of requests under way to shadows at a time; more are dropped and counted. 0: no shadows.',
  },
  CATENA_CACHE_MAX_BYTES: {
    type: 'integer',
    minimum: 0,
    maximum: 68_719_476_736,
    default: 67_108_864,
    description:
      'Most memory for answers kept by gateways, of endpoints with cacheTtlSeconds; those used longest ago go first. 0: none are kept.',
  },
  CATENA_PROBE_INTERVAL_MS: {
    type: 'integer',
    minimum: 0,
    maximum: 3_600_000,
    default: 2_000,
    description:
      'How often each of several replicas is asked whether it lives, in milliseconds; two failures take it out of service. 0: never.',
  },
  CATENA_PROBE_TIMEOUT_MS: {
    ...timeout,
    maximum: 600_000,
    default: 2_000,
    description: 'Longest wait for the answer to a probe, in milliseconds.',
  },
  CATENA_LOAD_INTERVAL_MS: {
    type: 'integer',
    minimum: 0,
    maximum: 60_000,
    default: 500,
    description:
      'How often each of several replicas in use is asked for its queue and KV cache (/metrics), in milliseconds. 0: never.',
  },
  CATENA_BREAKER_FAILURES: {
    type: 'integer',
    minimum: 0,
    maximum: 1_000_000,
    default: 5,
    description:
      'Failures in a row after which a replica gets no requests for a while; half of 20 within 10 s have the same effect. 0: it always does.',
  },
  CATENA_BREAKER_OPEN_MS: {
    ...timeout,
    maximum: 60_000,
    default: 2_000,
    description:
      'How long a failing replica gets no requests before one is tried, in milliseconds; doubled each time, to a minute at most.',
  },
  CATENA_CONNECT_TIMEOUT_MS: {
    ...timeout,
    default: 5_000,
    description: 'Longest wait for a connection to a replica, in milliseconds.',
  },
  CATENA_HEADERS_TIMEOUT_MS: {
    ...timeout,
    default: 120_000,
    description: 'Longest wait for the response headers of a replica, in milliseconds.',
  },
  CATENA_TTFT_TIMEOUT_MS: {
    ...timeout,
    default: 180_000,
    description: 'Longest wait for the first content of a stream once it is asked for, in milliseconds.',
  },
  CATENA_IDLE_TIMEOUT_MS: {
    ...timeout,
    default: 60_000,
    description:
      'Longest time between two contents of a stream, between two bytes of any other answer, or without a byte taken by the caller, in milliseconds.',
  },
  CATENA_TOTAL_TIMEOUT_MS: {
    ...timeout,
    default: 600_000,
    description: 'Longest time for one request to the gateway, all attempts together, in milliseconds.',
  },
  CATENA_DRAIN_TIMEOUT_MS: {
    ...timeout,
    default: 600_000,
    description: 'Longest time requests in flight get to end when the gateway stops, in milliseconds.',
  },
  CATENA_REDIS_URL: {
    type: 'string',
    pattern: '^rediss?://[^/?#]+(/\\d{1,5})?$',
    description:
      'Redis or Valkey through which several gateways share their limits. Unset: each gateway counts for itself.',
  },
  CATENA_REDIS_FAILURE: {
    type: 'string',
    enum: ['local', 'open', 'closed'],
    default: 'local',
    description:
      'What happens to requests under a limit while Redis is away. local: each gateway holds them to the limits by itself. open: they pass. closed: they are refused (503).',
  },
  CATENA_REDIS_TIMEOUT_MS: {
    ...timeout,
    maximum: 60_000,
    default: 50,
    description: 'Longest wait for a decision of Redis, in milliseconds; then as if it were away.',
  },
  CATENA_REDIS_PREFIX: {
    type: 'string',
    pattern: '^[A-Za-z0-9:_.-]{1,64}$',
    default: 'catena',
    description: 'What the keys in Redis begin with.',
  },
  CATENA_INFERENCE_RETENTION_DAYS: {
    type: 'integer',
    minimum: 1,
    maximum: 36_500,
    description:
      'Full days for which inferences are kept in PostgreSQL; then their UTC day is dropped, payloads included. Unset: for ever.',
  },
  CATENA_PAYLOAD_RETENTION_DAYS: {
    type: 'integer',
    minimum: 1,
    maximum: 36_500,
    description:
      'Full days for which metadata and bodies of inferences are kept, in PostgreSQL and under payloads/ in the object store. Unset: as long as the inferences.',
  },
  CATENA_PAYLOAD_INLINE_BYTES: {
    type: 'integer',
    minimum: 8_192,
    default: 65_536,
    description:
      'Most bytes of a request or response body that stay in PostgreSQL; a larger one is moved to the object store a little later.',
  },
  CATENA_ARCHIVE_AFTER_DAYS: {
    type: 'integer',
    minimum: 1,
    maximum: 36_500,
    description:
      'Full days after which the inferences of a UTC day are written to the object store as Parquet. Unset: they are not.',
  },
  CATENA_ARCHIVE_CACHE_BYTES: {
    type: 'integer',
    minimum: 1_048_576,
    default: 10_737_418_240,
    description:
      'Most bytes of archived files a registry keeps on its disk, below CATENA_DATA_DIR, for questions about days that PostgreSQL no longer has.',
  },
  CATENA_DUCKDB_MEMORY_BYTES: {
    type: 'integer',
    minimum: 134_217_728,
    default: 1_073_741_824,
    description: 'Most memory for writing and reading archived days; what needs more goes through the disk.',
  },
  CATENA_FOLLOW_INTERVAL_MS: {
    type: 'integer',
    minimum: 10,
    maximum: 3_600_000,
    default: 1000,
    description: 'How often a registry looks for new rows to add up, in milliseconds.',
  },
  CATENA_STEER_INTERVAL_MS: {
    type: 'integer',
    minimum: 10,
    maximum: 3_600_000,
    default: 10_000,
    description:
      'How often an A/B test on a ramp, or an adaptive one, is looked at, in milliseconds: so long after it is seen, harm is acted on.',
  },
  CATENA_KAFKA_BROKERS: {
    type: 'string',
    pattern: '^[A-Za-z0-9.-]+:\\d{1,5}(,[A-Za-z0-9.-]+:\\d{1,5})*$',
    description: 'Kafka brokers to begin with, as host:port, comma-separated. Unset: no Kafka.',
  },
  CATENA_KAFKA_FEEDBACK_TOPIC: {
    ...topic,
    description: 'Topic that registries read feedback from. Unset: none is read.',
  },
  CATENA_KAFKA_FEEDBACK_GROUP: {
    ...topic,
    default: 'catena-feedback',
    description: 'Consumer group of all registries that read feedback.',
  },
  CATENA_KAFKA_DEAD_LETTER_TOPIC: {
    ...topic,
    description:
      'Topic for messages that are no feedback. Unset: they are logged, with their place, and skipped.',
  },
  CATENA_KAFKA_WORKSPACES: {
    type: 'string',
    pattern: '^(\\*|[^\\s,]+(,[^\\s,]+)*)$',
    default: 'default',
    description:
      'Workspaces that Kafka may bring feedback for and is told of, comma-separated; feedback that names none is for the first. *: all, and default.',
  },
  CATENA_KAFKA_INFERENCE_TOPIC: {
    ...topic,
    description: 'Topic that inferences are published to. Unset: none are.',
  },
  CATENA_KAFKA_INFERENCE_PAYLOADS: {
    type: 'string',
    enum: ['omit', 'include'],
    default: 'omit',
    description: 'Whether published inferences have what the rows have of metadata, request and response.',
  },
  CATENA_KAFKA_MAX_MESSAGE_BYTES: {
    type: 'integer',
    minimum: 10_000,
    maximum: 1_073_741_824,
    default: 1_000_000,
    description:
      'Largest batch that brokers take (message.max.bytes), in bytes; an inference that is larger goes without its payload.',
  },
  CATENA_KAFKA_TLS: {
    type: 'string',
    enum: ['off', 'on'],
    default: 'off',
    description: 'Whether connections to Kafka are encrypted.',
  },
  CATENA_KAFKA_TLS_CA_FILE: {
    type: 'string',
    minLength: 1,
    description: 'PEM file of the authorities that vouch for the brokers. Unset: those that Node trusts.',
  },
  CATENA_KAFKA_TLS_CERT_FILE: {
    type: 'string',
    minLength: 1,
    description: 'PEM file of the certificate that the registry shows to brokers.',
  },
  CATENA_KAFKA_TLS_KEY_FILE: {
    type: 'string',
    minLength: 1,
    description: 'PEM file of the key of that certificate.',
  },
  CATENA_KAFKA_SASL_MECHANISM: {
    type: 'string',
    enum: ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'],
    description: 'How the registry says who it is. Unset: it does not.',
  },
  CATENA_KAFKA_SASL_USERNAME: { type: 'string', minLength: 1, description: 'Name for SASL.' },
  CATENA_KAFKA_SASL_PASSWORD: { type: 'string', minLength: 1, description: 'Password for SASL.' },
  CATENA_SERIES_RETENTION_DAYS: {
    type: 'integer',
    minimum: 1,
    maximum: 36_500,
    description:
      'Full days for which sums per minute and hour are kept; then their UTC month is dropped. Unset: for ever.',
  },
  CATENA_WEBHOOK_PRIVATE_HOSTS: {
    type: 'string',
    enum: ['auto', 'allow', 'refuse'],
    default: 'auto',
    description:
      'Whether webhooks may call private addresses. auto: only loopback, and only while CATENA_HOST is loopback.',
  },
  CATENA_WEBHOOK_TIMEOUT_MS: {
    ...timeout,
    maximum: 600_000,
    default: 30_000,
    description: 'Longest wait for the answer to one webhook delivery, in milliseconds.',
  },
} as const;

interface SettingTypes {
  string: string;
  integer: number;
}
type Definitions = typeof SETTINGS;
export type SettingName = keyof Definitions;
type Value<N extends SettingName> = SettingTypes[Definitions[N]['type']];

/** The settings of one process: frozen; those without default may be undefined. */
export type Settings = {
  readonly [N in SettingName]: Definitions[N] extends { default: unknown } ? Value<N> : Value<N> | undefined;
};

/** Thrown at start: one line per bad variable, all at once. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/**
 * Reads the settings from an environment. Relative directories are made absolute against the working directory.
 * Empty variables count as unset. Unknown `CATENA_…` variables are refused, because they are nearly always typos.
 * @throws SettingsError naming every bad variable.
 */
export function readSettings(
  env: Readonly<Record<string, string | undefined>>,
  required: readonly SettingName[] = [],
): Settings {
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && value !== '' && (name in SETTINGS || name.startsWith('CATENA_')))
      given[name] = value;
  }
  const ajv = new Ajv({ allErrors: true, coerceTypes: true, useDefaults: true, strictTypes: false });
  addFormats.default(ajv);
  const validate = ajv.compile({
    type: 'object',
    properties: SETTINGS,
    required: [...required],
    additionalProperties: false,
  });
  if (!validate(given)) {
    const lines = (validate.errors ?? []).map((error) => `  ${line(error)}`);
    throw new SettingsError(
      `Bad settings:\n${lines.join('\n')}\nAll settings are listed in docs/settings.md.`,
    );
  }
  given['CATENA_DATA_DIR'] = resolve(String(given['CATENA_DATA_DIR']));
  return Object.freeze(given as unknown as Settings);
}

function line(error: ErrorObject): string {
  const name = error.instancePath.slice(1);
  switch (error.keyword) {
    case 'additionalProperties':
      return `${error.params['additionalProperty']}: there is no such setting`;
    case 'required':
      return `${error.params['missingProperty']}: must be set`;
    case 'enum':
      return `${name}: must be one of ${(error.params['allowedValues'] as string[]).join(', ')}`;
    default:
      return `${name}: ${error.message}`;
  }
}
