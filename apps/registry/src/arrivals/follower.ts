import type { EntityManager } from 'typeorm';

/** The tables whose column `arrived` can be followed. */
export type ArrivalSource = 'inference' | 'feedback' | 'feedback_change';

/** Rows with `arrived >= from AND arrived < to`: all are committed, and none is ever added. */
export interface Arrivals {
  readonly from: number;
  readonly to: number;
}

/**
 * Something that is told of every row of a table once, in the order of arrival and however late a row is.
 * A provider of any module that extends this is found and run by `FollowerLoop`.
 */
export abstract class Follower {
  /** Primary key of its row in table `follower`: never changed, never used again for something else. */
  abstract readonly name: string;
  abstract readonly source: ArrivalSource;
  /** About how many rows one transaction takes; more where one transaction brought more. */
  readonly rowsPerPass: number = 10_000;

  /**
   * Where its effects are. Those in the database come with the new position, once. Those outside come before it, at least once, and
   * no transaction stays open meanwhile: all followers wait for the oldest one.
   */
  readonly effects: 'database' | 'outside' = 'database';

  /**
   * Writes what these rows mean, through `tx` only: it is committed together with the follower's new position, or
   * not at all. No two passes of one follower overlap; passes of different followers may.
   */
  abstract apply(tx: EntityManager, arrivals: Arrivals): Promise<void>;
}
