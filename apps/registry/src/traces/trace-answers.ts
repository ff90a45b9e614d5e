import { Injectable } from '@nestjs/common';
import { assessmentDto } from '../assessments/assessment.dto.js';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import type { Page } from '../http/page.js';
import { readFilter } from '../search/search-text.js';
import { idOf, plainAttributes, type SpanContent } from './span-content.js';
import type { ListTracesQuery, SpanDto, TraceDto, TraceSummaryDto } from './trace.dto.js';
import { TraceReader, type FoundTrace } from './trace-reader.js';
import { TraceService } from './trace.service.js';

/** Traces as the native API shows them. */
@Injectable()
export class TraceAnswers {
  constructor(
    private readonly reader: TraceReader,
    private readonly traces: TraceService,
    private readonly experiments: ExperimentService,
  ) {}

  /** @throws DomainError NOT_FOUND (the experiment), VALIDATION_FAILED (the filter), INVALID_CURSOR. */
  async list(caller: Caller, query: ListTracesQuery): Promise<Page<TraceSummaryDto>> {
    const filter = readFilter('trace', query.filter) ?? undefined;
    const experiment = await this.experiments.get(
      caller,
      parseExperimentRef(query.experimentId, '/experimentId'),
    );
    const page = await this.reader.search(caller, {
      experiments: [experiment.number],
      filter,
      limit: query.limit,
      cursor: query.cursor,
    });
    return { items: page.items.map(summaryDto), nextCursor: page.nextCursor };
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<TraceDto> {
    const trace = await this.reader.getWhole(caller, id);
    const spans = trace.spans.map((text) => spanDto(JSON.parse(text) as SpanContent));
    return Object.assign(summaryDto(trace), { spans });
  }

  /** @throws DomainError NOT_FOUND. */
  async delete(caller: Caller, id: string): Promise<void> {
    const trace = await this.reader.get(caller, id);
    await this.traces.delete(caller, trace.experimentNumber, { traceIds: [id] });
  }
}

function summaryDto(trace: FoundTrace): TraceSummaryDto {
  return {
    id: trace.traceId,
    experimentNumber: trace.experimentNumber,
    startedAt: new Date(trace.timeMs).toISOString(),
    durationMs: trace.durationMs,
    state: trace.state,
    requestPreview: trace.requestPreview,
    responsePreview: trace.responsePreview,
    clientRequestId: trace.clientRequestId,
    metadata: trace.metadata,
    tags: trace.tags,
    assessments: trace.assessments.map(assessmentDto),
  };
}

function spanDto(span: SpanContent): SpanDto {
  return {
    id: idOf(span.span_id)!,
    parentId: idOf(span.parent_span_id),
    name: span.name ?? '',
    status: (span.status?.code ?? 'STATUS_CODE_UNSET').replace('STATUS_CODE_', ''),
    statusMessage: span.status?.message ?? null,
    startNs: span.start_time_unix_nano ?? '0',
    endNs: span.end_time_unix_nano ?? null,
    attributes: plainAttributes(span.attributes),
    events: (span.events ?? []).map((event) => ({
      name: event.name ?? '',
      timeNs: event.time_unix_nano ?? '0',
      attributes: plainAttributes(event.attributes),
    })),
  };
}
