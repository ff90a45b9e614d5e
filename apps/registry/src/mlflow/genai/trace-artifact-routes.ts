import { Injectable } from '@nestjs/common';
import { plainValue, type KeyValue, type SpanContent } from '../../traces/span-content.js';
import { TraceReader } from '../../traces/trace-reader.js';
import type { Caller } from '../../http/caller.js';
import { ArtifactReader } from '../artifacts/artifact-reader.js';
import { missingValue } from '../protocol/mlflow-error.js';
import type { Exchange, MlflowRoutes } from '../protocol/mlflow-routes.js';
import { traceArtifactUri } from './trace-message.js';

const SPANS_FILE = 'traces.json';

/** Files of a trace: its spans as clients kept them before servers did, and attachments. */
@Injectable()
export class TraceArtifactRoutes {
  constructor(
    private readonly reader: TraceReader,
    private readonly artifacts: ArtifactReader,
  ) {}

  register(routes: MlflowRoutes): void {
    for (const version of ['2.0', '3.0'])
      routes.addRaw({
        method: 'GET',
        path: `/ajax-api/${version}/mlflow/get-trace-artifact`,
        handle: (caller, exchange) => this.send(caller, exchange),
      });
  }

  private async send(caller: Caller, exchange: Exchange): Promise<void> {
    const traceId = exchange.query.get('request_id');
    if (!traceId) throw missingValue('request_id');
    const trace = await this.reader.getWhole(caller, traceId);
    const path = exchange.query.get('path');
    if (path || trace.spans.length === 0) {
      const file = path ? `attachments/${path}` : SPANS_FILE;
      await this.artifacts.send(caller, traceArtifactUri(trace), file, exchange);
      return;
    }
    const spans = trace.spans.map((text) => spanOfFile(traceId, JSON.parse(text) as SpanContent));
    const { response } = exchange;
    response.status(200);
    response.setHeader('content-type', 'application/octet-stream');
    response.setHeader('content-disposition', `attachment; filename=${SPANS_FILE}`);
    response.end(JSON.stringify({ spans }));
  }
}

/** Attributes are JSON texts there, and times numbers. */
function spanOfFile(traceId: string, span: SpanContent): object {
  return {
    trace_id: span.trace_id,
    span_id: span.span_id,
    parent_span_id: span.parent_span_id ?? null,
    name: span.name ?? '',
    start_time_unix_nano: rawNumber(span.start_time_unix_nano ?? '0'),
    end_time_unix_nano: span.end_time_unix_nano === undefined ? null : rawNumber(span.end_time_unix_nano),
    events: (span.events ?? []).map((event) => ({
      name: event.name ?? '',
      time_unix_nano: rawNumber(event.time_unix_nano ?? '0'),
      attributes: mapOf(event.attributes, plainValue),
    })),
    status: { code: span.status?.code ?? 'STATUS_CODE_UNSET', message: span.status?.message ?? '' },
    attributes: {
      ...mapOf(span.attributes, (value) => JSON.stringify(plainValue(value))),
      'mlflow.traceRequestId': JSON.stringify(traceId),
    },
    links: (span.links ?? []).map((link) => ({
      trace_id: `tr-${Buffer.from(link.trace_id ?? '', 'base64').toString('hex')}`,
      span_id: Buffer.from(link.span_id ?? '', 'base64').toString('hex'),
      attributes: mapOf(link.attributes, plainValue),
    })),
  };
}

function mapOf(
  attributes: readonly KeyValue[] | undefined,
  read: (value: KeyValue['value']) => unknown,
): object {
  return Object.fromEntries((attributes ?? []).map(({ key, value }) => [key ?? '', read(value)]));
}

/** `JSON.rawJSON` writes digits as they are: https://github.com/tc39/proposal-json-parse-with-source */
const rawNumber = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
