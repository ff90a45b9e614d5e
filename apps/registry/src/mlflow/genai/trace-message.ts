import type { FoundTrace, WholeTrace } from '../../traces/trace-reader.js';
import { ARTIFACT_LOCATION, type NewTrace, type TraceInfo } from '../../traces/trace.js';
import { choice, list, map, message, text, type RequestOf } from '../protocol/fields.js';
import { Streamed, writeJson } from '../protocol/json-writer.js';
import { missingValue } from '../protocol/mlflow-error.js';
import { experimentLocation } from '../tracking/artifact-uri.js';
import { ASSESSMENT_FIELDS, assessmentMessage } from './assessment-message.js';
import { readDuration, readTimestamp, writeDuration, writeTimestamp } from './proto-time.js';

export const LOCATION = message({
  type: choice({ TRACE_LOCATION_TYPE_UNSPECIFIED: 0, MLFLOW_EXPERIMENT: 1, INFERENCE_TABLE: 2 }),
  mlflow_experiment: message({ experiment_id: text({ default: '' }) }),
});

export const TRACE_INFO_FIELDS = {
  trace_id: text({ required: true }),
  client_request_id: text(),
  trace_location: LOCATION,
  request_preview: text(),
  response_preview: text(),
  request_time: text(),
  execution_duration: text(),
  state: choice({ STATE_UNSPECIFIED: 0, OK: 1, ERROR: 2, IN_PROGRESS: 3 }),
  trace_metadata: map(text({ default: '' })),
  tags: map(text({ default: '' })),
  assessments: list(message(ASSESSMENT_FIELDS)),
};

/** @throws MlflowError INVALID_PARAMETER_VALUE. */
export function readTraceInfo(given: RequestOf<typeof TRACE_INFO_FIELDS>): NewTrace {
  if (given.request_time === undefined) throw missingValue('trace.trace_info.request_time');
  return {
    traceId: given.trace_id,
    timeMs: readTimestamp(given.request_time, 'trace.trace_info.request_time'),
    durationMs:
      given.execution_duration === undefined
        ? null
        : readDuration(given.execution_duration, 'trace.trace_info.execution_duration'),
    state: given.state ?? 'STATE_UNSPECIFIED',
    requestPreview: given.request_preview ?? null,
    responsePreview: given.response_preview ?? null,
    clientRequestId: given.client_request_id ?? null,
    metadata: given.trace_metadata,
    tags: given.tags,
  };
}

/** `TraceInfoV3`. */
export function traceInfoMessage(trace: FoundTrace): object {
  return {
    trace_id: trace.traceId,
    client_request_id: trace.clientRequestId,
    trace_location: {
      type: 'MLFLOW_EXPERIMENT',
      mlflow_experiment: { experiment_id: String(trace.experimentNumber) },
    },
    request_preview: trace.requestPreview,
    response_preview: trace.responsePreview,
    request_time: writeTimestamp(trace.timeMs),
    execution_duration: trace.durationMs === null ? null : writeDuration(trace.durationMs),
    state: trace.state,
    trace_metadata: trace.metadata,
    tags: tagsOf(trace),
    assessments: trace.assessments.map(assessmentMessage),
  };
}

/** The deprecated `TraceInfo`. */
export function oldTraceInfoMessage(trace: TraceInfo): object {
  const pairs = (map: Readonly<Record<string, string>>): object[] =>
    Object.entries(map).map(([key, value]) => ({ key, value }));
  return {
    request_id: trace.traceId,
    experiment_id: String(trace.experimentNumber),
    timestamp_ms: trace.timeMs,
    execution_time_ms: trace.durationMs,
    status: trace.state === 'STATE_UNSPECIFIED' ? 'TRACE_STATUS_UNSPECIFIED' : trace.state,
    request_metadata: pairs(trace.metadata),
    tags: pairs(tagsOf(trace)),
  };
}

function tagsOf(trace: TraceInfo): Record<string, string> {
  return { ...trace.tags, [ARTIFACT_LOCATION]: traceArtifactUri(trace) };
}

/** Where clients keep files of a trace. */
export function traceArtifactUri(trace: TraceInfo): string {
  const location = experimentLocation(trace.experimentNumber, trace.artifactLocation).replace(/\/+$/, '');
  return `${location}/traces/${trace.traceId}/artifacts`;
}

/** Traces with their spans, written as they are stored: nothing is parsed and written again. */
export function wholeTraces(
  traces: readonly WholeTrace[],
  frame: { before: string; after: string },
): Streamed {
  async function* chunks(): AsyncGenerator<string> {
    yield frame.before;
    for (const [index, trace] of traces.entries()) {
      yield `${index === 0 ? '' : ','}{"trace_info":${writeJson(traceInfoMessage(trace))}`;
      if (trace.spans.length > 0) {
        yield ',"spans":[';
        for (const [at, span] of trace.spans.entries()) yield at === 0 ? span : `,${span}`;
        yield ']';
      }
      yield '}';
    }
    yield frame.after;
  }
  return new Streamed(chunks());
}
