import type { Pool } from 'undici';
import type { TokenPrices } from '#libs/core/cost/cost.js';

/** One replica with the requests it is working on. */
export interface Replica {
  readonly baseUrl: string;
  readonly pool: Pool;
  /** Path of its chat completions. */
  readonly path: string;
  outstanding: number;
}

/** Who waits for a replica. */
export interface ReplicaWaiter {
  onReplica(replica: Replica): void;
  onQueueTimeout(): void;
}

/** A place in the queue. */
export interface QueueTicket {
  readonly waiter: ReplicaWaiter;
  readonly timer: NodeJS.Timeout;
}

/**
 * The replicas of one model endpoint: at most `maxConcurrency` requests each, the least busy first, ties in turn;
 * what finds none free waits in line, first come, first served.
 */
export class ReplicaLane {
  replicas: readonly Replica[] = [];
  maxConcurrency = 1;
  prices: TokenPrices | undefined;
  /** Bearer token of all its replicas. */
  credential: string | undefined;
  private readonly queue = new Set<QueueTicket>();
  private turn = 0;

  constructor(
    private readonly queueMax: number,
    private readonly queueTimeoutMs: number,
  ) {}

  get queued(): number {
    return this.queue.size;
  }

  /** Whether a request that came now would be turned away. */
  get isFull(): boolean {
    return (
      this.queue.size >= this.queueMax &&
      this.replicas.every((replica) => replica.outstanding >= this.maxConcurrency)
    );
  }

  /**
   * @param avoid a replica that has just failed: taken only when no other is free.
   * @returns a replica, to be given back with `release`; or a ticket: the waiter is called; or undefined: full.
   */
  acquire(waiter: ReplicaWaiter, avoid: Replica | undefined): Replica | QueueTicket | undefined {
    const replica = this.queue.size === 0 ? this.pick(avoid) : undefined;
    if (replica) {
      replica.outstanding++;
      return replica;
    }
    if (this.queue.size >= this.queueMax) return undefined;
    const ticket: QueueTicket = {
      waiter,
      timer: setTimeout(() => {
        this.queue.delete(ticket);
        waiter.onQueueTimeout();
      }, this.queueTimeoutMs),
    };
    this.queue.add(ticket);
    return ticket;
  }

  /** Leaves the queue. */
  leave(ticket: QueueTicket): void {
    clearTimeout(ticket.timer);
    this.queue.delete(ticket);
  }

  release(replica: Replica): void {
    replica.outstanding--;
    if (this.queue.size > 0) this.advance();
  }

  /** Gives free replicas to those who wait. */
  advance(): void {
    for (const ticket of this.queue) {
      const replica = this.pick(undefined);
      if (!replica) return;
      this.leave(ticket);
      replica.outstanding++;
      ticket.waiter.onReplica(replica);
    }
  }

  private pick(avoid: Replica | undefined): Replica | undefined {
    const { replicas } = this;
    let best: Replica | undefined;
    let bestIndex = 0;
    for (let step = 0; step < replicas.length; step++) {
      const index = (this.turn + step) % replicas.length;
      const replica = replicas[index]!;
      if (replica.outstanding >= this.maxConcurrency) continue;
      if (best && (replica === avoid || (best !== avoid && replica.outstanding >= best.outstanding)))
        continue;
      best = replica;
      bestIndex = index;
    }
    if (best) this.turn = (bestIndex + 1) % replicas.length;
    return best;
  }
}
