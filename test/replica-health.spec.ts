import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { say } from './support/chat.js';
import type { FakeReplica } from './support/fake-replica.js';
import { eventually } from './support/gateway.js';
import { OPEN_MS, PROBE_MS, ReplicaTests, statusOf } from './support/replicas.js';

/** Enough for two probes to fail. */
const SOON_MS = 6 * PROBE_MS;
const RETRY = { retry: { maxAttempts: 3, initialBackoffMs: 1 } };

describe('replicas that fail', () => {
  let tests: ReplicaTests;
  beforeAll(async () => {
    tests = await ReplicaTests.start();
  });
  afterAll(() => tests.stack.close());
  afterEach(() => tests.stopReplicas());

  describe('health', () => {
    it('asks nothing of one that has died, until it has come back', async () => {
      const { name, replicas } = await tests.serve(2);
      const [first, second] = replicas as [FakeReplica, FakeReplica];
      const { id } = tests.known(name, first);
      await first.die();
      await eventually(() => tests.known(name, first).isDown);
      expect(await tests.gauge('catena_replica_up', id)).toBe(0);
      expect(await tests.askTimes(10, name)).toEqual([200]);
      expect([first.asked.length, second.asked.length]).toEqual([0, 10]);
      await first.listen();
      await eventually(() => !tests.known(name, first).isDown);
      expect(await tests.gauge('catena_replica_up', id)).toBe(1);
      expect(await tests.askTimes(10, name)).toEqual([200]);
      expect(first.asked.length).toBeGreaterThan(3);
    });

    it('asks nothing of one that accepts connections and says nothing', async () => {
      const { name, replicas } = await tests.serve(2);
      const [first] = replicas as [FakeReplica, FakeReplica];
      first.health = first.chat = 'hang';
      await eventually(() => tests.known(name, first).isDown);
      expect(await tests.askTimes(10, name)).toEqual([200]);
      expect(first.asked).toHaveLength(0);
    });

    it('believes no probes that say all are down', async () => {
      const { name, replicas } = await tests.serve(2);
      for (const replica of replicas) replica.health = 503;
      await eventually(() => replicas.every((replica) => tests.known(name, replica).isDown));
      expect(await tests.askTimes(4, name)).toEqual([200]);
    });

    it('takes the list of models for a sign of life where there is no /health, and a single failure for none of death', async () => {
      const { name, replicas } = await tests.serve(2);
      const [first] = replicas as [FakeReplica, FakeReplica];
      first.health = 404;
      await sleep(SOON_MS);
      expect([tests.known(name, first).isDown, first.looked.includes('/v1/models')]).toEqual([false, true]);
      first.models = undefined; // 404: it lives
      await sleep(SOON_MS);
      expect(tests.known(name, first).isDown).toBe(false);
    });

    it('does not probe the only replica of a model endpoint', async () => {
      const { name, replicas } = await tests.serve(1);
      expect(await tests.askTimes(2, name)).toEqual([200]);
      await sleep(SOON_MS);
      expect(replicas[0]!.looked).toEqual([]);
    });

    it('lets no request fail while one flaps, where the chain retries', async () => {
      const { name, replicas } = await tests.serve(2, RETRY);
      const [first] = replicas as [FakeReplica, FakeReplica];
      const run = { stopped: false };
      const flapping = (async () => {
        while (!run.stopped) {
          await first.die();
          await sleep(70);
          await first.listen();
          await sleep(70);
        }
      })();
      const statuses = new Set<number>();
      const end = performance.now() + 2_000;
      while (performance.now() < end)
        for (const status of await Promise.all(Array.from({ length: 4 }, () => statusOf(tests.ask(name)))))
          statuses.add(status);
      run.stopped = true;
      await flapping;
      expect([...statuses]).toEqual([200]);
    });
  });

  describe('circuit breaker', () => {
    it('leaves alone a replica that fails though it looks healthy, and tries it with one request at a time', async () => {
      const { name, replicas } = await tests.serve(2, RETRY);
      const [first, second] = replicas as [FakeReplica, FakeReplica];
      const { breaker, id } = tests.known(name, first);
      first.chat = 500;
      expect(await tests.askTimes(12, name)).toEqual([200]);
      expect(first.asked).toHaveLength(3);
      expect(breaker.state).toBe('open');
      expect(await tests.gauge('catena_replica_breaker_state', `${id}",state="open"`)).toBe(1);
      expect(await tests.gauge('catena_replica_failures_total', id)).toBe(3);

      first.chat = 'hang';
      await sleep(1.3 * OPEN_MS);
      const all = Promise.all(Array.from({ length: 12 }, () => statusOf(tests.ask(name))));
      await eventually(() => second.asked.length >= 12 + 11);
      await sleep(50);
      expect([first.asked.length, breaker.state]).toEqual([4, 'half_open']);
      first.chat = 'ok';
      first.letGo();
      expect(new Set(await all)).toEqual(new Set([200]));
      expect(breaker.state).toBe('closed');
      await tests.askTimes(6, name);
      expect(first.asked.length).toBeGreaterThan(5);
    });

    it('goes on trying when the caller of the trial has left', async () => {
      const { name, replicas } = await tests.serve(2, RETRY);
      const [first] = replicas as [FakeReplica, FakeReplica];
      const { breaker } = tests.known(name, first);
      first.chat = 500;
      await tests.askTimes(10, name);
      first.chat = 'hang';
      await sleep(1.3 * OPEN_MS);
      const leaving = new AbortController();
      const left = fetch(`${tests.stack.gateway.url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ ...say('Hi'), model: name }),
        headers: { 'content-type': 'application/json' },
        signal: leaving.signal,
      }).catch(() => 'left');
      await eventually(() => first.holding === 1);
      leaving.abort();
      expect(await left).toBe('left');
      await eventually(() => breaker.state === 'open');
      first.chat = 'ok';
      await tests.askTimes(4, name);
      expect(breaker.state).toBe('closed');
    });

    it('turns requests away with 503 and Retry-After when every replica fails, those that wait too', async () => {
      const { name, replicas } = await tests.serve(1, {}, 3);
      const [only] = replicas as [FakeReplica];
      only.chat = 'hang';
      const waiting = Array.from({ length: 8 }, () => tests.ask(name));
      await eventually(() => only.holding === 3 && tests.lane(name).queued === 5);
      expect(await tests.gauge('catena_model_endpoint_queue_depth', `"${name}"`)).toBe(5);
      expect(await tests.gauge('catena_model_endpoint_saturation_ratio', `"${name}"`)).toBeCloseTo(8 / 3);
      await only.die();
      const codes: [number, string][] = [];
      for (const response of await Promise.all(waiting))
        codes.push([response.status, ((await response.json()) as any).error.code]);
      // Each that fails lets one in from the queue, the third opens the breaker.
      expect(codes.map(([, code]) => code).sort()).toEqual([
        ...Array<string>(2).fill('model_endpoint_unavailable'),
        ...Array<string>(3).fill('upstream_reset'),
        ...Array<string>(3).fill('upstream_unreachable'),
      ]);
      const refused = await tests.ask(name);
      expect([refused.status, ((await refused.json()) as any).error.code]).toEqual([
        503,
        'model_endpoint_unavailable',
      ]);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      await only.listen();
      only.chat = 'ok';
      await sleep(1.3 * OPEN_MS);
      expect(await tests.askTimes(3, name)).toEqual([200]);
    });

    it('is not opened by what is the fault of the request or of the credential', async () => {
      const { name, replicas } = await tests.serve(1);
      const [only] = replicas as [FakeReplica];
      for (const status of [400, 401, 404, 422, 429]) {
        only.chat = status;
        await tests.askTimes(4, name);
      }
      only.chat = 'ok';
      expect(await tests.askTimes(1, name)).toEqual([200]);
    });
  });
});
