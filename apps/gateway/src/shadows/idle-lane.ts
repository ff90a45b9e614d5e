import type { Lane, LaneFinder } from '../dispatch/lane.js';
import type { Borrower } from '../dispatch/lent-places.js';
import type { ReplicaLane, ReplicaWaiter } from '../dispatch/replica-lane.js';
import type { Replica, Seat } from '../dispatch/replica.js';

/** One attempt, and no more: copies are not to multiply an outage, nor to take retries from requests. */
const NO_RETRIES: Lane['retryBudget'] = { take: () => false };

/**
 * A lane as a shadow sees it: a place only where one is idle, and never longer than nobody else wants it. Nothing that
 * happens to a shadow counts for or against replicas: neither their breakers nor the retry budget hear of it.
 */
class IdleLane implements Lane {
  readonly retryBudget = NO_RETRIES;

  constructor(
    private readonly lane: ReplicaLane,
    private readonly borrower: Borrower,
  ) {}

  get replicas(): Lane['replicas'] {
    return this.lane.replicas;
  }

  get prices(): Lane['prices'] {
    return this.lane.prices;
  }

  get provider(): Lane['provider'] {
    return this.lane.provider;
  }

  get apiVersion(): string {
    return this.lane.apiVersion;
  }

  get headers(): Lane['headers'] {
    return this.lane.headers;
  }

  get drain(): Lane['drain'] {
    return this.lane.drain;
  }

  get queued(): number {
    return this.lane.queued;
  }

  acquire(waiter: ReplicaWaiter): Replica | undefined {
    const replica = this.lane.lend(waiter, this.borrower);
    // It was idle when the copy was made.
    if (!replica && !this.lane.refusalOf(waiter)) this.borrower.giveWay();
    return replica;
  }

  /** It never waits. */
  leave(): void {}

  release(replica: Replica, seat: Seat | undefined): void {
    this.lane.returnLent(replica, seat, this.borrower);
  }

  began(replica: Replica, seat: Seat | undefined): void {
    this.lane.began(replica, seat);
  }

  succeeded(): void {}

  failed(): void {}

  refusalOf(waiter: ReplicaWaiter): ReturnType<Lane['refusalOf']> {
    return this.lane.refusalOf(waiter);
  }
}

/** The lanes of all workspaces, as one shadow sees them. */
export class IdleLanes {
  constructor(
    private readonly lanes: { in(workspaceId: string): { find(name: string): ReplicaLane | undefined } },
    private readonly borrower: Borrower,
  ) {}

  in(workspaceId: string): LaneFinder {
    const { lanes, borrower } = this;
    return {
      find(modelEndpoint) {
        const lane = lanes.in(workspaceId).find(modelEndpoint);
        return lane && new IdleLane(lane, borrower);
      },
    };
  }
}
