import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATA_CLASSES, isCleared, type DataClass } from '#libs/core/clearance/clearance.js';
import { AttemptPlanner, type GenerationGate } from './attempt-planner.js';
import { Breaker } from './breaker.js';
import { ReplicaLane, type QueueTicket, type ReplicaWaiter } from './replica-lane.js';
import { Replica, type Seat } from './replica.js';
import type { UpstreamFailure } from './upstream-failure.js';

const LANES = 3;

/** One model endpoint, and what it is cleared for at the moment. */
class Place {
  clearance: DataClass = 'public';
  readonly lane: ReplicaLane;

  constructor(name: string, replicas: number) {
    this.lane = new ReplicaLane(name, 1, 60_000);
    this.lane.maxConcurrency = 1;
    this.lane.replicas = Array.from(
      { length: replicas },
      (_, n) =>
        new Replica(
          `${n}`,
          `http://${name}-${n}`,
          undefined as never,
          '/v1',
          new Breaker({ failures: 0, openMs: 1 }),
        ),
    );
  }

  clear(clearance: DataClass): void {
    this.clearance = clearance;
    this.lane.clear(clearance);
  }
}

/** Goes from attempt to attempt as an exchange does, with the real planner and the real lanes. */
class Request implements ReplicaWaiter, GenerationGate {
  readonly model = 'm';
  readonly promptBytes = 100;
  readonly affinityKey = 1;
  seat: Seat | undefined;
  replica: Replica | undefined;
  ticket: QueueTicket | undefined;
  ended: string | undefined;
  private generation = 0;
  private readonly planner: AttemptPlanner;

  constructor(
    readonly dataClass: DataClass,
    private readonly places: readonly Place[],
    private readonly generations: readonly number[],
    maxAttempts: number,
  ) {
    this.planner = new AttemptPlanner(generations.length, { maxAttempts }, () => 0, this);
    this.attempt();
  }

  get place(): Place {
    return this.places[this.generations[this.generation]!]!;
  }

  mayRun(generation: number): boolean {
    return this.places[this.generations[generation]!]!.lane.isClearedFor(this.dataClass);
  }

  onReplica(replica: Replica): void {
    this.ticket = undefined;
    // The promise.
    expect(isCleared(this.place.clearance, this.dataClass)).toBe(true);
    this.replica = replica;
  }

  onQueueTimeout(): void {
    throw new Error('The queue does not time out here.');
  }

  onRefused(failure: UpstreamFailure): void {
    this.ticket = undefined;
    this.next(failure.code, failure.mayRetry);
  }

  /** Its attempt ends. */
  finish(how: 'ok' | 'failed'): void {
    const { replica } = this;
    if (!replica) return;
    this.replica = undefined;
    this.place.lane.release(replica, this.seat);
    if (how === 'ok') this.ended = 'ok';
    else this.next('upstream_error', true);
  }

  private attempt(): void {
    const { lane } = this.place;
    const place = lane.acquire(this, undefined);
    if (!place) this.next(lane.refusalOf(this)?.code ?? 'queue_full', false);
    else if (place instanceof Replica) this.onReplica(place);
    else this.ticket = place;
  }

  private next(code: string, mayRetry: boolean): void {
    const next = this.planner.next({
      mayRetry,
      mayFallBack: true,
      retryAfterMs: undefined,
      remainingMs: 60_000,
      budget: this.place.lane.retryBudget,
    });
    if (!next) {
      this.ended = code;
      return;
    }
    this.generation = next.generation;
    this.attempt();
  }
}

/** A copy of a request, which takes what is idle and gives way. */
class Copy implements ReplicaWaiter {
  readonly model = 'm';
  readonly promptBytes = 100;
  readonly affinityKey = 1;
  seat: Seat | undefined;
  replica: Replica | undefined;
  gaveWay = false;

  constructor(
    readonly dataClass: DataClass,
    private readonly place: Place,
  ) {
    this.replica = place.lane.lend(this, this);
    // The promise.
    if (this.replica) expect(isCleared(place.clearance, dataClass)).toBe(true);
  }

  giveWay(): void {
    this.gaveWay = true;
    this.finish();
  }

  finish(): void {
    const { replica } = this;
    this.replica = undefined;
    if (replica) this.place.lane.returnLent(replica, this.seat, this);
  }

  onReplica(): void {
    throw new Error('A copy does not wait.');
  }
  onQueueTimeout(): void {
    throw new Error('A copy does not wait.');
  }
  onRefused(): void {
    throw new Error('A copy does not wait.');
  }
}

describe('planner and lanes together', () => {
  const dataClass = fc.constantFrom(...DATA_CLASSES);
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        send: dataClass,
        generations: fc.array(fc.nat(LANES - 1), { minLength: 1, maxLength: 4 }),
        maxAttempts: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ finish: fc.nat(15), how: fc.constantFrom('ok' as const, 'failed' as const) }),
    },
    { weight: 1, arbitrary: fc.record({ clear: fc.nat(LANES - 1), clearance: dataClass }) },
    { weight: 2, arbitrary: fc.record({ copy: dataClass, to: fc.nat(LANES - 1) }) },
    { weight: 1, arbitrary: fc.record({ finishCopy: fc.nat(10) }) },
  );

  it('never give a replica to what it is not cleared for, nor let anyone wait for a copy, whatever waits, fails and changes meanwhile', () => {
    const ends = new Map<string, number>();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(dataClass, fc.integer({ min: 1, max: 2 })), { minLength: LANES, maxLength: LANES }),
        fc.array(step, { minLength: 10, maxLength: 40 }),
        (given, steps) => {
          const places = given.map(([clearance, replicas], index) => {
            const place = new Place(`m${index}`, replicas);
            place.clear(clearance);
            return place;
          });
          const requests: Request[] = [];
          const copies: Copy[] = [];
          for (const one of steps) {
            if ('send' in one) requests.push(new Request(one.send, places, one.generations, one.maxAttempts));
            else if ('clear' in one) places[one.clear]!.clear(one.clearance);
            else if ('copy' in one) copies.push(new Copy(one.copy, places[one.to]!));
            else if ('finishCopy' in one) copies[one.finishCopy]?.finish();
            else requests[one.finish]?.finish(one.how);
            for (const { lane } of places) {
              expect(lane.replicas.every(({ outstanding }) => outstanding <= 1)).toBe(true);
              // Nobody waits while a copy has what it could have.
              if (lane.queued > 0) expect(lane.lentPlaces).toBe(0);
            }
            for (const { ticket, place, dataClass } of requests)
              if (ticket) expect(isCleared(place.clearance, dataClass)).toBe(true);
          }
          // Nobody is forgotten: what is finished leaves its place to those who wait.
          for (let rounds = 0; rounds < 100 && requests.some(({ ended }) => !ended); rounds++)
            for (const request of requests) request.finish('ok');
          for (const { ended } of requests) {
            expect(ended).toBeDefined();
            ends.set(ended!, (ends.get(ended!) ?? 0) + 1);
          }
          for (const copy of copies) {
            const end = copy.gaveWay ? 'gave way' : copy.replica ? 'runs' : 'ended';
            ends.set(end, (ends.get(end) ?? 0) + 1);
            copy.finish();
          }
          for (const { lane } of places)
            expect(lane.replicas.map(({ outstanding }) => outstanding)).toEqual(lane.replicas.map(() => 0));
        },
      ),
      { numRuns: 5000 },
    );
    for (const end of [
      'ok',
      'model_endpoint_not_cleared',
      'queue_full',
      'upstream_error',
      'gave way',
      'runs',
    ])
      expect([end, (ends.get(end) ?? 0) > 100]).toEqual([end, true]);
  });
});

describe('a planner with a gate', () => {
  it('passes over what may not run, as if it were not there', () => {
    const allowed = new Set([0, 3]);
    const gate = { mayRun: (generation: number) => allowed.has(generation) };
    const planner = new AttemptPlanner(5, undefined, () => 0, gate);
    const failed = {
      mayRetry: true,
      mayFallBack: true,
      retryAfterMs: undefined,
      remainingMs: 1000,
      budget: undefined,
    };
    expect(planner.next(failed)).toEqual({ generation: 3, delayMs: 0 });
    expect(planner.next(failed)).toBeUndefined();
  });
});
