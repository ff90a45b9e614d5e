/** Width of a bin relative to its lower edge: a quantile read from bins is off by less than this. */
export const BIN_GROWTH = 0.02;
/** Upper edge of bin 0, in milliseconds; smaller values are in it too. */
export const FIRST_EDGE_MS = 0.1;
/** Takes everything above it as well: 17 hours. */
export const LAST_BIN = 1_023;

const LOG_STEP = Math.log1p(BIN_GROWTH);

/** How many values lie in a bin. */
export type BinCount = readonly [bin: number, count: number];

/** Bin of a time: 0 up to 0.1 ms, then steps of 2 %. `binSql` says the same to PostgreSQL. */
export function binOf(ms: number): number {
  return ms <= FIRST_EDGE_MS
    ? 0
    : Math.min(LAST_BIN, Math.max(0, Math.ceil(Math.log(ms / FIRST_EDGE_MS) / LOG_STEP)));
}

/** SQL for the bin of a `double precision` in milliseconds, as integer; null for null. */
export function binSql(ms: string): string {
  return `CASE WHEN ${ms} <= ${FIRST_EDGE_MS} THEN 0
               WHEN ${ms} <= ${upperEdge(LAST_BIN - 1)} THEN ceil(ln(${ms} / ${FIRST_EDGE_MS}) / ${LOG_STEP})::integer
               WHEN ${ms} IS NOT NULL THEN ${LAST_BIN} END`;
}

/**
 * SQL for whether a `double precision` is a time: milliseconds, up to eleven days. A row that says something else must not hold up
 * those behind it.
 */
export const isTime = (ms: string): string => `${ms} BETWEEN 0 AND 1e9`;

/** Upper edge of a bin, in milliseconds; its lower edge is that of the bin before, and 0 of bin 0. */
export function upperEdge(bin: number): number {
  return bin < 0 ? 0 : FIRST_EDGE_MS * Math.exp(bin * LOG_STEP);
}

/**
 * The value at a rank (not rounded), in milliseconds, taking the values of a bin as spread evenly over it.
 * @param bins not empty, by ascending bin, each once, counts above 0.
 * @param rank 0 … sum of the counts.
 */
export function valueAtRank(bins: readonly BinCount[], rank: number): number {
  let below = 0;
  for (const [bin, count] of bins) {
    if (below + count >= rank) {
      const lower = upperEdge(bin - 1);
      return lower + ((rank - below) / count) * (upperEdge(bin) - lower);
    }
    below += count;
  }
  return upperEdge(bins.at(-1)![0]);
}

/** Quantile of the values counted, in milliseconds; null without any. @param level 0.95 for p95. */
export function quantileOfBins(bins: readonly BinCount[], level: number): number | null {
  if (bins.length === 0) return null;
  return valueAtRank(bins, bins.reduce((sum, [, count]) => sum + count, 0) * level);
}
