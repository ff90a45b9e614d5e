import type { Pool } from 'undici';
import { murmur3 } from '#libs/core/assignment/murmur3.js';
import type { Breaker } from './breaker.js';
import type { ReportedLoad } from './load-metrics.js';

/** What every request costs besides its prompt, in bytes of prompt that take as long. */
export const REQUEST_WORK = 2048;
/** What one that is being generated slows the reading of prompts by. */
const RUNNING_WORK = 256;
/** What one that waits inside the replica has before it: a prompt to be read, and a place to become free. */
const WAITING_WORK = 8192;
/** KV-cache use from which on a replica counts as slower: up to twice as slow when the cache is full, for then it preempts. */
const KV_HIGH = 0.8;
/** Weight of the newest answer in a replica's pace. */
const NEWEST = 0.2;
/** How much of its distance to the others a pace loses with every answer of the others, so that no replica is written off. */
const FORGETS = 0.005;
/** A replica counts as at most this many times slower or faster than the mean. */
const MOST_APART = 4;

/** A request's place at a replica that is one of several, or a trial. */
export interface Seat {
  /** Work of its prompt, until the answer has begun: then it is 0. */
  work: number;
  /** Work before it when it was sent, its own included. 0: its pace tells nothing. */
  readonly ahead: number;
  /** `performance.now()` when it was sent. */
  readonly sentMs: number;
  /** Until its answer has begun: from then on it is a request like others. */
  isTrial: boolean;
}

/**
 * One replica with what is known about it. Loads are counted in work: bytes of prompts whose answers have not begun,
 * for reading prompts is what a first token waits for.
 */
export class Replica {
  /** Requests under way here. */
  outstanding = 0;
  /** Work of those whose answer has not begun. */
  pendingWork = 0;
  /** Two active probes have failed, and none has succeeded since. */
  isDown = false;
  /** It used to tell its load and does no longer. */
  isStale = false;
  /** Models it serves; undefined while that is not known. */
  models: ReadonlySet<string> | undefined;
  /** As last told. */
  load: ReportedLoad | undefined;
  /** Failed requests, for the metrics. */
  failures = 0;
  /** Of rendezvous hashing. */
  readonly seed: number;
  /** Milliseconds per work; 0 while unknown. */
  private pace = 0;
  /** Work of requests that other gateways sent, and of those that wait inside. */
  private reportedWork = 0;
  /** Of the load told. */
  private kvFactor = 1;
  /** How much slower than the mean a unit of work is. */
  private slowness = 1;

  constructor(
    /** In the registry. */
    public id: string,
    readonly baseUrl: string,
    readonly pool: Pool,
    /** Path of its base URL, without trailing slash. */
    readonly path: string,
    readonly breaker: Breaker,
  ) {
    this.seed = murmur3(baseUrl);
  }

  /** Work before a request that comes now. */
  get ahead(): number {
    return this.pendingWork + this.outstanding * RUNNING_WORK + this.reportedWork;
  }

  /** What work takes here, in work of a mean replica. */
  cost(work: number): number {
    return work * this.slowness * this.kvFactor;
  }

  /** Takes what it told of its load; undefined: nothing is known. */
  report(load: ReportedLoad | undefined): void {
    this.load = load;
    // Those of this gateway are counted already, exactly and without delay.
    const foreign = load ? Math.max(0, load.running + load.waiting - this.outstanding) : 0;
    this.reportedWork = foreign * RUNNING_WORK + (load?.waiting ?? 0) * WAITING_WORK;
    const above = (load?.kvCacheUsage ?? 0) - KV_HIGH;
    this.kvFactor = above > 0 ? 1 + above / (1 - KV_HIGH) : 1;
  }

  /** @param ms from sending a request to the beginning of its answer. */
  learnPace(ms: number, work: number): void {
    const seen = ms / work;
    this.pace = this.pace === 0 ? seen : this.pace + (seen - this.pace) * NEWEST;
  }

  /** Says of each how much slower it is than the mean of those that are known. */
  static comparePaces(replicas: readonly Replica[]): void {
    let sum = 0;
    let known = 0;
    for (const { pace } of replicas)
      if (pace > 0) {
        sum += pace;
        known++;
      }
    const mean = sum / known;
    for (const replica of replicas) {
      if (replica.pace === 0) continue;
      replica.pace += (mean - replica.pace) * FORGETS;
      const relative = replica.pace / mean;
      replica.slowness = Math.min(MOST_APART, Math.max(1 / MOST_APART, relative));
    }
  }
}
