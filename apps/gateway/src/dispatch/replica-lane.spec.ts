import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ReplicaLane, type QueueTicket, type Replica } from './replica-lane.js';

const replica = (baseUrl: string): Replica => ({
  baseUrl,
  path: '/',
  outstanding: 0,
  pool: undefined as never,
});

function lane(count: number, maxConcurrency: number, queueMax = 10, timeoutMs = 1_000): ReplicaLane {
  const lane = new ReplicaLane(queueMax, timeoutMs);
  lane.replicas = Array.from({ length: count }, (_, n) => replica(`r${n}`));
  lane.maxConcurrency = maxConcurrency;
  return lane;
}

class Waiter {
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
}
const nobody = new Waiter('', []);

describe('ReplicaLane', () => {
  it('takes the least busy replica, and equals in turn', () => {
    const three = lane(3, 10);
    const take = () => (three.acquire(nobody, undefined) as Replica).baseUrl;
    expect([take(), take(), take(), take()]).toEqual(['r0', 'r1', 'r2', 'r0']);
    three.release(three.replicas[1]!);
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
    one.release(busy);
    one.release(busy);
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

  it('tells those who waited too long, and forgets those who left', async () => {
    const log: string[] = [];
    const one = lane(1, 1, 10, 20);
    const busy = one.acquire(nobody, undefined) as Replica;
    one.acquire(new Waiter('patient', log), undefined);
    one.leave(one.acquire(new Waiter('gone', log), undefined) as QueueTicket);
    await sleep(40);
    one.release(busy);
    expect(log).toEqual(['patient timeout']);
  });
});
