import { describe, expect, it } from 'vitest';
import { affinityWeight } from './affinity.js';
import { Breaker } from './breaker.js';
import { ReplicaChooser, type Chosen } from './replica-chooser.js';
import { Replica } from './replica.js';

const replicas = (count: number) =>
  Array.from(
    { length: count },
    (_, n) =>
      new Replica(
        `r${n}`,
        `http://r${n}/v1`,
        undefined as never,
        '/',
        new Breaker({ failures: 1, openMs: 1 }),
      ),
  );
const SHORT: Chosen = { model: 'small', promptBytes: 100, affinityKey: 1 };
const LONG: Chosen = { model: 'small', promptBytes: 20_000, affinityKey: 4711 };

function choose(among: readonly Replica[], request = SHORT, avoid?: Replica, chooser = new ReplicaChooser()) {
  return chooser.choose(among, 8, request, avoid, undefined, () => 0);
}
const homeOf = (among: readonly Replica[], key: number) =>
  among.reduce((best, one) => (affinityWeight(key, one.seed) > affinityWeight(key, best.seed) ? one : best));

describe('ReplicaChooser', () => {
  it('prefers few long prompts ahead to many, counted in bytes and not in requests', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    a.outstanding = 1;
    a.pendingWork = 60_000;
    b.outstanding = 3;
    b.pendingWork = 9_000;
    expect(choose([a, b])).toBe(b);
  });

  it('counts what others have sent there, but not its own requests twice', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    a.outstanding = 4;
    a.report({ running: 4, waiting: 0, kvCacheUsage: 0.1 });
    b.outstanding = 3;
    b.report({ running: 6, waiting: 0, kvCacheUsage: 0.1 });
    expect(choose([a, b])).toBe(a);
    b.report({ running: 3, waiting: 0, kvCacheUsage: 0.1 });
    expect(choose([a, b])).toBe(b);
    b.report({ running: 3, waiting: 2, kvCacheUsage: 0.1 });
    expect(choose([a, b])).toBe(a);
  });

  it('counts a replica whose KV cache is nearly full as slower', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    a.report({ running: 0, waiting: 0, kvCacheUsage: 0.95 });
    b.outstanding = 2;
    expect(choose([a, b])).toBe(b);
    a.report({ running: 0, waiting: 0, kvCacheUsage: 0.7 });
    expect(choose([a, b])).toBe(a);
  });

  it('learns how slow each is, within limits, and forgets in time', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    a.learnPace(1000, 1000);
    b.learnPace(100, 1000);
    Replica.comparePaces([a, b]);
    b.outstanding = 2;
    expect(choose([a, b])).toBe(b);
    // One odd answer must not write a replica off: at most four times the mean.
    a.learnPace(1e9, 1);
    Replica.comparePaces([a, b]);
    expect(a.cost(100)).toBeLessThanOrEqual(400);
    for (let n = 0; n < 2_000; n++) Replica.comparePaces([a, b]);
    expect(a.cost(100) / b.cost(100)).toBeCloseTo(1, 1);
  });

  it('asks one that tells its load no longer, or has just failed, only when no other is free', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    a.isStale = true;
    b.outstanding = 7;
    expect(choose([a, b])).toBe(b);
    expect(choose([a, b], SHORT, b)).toBe(a);
    b.outstanding = 8;
    expect(choose([a, b])).toBe(a);
  });

  it('waits for one that serves, and asks one that is down only when all are', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    a.isDown = true;
    expect(choose([a, b])).toBe(b);
    b.outstanding = 8;
    expect(choose([a, b])).toBeUndefined();
    b.isDown = true;
    expect(choose([a, b])).toBe(a);
  });

  it('passes over one that lacks the model, unless all do', () => {
    const [a, b] = replicas(2) as [Replica, Replica];
    const chooser = new ReplicaChooser();
    chooser.modelsDiffer = true;
    a.models = new Set(['other']);
    b.models = new Set(['small']);
    b.outstanding = 5;
    expect(choose([a, b], SHORT, undefined, chooser)).toBe(b);
    expect(choose([a, b], { ...SHORT, model: 'none' }, undefined, chooser)).toBe(a);
  });

  it('keeps a conversation where its cache is, until the wait there costs more than reading it anew', () => {
    const four = replicas(4);
    const home = homeOf(four, LONG.affinityKey);
    const chooser = new ReplicaChooser();
    home.pendingWork = LONG.promptBytes - 1;
    expect(choose(four, LONG, undefined, chooser)).toBe(home);
    expect(chooser.wasKept).toBe(true);
    home.pendingWork = LONG.promptBytes + 1;
    expect(choose(four, LONG, undefined, chooser)).not.toBe(home);
    expect(chooser.affinity).toEqual({ kept: 1, spilled: 1 });
    // Short prompts are not worth it.
    home.pendingWork = 1;
    expect(choose(four, { ...LONG, promptBytes: 1000 }, undefined, chooser)).not.toBe(home);
  });

  it('gives a conversation another home while its own is down', () => {
    const four = replicas(4);
    const home = homeOf(four, LONG.affinityKey);
    home.isDown = true;
    const second = homeOf(
      four.filter((one) => one !== home),
      LONG.affinityKey,
    );
    expect(choose(four, LONG)).toBe(second);
    second.pendingWork = 100;
    expect(choose(four, LONG)).toBe(second);
  });
});
