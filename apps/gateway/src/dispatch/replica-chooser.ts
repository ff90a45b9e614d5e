import { affinityWeight, LEAST_PROMPT_BYTES } from './affinity.js';
import { REQUEST_WORK, type Replica } from './replica.js';

/** What a choice needs to know of a request. */
export interface Chosen {
  readonly model: string;
  readonly promptBytes: number;
  readonly affinityKey: number;
}

/** How often a conversation went to the replica that holds its cache. */
export interface AffinityCounts {
  kept: number;
  /** Waiting there would have taken longer than reading the prompt anew elsewhere, or it was full. */
  spilled: number;
}

/** What speaks against a replica; sums are compared. */
const STALE = 1;
const AVOIDED = 2;
const DOWN = 4;
const LACKS_MODEL = 8;
const WORSE_THAN_ALL = 16;

/** Chooses one of several replicas. All of them are looked at: there are at most 64. Why so: docs/adr/0016-choosing-a-replica.md. */
export class ReplicaChooser {
  /** Some replicas lack a model that others have. */
  modelsDiffer = false;
  /** The last choice was made for the cache's sake: how long such an answer takes says nothing about its replica. */
  wasKept = false;
  readonly affinity: AffinityCounts = { kept: 0, spilled: 0 };
  /** Equals take turns. */
  private turn = 0;

  /**
   * The one with the least work before it, or the one that holds the conversation's cache. One that is down or lacks the
   * model only when all are or do; one whose load is stale, and `avoid`, only when no other is free.
   * @param released see `isOpenTo`.
   * @returns undefined when none is free.
   */
  choose(
    replicas: readonly Replica[],
    maxConcurrency: number,
    request: Chosen,
    avoid: Replica | undefined,
    released: Replica | undefined,
    now: () => number,
  ): Replica | undefined {
    const key = request.promptBytes < LEAST_PROMPT_BYTES ? 0 : request.affinityKey;
    this.wasKept = false;
    let best: Replica | undefined;
    let bestIndex = 0;
    let bestFault = WORSE_THAN_ALL;
    let bestCost = 0;
    /** Least fault of all, free or not. */
    let leastFault = WORSE_THAN_ALL;
    /** Where the conversation belongs. */
    let home: Replica | undefined;
    let homeFault = WORSE_THAN_ALL;
    let homeWeight = -1;
    for (let step = 0; step < replicas.length; step++) {
      const index = (this.turn + step) % replicas.length;
      const replica = replicas[index]!;
      if (!isOpenTo(replica, released, now)) continue;
      const fault = this.faultOf(replica, request, replica === avoid);
      if (fault < leastFault) leastFault = fault;
      if (key !== 0 && fault <= homeFault) {
        const weight = affinityWeight(key, replica.seed);
        if (fault < homeFault || weight > homeWeight) {
          home = replica;
          homeFault = fault;
          homeWeight = weight;
        }
      }
      if (replica.outstanding >= maxConcurrency || fault > bestFault) continue;
      const cost = replica.cost(replica.ahead + REQUEST_WORK);
      if (best && fault === bestFault && cost >= bestCost) continue;
      best = replica;
      bestIndex = index;
      bestFault = fault;
      bestCost = cost;
    }
    // Waiting for one that serves is better than asking one that does not.
    if (!best || (bestFault >= DOWN && leastFault < DOWN)) return undefined;
    this.turn = (bestIndex + 1) % replicas.length;
    if (!home) return best;
    // Home, as long as waiting there takes no longer than reading the prompt anew elsewhere.
    this.wasKept =
      home === best ||
      (homeFault === bestFault &&
        home.outstanding < maxConcurrency &&
        home.cost(home.ahead + REQUEST_WORK) <= best.cost(best.ahead + REQUEST_WORK + request.promptBytes));
    if (this.wasKept) this.affinity.kept++;
    else this.affinity.spilled++;
    return this.wasKept ? home : best;
  }

  private faultOf({ isStale, isDown, models }: Replica, { model }: Chosen, isAvoided: boolean): number {
    let fault = isStale ? STALE : 0;
    if (isAvoided) fault += AVOIDED;
    if (isDown) fault += DOWN;
    if (this.modelsDiffer && models && !models.has(model)) fault += LACKS_MODEL;
    return fault;
  }
}

/**
 * Whether a replica takes a request now, as far as its breaker goes.
 * @param released one that has just been given back: how it did there is not known yet, so that it gets no trial.
 */
export function isOpenTo(replica: Replica, released: Replica | undefined, now: () => number): boolean {
  const { breaker } = replica;
  return breaker.isClosed || (replica !== released && breaker.takesTrial(now()));
}
