import type { EntityManager } from 'typeorm';
import type { RunningTest } from './running-tests.js';
import { TOTAL_LIST, TOTAL_SUMS } from './unit-totals.js';

/** How far back a unit's past is looked at. */
export const COVARIATE_DAYS = 14;

/**
 * Adds up what the units did in the days before the test, as phase 0: what CUPED takes the noise away with. Only rows of
 * splits that served one chain version to all: where arms differed already, the past would hold a part of the effect.
 * Everything that arrived before the start must be there by now.
 * @returns how many units have a past.
 */
export async function addUpCovariates(tx: EntityManager, test: RunningTest): Promise<number> {
  const [{ units }] = await tx.query<[{ units: number }]>(
    `WITH added AS (INSERT INTO ab_test_unit (test, revision, arm, unit, ${TOTAL_LIST})
     SELECT $1, 0, '', i.unit, ${TOTAL_SUMS}
       FROM inference i
      WHERE i.workspace_id = $2 AND i.endpoint = $3 AND i.unit IS NOT NULL AND i.shadow_of IS NULL
        AND i.arrived < $7 AND i.started_at < $4 AND i.started_at >= $4::timestamptz - make_interval(days => $6)
        AND i.split_revision IN (
              SELECT s.revision FROM split s JOIN arm a ON a.split_id = s.id AND a.weight_bps > 0
               WHERE s.endpoint_id = $5 GROUP BY s.revision HAVING count(DISTINCT a.chain_version_id) = 1)
      GROUP BY i.unit RETURNING 1)
     SELECT count(*) AS units FROM added`,
    [
      test.serial,
      test.workspace_id,
      test.endpoint,
      test.started_at,
      test.endpoint_id,
      COVARIATE_DAYS,
      test.started_arrival,
    ],
  );
  await tx.query(`UPDATE ab_test SET covariate_units = $2 WHERE serial = $1`, [test.serial, units]);
  return units;
}
