import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../../http/caller.js';
import { metricValueJson } from '../../metrics/metric-value.js';
import { RunReader, type RunData } from '../../search/run-reader.js';
import { runDto } from '../run-answers.js';
import type { ComparedMetricDto, ComparedTextsDto, ComparisonDto } from './run-compare.dto.js';
import { noSuchRun, SELECT_RUN, type RunRecord } from '../run-record.js';

/** Puts runs side by side. */
@Injectable()
export class RunCompare {
  constructor(
    private readonly database: DataSource,
    private readonly reader: RunReader,
  ) {}

  /** @param ids 2 to 50 UUIDs, each once; deleted runs, too. @throws DomainError NOT_FOUND. */
  async compare(caller: Caller, ids: readonly string[]): Promise<ComparisonDto> {
    const found: RunRecord[] = await this.database.query(
      `${SELECT_RUN} WHERE r.id = ANY ($1::uuid[]) AND r.workspace_id = $2`,
      [ids, caller.workspaceId],
    );
    const byId = new Map(found.map((run) => [run.id, run]));
    const runs = ids.map((id) => {
      const run = byId.get(id);
      if (run === undefined) throw noSuchRun(id);
      return run;
    });
    const loaded = await this.reader.load(runs.map(({ serial }) => serial));
    const data = runs.map(({ serial }) => loaded.get(serial)!);
    return {
      runs: runs.map(runDto),
      params: texts(data.map(({ params }) => byKey(params))),
      metrics: metrics(data),
      tags: texts(data.map(({ tags }) => byKey(tags))),
    };
  }
}

function texts(perRun: readonly ReadonlyMap<string, string>[]): ComparedTextsDto {
  const compared: ComparedTextsDto = { differing: [], equal: [] };
  for (const key of keysOf(perRun)) {
    const values = perRun.map((map) => map.get(key) ?? null);
    const [first] = values;
    if (typeof first === 'string' && values.every((value) => value === first))
      compared.equal.push({ key, value: first });
    else compared.differing.push({ key, values });
  }
  return compared;
}

function metrics(data: readonly RunData[]): ComparedMetricDto[] {
  const perRun = data.map((run) => new Map(run.metrics.map((metric) => [metric.key, metric])));
  return keysOf(perRun).map((key) => ({
    key,
    values: perRun.map((map) => {
      const metric = map.get(key);
      return metric
        ? { value: metricValueJson(metric.value), step: metric.step, timeMs: metric.timeMs }
        : null;
    }),
  }));
}

function byKey(pairs: RunData['params']): ReadonlyMap<string, string> {
  return new Map(pairs.map(({ key, value }) => [key, value]));
}

function keysOf(maps: readonly ReadonlyMap<string, unknown>[]): string[] {
  return [...new Set(maps.flatMap((map) => [...map.keys()]))].sort();
}
