import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { Breaker } from './breaker.js';
import { ReplicaLane, type QueueTicket } from './replica-lane.js';
import { Replica, type Seat } from './replica.js';
import { UpstreamFailure } from './upstream-failure.js';

const replica = (baseUrl: string): Replica =>
  new Replica(
    baseUrl,
    baseUrl,
    undefined as never,
    '/',
    new Breaker({ failures: 2, openMs: 1000 }, () => 0.5),
  );
const FAILED = new UpstreamFailure('upstream_error', 'It failed.');

const clock = { now: 0 };
function lane(count: number, maxConcurrency: number, queueMax = 10, timeoutMs = 1_000): ReplicaLane {
  const lane = new ReplicaLane('gpu', queueMax, timeoutMs, () => clock.now);
  lane.replicas = Array.from({ length: count }, (_, n) => replica(`r${n}`));
  lane.maxConcurrency = maxConcurrency;
  return lane;
}

class Waiter {
  readonly dataClass = 'public';
  readonly model = 'small';
  readonly promptBytes: number = 0;
  readonly affinityKey = 0;
  seat: Seat | undefined;
  constructor(
    readonly name: string,
    readonly log: string[],
  ) {}
  onReplica(given: Replica): void {
    this.log.push(`${this.name} ${given.baseUrl}`);
  }
  onQueueTimeout(): void {
    this.log.push(`${this.name} timeout`);
  }
  onRefused(failure: UpstreamFailure): void {
    this.log.push(`${this.name} ${failure.code}`);
  }
}
const nobody = new Waiter('', []);

describe('ReplicaLane', () => {
  beforeEach(() => {
    clock.now = 0;
  });

  describe('lends', () => {
    const given: string[] = [];
    const borrower = (one: ReplicaLane, waiter = new Waiter('copy', [])) => {
      const borrower = {
        replica: undefined as Replica | undefined,
        giveWay() {
          given.push('gave way');
          one.returnLent(borrower.replica!, waiter.seat, borrower);
        },
      };
      borrower.replica = one.lend(waiter, borrower);
      return borrower;
    };
    beforeEach(() => void (given.length = 0));

    it('what is idle, the idlest first, and nothing while somebody waits', () => {
      const two = lane(2, 2);
      const taken = two.acquire(nobody, undefined) as Replica;
      expect(borrower(two).replica).not.toBe(taken);
      expect([borrower(two), borrower(two)].map(({ replica }) => replica !== undefined)).toEqual([
        true,
        true,
      ]);
      expect([two.isIdleFor('small'), borrower(two).replica]).toEqual([false, undefined]);
      const one = lane(1, 1);
      one.acquire(nobody, undefined);
      const ticket = one.acquire(new Waiter('a', []), undefined) as QueueTicket;
      expect([one.isIdleFor('small'), borrower(one).replica]).toEqual([false, undefined]);
      one.leave(ticket);
    });

    it('nothing that is down, has a pause or lacks the model', () => {
      const three = lane(3, 5);
      const [down, failing, other] = three.replicas as [Replica, Replica, Replica];
      down.isDown = true;
      for (let n = 0; n < 2; n++) failing.breaker.failed(false, 0);
      other.models = new Set(['large']);
      down.models = failing.models = new Set(['small', 'large']);
      three.compareModels();
      clock.now = 60_000; // the pause is over, and the next request is a trial: not a copy's
      expect([three.isIdleFor('small'), borrower(three).replica]).toEqual([false, undefined]);
      expect([three.isIdleFor('large'), new Waiter('', []).seat]).toEqual([true, undefined]);
    });

    it('until a request finds no other place: then the last lent is given back, and no more than that', () => {
      const one = lane(1, 3);
      borrower(one);
      const last = borrower(one);
      borrower(one);
      expect([one.lentPlaces, last.replica?.outstanding]).toEqual([3, 3]);
      expect(one.acquire(nobody, undefined)).toBe(one.replicas[0]);
      expect([given, one.lentPlaces, one.queued]).toEqual([['gave way'], 2, 0]);
      one.acquire(nobody, undefined);
      one.acquire(nobody, undefined);
      expect([given.length, one.lentPlaces]).toEqual([3, 0]);
      expect('timer' in (one.acquire(nobody, undefined) as object)).toBe(true);
    });

    it('also where nobody may wait, and does not count as full for it', () => {
      const one = lane(1, 1, 0);
      borrower(one);
      expect(one.isFull).toBe(false);
      expect(one.acquire(nobody, undefined)).toBe(one.replicas[0]);
      expect([one.isFull, one.acquire(nobody, undefined)]).toEqual([true, undefined]);
    });

    it('without learning from it how fast a replica is, and leaves no work behind', () => {
      const two = lane(2, 5);
      const waiter = new Waiter('copy', []);
      const { replica } = borrower(two, waiter);
      clock.now = 10_000;
      two.began(replica!, waiter.seat);
      expect(replica!.pendingWork).toBe(0);
      expect(replica!.cost(100)).toBe(100);
      const other = borrower(two);
      other.giveWay();
      expect([other.replica!.pendingWork, other.replica!.outstanding <= 1]).toEqual([0, true]);
    });
  });

  it('takes the least busy replica, and equals in turn', () => {
    const three = lane(3, 10);
    const take = () => (three.acquire(nobody, undefined) as Replica).baseUrl;
    expect([take(), take(), take(), take()]).toEqual(['r0', 'r1', 'r2', 'r0']);
    three.release(three.replicas[1]!, undefined);
    expect(take()).toBe('r1');
  });

  it('avoids the replica that has just failed, unless it is the only one free', () => {
    const two = lane(2, 2);
    const [first, second] = two.replicas as [Replica, Replica];
    second.outstanding = 1;
    expect(two.acquire(nobody, first)).toBe(second);
    expect(two.acquire(nobody, first)).toBe(first);
    expect(lane(1, 1).acquire(nobody, first)).toMatchObject({ baseUrl: 'r0' });
  });

  it('lets the others wait in order, and never exceeds the limit', () => {
    const log: string[] = [];
    const one = lane(1, 1);
    const busy = one.acquire(nobody, undefined) as Replica;
    for (const name of ['a', 'b', 'c']) one.acquire(new Waiter(name, log), undefined);
    expect([one.queued, busy.outstanding]).toEqual([3, 1]);
    one.release(busy, undefined);
    one.release(busy, undefined);
    expect(log).toEqual(['a r0', 'b r0']);
    expect(busy.outstanding).toBe(1);
  });

  it('turns away what finds the queue full', () => {
    const one = lane(1, 1, 1);
    expect(one.isFull).toBe(false);
    one.acquire(nobody, undefined);
    expect(one.isFull).toBe(false);
    one.leave(one.acquire(nobody, undefined) as QueueTicket);
    one.acquire(nobody, undefined);
    expect(one.isFull).toBe(true);
    expect(one.acquire(nobody, undefined)).toBeUndefined();
  });

  it('lets eight wait though the queue moves too slowly, and no ninth, until it is seen to move faster', () => {
    const one = lane(1, 1, 100, 1_000);
    const busy = one.acquire(nobody, undefined) as Replica;
    const wait = () => one.acquire(nobody, undefined);
    const depart = (ms: number) => {
      clock.now += ms;
      one.release(busy, undefined);
    };
    for (let waiting = 0; waiting < 20; waiting++) wait();
    // One a second, where nobody may wait for longer than one.
    for (let gone = 0; gone < 13; gone++) {
      expect(wait() === undefined).toBe(gone >= 5);
      depart(1_000);
    }
    while (one.queued > 8) depart(1_000);
    expect([one.queued, wait()]).toEqual([8, undefined]);
    depart(1_000);
    expect(wait()).toBeDefined();
    for (let gone = 0; gone < 200; gone++) {
      depart(1);
      wait();
    }
    expect([one.queued, wait() === undefined]).toEqual([8, false]);
  });

  it('tells those who waited too long, and forgets those who left', async () => {
    const log: string[] = [];
    const one = lane(1, 1, 10, 20);
    const busy = one.acquire(nobody, undefined) as Replica;
    one.acquire(new Waiter('patient', log), undefined);
    one.leave(one.acquire(new Waiter('gone', log), undefined) as QueueTicket);
    await sleep(40);
    one.release(busy, undefined);
    expect(log).toEqual(['patient timeout']);
  });

  it('refuses at once when every replica fails, those in the queue too, and says when to come again', () => {
    const log: string[] = [];
    const one = lane(1, 1);
    const busy = one.acquire(nobody, undefined) as Replica;
    one.acquire(new Waiter('a', log), undefined);
    one.failed(busy, undefined, FAILED);
    expect([log, one.refusal]).toEqual([[], undefined]);
    one.failed(busy, undefined, FAILED);
    expect(log).toEqual(['a model_endpoint_unavailable']);
    one.release(busy, undefined);
    expect(one.acquire(nobody, undefined)).toBeUndefined();
    expect(one.refusal).toMatchObject({
      code: 'model_endpoint_unavailable',
      details: { retryAfterMs: 1000 },
    });
  });

  it('gives no trial to those who wait before the verdict of the one that ends is known', () => {
    const log: string[] = [];
    const two = lane(2, 1);
    const [bad, good] = two.replicas as [Replica, Replica];
    for (let n = 0; n < 2; n++) two.failed(bad, undefined, FAILED);
    const trier = new Waiter('trier', log);
    clock.now = 1000;
    expect(two.acquire(nobody, undefined)).toBe(bad);
    const trial = nobody.seat;
    expect(two.acquire(nobody, undefined)).toBe(good);
    two.acquire(trier, undefined);
    two.release(bad, trial);
    expect(log).toEqual([]);
    two.failed(bad, trial, FAILED);
    two.release(good, undefined);
    expect(log).toEqual(['trier r1']);
    clock.now = 0;
  });

  it('counts a prompt as work until its answer begins, and closes the breaker at the beginning of a trial', () => {
    const two = lane(2, 4);
    const long = Object.assign(new Waiter('long', []), { promptBytes: 10_000 });
    const first = two.acquire(long, undefined) as Replica;
    expect(first.pendingWork).toBeGreaterThan(10_000);
    two.began(first, long.seat);
    expect(first.pendingWork).toBe(0);
    two.release(first, long.seat);
    expect([first.pendingWork, first.outstanding]).toEqual([0, 0]);

    const broken = lane(1, 1);
    const [only] = broken.replicas as [Replica];
    for (let n = 0; n < 2; n++) broken.failed(only, undefined, FAILED);
    clock.now = 1000;
    const trier = new Waiter('trier', []);
    expect(broken.acquire(trier, undefined)).toBe(only);
    broken.began(only, trier.seat);
    expect(only.breaker.state).toBe('closed');
    broken.failed(only, trier.seat, FAILED);
    expect(only.breaker.state).toBe('open');
    clock.now = 0;
  });

  it('never exceeds a limit, leaves nobody waiting beside a free replica, and forgets nothing, whatever happens', () => {
    const operation = fc.record({
      what: fc.constantFrom(
        'ask',
        'ask',
        'ask',
        'begin',
        'succeed',
        'fail',
        'leave',
        'down',
        'stale',
        'later',
      ),
      which: fc.nat(1000),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(operation, { minLength: 40, maxLength: 200 }),
        (count, operations) => {
          clock.now = 0;
          const some = lane(count, 2, 5);
          const running: Asker[] = [];
          class Asker extends Waiter {
            replica: Replica | undefined;
            constructor(override readonly promptBytes: number) {
              super('', []);
            }
            override onReplica(given: Replica): void {
              this.replica = given;
              running.push(this);
            }
          }
          const give = (asker: Asker) => running.splice(running.indexOf(asker), 1);
          for (const { what, which } of operations) {
            const asker = running[which % running.length];
            const one = some.replicas[which % count]!;
            if (what === 'ask') {
              const fresh = new Asker(which * 10);
              const place = some.acquire(fresh, which % 3 === 0 ? one : undefined);
              if (place instanceof Replica) fresh.onReplica(place);
            } else if (what === 'down') {
              one.isDown = !one.isDown;
              some.advance();
            } else if (what === 'stale') one.isStale = !one.isStale;
            else if (what === 'later') clock.now += which;
            else if (asker) {
              const { replica, seat } = asker as { replica: Replica; seat: Seat | undefined };
              if (what === 'begin') some.began(replica, seat);
              else {
                give(asker);
                some.release(replica, seat);
                if (what === 'succeed') some.succeeded(replica, seat);
                if (what === 'fail') some.failed(replica, seat, FAILED);
              }
            }
            for (const { outstanding, pendingWork } of some.replicas) {
              expect(outstanding).toBeLessThanOrEqual(2);
              expect(pendingWork).toBeGreaterThanOrEqual(0);
            }
            const free = some.replicas.some(
              (each) => each.breaker.isClosed && !each.isDown && each.outstanding < 2,
            );
            if (some.queued > 0) expect(free).toBe(false);
            expect(some.replicas.reduce((sum, { outstanding }) => sum + outstanding, 0)).toBe(running.length);
          }
          while (running.length > 0) {
            const { replica, seat } = running.pop()! as { replica: Replica; seat: Seat | undefined };
            some.release(replica, seat);
            some.succeeded(replica, seat);
          }
          for (const { outstanding, pendingWork, breaker } of some.replicas) {
            expect([outstanding, pendingWork]).toEqual([0, 0]);
            expect(breaker.state).not.toBe('half_open');
          }
        },
      ),
      { numRuns: 300 },
    );
    clock.now = 0;
  });
});
