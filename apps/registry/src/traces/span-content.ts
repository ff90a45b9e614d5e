/**
 * A span in OTLP's JSON with the field names of its protobuf (opentelemetry/proto/trace/v1/trace.proto): 64-bit
 * integers and bytes are text (base64), unset fields are absent. This is what is stored and what is answered.
 */
export interface SpanContent {
  trace_id: string;
  span_id: string;
  parent_span_id?: string;
  name?: string;
  start_time_unix_nano?: string;
  end_time_unix_nano?: string;
  attributes?: KeyValue[];
  events?: { time_unix_nano?: string; name?: string; attributes?: KeyValue[] }[];
  links?: { trace_id?: string; span_id?: string; attributes?: KeyValue[] }[];
  status?: { code?: string; message?: string };
}

export interface KeyValue {
  key?: string;
  value?: AnyValue;
}

/** At most one of them is set; none means null. */
export interface AnyValue {
  string_value?: string;
  bool_value?: boolean;
  int_value?: string | number;
  /** "NaN", "Infinity" and "-Infinity" where JSON has no number. */
  double_value?: number | string;
  bytes_value?: string;
  array_value?: { values?: AnyValue[] };
  kvlist_value?: { values?: KeyValue[] };
}

/** An attribute as plain JSON: integers beyond 2^53 lose digits here, and only here. */
export function plainValue(value: AnyValue | undefined): unknown {
  if (value === undefined) return null;
  if (value.array_value !== undefined) return (value.array_value.values ?? []).map(plainValue);
  if (value.kvlist_value !== undefined) return plainAttributes(value.kvlist_value.values);
  if (value.int_value !== undefined) return Number(value.int_value);
  return value.string_value ?? value.bool_value ?? value.double_value ?? value.bytes_value ?? null;
}

export function plainAttributes(attributes: readonly KeyValue[] | undefined): Record<string, unknown> {
  return Object.fromEntries(
    (attributes ?? []).map((attribute) => [attribute.key ?? '', plainValue(attribute.value)]),
  );
}

/** The attribute as plain JSON; a text that spells a JSON object or list is read as such, as senders do both. */
export function readAttribute(span: SpanContent, key: string): unknown {
  const found = span.attributes?.findLast((attribute) => attribute.key === key);
  return found === undefined ? undefined : plainValue(found.value);
}

export function idOf(bytes: string | undefined): string | null {
  return bytes === undefined || bytes === '' ? null : Buffer.from(bytes, 'base64').toString('hex');
}

/** An attribute value from plain JSON. */
export function anyValue(value: unknown): AnyValue {
  if (typeof value === 'string') return { string_value: value };
  if (typeof value === 'boolean') return { bool_value: value };
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? { int_value: String(value) } : { double_value: value };
  if (typeof value !== 'object' || value === null) return {};
  if (Array.isArray(value)) return { array_value: { values: value.map(anyValue) } };
  return {
    kvlist_value: { values: Object.entries(value).map(([key, inner]) => ({ key, value: anyValue(inner) })) },
  };
}
