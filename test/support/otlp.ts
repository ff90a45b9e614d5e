import { randomBytes } from 'node:crypto';
import { OTLP_REQUEST } from '../../apps/registry/src/mlflow/genai/otlp-schema.js';

export interface SpanGiven {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly name?: string;
  readonly startMs?: number;
  readonly endMs?: number;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly status?: object;
  readonly events?: readonly object[];
}

export const newTraceId = (): string => randomBytes(16).toString('hex');
export const newSpanId = (): string => randomBytes(8).toString('hex');

/** An OTLP request in JSON, with one sender. */
export function otlpJson(
  spans: readonly SpanGiven[],
  resource: Readonly<Record<string, unknown>> = {},
): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope: { name: 'test' }, spans: spans.map(spanOf) }],
      },
    ],
  };
}

/** The same request in protobuf. */
export function otlpProtobuf(
  spans: readonly SpanGiven[],
  resource: Readonly<Record<string, unknown>> = {},
): Buffer {
  const toSnake = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(toSnake);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => {
        const name = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        const isId = /^(trace|span|parent_span)_id$/.test(name);
        return [name, isId ? Buffer.from(String(inner), 'hex').toString('base64') : toSnake(inner)];
      }),
    );
  };
  const message = OTLP_REQUEST.fromObject(toSnake(otlpJson(spans, resource)) as Record<string, unknown>);
  return Buffer.from(OTLP_REQUEST.encode(message).finish());
}

function spanOf(given: SpanGiven): object {
  const startMs = given.startMs ?? 1_795_305_600_000;
  return {
    traceId: given.traceId ?? newTraceId(),
    spanId: given.spanId ?? newSpanId(),
    ...(given.parentSpanId !== undefined && { parentSpanId: given.parentSpanId }),
    name: given.name ?? 'work',
    startTimeUnixNano: `${startMs}000001`,
    endTimeUnixNano: `${given.endMs ?? startMs + 5}000001`,
    attributes: attributesOf(given.attributes ?? {}),
    ...(given.events !== undefined && { events: given.events }),
    status: given.status ?? { code: 1 },
  };
}

function attributesOf(attributes: Readonly<Record<string, unknown>>): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: valueOf(value) }));
}

function valueOf(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'bigint') return { intValue: String(value) };
  if (typeof value === 'number')
    return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(valueOf) } };
  if (typeof value === 'object' && value !== null)
    return { kvlistValue: { values: attributesOf(value as Record<string, unknown>) } };
  return {};
}
