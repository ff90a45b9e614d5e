/**
 * $1 run serials, $2 key, $3 and $4 steps, $5 points per run, $6 intervals. NaN is neither least nor greatest: it
 * stays where an interval has nothing else. Run by run, so that what one has fits into memory; the extremes are found
 * by plain aggregates and looked up afterwards, which is several times faster than sorting every interval. A flat line
 * has no extremes: its points are spread evenly, over the places that MLflow's server chooses.
 */
export const SAMPLE = `
  SELECT g.run, s.step::text, s.time_ms::text AS "timeMs", s.value
    FROM unnest($1::integer[]) WITH ORDINALITY g (run, n)
   CROSS JOIN LATERAL (
     WITH numbered AS MATERIALIZED (
       SELECT step, time_ms, value, row_number() OVER (ORDER BY step, time_ms, value) - 1 AS at, count(*) OVER () AS total
         FROM metric WHERE run = g.run AND key = $2 AND step BETWEEN $3::bigint AND $4::bigint
     ), extremes AS (
       SELECT at * $6::integer / total AS interval,
              coalesce(min(NULLIF(value, 'NaN')), 'NaN') AS least, coalesce(max(NULLIF(value, 'NaN')), 'NaN') AS greatest
         FROM numbered WHERE total > $5::integer AND $6::integer > 0 GROUP BY 1
     ), kept AS (
       SELECT min(at) FILTER (WHERE value = least) AS least, min(at) FILTER (WHERE value = greatest) AS greatest
         FROM numbered JOIN extremes e ON e.interval = at * $6::integer / total AND (value = least OR value = greatest)
        GROUP BY e.interval
     ), line AS (
       SELECT coalesce(min(least) = max(greatest), true) AS flat FROM extremes
     )
     SELECT step, time_ms, value FROM numbered, line
      WHERE total <= $5::integer
         OR at = total - 1
         OR (at = 0 AND $5::integer > 1)
         OR (NOT flat AND at IN (SELECT least FROM kept UNION ALL SELECT greatest FROM kept))
         OR (flat AND at = (at * $5::integer + total - 1) / total * total / $5::integer
                  AND at < ($5::integer - 1) * total / $5::integer)
   ) s
   ORDER BY g.n, s.step, s.time_ms, s.value`;
