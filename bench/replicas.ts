import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { play, type Script } from './support/conversations.js';
import { median } from './support/load.js';
import { startServer } from './support/processes.js';
import type { Row } from './support/report.js';
import { route } from './support/route.js';
import type { Stack } from './support/stack.js';

const NAME = 'bench-pool';
const MODEL = 'sim-small';
/** Prompt tokens per second, of one replica that does nothing else: the last is half as fast as the others. */
const SPEEDS = [20_000, 20_000, 20_000, 10_000];
/** 320 requests in some 25 s: six tenths of what the four can read when nothing is cached. */
const SCRIPT: Omit<Script, 'seed'> = { conversations: 80, turns: 4, everyMs: 280, thinkMs: 1500 };

type Policy = 'ours' | 'round-robin' | 'least-outstanding';
const POLICIES: readonly Policy[] = ['ours', 'round-robin', 'least-outstanding'];

/**
 * Time to first token behind four simulated replicas, one of them slow, each with a prefix cache, under conversations
 * whose prompts differ widely in length: by the gateway's choice, and by the two usual ones. Each policy gets fresh
 * replicas and the same conversations.
 */
export async function replicas(stack: Stack, rounds: number): Promise<Row[]> {
  const found: Record<Policy, number>[] = [];
  for (let round = 0; round < rounds; round++) {
    const p95 = {} as Record<Policy, number>;
    for (let turn = 0; turn < POLICIES.length; turn++) {
      const policy = POLICIES[(round + turn) % POLICIES.length]!;
      p95[policy] = quantile(await measure(stack, policy, `round ${round}`), 0.95);
    }
    found.push(p95);
  }
  const ms = (policy: Policy) => `${median(found.map((p95) => p95[policy])).toFixed(0)} ms`;
  return POLICIES.slice(1).map((policy) => {
    const ratio = median(found.map((p95) => p95.ours / p95[policy]));
    return {
      what: 'time to first token, p95, 4 replicas, one half as fast, prompts of 50 to 18 000 words',
      reference: `${policy} over the same simulated replicas`,
      measured: `${ms('ours')} against ${ms(policy)}`,
      ratio,
      reach: '≤ 0.8×',
      reached: ratio <= 0.8,
    };
  });
}

async function measure(stack: Stack, policy: Policy, seed: string): Promise<number[]> {
  const simulators: Simulator[] = [];
  try {
    for (const [seed, prefillTokensPerSecond] of SPEEDS.entries())
      simulators.push(
        await createSimulator({
          port: 0,
          models: [MODEL],
          seed,
          ttftMs: 15,
          prefillTokensPerSecond,
          serialPrefill: true,
          prefixCacheTokens: 400_000,
          tokensPerSecond: prefillTokensPerSecond / 200,
          answerTokens: 30,
          maxNumSeqs: 32,
        }),
      );
    const urls = simulators.map(({ url }) => url);
    if (policy !== 'ours') {
      const balancer = await startServer('bench/reference/balancer.js', {
        UPSTREAMS: urls.join(','),
        POLICY: policy,
      });
      try {
        return await play(balancer.url, MODEL, { ...SCRIPT, seed });
      } finally {
        await balancer.stop();
      }
    }
    await route(stack, { name: NAME, model: MODEL, urls, maxConcurrencyPerReplica: 64 });
    return await play(stack.gateway.url, NAME, { ...SCRIPT, seed });
  } finally {
    for (const simulator of simulators) await simulator.close();
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
