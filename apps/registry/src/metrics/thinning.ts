import type { HistoryPoint, PointColumns } from './point-columns.js';

/**
 * Thins out the points of one metric while they pass in order, to at most `limit`: the first, the last, and the least
 * and greatest value of every interval between them; all where there are no more. Intervals hold equally many points.
 * NaN is neither least nor greatest: it stays where an interval has nothing else. A flat line has no extremes: its
 * points are spread evenly, over the places that MLflow's server chooses.
 */
export class Thinning {
  private readonly whole: boolean;
  private readonly intervals: number;
  private readonly extremes = new Kept();
  private readonly spread = new Kept();
  private nextSpread = 0;
  /** The only value so far but for NaN; undefined before there is one. */
  private level: number | undefined;
  private flat = true;
  private interval = 0;
  /** Index among all points of the next one. */
  private at = 0;
  private readonly least = new Place();
  private readonly greatest = new Place();
  private readonly last = new Place();

  /**
   * @param limit 1 or more; 1 keeps the last.
   * @param total how many points will pass. When others are logged meanwhile it is slightly wrong, and so is the length
   * of the intervals; `limit` holds.
   */
  constructor(
    private readonly limit: number,
    private readonly total: number,
  ) {
    this.whole = total <= limit;
    this.intervals = Math.max(0, Math.floor((limit - 2) / 2));
  }

  add(columns: PointColumns): void {
    for (let index = 0; index < columns.length; index++, this.at++) {
      if (this.flat) this.keepSpread(columns, index);
      if (!this.whole && this.intervals > 0) this.compare(columns, index);
      this.last.set(columns, index, this.at, 0);
    }
  }

  /** What stays, in order. */
  finish(): readonly HistoryPoint[] {
    this.endInterval();
    const kept = this.flat ? this.spread : this.extremes;
    kept.keep(this.last);
    return kept.points;
  }

  /** All but the last of the places `floor(i * total / limit)`; every place where there are no more than `limit`. */
  private keepSpread(columns: PointColumns, index: number): void {
    const { at, limit, total, spread } = this;
    if (spread.points.length >= limit - 1) return;
    if (!this.whole && at < Math.floor((this.nextSpread * total) / limit)) return;
    this.nextSpread++;
    spread.add(columns, index, at);
  }

  private compare(columns: PointColumns, index: number): void {
    const { least, greatest, at } = this;
    const value = columns.value(index);
    const isNumber = !Number.isNaN(value);
    if (at === 0) this.extremes.add(columns, index, at);
    if (this.flat && isNumber) {
      this.level ??= value;
      this.flat = this.level === value;
    }
    const interval = Math.min(this.intervals - 1, Math.floor((at * this.intervals) / this.total));
    if (interval !== this.interval) {
      this.endInterval();
      this.interval = interval;
    }
    // The first of an interval may be NaN; any number takes its place.
    if (least.columns === undefined || (isNumber && !(value >= least.value)))
      least.set(columns, index, at, value);
    if (greatest.columns === undefined || (isNumber && !(value <= greatest.value)))
      greatest.set(columns, index, at, value);
  }

  private endInterval(): void {
    const { least, greatest, extremes } = this;
    extremes.keep(least.at < greatest.at ? least : greatest);
    extremes.keep(least.at < greatest.at ? greatest : least);
    least.columns = greatest.columns = undefined;
  }
}

/** Where a point lies. Written in place: a rising metric has a new greatest value at every point. */
class Place {
  columns: PointColumns | undefined;
  index = 0;
  at = -1;
  value = 0;

  set(columns: PointColumns, index: number, at: number, value: number): void {
    this.columns = columns;
    this.index = index;
    this.at = at;
    this.value = value;
  }
}

/** Points that stay, each once, given in order. */
class Kept {
  readonly points: HistoryPoint[] = [];
  private lastAt = -1;

  keep({ columns, index, at }: Place): void {
    if (columns !== undefined && at > this.lastAt) this.add(columns, index, at);
  }

  add(columns: PointColumns, index: number, at: number): void {
    this.points.push(columns.point(index));
    this.lastAt = at;
  }
}
