import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { findMetric, metricProblem, type SumMetric } from '#libs/core/ab-test/metrics.js';
import { detectableWith, planFor } from '#libs/core/ab-test/planning.js';
import { TUNED_UNITS } from '#libs/core/statistics/always-valid.js';
import { estimate } from '#libs/core/statistics/estimate.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { getEndpoint } from '../endpoints/endpoint-read.js';
import type { Caller } from '../http/caller.js';
import { within } from '../inferences/inference-sql.js';
import type { TimeRange } from '../inferences/time-range.js';
import type { PowerDto, PowerInput } from './power.dto.js';
import { scaledSums, type StoredSums } from './results-sql.js';
import { COUNTS, UNIT } from './running-tests.js';
import { TOTALS } from './unit-totals.js';

const DAY_MS = 86_400_000;
const BUCKETS = 10_000;

/** How long a test would take, from what the endpoint's units did lately. */
@Injectable()
export class PowerService {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError NOT_FOUND, VALIDATION_FAILED, SEARCH_TOO_SLOW. */
  async plan(caller: Caller, name: string, given: PowerInput): Promise<PowerDto> {
    const metric = findMetric(given.metric);
    if (!metric || metric.kind === 'quantile') {
      const message = metric
        ? 'is a percentile; plan with the mean, which needs fewer units'
        : metricProblem(given.metric)!;
      throw new DomainError('VALIDATION_FAILED', `/metric ${message}.`, [{ path: '/metric', message }]);
    }
    await getEndpoint(this.database.manager, caller, name);
    const days = given.days ?? 7;
    const to = new Date();
    const range = { from: new Date(to.getTime() - days * DAY_MS), to };
    const { all, sums } = await this.sumsOf(caller, name, metric, range);
    const control = estimate(metric.kind, scaledSums(metric, sums));
    const unitsPerDay = (all / days) * ((given.trafficShareBps ?? BUCKETS) / BUCKETS);
    const options = {
      effect: given.minimumEffect,
      scale: given.scale ?? 'relative',
      alpha: given.alpha ?? 0.05,
      power: given.power ?? 0.8,
      tunedUnits: given.tunedUnits ?? TUNED_UNITS,
      treatmentShare: (given.treatmentShareBps ?? BUCKETS / 2) / BUCKETS,
      // Units that say nothing of the metric do not bring its end nearer.
      unitsPerDay: all === 0 ? 0 : unitsPerDay * (sums.units / all),
    };
    const plan = control && planFor(control, options);
    const planned = options.unitsPerDay * given.maximumDays;
    return {
      units: sums.units,
      value: control?.value ?? null,
      unitsPerDay,
      fixedHorizonUnits: plan?.fixedHorizonUnits ?? null,
      alwaysValidUnits: plan?.alwaysValidUnits ?? null,
      days: plan?.days ?? null,
      detectableEffect: control && planned >= 2 ? detectableWith(control, planned, options) : null,
    };
  }

  /** Sums over the units of these days, and how many units there were. */
  private async sumsOf(
    caller: Caller,
    name: string,
    { kind, numerator, denominator }: SumMetric,
    range: TimeRange,
  ): Promise<{ all: number; sums: StoredSums }> {
    const { conditions, values, bind } = within(caller.workspaceId, range);
    conditions.push(`endpoint = ${bind(name)}`, COUNTS);
    const isRow = typeof numerator === 'string';
    const y = isRow ? TOTALS[numerator].sum : 'NULL';
    const d = typeof denominator === 'string' ? TOTALS[denominator].sum : isRow ? '1' : 'NULL';
    const rows = `SELECT ${UNIT} AS unit, (${y})::numeric AS y, (${d})::numeric AS d
                    FROM inference i WHERE ${conditions.join(' AND ')} GROUP BY 1`;
    const [row] = await this.database.query<(StoredSums & { all: number })[]>(
      `SELECT count(*) AS all, count(*) FILTER (WHERE d <> 0) AS units, ${PRODUCTS} FROM (${rows}) u`,
      values,
    );
    const { all, ...sums } = row!;
    if (isRow) return { all, sums };
    const judged = await this.judgedSums(
      caller,
      name,
      (numerator as { feedback: string }).feedback,
      range,
      kind,
    );
    return { all, sums: kind === 'rate' ? { ...judged, units: Math.max(all, judged.units) } : judged };
  }

  private async judgedSums(
    { workspaceId }: Caller,
    name: string,
    feedback: string,
    { from, to }: TimeRange,
    kind: SumMetric['kind'],
  ): Promise<StoredSums> {
    const y = kind === 'rate' ? 'bool_or(number_value > 0)::integer' : 'sum(number_value::numeric)';
    const [row] = await this.database.query<StoredSums[]>(
      `SELECT count(*) AS units, ${PRODUCTS}
         FROM (SELECT ${y}::numeric AS y, count(*)::numeric AS d FROM feedback
                WHERE workspace_id = $1 AND matched_endpoint = $2 AND matched_started_at >= $3 AND matched_started_at < $4
                  AND matched_inference_id IS NOT NULL AND latest AND number_value IS NOT NULL AND name = $5
                GROUP BY coalesce(matched_unit, matched_inference_id::text)) u`,
      [workspaceId, name, from, to, feedback],
    );
    return row!;
  }
}

const PRODUCTS = ['y', 'y*y', 'd', 'd*d', 'y*d']
  .map((product) => `coalesce(sum(${product}), 0) AS ${product.replace('*', '')}`)
  .join(', ');
