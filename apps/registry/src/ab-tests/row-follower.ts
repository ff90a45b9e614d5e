import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Follower, type Arrivals } from '../arrivals/follower.js';
import { addUpCovariates } from './covariates.js';
import { countStatement } from './row-sums-sql.js';
import { runningTests } from './running-tests.js';

/** Counts every inference for the test of its endpoint, once. */
@Injectable()
export class AbTestRowFollower extends Follower {
  readonly name = 'ab-test-rows';
  readonly source = 'inference';
  /** A pass writes every histogram once, however few rows it takes. */
  override readonly rowsPerPass = 20_000;

  async apply(tx: EntityManager, { from, to }: Arrivals): Promise<void> {
    const tests = await runningTests(tx);
    if (tests.length === 0) return;
    let withPast = 0;
    for (const test of tests)
      if (test.covariate_units !== null) withPast += test.covariate_units;
      else if (test.started_arrival < to) withPast += await addUpCovariates(tx, test);
    // Nothing is known of how many rows the parts of the statement have, and joining thousands pair by pair takes minutes.
    await tx.query('SET LOCAL enable_nestloop = off');
    const metrics = new Set(tests.flatMap((test) => test.metrics));
    await tx.query(countStatement(metrics, withPast > 0), [from, to, JSON.stringify(tests)]);
  }
}
