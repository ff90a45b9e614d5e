import type { VolumeScope } from './run-fields.js';

/**
 * JSON of what runs logged, as PostgreSQL writes it: `SELECT run, items`, of each run that logged any. The items are
 * those of a JSON list, in the order of their names: `{"key":…,"value":…}`, of metrics with `timestamp` and `step` too.
 * Written here, they are never objects: a thousand runs would be tens of thousands. A value that is no number in JSON
 * stands as PostgreSQL writes it; see `withNumbers`.
 */
export function itemsSql(scope: VolumeScope, table: string): string {
  const value =
    scope === 'metric'
      ? `m.value || ',"timestamp":' || m.time_ms || ',"step":' || m.step`
      : 'to_json(m.value)::text';
  // The names are few, and written once. Aggregates take the rows in the order of the sub-query.
  return `
    WITH named AS MATERIALIZED (
      SELECT id, row_number() OVER (ORDER BY name) AS n, '{"key":' || to_json(name) || ',"value":' AS beginning
        FROM tracking_key
       WHERE id = ANY (ARRAY (SELECT DISTINCT key FROM ${table} WHERE run = ANY ($1::int[])))
    )
    SELECT run, string_agg(beginning || ${value}, '},') || '}' AS items
      FROM (SELECT m.*, named.beginning
              FROM ${table} m JOIN named ON named.id = m.key WHERE m.run = ANY ($1::int[])
             ORDER BY m.run, named.n) m
     GROUP BY run`;
}

/** Doubles that JSON lacks become strings, and -0 keeps its sign, as in MLflow. */
export function withNumbers(items: string): string {
  // Quotes within names are escaped, so that this never is a part of one.
  const isPlain = !/"value":(?:N|I|-I|-0,)/.test(items);
  return isPlain
    ? items
    : items.replaceAll(/"value":(NaN|-?Infinity|-0)(?=,)/g, (_, value: string) =>
        value === '-0' ? '"value":-0.0' : `"value":"${value}"`,
      );
}
