import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { AbTestInput } from '#libs/core/ab-test/ab-test.js';
import type { AbTest } from './ab-test.entity.js';
import type { FreshnessDto } from './ab-test-results.dto.js';
import { readPhases, type Phase } from './results-sql.js';

/** All that is known of a test at one moment. */
export interface Seen {
  readonly phases: readonly Phase[];
  readonly freshness: FreshnessDto;
}

/** Reads what tests are judged from. */
@Injectable()
export class AbTestReader {
  /** What `analyse` takes, of a test that was started; `now` counts while it runs. */
  async input(manager: EntityManager, test: AbTest, now: Date): Promise<AbTestInput> {
    return inputOf(test, await this.see(manager, test), now);
  }

  /** Everything from one snapshot: sums that do not fit each other cannot be analysed. */
  async see(manager: EntityManager, test: AbTest): Promise<Seen> {
    return manager.connection.transaction('REPEATABLE READ', async (tx) => ({
      phases: await readPhases(tx, test),
      freshness: await readFreshness(tx),
    }));
  }
}

export function inputOf(test: AbTest, { phases, freshness }: Seen, now: Date): AbTestInput {
  return {
    rules: test.rules,
    phases: phases.map(({ input }) => input),
    startedAt: test.startedAt!.toISOString(),
    now: (test.stoppedAt ?? now).toISOString(),
    lagSeconds: Math.max(0, (now.getTime() - freshness.rowsAsOf.getTime()) / 1000),
  };
}

/**
 * A follower with nothing before it is up to date; another one was when it last moved. Asked for in order, which an index has: whether
 * there are any, the planner answers by reading all rows.
 */
async function readFreshness(tx: EntityManager): Promise<FreshnessDto> {
  const asOf = (follower: string, source: string) => `
    (SELECT CASE WHEN (SELECT s.arrived FROM ${source} s WHERE s.arrived >= f.position ORDER BY s.arrived LIMIT 1) IS NULL
                 THEN now() ELSE f.updated_at END
       FROM follower f WHERE f.name = '${follower}')`;
  const [row] = await tx.query<{ rows: Date | null; feedback: Date | null }[]>(
    `SELECT ${asOf('ab-test-rows', 'inference')} AS rows, ${asOf('ab-test-judgements', 'feedback_change')} AS feedback`,
  );
  const never = new Date(0);
  return { rowsAsOf: row!.rows ?? never, feedbackAsOf: row!.feedback ?? never };
}
