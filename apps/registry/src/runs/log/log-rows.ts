import type { EntityManager } from 'typeorm';
import { numberArray, runPrepared } from '#libs/platform/database/prepared.js';
import { compareInt64, type Int64 } from '../../metrics/int64.js';
import { compareMetricValues, metricValueSql } from '../../metrics/metric-value.js';
import { ALL_NEW, ANY_KNOWN } from './log-statement.js';

export interface PointRow {
  readonly key: number;
  readonly step: Int64;
  readonly timeMs: Int64;
  readonly value: number;
}

/** What one run is to be told: rows of volume tables, keys by their numbers. */
export interface LogRows {
  readonly workspaceId: string;
  readonly runId: string;
  readonly points: readonly PointRow[];
  readonly params: ReadonlyMap<number, string>;
  readonly tags: ReadonlyMap<number, string>;
}

/**
 * Writes any number of calls in one statement, as if all their points and params were new.
 * @returns for every call whether its run exists and is not deleted; where it is not, nothing of the call was written.
 * @throws QueryFailedError (unique violation of metric_pk or param_pk) when one is not; then nothing was written.
 */
export async function insertNew(batch: readonly LogRows[], manager: EntityManager): Promise<boolean[]> {
  const columns = new Columns(batch);
  return columns.outcome(await runPrepared(manager, ALL_NEW, [...columns.values(), ...columns.params()]));
}

/** As `insertNew`, but points that are there already change nothing. Params are not written: see `insertParams`. */
export async function upsertRows(batch: readonly LogRows[], manager: EntityManager): Promise<boolean[]> {
  const columns = new Columns(batch);
  return columns.outcome(await runPrepared(manager, ANY_KNOWN, columns.values()));
}

interface TextRow {
  readonly n: number;
  readonly key: number;
  readonly value: string;
}

/** Calls as the columns of the statements. Of tags set twice the last counts; of a metric the latest value is found. */
class Columns {
  private readonly numbers = new Map<string, number>();
  private readonly runOf: number[];
  private readonly ids: string[] = [];
  private readonly workspaces: string[] = [];
  private readonly points = { n: [] as number[], rows: [] as PointRow[] };
  private readonly latest = new Map<string, { n: number; point: PointRow }>();
  private readonly tags = new Map<string, TextRow>();
  private readonly newParams: TextRow[] = [];

  constructor(batch: readonly LogRows[]) {
    this.runOf = batch.map((rows) => this.add(rows));
  }

  values(): unknown[] {
    const last = [...this.latest.values()];
    return [
      this.ids,
      this.workspaces,
      numberArray([...this.numbers.values()]),
      numberArray(this.points.n),
      ...pointColumns(this.points.rows),
      numberArray(last.map(({ n }) => n)),
      ...pointColumns(last.map(({ point }) => point)),
      ...textColumns([...this.tags.values()]),
    ];
  }

  params(): unknown[] {
    return textColumns(this.newParams);
  }

  outcome(found: readonly { n: number }[]): boolean[] {
    const written = new Set(found.map(({ n }) => n));
    return this.runOf.map((n) => written.has(n));
  }

  private add({ workspaceId, runId, points, params, tags }: LogRows): number {
    const n = this.numberOf(workspaceId, runId);
    for (const point of points) {
      this.points.n.push(n);
      this.points.rows.push(point);
      const name = `${n} ${point.key}`;
      const best = this.latest.get(name);
      if (best === undefined || isLater(point, best.point)) this.latest.set(name, { n, point });
    }
    for (const [key, value] of params) this.newParams.push({ n, key, value });
    for (const [key, value] of tags) this.tags.set(`${n} ${key}`, { n, key, value });
    return n;
  }

  /** A run is known by its workspace, too: nobody writes to that of another because both are in one batch. */
  private numberOf(workspaceId: string, runId: string): number {
    const name = `${workspaceId} ${runId}`;
    const known = this.numbers.get(name);
    if (known !== undefined) return known;
    this.ids.push(runId);
    this.workspaces.push(workspaceId);
    this.numbers.set(name, this.numbers.size);
    return this.numbers.size - 1;
  }
}

function pointColumns(points: readonly PointRow[]): string[] {
  return [
    numberArray(points.map(({ key }) => key)),
    numberArray(points.map(({ step }) => step)),
    numberArray(points.map(({ timeMs }) => timeMs)),
    numberArray(points.map(({ value }) => metricValueSql(value))),
  ];
}

function textColumns(rows: readonly TextRow[]): unknown[] {
  return [
    numberArray(rows.map(({ n }) => n)),
    numberArray(rows.map(({ key }) => key)),
    rows.map(({ value }) => value),
  ];
}

/** In MLflow's order: by step, then time, then value. */
function isLater(a: PointRow, b: PointRow): boolean {
  const order =
    compareInt64(a.step, b.step) || compareInt64(a.timeMs, b.timeMs) || compareMetricValues(a.value, b.value);
  return order > 0;
}
