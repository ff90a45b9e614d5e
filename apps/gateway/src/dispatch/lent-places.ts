import { REQUEST_WORK, type Replica, type Seat } from './replica.js';

/** Who has a place only while nobody else wants it. */
export interface Borrower {
  /** The place is wanted: it is given back before this returns. */
  giveWay(): void;
}

/** What is sent to such a place. */
interface Copy {
  readonly model: string;
  readonly promptBytes: number;
  seat: Seat | undefined;
}

/**
 * Places of a lane that shadows have. A request that finds no free one takes them back before it would wait, so that no
 * request ever waits for a shadow.
 */
export class LentPlaces {
  private readonly borrowers = new Set<Borrower>();

  get size(): number {
    return this.borrowers.size;
  }

  /**
   * Lends a place at the replica with the fewest requests. None that is down, is given a pause or lacks the model: what
   * a shadow meets there would tell nothing.
   */
  lend(
    replicas: readonly Replica[],
    maxConcurrency: number,
    modelsDiffer: boolean,
    copy: Copy,
    borrower: Borrower,
  ): Replica | undefined {
    const replica = idlest(replicas, maxConcurrency, modelsDiffer ? copy.model : undefined);
    if (!replica) return undefined;
    this.borrowers.add(borrower);
    replica.outstanding++;
    copy.seat = replicas.length === 1 ? undefined : seatAt(replica, copy.promptBytes);
    return replica;
  }

  returned(borrower: Borrower): void {
    this.borrowers.delete(borrower);
  }

  /**
   * Takes places back, the last lent first: it has done the least work.
   * @param take whether what is free now is enough.
   */
  reclaim<T>(take: () => T | undefined): T | undefined {
    for (const borrower of [...this.borrowers].toReversed()) {
      borrower.giveWay();
      const taken = take();
      if (taken !== undefined) return taken;
    }
    return undefined;
  }
}

/** @param model that the replica must have, where some lack it. */
export function idlest(
  replicas: readonly Replica[],
  maxConcurrency: number,
  model: string | undefined,
): Replica | undefined {
  let best: Replica | undefined;
  for (const replica of replicas) {
    const { breaker, isDown, models, outstanding } = replica;
    if (isDown || !breaker.isClosed || outstanding >= maxConcurrency) continue;
    if (model !== undefined && models && !models.has(model)) continue;
    if (!best || outstanding < best.outstanding) best = replica;
  }
  return best;
}

/** Its work counts, as it is done; how long it takes says nothing about the replica. */
function seatAt(replica: Replica, promptBytes: number): Seat {
  const work = REQUEST_WORK + promptBytes;
  replica.pendingWork += work;
  return { work, ahead: 0, sentMs: 0, isTrial: false };
}
