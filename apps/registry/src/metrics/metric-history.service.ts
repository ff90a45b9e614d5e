import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { readInt64, type Int64 } from './int64.js';
import { metricValueSql } from './metric-value.js';
import { countPoints, readPoints, type HistoryPoint, type PointSelection } from './point-columns.js';
import { Thinning } from './thinning.js';
import { TrackingKeys } from './tracking-keys.js';

export interface RunHistory {
  readonly runId: string;
  readonly points: readonly HistoryPoint[];
}

export interface HistoryPage {
  readonly points: readonly HistoryPoint[];
  /** Give it back as `after` for the next page; null on the last one. */
  readonly next: HistoryPoint | null;
}

export interface StepRange {
  /** Inclusive. */
  readonly startStep?: Int64;
  /** Inclusive. */
  readonly endStep?: Int64;
}

export const MAX_HISTORY_RUNS = 100;
export const MAX_HISTORY_POINTS = 25_000;

interface PointRow {
  readonly step: string;
  readonly timeMs: string;
  readonly value: number;
}

type RunPointRow = PointRow & { readonly run: number };

/** PostgreSQL reads runs one after the other; on several connections it uses several cores. */
const SAMPLE_CONNECTIONS = 4;
/** Read at once, about 4 MB: memory does not grow with the length of a run. */
const SAMPLE_PAGE = 50_000;

/** By step the primary key is read in order; by time, as the MLflow protocol wants it, the metric is sorted.
 * Qualified, because `step` alone would be the text of the output. */
const ORDERS = {
  step: ['m.step', 'm.time_ms', 'm.value'],
  time: ['m.time_ms', 'm.step', 'm.value'],
} as const;
export type HistoryOrder = keyof typeof ORDERS;

/** All points of metrics. A metric that was never logged has none. */
@Injectable()
export class MetricHistory {
  constructor(
    private readonly database: DataSource,
    private readonly keys: TrackingKeys,
  ) {}

  /**
   * One page of one metric of one run.
   * @param limit 1 to 25 000.
   * @throws DomainError NOT_FOUND when there is no such run.
   */
  async page(
    caller: Caller,
    runId: string,
    key: string,
    query: { limit: number; after?: HistoryPoint; order?: HistoryOrder } & StepRange,
  ): Promise<HistoryPage> {
    const [serial] = (await this.serials(caller, [runId])).values();
    const keyId = await this.keyId(caller, key);
    const columns = ORDERS[query.order ?? 'step'];
    const { after } = query;
    const rows: PointRow[] = await this.database.query(
      `SELECT step::text, time_ms::text AS "timeMs", value FROM metric m
        WHERE run = $1 AND key = $2 AND step BETWEEN $3::bigint AND $4::bigint
          ${after ? `AND (${columns.join(', ')}) > ($6::bigint, $7::bigint, $8::double precision)` : ''}
        ORDER BY ${columns.join(', ')} LIMIT $5`,
      [
        serial,
        keyId,
        ...bounds(query),
        query.limit + 1,
        ...(after
          ? [
              ...(query.order !== 'time' ? [after.step, after.timeMs] : [after.timeMs, after.step]),
              metricValueSql(after.value),
            ]
          : []),
      ],
    );
    const points = rows.slice(0, query.limit).map(toPoint);
    return { points, next: rows.length > query.limit ? points.at(-1)! : null };
  }

  /**
   * One metric of up to 100 runs: at most `maxPoints` in all, in order of run ids, then of time, step and value.
   * @throws DomainError NOT_FOUND for runs that do not exist; VALIDATION_FAILED for too many.
   */
  async bulk(
    caller: Caller,
    runIds: readonly string[],
    key: string,
    maxPoints: number,
  ): Promise<RunHistory[]> {
    const serials = await this.serials(caller, runIds);
    const keyId = await this.keyId(caller, key);
    const rows: RunPointRow[] = await this.database.query(
      `SELECT m.run, m.step::text, m.time_ms::text AS "timeMs", m.value
         FROM unnest($1::integer[]) WITH ORDINALITY g (run, n)
         CROSS JOIN LATERAL (SELECT * FROM metric WHERE run = g.run AND key = $2
                              ORDER BY time_ms, step, value LIMIT $3) m
        ORDER BY g.n, m.time_ms, m.step, m.value LIMIT $3`,
      [[...serials.values()], keyId, maxPoints],
    );
    return grouped(serials, rows);
  }

  /**
   * One metric of up to 100 runs, thinned out to at most `points` per run: the first, the last, and the least and
   * greatest value of every interval between them; all points where a run has no more. Intervals hold equally many
   * points, so that a metric without steps is thinned out as well. In order of step, time and value.
   * @param points per run, 1 to 2 500; 1 keeps the last.
   * @throws DomainError NOT_FOUND for runs that do not exist; VALIDATION_FAILED for too many.
   */
  async sample(
    caller: Caller,
    runIds: readonly string[],
    key: string,
    query: { points: number } & StepRange,
  ): Promise<RunHistory[]> {
    const serials = await this.serials(caller, runIds);
    const keyId = await this.keyId(caller, key);
    const [startStep, endStep] = bounds(query);
    const histories: RunHistory[] = [];
    const waiting = [...serials].entries();
    const work = async () => {
      for (const [index, [runId, run]] of waiting) {
        const selection = { run, key: keyId, startStep, endStep };
        histories[index] = { runId, points: await this.thinnedOut(selection, query.points) };
      }
    };
    await Promise.all(Array.from({ length: SAMPLE_CONNECTIONS }, work));
    return histories;
  }

  private async thinnedOut(selection: PointSelection, limit: number): Promise<readonly HistoryPoint[]> {
    let page = await readPoints(this.database, selection, SAMPLE_PAGE);
    const total = page.length < SAMPLE_PAGE ? page.length : await countPoints(this.database, selection);
    const thinning = new Thinning(limit, total);
    thinning.add(page);
    while (page.length === SAMPLE_PAGE) {
      page = await readPoints(this.database, selection, SAMPLE_PAGE, page.point(SAMPLE_PAGE - 1));
      thinning.add(page);
    }
    return thinning.finish();
  }

  /** Serials by run id, in order of ids. */
  private async serials(caller: Caller, runIds: readonly string[]): Promise<Map<string, number>> {
    const wanted = [...new Set(runIds.map((id) => id.toLowerCase()))].sort();
    if (wanted.length > MAX_HISTORY_RUNS)
      throw new DomainError(
        'VALIDATION_FAILED',
        `/runIds names ${wanted.length} runs; ask for at most ${MAX_HISTORY_RUNS} at a time.`,
        [{ path: '/runIds', message: `must name at most ${MAX_HISTORY_RUNS} runs` }],
      );
    const rows: { id: string; serial: number }[] = await this.database.query(
      'SELECT id, serial FROM run WHERE id = ANY ($1::uuid[]) AND workspace_id = $2 ORDER BY id',
      [wanted.filter((id) => validate(id)), caller.workspaceId],
    );
    const found = new Map(rows.map(({ id, serial }) => [id, serial]));
    const missing = wanted.find((id) => !found.has(id));
    if (missing !== undefined)
      throw new DomainError(
        'NOT_FOUND',
        `There is no run "${missing.slice(0, 64)}"; list the runs, or create one first.`,
        { id: missing },
      );
    return found;
  }

  /** -1, which no key has, for a name that was never logged. */
  private async keyId(caller: Caller, key: string): Promise<number> {
    return (await this.keys.find(caller.workspaceId, [key])).get(key) ?? -1;
  }
}

function bounds({ startStep, endStep }: StepRange): [Int64, Int64] {
  return [startStep ?? '-9223372036854775808', endStep ?? '9223372036854775807'];
}

function toPoint({ step, timeMs, value }: PointRow): HistoryPoint {
  return { step: readInt64(step), timeMs: readInt64(timeMs), value };
}

function grouped(serials: ReadonlyMap<string, number>, rows: readonly RunPointRow[]): RunHistory[] {
  const byRun = new Map<number, HistoryPoint[]>([...serials.values()].map((serial) => [serial, []]));
  for (const row of rows) byRun.get(row.run)!.push(toPoint(row));
  return [...serials].map(([runId, serial]) => ({ runId, points: byRun.get(serial)! }));
}
