/*
 * What runs logged comes as one row of whole columns for each table: a row of its own for each metric costs this process
 * five times as much.
 */

export interface TextColumns {
  readonly run: readonly number[] | null;
  readonly key: readonly number[] | null;
  readonly value: readonly string[] | null;
}

/** Numbers are text: NaN, and int64. */
export interface MetricColumns extends TextColumns {
  readonly time: readonly string[] | null;
  readonly step: readonly string[] | null;
}

/** Columns of at least one row. */
export type NonNull<T> = { readonly [K in keyof T]: NonNullable<T[K]> };

export const METRIC_COLUMNS = `
  SELECT json_agg(run) AS run, json_agg(key) AS key, json_agg(value::text) AS value, json_agg(time_ms::text) AS time,
         json_agg(step::text) AS step
    FROM latest_metric WHERE run = ANY ($1::int[])`;

export function textColumns(table: 'param' | 'run_tag'): string {
  return `SELECT json_agg(run) AS run, json_agg(key) AS key, json_agg(value) AS value FROM ${table} WHERE run = ANY ($1::int[])`;
}

/** Calls `see` with the name and the place of each key, name after name. */
export function eachByName(
  keys: readonly number[] | null,
  names: ReadonlyMap<number, string>,
  see: (name: string, at: number) => void,
): void {
  if (keys === null) return;
  const places = new Map<number, number[]>();
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at]!;
    const known = places.get(key);
    if (known === undefined) places.set(key, [at]);
    else known.push(at);
  }
  const sorted = Array.from(places, ([key, ats]) => ({ name: names.get(key)!, ats })).sort((one, other) =>
    one.name < other.name ? -1 : 1,
  );
  for (const { name, ats } of sorted) for (const at of ats) see(name, at);
}
