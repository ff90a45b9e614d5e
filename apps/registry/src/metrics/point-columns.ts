import type { DataSource } from 'typeorm';
import { readInt64, type Int64 } from './int64.js';
import { metricValueSql } from './metric-value.js';

export interface HistoryPoint {
  readonly step: Int64;
  readonly timeMs: Int64;
  readonly value: number;
}

/** Of the points of one metric of one run, in order of step, time and value. */
export interface PointSelection {
  readonly run: number;
  readonly key: number;
  /** Inclusive. */
  readonly startStep: Int64;
  /** Inclusive. */
  readonly endStep: Int64;
}

/**
 * Points as PostgreSQL packs them: eight bytes each, big-endian, in three columns. A row per point costs the database
 * and this process several times as much as the point itself.
 */
export class PointColumns {
  private readonly values: DataView;

  constructor(
    readonly length: number,
    private readonly steps: Buffer,
    private readonly times: Buffer,
    values: Buffer,
  ) {
    this.values = new DataView(values.buffer, values.byteOffset, values.byteLength);
  }

  value(index: number): number {
    return this.values.getFloat64(index * 8);
  }

  point(index: number): HistoryPoint {
    return {
      step: int64At(this.steps, index),
      timeMs: int64At(this.times, index),
      value: this.value(index),
    };
  }
}

function int64At(column: Buffer, index: number): Int64 {
  const high = column.readInt32BE(index * 8);
  // Below 2^52 either way: exact as a number.
  if (high >= -0x10_0000 && high < 0x10_0000)
    return high * 0x1_0000_0000 + column.readUInt32BE(index * 8 + 4);
  return readInt64(column.readBigInt64BE(index * 8).toString());
}

/** The first `limit` points after `after`. */
export async function readPoints(
  database: DataSource,
  { run, key, startStep, endStep }: PointSelection,
  limit: number,
  after?: HistoryPoint,
): Promise<PointColumns> {
  const [row]: { length: number; steps: Buffer; times: Buffer; values: Buffer }[] = await database.query(
    `SELECT count(*) AS length, coalesce(string_agg(int8send(step), ''), '') AS steps,
            coalesce(string_agg(int8send(time_ms), ''), '') AS times,
            coalesce(string_agg(float8send(value), ''), '') AS values
       FROM (SELECT step, time_ms, value FROM metric
              WHERE run = $1 AND key = $2 AND step BETWEEN $3::bigint AND $4::bigint
                ${after ? 'AND (step, time_ms, value) > ($6::bigint, $7::bigint, $8::double precision)' : ''}
              ORDER BY step, time_ms, value LIMIT $5) p`,
    [
      run,
      key,
      startStep,
      endStep,
      limit,
      ...(after ? [after.step, after.timeMs, metricValueSql(after.value)] : []),
    ],
  );
  const { length, steps, times, values } = row!;
  return new PointColumns(length, steps, times, values);
}

export async function countPoints(
  database: DataSource,
  { run, key, startStep, endStep }: PointSelection,
): Promise<number> {
  const [row]: { count: number }[] = await database.query(
    'SELECT count(*) FROM metric WHERE run = $1 AND key = $2 AND step BETWEEN $3::bigint AND $4::bigint',
    [run, key, startStep, endStep],
  );
  return row!.count;
}
