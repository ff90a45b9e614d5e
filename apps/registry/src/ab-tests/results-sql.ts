import type { EntityManager } from 'typeorm';
import type { ArmInput, PhaseInput } from '#libs/core/ab-test/ab-test.js';
import { findMetric, type HistogramFact, type SumMetric } from '#libs/core/ab-test/metrics.js';
import type { GroupHistogram } from '#libs/core/ab-test/histogram.js';
import type { ArmSums } from '#libs/core/statistics/sums.js';
import type { AbTest } from './ab-test.entity.js';
import type { PhaseFactsDto } from './ab-test-results.dto.js';
import { SUMS } from './row-sums-sql.js';
import { TOTALS } from './unit-totals.js';

/** A phase as the analysis takes it, with what is said of it beside. */
export interface Phase {
  readonly input: PhaseInput;
  readonly facts: Readonly<Pick<PhaseFactsDto, keyof PhaseFactsDto>>;
}

interface SplitRow {
  readonly revision: number;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly reason: string | null;
  readonly arms: readonly { name: string; weightBps: number; digest: string }[];
}

interface ExposureRow {
  readonly revision: number;
  readonly arm: string;
  readonly units: number;
  readonly newcomers: number;
  readonly requests: number;
  readonly without_unit: number;
  readonly errors: number;
  readonly interrupted: number;
  readonly overrides: number;
  readonly shadows: number;
}

/** Sums as the tables have them: exact, times in microseconds. */
export type StoredSums = { readonly units: number } & Readonly<
  Partial<Record<(typeof SUMS)[number], string>>
>;

type SumsRow = StoredSums & { readonly revision: number; readonly arm: string; readonly metric: string };

interface HistogramRow {
  readonly revision: number;
  readonly arm: string;
  readonly fact: HistogramFact;
  readonly group: number;
  readonly bins: readonly number[];
  readonly requests: readonly number[];
}

/**
 * The phases of a test, from the splits and the sums: no row of a request and none of a unit is read.
 * @param tx one snapshot, so that all figures are of one moment.
 */
export async function readPhases(tx: EntityManager, test: AbTest): Promise<Phase[]> {
  const splits = await tx.query<SplitRow[]>(
    `SELECT s.revision, s.created_at AS "createdAt", s.created_by AS "createdBy", s.reason,
            (SELECT json_agg(json_build_object('name', a.name, 'weightBps', a.weight_bps, 'digest', v.digest) ORDER BY a.position)
               FROM arm a JOIN version v ON v.id = a.chain_version_id WHERE a.split_id = s.id) AS arms
       FROM split s WHERE s.workspace_id = $1 AND s.endpoint_id = $2 AND s.revision BETWEEN $3 AND coalesce($4, 2147483647)
      ORDER BY s.revision`,
    [test.workspaceId, test.endpointId, test.firstRevision, test.lastRevision],
  );
  const exposures = await tx.query<ExposureRow[]>(
    `SELECT revision, arm, units, newcomers, requests, without_unit, errors, interrupted, overrides, shadows
       FROM ab_test_exposure WHERE test = $1 ORDER BY revision, arm`,
    [test.serial],
  );
  const sums = await tx.query<SumsRow[]>(
    `SELECT revision, arm, metric, units, ${SUMS.join(', ')} FROM ab_test_sums WHERE test = $1 AND metric = ANY ($2)`,
    [test.serial, test.metrics],
  );
  const histograms = await tx.query<HistogramRow[]>(
    `SELECT revision, arm, fact, unit_group AS "group", array_to_json(bins) AS bins, array_to_json(requests) AS requests
       FROM ab_test_histogram WHERE test = $1`,
    [test.serial],
  );
  const exposuresOf = Map.groupBy(exposures, ({ revision }) => revision);
  const sumsOf = Map.groupBy(sums, keyOf);
  const histogramsOf = Map.groupBy(histograms, keyOf);
  return splits.map((split, at) => {
    const next = splits[at + 1];
    const { revision } = split;
    const exposed = exposuresOf.get(revision) ?? [];
    const total = (of: (row: ExposureRow) => number) => exposed.reduce((sum, row) => sum + of(row), 0);
    const strangers = exposed.filter(
      ({ arm, units }) => units > 0 && !split.arms.some(({ name }) => name === arm),
    );
    const startedAt = at === 0 ? test.startedAt! : split.createdAt;
    const input: PhaseInput = {
      splitRevision: revision,
      startedAt: startedAt.toISOString(),
      endedAt: (next?.createdAt ?? test.stoppedAt)?.toISOString() ?? null,
      arms: split.arms.map(({ name, weightBps, digest }): ArmInput => {
        const key = keyOf({ revision, arm: name });
        const seen = exposed.find(({ arm }) => arm === name);
        return {
          arm: name,
          chainDigest: digest,
          weightBps,
          units: seen?.units ?? 0,
          newcomers: seen?.newcomers ?? 0,
          requests: seen?.requests ?? 0,
          requestsWithoutUnit: seen?.without_unit ?? 0,
          errors: seen?.errors ?? 0,
          interrupted: seen?.interrupted ?? 0,
          sums: sumsOfArm(sumsOf.get(key) ?? [], seen?.units ?? 0, test.metrics),
          histograms: groupHistograms(histogramsOf.get(key) ?? []),
        };
      }),
      strangers: Object.fromEntries(strangers.map(({ arm, units }) => [arm, units])),
      overrideRequests: total((row) => row.overrides),
      shadowRequests: total((row) => row.shadows),
      returningUnits: total((row) => row.units - row.newcomers),
    };
    return {
      input,
      facts: {
        startedBy: split.createdBy,
        startReason: split.reason,
        endReason: next ? next.reason : test.stopReason,
        newUnits: total((row) => row.newcomers),
        withoutUnit: total((row) => row.without_unit),
        overrides: total((row) => row.overrides),
        shadows: total((row) => row.shadows),
      },
    };
  });
}

function keyOf({ revision, arm }: { revision: number; arm: string }): string {
  return `${revision} ${arm}`;
}

function sumsOfArm(
  rows: readonly SumsRow[],
  units: number,
  metrics: readonly string[],
): Record<string, ArmSums> {
  const found: Record<string, ArmSums> = {};
  for (const name of metrics) {
    const metric = findMetric(name)!;
    if (metric.kind === 'quantile') continue;
    const row = rows.find((each) => each.metric === name);
    if (typeof metric.numerator !== 'string' && metric.kind === 'rate') {
      // Units that nobody judged count too. The feedback may be a moment ahead of the rows.
      const y = Number(row?.y ?? 0);
      if (units > 0) found[name] = { units: Math.max(units, y), y, yy: y };
      continue;
    }
    if (row) found[name] = scaledSums(metric, row);
  }
  return found;
}

function groupHistograms(rows: readonly HistogramRow[]): Partial<Record<HistogramFact, GroupHistogram[]>> {
  const found: Partial<Record<HistogramFact, GroupHistogram[]>> = {};
  for (const { fact, group, bins, requests } of rows)
    (found[fact] ??= []).push({ group, bins: bins.map((bin, at) => [bin, requests[at]!]) });
  return found;
}

/** Sums in the metric's units, without those that the metric does not have. */
export function scaledSums({ numerator, denominator }: SumMetric, row: StoredSums): ArmSums {
  const scaleOf = (total: SumMetric['denominator']) =>
    typeof total === 'string' ? (TOTALS[total].scale ?? 1) : 1;
  const [over, under] = [scaleOf(numerator), scaleOf(denominator)];
  const scales: Record<string, number> = { y: over, x: over, d: under, w: under };
  const has = (variable: string) =>
    variable === 'y' ||
    (variable === 'd' && denominator !== undefined) ||
    (variable === 'x' && typeof numerator === 'string') ||
    (variable === 'w' && typeof denominator === 'string');
  const present = SUMS.filter((name) => row[name] !== undefined && name.split('').every(has));
  const values = present.map((name) => [
    name,
    name.split('').reduce((value, variable) => value * scales[variable]!, Number(row[name])),
  ]);
  return { units: row.units, y: 0, ...Object.fromEntries(values) } as ArmSums;
}
