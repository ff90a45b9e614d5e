import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Follower, type Arrivals } from '../arrivals/follower.js';
import { addArrivals, SPAN_OF_ARRIVALS } from './sums.js';

/** Adds every inference row, once, to the sums of its minute and of its hour. */
@Injectable()
export class SumsFollower extends Follower {
  readonly name = 'inference-sums';
  readonly source = 'inference';

  async apply(tx: EntityManager, { from, to }: Arrivals): Promise<void> {
    const [span] = await tx.query<{ months: string[] | null; first: string; last: string }[]>(
      SPAN_OF_ARRIVALS,
      [from, to],
    );
    const { months, first, last } = span!;
    for (const month of months ?? []) await tx.query('SELECT catena_ensure_sums_partition($1)', [month]);
    for (const grain of ['minute', 'hour'] as const)
      await tx.query(addArrivals(grain), [from, to, first, last]);
  }
}
