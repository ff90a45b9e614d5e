import type { Statement } from '#libs/platform/database/prepared.js';

/**
 * $1–$3 runs, $4–$8 points, $9–$13 latest values, $14–$16 tags, $17–$19 params; each by columns, `n` the number of its
 * run in $3. All runs are locked first, in order: each part sorts its rows before it writes any, and so has read all of
 * `target`. Rows are written in the order of the primary keys, and the tables in one order (PostgreSQL executes
 * the parts last to first: params, tags, latest values, points): writers wait for each other only one way, so that
 * none of them deadlock. Nothing is written to runs that do not exist or are deleted.
 */
const statement = (name: string, onKnownPoint: string, params: string): Statement => ({
  name,
  text: `
  WITH target AS MATERIALIZED (
    SELECT r.serial, r.experiment_serial, g.n
      FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) g (id, workspace_id, n)
      JOIN run r ON r.id = g.id AND r.workspace_id = g.workspace_id AND r.deleted_at IS NULL
      JOIN run_change c ON c.run = r.serial
     ORDER BY r.serial FOR NO KEY UPDATE OF c
  ), points AS (
    INSERT INTO metric (run, key, step, time_ms, value)
    SELECT t.serial, p.key, p.step, p.time_ms, p.value
      FROM unnest($4::integer[], $5::integer[], $6::bigint[], $7::bigint[], $8::double precision[])
           p (n, key, step, time_ms, value)
      JOIN target t USING (n)
     ORDER BY 1, 2, 3, 4, 5
    ${onKnownPoint}
  ), latest AS (
    INSERT INTO latest_metric (run, key, experiment, step, time_ms, value)
    SELECT t.serial, l.key, t.experiment_serial, l.step, l.time_ms, l.value
      FROM unnest($9::integer[], $10::integer[], $11::bigint[], $12::bigint[], $13::double precision[])
           l (n, key, step, time_ms, value)
      JOIN target t USING (n)
     ORDER BY 1, 2
    ON CONFLICT ON CONSTRAINT latest_metric_pk DO UPDATE
       SET step = excluded.step, time_ms = excluded.time_ms, value = excluded.value
     WHERE (excluded.step, excluded.time_ms, excluded.value)
         > (latest_metric.step, latest_metric.time_ms, latest_metric.value)
  ), labels AS (
    INSERT INTO run_tag (run, key, experiment, value)
    SELECT t.serial, l.key, t.experiment_serial, l.value
      FROM unnest($14::integer[], $15::integer[], $16::text[]) l (n, key, value)
      JOIN target t USING (n)
     ORDER BY 1, 2
    ON CONFLICT ON CONSTRAINT run_tag_pk DO UPDATE SET value = excluded.value WHERE run_tag.value <> excluded.value
  )${params}
  SELECT n FROM target`,
});

/** Fails with a unique violation where a point or a param is there already; costs half of the other. */
export const ALL_NEW = statement(
  'log_all_new',
  '',
  `, params AS (
    INSERT INTO param (run, key, experiment, value)
    SELECT t.serial, p.key, t.experiment_serial, p.value
      FROM unnest($17::integer[], $18::integer[], $19::text[]) p (n, key, value)
      JOIN target t USING (n)
     ORDER BY 1, 2
  )`,
);

/** Passes over points that are there already; takes no params. */
export const ANY_KNOWN = statement('log_any_known', 'ON CONFLICT DO NOTHING', '');
