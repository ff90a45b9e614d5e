/**
 * How an endpoint's traffic is divided: buckets, ranges, and the derivation of one split revision from the last.
 * Pure, with no dependency: a client in any language can recompute every result.
 */

/** Number of buckets. One bucket is one basis point of the traffic. */
export const BUCKETS = 10_000;

/** Half-open interval `[start, end)` of buckets, 0 ≤ start < end ≤ 10 000. */
export type BucketRange = readonly [start: number, end: number];

export interface WeightedArm {
  /** Name of the arm, unique in its split. */
  readonly name: string;
  /** Share of the traffic in basis points, 0…10 000. All arms of a split sum to exactly 10 000. */
  readonly weightBps: number;
}

export interface RangedArm extends WeightedArm {
  /** Buckets the arm owns: sorted, disjoint, `weightBps` of them in all. */
  readonly ranges: readonly BucketRange[];
}

export interface Movement {
  /** Arm that gives the buckets; undefined where the bucket had no arm (first revision). */
  readonly from: string | undefined;
  readonly to: string;
  readonly ranges: readonly BucketRange[];
  /** Number of buckets, that is basis points of the units. */
  readonly buckets: number;
}

/**
 * Divides the buckets among `arms`, keeping every bucket where `previous` had it as long as its arm has room.
 * Arms are matched by name. Exactly `Σ max(0, old − new)` buckets move, which is the minimum possible;
 * reordering arms moves nothing. Buckets given up are taken from the end of an arm's share and handed out in
 * ascending order, so the result depends on nothing but the arguments.
 *
 * @throws RangeError when names repeat, a weight is not an integer in 0…10 000, or the weights do not sum to 10 000.
 */
export function deriveRanges(arms: readonly WeightedArm[], previous: readonly RangedArm[] = []): RangedArm[] {
  checkWeights(arms);
  const kept = new Map(previous.map((arm) => [arm.name, arm.ranges]));
  const owned = new Map<string, BucketRange[]>();
  const taken: BucketRange[] = [];
  for (const arm of arms) {
    const ranges = takeFirst(kept.get(arm.name) ?? [], arm.weightBps);
    owned.set(arm.name, ranges);
    taken.push(...ranges);
  }

  let free = complement(taken);
  // By name, not by position: the order in which a caller lists the arms must not decide who moves.
  const inOrder = [...arms].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const arm of inOrder) {
    const ranges = owned.get(arm.name)!;
    const missing = arm.weightBps - count(ranges);
    if (missing === 0) continue;
    const given = takeFirst(free, missing);
    owned.set(arm.name, normalize([...ranges, ...given]));
    free = subtract(free, given);
  }
  return arms.map((arm) => ({ name: arm.name, weightBps: arm.weightBps, ranges: owned.get(arm.name)! }));
}

/** Which buckets change hands between two revisions, one entry per pair of arms, in bucket order. */
export function movements(previous: readonly RangedArm[], next: readonly RangedArm[]): Movement[] {
  const before = compileRanges(previous);
  const after = compileRanges(next);
  const moved = new Map<string, { from: string | undefined; to: string; ranges: BucketRange[] }>();
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const to = armAt(after, bucket);
    if (to === undefined) continue;
    const fromIndex = armAt(before, bucket);
    const from = fromIndex === undefined ? undefined : previous[fromIndex]!.name;
    const toName = next[to]!.name;
    if (from === toName) continue;
    const key = JSON.stringify([from ?? null, toName]);
    let entry = moved.get(key);
    if (!entry) moved.set(key, (entry = { from, to: toName, ranges: [] }));
    const last = entry.ranges.at(-1);
    if (last && last[1] === bucket) entry.ranges[entry.ranges.length - 1] = [last[0], bucket + 1];
    else entry.ranges.push([bucket, bucket + 1]);
  }
  return [...moved.values()].map((entry) => ({ ...entry, buckets: count(entry.ranges) }));
}

/** Bucket ranges of all arms laid out for look-up: `starts` ascending, `owners[i]` owns `[starts[i], starts[i+1])`. */
export interface CompiledRanges {
  readonly starts: Uint16Array;
  /** Index of the owning arm; NOBODY where no arm does. */
  readonly owners: Uint8Array;
}

const NOBODY = 255;
/** Most arms a split may have. */
export const MAX_ARMS = 100;

/** Lays the ranges of a split out for `armAt`. A few dozen bytes per endpoint, so that 100 000 of them fit in memory. */
export function compileRanges(arms: readonly { readonly ranges: readonly BucketRange[] }[]): CompiledRanges {
  const spans = arms.flatMap((arm, owner) => arm.ranges.map(([start, end]) => ({ start, end, owner })));
  spans.sort((a, b) => a.start - b.start);
  const starts: number[] = [];
  const owners: number[] = [];
  let cursor = 0;
  for (const { start, end, owner } of spans) {
    if (start > cursor) {
      starts.push(cursor);
      owners.push(NOBODY);
    }
    starts.push(start);
    owners.push(owner);
    cursor = end;
  }
  if (cursor < BUCKETS) {
    starts.push(cursor);
    owners.push(NOBODY);
  }
  return { starts: Uint16Array.from(starts), owners: Uint8Array.from(owners) };
}

/** Index of the arm that owns a bucket; undefined where none does. */
export function armAt({ starts, owners }: CompiledRanges, bucket: number): number | undefined {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= bucket) low = middle;
    else high = middle - 1;
  }
  const owner = owners[low]!;
  return owner === NOBODY ? undefined : owner;
}

function checkWeights(arms: readonly WeightedArm[]): void {
  if (arms.length > MAX_ARMS)
    throw new RangeError(`A split has at most ${MAX_ARMS} arms; this one has ${arms.length}.`);
  const names = new Set<string>();
  let sum = 0;
  for (const { name, weightBps } of arms) {
    if (names.has(name))
      throw new RangeError(`Arm "${name}" is listed twice; give every arm a name of its own.`);
    names.add(name);
    if (!Number.isInteger(weightBps) || weightBps < 0 || weightBps > BUCKETS)
      throw new RangeError(
        `Arm "${name}" has weight ${weightBps}; a weight is a whole number of basis points, 0 to 10000.`,
      );
    sum += weightBps;
  }
  if (sum !== BUCKETS)
    throw new RangeError(`The weights sum to ${sum} basis points; they must sum to exactly 10000 (100 %).`);
}

function count(ranges: readonly BucketRange[]): number {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}

function takeFirst(ranges: readonly BucketRange[], wanted: number): BucketRange[] {
  const taken: BucketRange[] = [];
  for (const [start, end] of ranges) {
    if (wanted === 0) break;
    const size = Math.min(wanted, end - start);
    taken.push([start, start + size]);
    wanted -= size;
  }
  return taken;
}

function complement(ranges: readonly BucketRange[]): BucketRange[] {
  return subtract([[0, BUCKETS]], ranges);
}

function subtract(from: readonly BucketRange[], removed: readonly BucketRange[]): BucketRange[] {
  const left: BucketRange[] = [];
  const cuts = normalize(removed);
  for (const [start, end] of from) {
    let cursor = start;
    for (const [cutStart, cutEnd] of cuts) {
      if (cutEnd <= cursor || cutStart >= end) continue;
      if (cutStart > cursor) left.push([cursor, cutStart]);
      cursor = Math.max(cursor, cutEnd);
    }
    if (cursor < end) left.push([cursor, end]);
  }
  return left;
}

/** Sorts ranges and joins neighbours. */
function normalize(ranges: readonly BucketRange[]): BucketRange[] {
  const joined: BucketRange[] = [];
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && last[1] >= start) joined[joined.length - 1] = [last[0], Math.max(last[1], end)];
    else joined.push([start, end]);
  }
  return joined;
}
