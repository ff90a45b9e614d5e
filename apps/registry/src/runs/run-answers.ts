import { metricValueJson } from '../metrics/metric-value.js';
import type { Page } from '../http/page.js';
import type { LatestMetric, RunData } from '../search/run-reader.js';
import type { RunDto, RunWithDataDto, RunWithMetricsDto } from './run.dto.js';
import { parseRunId } from './run-id.js';
import type { RunRecord } from './run-record.js';
import { PARENT_TAG } from './run-tags.js';

/** Records as the native API shows them. */
export function runDto(run: RunRecord): RunDto {
  return {
    id: run.id,
    experimentId: run.experimentId,
    experimentNumber: run.experimentNumber,
    name: run.name,
    status: run.status,
    startedAt: run.startedAt?.toISOString() ?? null,
    endedAt: run.endedAt?.toISOString() ?? null,
    createdAt: run.createdAt.toISOString(),
    createdBy: run.createdBy,
    updatedAt: run.updatedAt.toISOString(),
    deletedAt: run.deletedAt?.toISOString() ?? null,
  };
}

export function runPage({ items, nextCursor }: Page<RunRecord>): Page<RunDto> {
  return { items: items.map(runDto), nextCursor };
}

export function runWithMetricsDto(run: RunRecord, metrics: readonly LatestMetric[]): RunWithMetricsDto {
  return Object.assign(runDto(run), {
    metrics: Object.fromEntries(
      metrics.map(({ key, value, step, timeMs }) => [key, { value: metricValueJson(value), step, timeMs }]),
    ),
  });
}

export function runWithDataDto(run: RunRecord, data: RunData): RunWithDataDto {
  const tags = textMap(data.tags);
  const parent = data.tags.find(({ key }) => key === PARENT_TAG)?.value;
  return Object.assign(runWithMetricsDto(run, data.metrics), {
    params: textMap(data.params),
    tags,
    parentRunId: parent === undefined ? null : (parseRunId(parent) ?? null),
  });
}

function textMap(pairs: RunData['params']): Record<string, string> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
}
