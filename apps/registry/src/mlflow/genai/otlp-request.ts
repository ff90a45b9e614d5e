import { nestsTooDeeply } from '#libs/core/nesting/nesting.js';
import type { SpanGroup } from '../../traces/span-batch.js';
import { plainAttributes, type KeyValue, type SpanContent } from '../../traces/span-content.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import { OTLP_REQUEST } from './otlp-schema.js';

interface OtlpRequest {
  resource_spans?: {
    resource?: { attributes?: KeyValue[] };
    scope_spans?: { scope?: { name?: string; version?: string }; spans?: SpanContent[] }[];
  }[];
}

/** As protobuf's JSON: 64-bit integers as text, bytes in base64, enums by name, infinities as text. */
const TO_JSON = { longs: String, enums: String, bytes: String, json: true };

/**
 * Reads an `ExportTraceServiceRequest`.
 * @throws MlflowError BAD_REQUEST unless it is one and has spans.
 */
export function readOtlp(body: Buffer, encoding: 'protobuf' | 'json'): SpanGroup[] {
  let request: OtlpRequest;
  try {
    const message = encoding === 'json' ? fromJson(body) : OTLP_REQUEST.decode(body);
    request = OTLP_REQUEST.toObject(message, TO_JSON);
  } catch (error) {
    throw new MlflowError('BAD_REQUEST', `Invalid OpenTelemetry format: ${(error as Error).message}`);
  }
  const resources = request.resource_spans ?? [];
  if (resources.length === 0)
    throw new MlflowError('BAD_REQUEST', 'Invalid OpenTelemetry format - no spans found');
  return resources.map(({ resource, scope_spans }) => ({
    resource: plainAttributes(resource?.attributes),
    spans: (scope_spans ?? []).flatMap((scope) => scope.spans ?? []),
  }));
}

const IDS = new Set(['trace_id', 'span_id', 'parent_span_id']);
const NATURALS = /_unix_nano$|_count$|^flags$/;
const TEXTS = new Set(['name', 'key', 'string_value', 'message', 'trace_state', 'version', 'schema_url']);
const MAX_UINT64 = 2n ** 64n - 1n;

/** OTLP's JSON has names in lowerCamelCase and ids in hexadecimal: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding */
function fromJson(body: Buffer) {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  const parsed: unknown = JSON.parse(text, keepDigits);
  if (nestsTooDeeply(parsed, text.length)) throw new Error('it is nested too deeply');
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Error('it is not an object');
  return OTLP_REQUEST.fromObject(renamed(parsed) as Record<string, unknown>);
}

/** Nanoseconds may come as bare numbers, whose last digits a double cannot hold. */
function keepDigits(this: unknown, _key: string, value: unknown, context?: { source?: string }): unknown {
  const isLong = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isLong && context?.source !== undefined && /^-?\d+$/.test(context.source) ? context.source : value;
}

function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const name = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return [name, checked(name, inner)];
    }),
  );
}

function checked(name: string, value: unknown): unknown {
  if (IDS.has(name) && typeof value === 'string') {
    if (!/^([0-9a-fA-F]{2})*$/.test(value)) throw new Error(`${name} is not hexadecimal`);
    return Buffer.from(value, 'hex').toString('base64');
  }
  // What follows would be bent into shape by the library.
  if (value === null) return value;
  if (TEXTS.has(name) && typeof value !== 'string') throw new Error(`${name} is not text`);
  if (NATURALS.test(name) && !isInteger(value, 0n, MAX_UINT64))
    throw new Error(`${name} is not a natural number`);
  if (name === 'int_value' && !isInteger(value, -(2n ** 63n), 2n ** 63n - 1n))
    throw new Error(`${name} is not a 64-bit integer`);
  return renamed(value);
}

function isInteger(value: unknown, least: bigint, most: bigint): boolean {
  if (!/^-?\d{1,20}$/.test(String(value))) return false;
  const integer = BigInt(String(value));
  return integer >= least && integer <= most;
}
