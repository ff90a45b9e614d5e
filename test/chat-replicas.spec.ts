import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { FakeReplica } from './support/fake-replica.js';
import { eventually } from './support/gateway.js';
import { PROBE_MS, ReplicaTests, statusOf } from './support/replicas.js';

describe('several replicas of a model endpoint', () => {
  let tests: ReplicaTests;
  beforeAll(async () => {
    tests = await ReplicaTests.start();
  });
  afterAll(() => tests.stack.close());
  afterEach(() => tests.stopReplicas());

  describe('load', () => {
    const load = (running: number, waiting: number, kv: number) =>
      `vllm:num_requests_running{model_name="small",engine="0"} ${running}\nvllm:num_requests_waiting{model_name="small",engine="0"} ${waiting}\nvllm:kv_cache_usage_perc{model_name="small",engine="0"} ${kv}\n`;

    it('is taken from /metrics, so that one that others keep busy gets less', async () => {
      const { name, replicas } = await tests.serve(2);
      const [busy, idle] = replicas as [FakeReplica, FakeReplica];
      busy.metrics = load(20, 10, 0.5);
      idle.metrics = load(0, 0, 0);
      await tests.askTimes(1, name);
      await eventually(() => replicas.every((replica) => tests.known(name, replica).load !== undefined));
      const before = idle.asked.length;
      expect(await tests.askTimes(6, name)).toEqual([200]);
      expect(idle.asked.length - before).toBe(6);
      expect(await tests.gauge('catena_replica_requests_waiting', tests.known(name, busy).id)).toBe(10);
    });

    it('that is no longer told counts as full', async () => {
      const { name, replicas } = await tests.serve(2);
      const [silent, busy] = replicas as [FakeReplica, FakeReplica];
      silent.metrics = load(0, 0, 0);
      busy.metrics = load(20, 10, 0.9);
      await tests.askTimes(1, name);
      await eventually(() => replicas.every((replica) => tests.known(name, replica).load !== undefined));
      silent.metricsHang = true;
      await eventually(async () => {
        await tests.askTimes(1, name);
        return tests.known(name, silent).isStale;
      });
      const before = silent.asked.length;
      expect(await tests.askTimes(6, name)).toEqual([200]);
      expect(silent.asked.length).toBe(before);
      expect(await tests.gauge('catena_replica_load_stale', tests.known(name, silent).id)).toBe(1);
    });

    it('that is told in too many words is as good as none, and not asked for again soon', async () => {
      const { name, replicas } = await tests.serve(2);
      const [wordy, brief] = replicas as [FakeReplica, FakeReplica];
      wordy.metrics = load(20, 10, 0.5) + '# words\n'.repeat(700_000);
      brief.metrics = load(0, 0, 0);
      const looks = ({ looked }: FakeReplica) => looked.filter((path) => path === '/metrics').length;
      await tests.askTimes(1, name);
      await eventually(() => looks(brief) > 5);
      expect(looks(wordy)).toBe(1);
      expect(tests.known(name, wordy)).toMatchObject({ load: undefined, isStale: false });
    });

    it('is not asked for while nobody asks for the model endpoint', async () => {
      const { name, replicas } = await tests.serve(2);
      for (const replica of replicas) replica.metrics = load(0, 0, 0);
      await sleep(200);
      expect(replicas.flatMap(({ looked }) => looked)).not.toContain('/metrics');
      await tests.askTimes(1, name);
      await eventually(() => replicas.every(({ looked }) => looked.includes('/metrics')));
    });
  });

  describe('affinity', () => {
    const filler = 'Some words that make a prompt long enough to be worth keeping. '.repeat(40);
    const turns = (conversation: number, count: number) => [
      { role: 'system', content: 'You help.' },
      ...Array.from({ length: 2 * count - 1 }, (_, n) => ({
        role: n % 2 === 0 ? 'user' : 'assistant',
        content: `${conversation}/${n}: ${filler}`,
      })),
    ];
    const askTurn = (model: string, conversation: number, count: number) =>
      tests.stack.post({ model, messages: turns(conversation, count) });
    const whoGot = (replicas: readonly FakeReplica[], conversation: number) =>
      replicas.filter(({ asked }) =>
        asked.some(({ messages }) => messages[1].content.startsWith(`${conversation}/`)),
      );

    it('keeps each conversation at one replica, and spreads the conversations', async () => {
      const { name, replicas } = await tests.serve(4);
      for (let turn = 1; turn <= 3; turn++)
        for (let conversation = 0; conversation < 12; conversation++)
          expect(await statusOf(askTurn(name, conversation, turn))).toBe(200);
      for (let conversation = 0; conversation < 12; conversation++)
        expect(whoGot(replicas, conversation)).toHaveLength(1);
      expect(replicas.filter(({ asked }) => asked.length > 0).length).toBeGreaterThan(2);
      expect(await tests.gauge('catena_affinity_requests_total', `"${name}",outcome="kept"`)).toBe(36);
    });

    it('gives it up when waiting there would take longer than reading the prompt anew', async () => {
      const { name, replicas } = await tests.serve(2);
      await statusOf(askTurn(name, 0, 1));
      const [home] = whoGot(replicas, 0);
      home!.chat = 'hang';
      // The same beginning again and again: a hot prefix.
      const hot = Array.from({ length: 6 }, () => askTurn(name, 0, 1));
      await eventually(() => replicas.reduce((sum, { asked }) => sum + asked.length, 0) === 7);
      expect(home!.holding).toBeGreaterThan(0);
      expect(home!.holding).toBeLessThan(5);
      home!.chat = 'ok';
      home!.letGo();
      for (const response of await Promise.all(hot)) expect(response.status).toBe(200);
      expect(
        await tests.gauge('catena_affinity_requests_total', `"${name}",outcome="spilled"`),
      ).toBeGreaterThan(0);
    });

    it('moves only the conversations of a replica that goes', async () => {
      const { name, replicas } = await tests.serve(4);
      for (let conversation = 0; conversation < 12; conversation++)
        await statusOf(askTurn(name, conversation, 1));
      const homes = Array.from({ length: 12 }, (_, conversation) => whoGot(replicas, conversation)[0]!);
      const gone = homes[0]!;
      await tests.setReplicas(
        name,
        replicas.filter((replica) => replica !== gone),
      );
      await eventually(() => tests.lane(name).replicas.length === 3);
      for (let conversation = 0; conversation < 12; conversation++)
        await statusOf(askTurn(name, conversation, 2));
      for (let conversation = 0; conversation < 12; conversation++)
        expect(whoGot(replicas, conversation)).toHaveLength(homes[conversation] === gone ? 2 : 1);
    });
  });

  it('are asked only for models they list', async () => {
    const { name, replicas } = await tests.serve(3);
    const [lacking, having, silent] = replicas as [FakeReplica, FakeReplica, FakeReplica];
    await eventually(() => replicas.every((replica) => tests.known(name, replica).models?.has('small')));
    lacking.models = ['other'];
    having.models = ['other', 'small'];
    silent.models = undefined;
    // As the registry tells it when an adapter has been loaded: then they are asked anew, by the next probe.
    const { id } = tests.known(name, lacking);
    await tests.setReplicas(name, replicas);
    await eventually(() => tests.known(name, lacking).id !== id);
    const probes = () => lacking.looked.filter((path) => path === '/health').length;
    const before = probes();
    await eventually(() => tests.known(name, lacking).models?.has('other') === true);
    expect(probes() - before).toBeLessThanOrEqual(2);
    await eventually(() => tests.known(name, having).models?.size === 2 && !tests.known(name, silent).models);
    expect(await tests.askTimes(9, name)).toEqual([200]);
    expect(lacking.asked).toHaveLength(0);
    expect(having.asked.length).toBeGreaterThan(2);
    expect(silent.asked.length).toBeGreaterThan(2);
  });

  it('change one by one under load without a failed request', async () => {
    const { name, replicas } = await tests.serve(3);
    const serving = [...replicas];
    const statuses = new Map<number, number>();
    const run = { stopped: false };
    const callers = Array.from({ length: 6 }, async () => {
      while (!run.stopped) {
        const status = await statusOf(tests.ask(name));
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    });
    for (let n = 0; n < 3; n++) {
      const fresh = await tests.startReplica();
      const leaving = serving.shift()!;
      serving.push(fresh);
      await tests.setReplicas(name, serving);
      await eventually(() => !tests.known(name, leaving));
      await eventually(() => fresh.asked.length > 5);
    }
    run.stopped = true;
    await Promise.all(callers);
    expect([...statuses.keys()]).toEqual([200]);
    const asked = replicas.map((replica) => replica.asked.length);
    await tests.askTimes(5, name);
    expect(replicas.map((replica) => replica.asked.length)).toEqual(asked);
    const looked = replicas.map((replica) => replica.looked.length);
    await sleep(5 * PROBE_MS);
    expect(replicas.map((replica) => replica.looked.length)).toEqual(looked);
  });
});
