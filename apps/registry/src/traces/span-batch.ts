import { DomainError } from '#libs/core/errors/catalogue.js';
import { previewOf } from './preview.js';
import { idOf, plainAttributes, readAttribute, type SpanContent } from './span-content.js';
import {
  SPAN_COST,
  SPAN_INPUTS,
  SPAN_MODEL,
  SPAN_OUTPUTS,
  SPAN_PROVIDER,
  SPAN_TYPE,
  SPAN_USAGE,
  withMeaning,
} from './span-meaning.js';
import {
  MAX_KEY,
  MAX_NAME,
  MAX_TAG_VALUE,
  readFigures,
  SESSION,
  SPANS_LOCATION,
  TAG_ATTRIBUTE_PREFIX,
  TRACE_NAME,
  USER,
  type TraceState,
} from './trace.js';
import { isText } from './trace-rules.js';

/** Spans of one sender. */
export interface SpanGroup {
  /** Attributes of the sender (OTLP's resource); they become tags of its traces. */
  readonly resource: Readonly<Record<string, unknown>>;
  readonly spans: readonly SpanContent[];
}

export interface SpanRow {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | null;
  readonly name: string;
  readonly type: string | null;
  readonly status: 'UNSET' | 'OK' | 'ERROR';
  readonly startNs: bigint;
  readonly endNs: bigint | null;
  readonly model: string | null;
  readonly modelProvider: string | null;
  readonly tokens: Record<string, number> | undefined;
  readonly cost: Record<string, number> | undefined;
  readonly content: string;
}

/** What the spans of one batch tell of their trace. */
export interface TraceSketch {
  readonly traceId: string;
  readonly timeMs: number;
  readonly durationMs: number | null;
  readonly state: TraceState;
  readonly requestPreview: string | null;
  readonly responsePreview: string | null;
  readonly metadata: Record<string, string>;
  readonly tags: Record<string, string>;
  readonly spans: SpanRow[];
  readonly hasFigures: boolean;
}

interface Read {
  readonly row: SpanRow;
  readonly span: SpanContent;
  readonly resource: Readonly<Record<string, unknown>>;
}

/**
 * Sorts spans by trace and reads what they tell; a span that is sent twice counts once, as it was sent last.
 * @throws DomainError VALIDATION_FAILED for a span that cannot be stored.
 */
export function sketchTraces(groups: readonly SpanGroup[]): TraceSketch[] {
  const traces = new Map<string, Map<string, Read>>();
  for (const { resource, spans } of groups)
    for (const given of spans) {
      const span = withMeaning(given);
      const row = readSpan(span);
      let trace = traces.get(row.traceId);
      if (trace === undefined) traces.set(row.traceId, (trace = new Map<string, Read>()));
      trace.set(row.spanId, { row, span, resource });
    }
  // In order of id, so that two batches lock the traces they share in one order.
  return [...traces]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([traceId, spans]) => sketch(traceId, [...spans.values()]));
}

/** As many characters of a name or type can be searched; the whole is in the content. */
const MAX_INDEXED = 512;

function readSpan(span: SpanContent): SpanRow {
  const traceId = idOf(span.trace_id);
  const spanId = idOf(span.span_id);
  if (traceId?.length !== 32 || spanId?.length !== 16 || /^0*$/.test(traceId) || /^0*$/.test(spanId))
    throw invalid('a span needs a trace id of 16 bytes and a span id of 8 bytes, not all of them zero');
  const name = span.name ?? '';
  const content = JSON.stringify(span);
  // PostgreSQL's json takes the escapes of NUL and of lone surrogates, but cannot search what holds them.
  if (/\\u(0000|d[89a-f])/.test(content) && isIllFormed(span))
    throw invalid(
      `span "${name.slice(0, 60).replaceAll('\0', '')}" contains a NUL or a lone surrogate; remove it`,
    );
  const type = readAttribute(span, SPAN_TYPE);
  return {
    traceId: `tr-${traceId}`,
    spanId,
    parentId: idOf(span.parent_span_id),
    name: name.slice(0, MAX_INDEXED).toWellFormed(),
    type: typeof type === 'string' ? type.slice(0, MAX_INDEXED).toWellFormed() : null,
    status: statusOf(span),
    startNs: readNs(span.start_time_unix_nano) ?? 0n,
    endNs: readNs(span.end_time_unix_nano),
    model: shortText(readAttribute(span, SPAN_MODEL)),
    modelProvider: shortText(readAttribute(span, SPAN_PROVIDER)),
    tokens: readFigures(readAttribute(span, SPAN_USAGE)),
    cost: readFigures(readAttribute(span, SPAN_COST)),
    content,
  };
}

function sketch(traceId: string, reads: readonly Read[]): TraceSketch {
  const rows = reads.map((read) => read.row);
  const startNs = rows.reduce((least, row) => (row.startNs < least ? row.startNs : least), rows[0]!.startNs);
  const endNs = rows.reduce((most, row) => (row.endNs !== null && row.endNs > most ? row.endNs : most), -1n);
  const timeMs = Number(startNs / 1_000_000n);
  const root = reads.find((read) => read.row.parentId === null);
  const attributes = root && plainAttributes(root.span.attributes);
  return {
    traceId,
    timeMs,
    durationMs: endNs < 0n ? null : Number(endNs / 1_000_000n) - timeMs,
    state: root === undefined ? 'IN_PROGRESS' : root.row.status === 'ERROR' ? 'ERROR' : 'OK',
    requestPreview: previewOf(attributes?.[SPAN_INPUTS], 'user'),
    responsePreview: previewOf(attributes?.[SPAN_OUTPUTS], 'assistant'),
    metadata: metadataOf(reads),
    tags: { ...tagsOf(reads[0]!.resource, attributes ?? {}), [SPANS_LOCATION]: 'TRACKING_STORE' },
    spans: rows,
    hasFigures: rows.some((row) => row.tokens !== undefined || row.cost !== undefined),
  };
}

/** https://opentelemetry.io/docs/specs/semconv/registry/attributes/session/ and …/user/ */
function metadataOf(reads: readonly Read[]): Record<string, string> {
  const first = (...keys: string[]): unknown => {
    for (const { span } of reads)
      for (const key of keys) {
        const value = readAttribute(span, key);
        if (typeof value === 'string' && value !== '') return value.slice(0, MAX_TAG_VALUE).toWellFormed();
      }
    return undefined;
  };
  const session = first('session.id', 'gen_ai.conversation.id');
  const user = first('user.id');
  return {
    ...(typeof session === 'string' && { [SESSION]: session }),
    ...(typeof user === 'string' && { [USER]: user }),
  };
}

function tagsOf(
  resource: Readonly<Record<string, unknown>>,
  attributes: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const tags = new Map<string, string>();
  const add = (key: string, value: unknown, limit = MAX_TAG_VALUE): void => {
    const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
    if (key !== '' && key.length <= MAX_KEY && isText(key) && isText(text))
      tags.set(key, text.slice(0, limit).toWellFormed());
  };
  for (const [key, value] of Object.entries(resource))
    // Of the SDK's own making, or ours to say.
    if (!key.startsWith('telemetry.sdk.') && !key.startsWith('mlflow.')) add(key, value);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith(TAG_ATTRIBUTE_PREFIX)) {
      const tag = key.slice(TAG_ATTRIBUTE_PREFIX.length);
      add(tag, value, tag === TRACE_NAME ? MAX_NAME : MAX_TAG_VALUE);
    }
  return Object.fromEntries(tags);
}

function statusOf(span: SpanContent): SpanRow['status'] {
  const code = span.status?.code;
  return code === 'STATUS_CODE_ERROR' ? 'ERROR' : code === 'STATUS_CODE_OK' ? 'OK' : 'UNSET';
}

const MAX_NS = 2n ** 63n - 1n;

function readNs(text: string | undefined): bigint | null {
  if (text === undefined || text === '0') return null;
  const ns = BigInt(text);
  if (ns > MAX_NS) throw invalid('a span has a time beyond the year 2262');
  return ns;
}

const shortText = (value: unknown): string | null =>
  typeof value === 'string' && value.length <= 250 ? value : null;

function isIllFormed(value: unknown): boolean {
  if (typeof value === 'string') return !isText(value);
  // Keys are OTLP's own: attributes are lists of { key, value }.
  return typeof value === 'object' && value !== null && Object.values(value).some(isIllFormed);
}

const invalid = (what: string): DomainError =>
  new DomainError('VALIDATION_FAILED', `The spans are not valid: ${what}. Nothing was stored.`);
