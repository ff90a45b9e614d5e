import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { feedbackOf, findMetric } from '#libs/core/ab-test/metrics.js';
import { Follower, type Arrivals } from '../arrivals/follower.js';
import { addToSums, changesOf } from './row-sums-sql.js';
import { COUNTS, OF_TEST, runningTests, testsIn, UNIT } from './running-tests.js';

/** Keeps the sums of feedback metrics: for every inference whose judgements have changed, what it adds now against what it added. */
@Injectable()
export class AbTestJudgementFollower extends Follower {
  readonly name = 'ab-test-judgements';
  readonly source = 'feedback_change';

  async apply(tx: EntityManager, { from, to }: Arrivals): Promise<void> {
    const tests = await runningTests(tx);
    const judged = tests.flatMap((test) => {
      const found = test.metrics.map((name) => feedbackOf(findMetric(name)!));
      const names = [...new Set(found.filter((name) => name !== undefined))];
      // The statement's `metrics` are names of feedback.
      return names.length === 0 ? [] : [{ ...test, metrics: names }];
    });
    if (judged.length === 0) return;
    await tx.query('SET LOCAL enable_nestloop = off');
    await tx.query(JUDGE, [from, to, JSON.stringify(judged)]);
  }
}

/**
 * The judgements of an inference are read as they are now, not as they were at the change: a later change comes by itself, and
 * finds nothing left to do. A part of it that is not committed yet has an arrival that no pass has come to.
 */
const JUDGE = `
  WITH touched AS MATERIALIZED (
    SELECT DISTINCT t.serial AS test, t.metrics, i.id, i.started_at, i.workspace_id, i.endpoint,
           i.split_revision AS revision, i.arm, ${UNIT} AS unit
      FROM (SELECT DISTINCT inference_id, started_at FROM feedback_change WHERE arrived >= $1 AND arrived < $2) c
      JOIN LATERAL (SELECT * FROM inference i WHERE i.id = c.inference_id AND i.started_at = c.started_at LIMIT 1) i ON true
      JOIN ${testsIn('$3')} ON ${OF_TEST}
     WHERE ${COUNTS}
  ), now AS MATERIALIZED (
    SELECT d.test, f.name, d.id, d.revision, d.arm, d.unit,
           count(*)::integer AS judged, sum(f.number_value::numeric) AS total,
           (count(*) FILTER (WHERE f.number_value > 0))::integer AS positives
      FROM touched d
      JOIN LATERAL (SELECT f.name, f.number_value FROM feedback f
                     WHERE f.workspace_id = d.workspace_id AND f.matched_endpoint = d.endpoint
                       AND f.matched_started_at = d.started_at AND f.matched_inference_id = d.id
                       AND f.latest AND f.number_value IS NOT NULL AND f.name = ANY (d.metrics) OFFSET 0) f ON true
     GROUP BY 1, 2, 3, 4, 5, 6
  ), was AS MATERIALIZED (
    SELECT j.* FROM touched d
      JOIN LATERAL (SELECT * FROM ab_test_judgement j
                     WHERE j.test = d.test AND j.name = ANY (d.metrics) AND j.inference_id = d.id OFFSET 0) j ON true
  ), removed AS (
    DELETE FROM ab_test_judgement j USING was w
     WHERE j.test = w.test AND j.name = w.name AND j.inference_id = w.inference_id
       AND NOT EXISTS (SELECT FROM now n WHERE n.test = w.test AND n.name = w.name AND n.id = w.inference_id)
  ), kept AS (
    INSERT INTO ab_test_judgement (test, name, inference_id, revision, arm, unit, judged, total, positives)
    SELECT test, name, id, revision, arm, unit, judged, total, positives FROM now
    ON CONFLICT (test, name, inference_id) DO UPDATE SET
      judged = excluded.judged, total = excluded.total, positives = excluded.positives
  ), change AS MATERIALIZED (
    SELECT test, name, revision, arm, unit, sum(judged) AS judged, sum(total) AS total, sum(positives) AS positives FROM (
      SELECT test, name, revision, arm, unit, judged, total, positives FROM now
      UNION ALL
      SELECT test, name, revision, arm, unit, -judged, -total, -positives FROM was) c
     GROUP BY 1, 2, 3, 4, 5
  ), unit AS MATERIALIZED (
    SELECT c.test, c.name, c.revision, c.arm,
           coalesce(b.total, 0) AS y0, coalesce(b.judged, 0) AS d0, coalesce(b.positives, 0) AS p0,
           coalesce(b.total, 0) + c.total AS y, coalesce(b.judged, 0) + c.judged AS d,
           coalesce(b.positives, 0) + c.positives AS p
      FROM change c
      LEFT JOIN LATERAL (SELECT sum(j.judged) AS judged, sum(j.total) AS total, sum(j.positives) AS positives
                           FROM ab_test_judgement j
                          WHERE j.test = c.test AND j.name = c.name AND j.unit = c.unit
                            AND j.revision = c.revision AND j.arm = c.arm) b ON true
  ), m AS (
    SELECT u.test, u.revision, u.arm, m.* FROM unit u
     CROSS JOIN LATERAL (VALUES
       ('feedback:' || u.name, u.y, u.y0, u.d, u.d0, (u.d <> 0)::integer, (u.d0 <> 0)::integer, 0::numeric, 0::numeric),
       ('feedback_rate:' || u.name, (u.p > 0)::integer::numeric, (u.p0 > 0)::integer::numeric, NULL, NULL, 0, 0, 0, 0)
     ) AS m (metric, y, y0, d, d0, c, c0, x, w)
  )
  ${addToSums(changesOf('m'))}`;
