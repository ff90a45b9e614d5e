import { isCleared, type DataClass } from '#libs/core/clearance/clearance.js';
import { DEFAULT_STRUCTURED_OUTPUT, type StructuredOutput } from '#libs/core/contract/structured-output.js';
import type { ModelPrices } from '#libs/core/cost/cost.js';
import { OPENAI } from '../providers/openai/openai.provider.js';
import type { Provider } from '../providers/provider.js';
import { blames } from './blame.js';
import { DrainRate } from './drain-rate.js';
import { idlest, LentPlaces, type Borrower } from './lent-places.js';
import { isOpenTo, ReplicaChooser, type AffinityCounts } from './replica-chooser.js';
import { Replica, REQUEST_WORK, type Seat } from './replica.js';
import { RetryBudget } from './retry-budget.js';
import { UpstreamFailure } from './upstream-failure.js';

/** Who waits for a replica. */
export interface ReplicaWaiter {
  onReplica(replica: Replica): void;
  onQueueTimeout(): void;
  /** All replicas have begun to fail while it waited, or it may not see what the waiter carries any more. */
  onRefused(failure: UpstreamFailure): void;
  /** What it carries. */
  readonly dataClass: DataClass;
  /** Name of the model it asks for. */
  readonly model: string;
  /** Size of the request, in bytes. */
  readonly promptBytes: number;
  /** Of its conversation (see `affinityKey`). Asked only where there is a choice. */
  readonly affinityKey: number;
  /** Kept by the lane for the replica it has got; undefined where there is nothing to keep. */
  seat: Seat | undefined;
}

/** A place in the queue. */
export interface QueueTicket {
  readonly waiter: ReplicaWaiter;
  readonly timer: NodeJS.Timeout;
}

/**
 * The replicas of one model endpoint: at most `maxConcurrency` requests each; what finds none free waits in line,
 * first come, first served. How one of several is chosen: docs/adr/0016-choosing-a-replica.md.
 */
export class ReplicaLane {
  replicas: readonly Replica[] = [];
  maxConcurrency = 1;
  prices: ModelPrices | undefined;
  provider: Provider = OPENAI;
  structuredOutput: StructuredOutput = DEFAULT_STRUCTURED_OUTPUT;
  /** Version of the protocol that its replicas are asked for. */
  apiVersion = '';
  /** Names and values of the headers that all its replicas want: the credential, mostly. */
  headers: readonly string[] = [];
  /** Requests that got a replica, for those who ask whether any came. */
  admitted = 0;
  /** Nothing but public data until it is told. */
  private clearance: DataClass = 'public';
  readonly drain = new DrainRate(() => this.now());
  readonly retryBudget = new RetryBudget();
  private readonly chooser = new ReplicaChooser();
  private readonly queue = new Set<QueueTicket>();
  private readonly lent = new LentPlaces();

  constructor(
    /** Of the model endpoint. */
    readonly name: string,
    private readonly queueMax: number,
    private readonly queueTimeoutMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get affinity(): Readonly<AffinityCounts> {
    return this.chooser.affinity;
  }

  get queued(): number {
    return this.queue.size;
  }

  /** Whether a request that came now would be turned away for lack of a free replica. */
  get isFull(): boolean {
    if (!this.queueIsFull || this.lent.size > 0) return false;
    let isFailing = true;
    for (const { breaker, outstanding } of this.replicas) {
      if (!breaker.isClosed) continue;
      isFailing = false;
      if (outstanding < this.maxConcurrency) return false;
    }
    return !isFailing;
  }

  /**
   * The only way to a replica, so that what is not cleared never goes out: not first, not again, not as a fallback.
   * @param avoid a replica that has just failed: taken only when no other is free.
   * @returns a replica, to be given back with `release`; or a ticket: the waiter is called; or undefined: turned away,
   * because it is not cleared or all replicas fail (`refusalOf` says so), or the queue is full.
   */
  acquire(waiter: ReplicaWaiter, avoid: Replica | undefined): Replica | QueueTicket | undefined {
    if (!this.isClearedFor(waiter.dataClass)) return undefined;
    let replica = this.queue.size === 0 ? this.pick(waiter, avoid, undefined) : undefined;
    if (!replica && this.lent.size > 0)
      replica = this.lent.reclaim(() => this.pick(waiter, avoid, undefined));
    if (replica) {
      this.give(replica, waiter);
      return replica;
    }
    if (this.queueIsFull || this.isFailing) return undefined;
    const ticket: QueueTicket = {
      waiter,
      timer: setTimeout(() => {
        this.queue.delete(ticket);
        waiter.onQueueTimeout();
      }, this.queueTimeoutMs),
    };
    if (this.queue.size === 0) this.drain.begin();
    this.queue.add(ticket);
    return ticket;
  }

  /**
   * Lends a replica that would else stand idle, to be given back with `returnLent`.
   * @returns undefined where nothing is free, somebody waits, or it is not cleared.
   */
  lend(waiter: ReplicaWaiter, borrower: Borrower): Replica | undefined {
    if (!this.isClearedFor(waiter.dataClass) || this.queue.size > 0) return undefined;
    return this.lent.lend(this.replicas, this.maxConcurrency, this.chooser.modelsDiffer, waiter, borrower);
  }

  returnLent(replica: Replica, seat: Seat | undefined, borrower: Borrower): void {
    this.lent.returned(borrower);
    this.release(replica, seat);
  }

  /** Whether `lend` would find one for this model. */
  isIdleFor(model: string): boolean {
    const needed = this.chooser.modelsDiffer ? model : undefined;
    return this.queue.size === 0 && idlest(this.replicas, this.maxConcurrency, needed) !== undefined;
  }

  /** Requests under way that give way to others. */
  get lentPlaces(): number {
    return this.lent.size;
  }

  /** Leaves the queue. */
  leave(ticket: QueueTicket): void {
    clearTimeout(ticket.timer);
    this.queue.delete(ticket);
  }

  /** Gives a replica back. @param seat the waiter's, when it got the replica. */
  release(replica: Replica, seat: Seat | undefined): void {
    replica.outstanding--;
    if (seat) {
      replica.pendingWork -= seat.work;
      seat.work = 0;
      if (seat.isTrial) replica.breaker.endTrial();
    }
    if (this.queue.size > 0) this.advance(replica);
  }

  /** The answer of a request has begun: its prompt has been read. */
  began(replica: Replica, seat: Seat | undefined): void {
    if (!seat || seat.work === 0) return;
    replica.pendingWork -= seat.work;
    seat.work = 0;
    if (seat.isTrial) {
      replica.breaker.trialBegan();
      seat.isTrial = false;
      if (this.queue.size > 0) this.advance();
    }
    if (seat.ahead === 0) return;
    replica.learnPace(this.now() - seat.sentMs, seat.ahead);
    Replica.comparePaces(this.replicas);
  }

  /** A request has its whole answer. */
  succeeded(replica: Replica, seat: Seat | undefined): void {
    this.retryBudget.deposit();
    const isTrial = seat?.isTrial === true;
    replica.breaker.succeeded(isTrial);
    // The replica may have been given back before: then those who wait have not been told.
    if (isTrial && this.queue.size > 0) this.advance();
  }

  /** An attempt has failed, before or after its replica was given back. */
  failed(replica: Replica, seat: Seat | undefined, failure: UpstreamFailure): void {
    if (!blames(failure)) return;
    replica.failures++;
    const { breaker } = replica;
    if (breaker.failed(seat?.isTrial === true, this.now()) && this.queue.size > 0) this.refuseQueue();
  }

  /** Whether its replicas may see data of this class. */
  isClearedFor(dataClass: DataClass): boolean {
    return isCleared(this.clearance, dataClass);
  }

  /** Takes a clearance. Those who wait with data above it are turned away. */
  clear(clearance: DataClass): void {
    this.clearance = clearance;
    for (const ticket of this.queue) {
      const refusal = this.lackOfClearance(ticket.waiter);
      if (!refusal) continue;
      this.leave(ticket);
      ticket.waiter.onRefused(refusal);
    }
  }

  /** Why a waiter is not let in, where that is for another reason than a full queue. */
  refusalOf(waiter: ReplicaWaiter): UpstreamFailure | undefined {
    return this.lackOfClearance(waiter) ?? this.refusal;
  }

  private lackOfClearance({ dataClass }: ReplicaWaiter): UpstreamFailure | undefined {
    if (this.isClearedFor(dataClass)) return undefined;
    return new UpstreamFailure(
      'model_endpoint_not_cleared',
      `"${this.name}" is not cleared for ${dataClass} data.`,
    );
  }

  /** Why nobody is let in, where that is because all replicas fail. */
  get refusal(): UpstreamFailure | undefined {
    if (!this.isFailing) return undefined;
    const nowMs = this.now();
    const waitMs = Math.min(...this.replicas.map(({ breaker }) => breaker.waitMs(nowMs)));
    return new UpstreamFailure(
      'model_endpoint_unavailable',
      `All replicas of "${this.name}" have failed repeatedly and are given a pause; try again later.`,
      { retryAfterMs: Math.max(1000, waitMs) },
    );
  }

  /**
   * Gives free replicas to those who wait.
   * @param released one that has just been given back: how it did there is not known yet, so that it gets no trial.
   */
  advance(released?: Replica): void {
    for (const ticket of this.queue) {
      const replica = this.pick(ticket.waiter, undefined, released);
      if (!replica) return;
      this.leave(ticket);
      this.drain.departed();
      this.give(replica, ticket.waiter);
      ticket.waiter.onReplica(replica);
    }
  }

  /** Also when one more would wait in vain: that is better told at once than after the time-out. */
  private get queueIsFull(): boolean {
    const { size } = this.queue;
    if (size >= this.queueMax) return true;
    return size >= ALWAYS_QUEUED && (this.drain.waitMs(size) ?? 0) > HOPEFUL * this.queueTimeoutMs;
  }

  /** What is known of a replica's models has changed. */
  compareModels(): void {
    const known = this.replicas.flatMap(({ models }) => (models ? [models] : []));
    const all = new Set(known.flatMap((models) => [...models]));
    this.chooser.modelsDiffer = known.some((models) => models.size < all.size);
  }

  private get isFailing(): boolean {
    const { replicas } = this;
    for (let index = 0; index < replicas.length; index++) if (replicas[index]!.breaker.isClosed) return false;
    return replicas.length > 0;
  }

  private refuseQueue(): void {
    const { refusal } = this;
    if (!refusal) return;
    for (const ticket of this.queue) {
      this.leave(ticket);
      ticket.waiter.onRefused(refusal);
    }
  }

  private give(replica: Replica, waiter: ReplicaWaiter): void {
    this.admitted++;
    replica.outstanding++;
    const isTrial = !replica.breaker.isClosed;
    if (isTrial) replica.breaker.beginTrial();
    if (this.replicas.length === 1 && !isTrial) {
      waiter.seat = undefined;
      return;
    }
    // What is alone has nothing before it: no sum that has drifted survives that.
    if (replica.outstanding === 1) replica.pendingWork = 0;
    const work = REQUEST_WORK + waiter.promptBytes;
    const ahead = this.chooser.wasKept ? 0 : replica.ahead + work;
    replica.pendingWork += work;
    waiter.seat = { work, ahead, sentMs: this.now(), isTrial };
  }

  private pick(
    waiter: ReplicaWaiter,
    avoid: Replica | undefined,
    released: Replica | undefined,
  ): Replica | undefined {
    const { replicas, maxConcurrency } = this;
    if (replicas.length > 1)
      return this.chooser.choose(replicas, maxConcurrency, waiter, avoid, released, this.now);
    const only = replicas[0];
    return only && only.outstanding < maxConcurrency && isOpenTo(only, released, this.now) ? only : undefined;
  }
}

/**
 * So many may wait whatever the rate says: it is seen from those who have waited, and one of worse times that let nobody
 * wait would never be seen to be wrong (docs/adr/0015-what-a-failure-costs.md).
 */
const ALWAYS_QUEUED = 8;
/** Share of the time-out that one may expect to wait: rates vary, and who waits in vain has waited for the longest. */
const HOPEFUL = 0.8;
