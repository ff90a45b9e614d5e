import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { quantileOfBins } from '#libs/core/histogram/log-bins.js';
import { getEndpoint } from '../endpoints/endpoint-read.js';
import type { Caller } from '../http/caller.js';
import { timeRange, type TimeRange } from '../inferences/time-range.js';
import { grainOf, seriesStatement, type SeriesRow } from './series-sql.js';
import {
  STEP_SECONDS,
  type SeriesDto,
  type SeriesListDto,
  type SeriesPointDto,
  type SeriesQuery,
  type TimesDto,
} from './series.dto.js';

const GRAIN_MS = { minute: 60_000, hour: 3_600_000 } as const;
const MAX_STEPS = 2_000;

/** Figures of an endpoint over time, out of sums per minute and per hour. */
@Injectable()
export class SeriesService {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError NOT_FOUND; VALIDATION_FAILED: the time range, or more than 2000 steps. */
  async read(caller: Caller, endpoint: string, query: SeriesQuery): Promise<SeriesListDto> {
    const range = wholeGrains(query);
    await getEndpoint(this.database.manager, caller, endpoint);
    const statement = seriesStatement(caller.workspaceId, endpoint, range, query);
    const rows = await this.database.query<SeriesRow[]>(statement.text, [...statement.values]);
    const series = new Map<string, SeriesDto>();
    for (const row of rows) {
      const group = groupOf(row);
      const key = JSON.stringify(Object.values(group));
      if (!series.has(key)) series.set(key, { ...group, points: [] });
      series.get(key)!.points.push(pointOf(row));
    }
    return { series: [...series.values()] };
  }
}

function wholeGrains(query: SeriesQuery): TimeRange {
  const { from, to } = timeRange(query);
  const steps = (to.getTime() - from.getTime()) / (STEP_SECONDS[query.step] * 1_000);
  if (steps > MAX_STEPS) {
    const message = `the range has ${Math.ceil(steps)} steps of ${query.step}; ask for at most ${MAX_STEPS}, or for a wider step`;
    throw new DomainError('VALIDATION_FAILED', `The time range is not valid: ${message}.`, [
      { path: '/step', message },
    ]);
  }
  const grainMs = GRAIN_MS[grainOf(query.step)];
  const whole = (time: Date, round: (value: number) => number) =>
    new Date(round(time.getTime() / grainMs) * grainMs);
  return { from: whole(from, Math.floor), to: whole(to, Math.ceil) };
}

function groupOf(row: SeriesRow): Omit<SeriesDto, 'points'> {
  return {
    arm: row.arm ?? null,
    chain: row.chain ?? null,
    chainVersion: row.chain_version ?? null,
    // Empty where no model call was made.
    modelEndpoint: row.model_endpoint || null,
    model: row.model || null,
  };
}

function pointOf(row: SeriesRow): SeriesPointDto {
  return {
    at: row.at,
    requests: row.requests,
    ok: row.ok,
    errors: row.errors,
    cancelled: row.cancelled,
    interrupted: row.interrupted,
    cacheHits: row.cache_hits,
    fallbacks: row.fallbacks,
    attempts: row.attempts,
    schemaValidRate: row.schema_rows === 0 ? null : row.schema_valid / row.schema_rows,
    inputTokens: row.input_tokens,
    cachedInputTokens: row.cached_input_tokens,
    outputTokens: row.output_tokens,
    costMicroUsd: row.cost_micro_usd,
    latencyMs: timesOf(row.latency_us, row.latency_rows, row.latency_bins),
    ttftMs: timesOf(row.ttft_us, row.ttft_rows, row.ttft_bins),
  };
}

/** @param elements of a histogram, in any order: count · 1024 + bin. */
function timesOf(microseconds: number, rows: number, elements: readonly string[] | null): TimesDto {
  const counts = new Map<number, number>();
  for (const text of elements ?? []) {
    const element = Number(text);
    const bin = element % 1024;
    counts.set(bin, (counts.get(bin) ?? 0) + (element - bin) / 1024);
  }
  const bins = [...counts].sort(([a], [b]) => a - b);
  return {
    mean: rows === 0 ? null : microseconds / rows / 1_000,
    p50: quantileOfBins(bins, 0.5),
    p95: quantileOfBins(bins, 0.95),
    p99: quantileOfBins(bins, 0.99),
  };
}
