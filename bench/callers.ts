import { chatRequest } from './http.js';
import { inTurns, load, median, medianRatio, type Load, type Request } from './support/load.js';
import type { Server } from './support/processes.js';
import type { Row } from './support/report.js';
import { startStack, type Stack } from './support/stack.js';

const SECONDS = 3;
/** See http.ts. */
const WARM_SECONDS = 20;
const KEY = 'bench-key';
/** More than any run uses, so that every request is counted and none refused. */
const LIMITS = [
  { name: 'bench-requests', metric: 'requests', window: 'minute', amount: 1e9 },
  { name: 'bench-tokens', metric: 'tokens', window: 'minute', amount: 1e12 },
  { name: 'bench-budget', metric: 'costMicroUsd', window: 'month', amount: 1e14 },
];

/**
 * A chat completion with an API key under a limit of requests, one of tokens and a budget, against the same without any:
 * two gateways, each with a stack of its own, for the first key closes a gateway to everybody without one.
 */
export async function callers(stack: Stack, rounds: number): Promise<Row[]> {
  const guarded = await startStack();
  try {
    const { secret } = await guarded.call<{ secret: string }>('POST', '/api-keys', {
      name: KEY,
      actions: ['invoke'],
    });
    for (const limit of LIMITS)
      await guarded.call('POST', '/limits', { ...limit, target: { kind: 'apiKey', name: KEY } });
    await inForce(guarded.gateway);
    const plain = chatRequest(false);
    const keyed: Request = { ...plain, headers: { authorization: `Bearer ${secret}` } };
    await load(guarded.gateway, keyed, 32, WARM_SECONDS);
    await load(stack.gateway, plain, 32, WARM_SECONDS);
    const [ours, reference] = (await inTurns(
      rounds,
      () => load(guarded.gateway, keyed, 32, SECONDS),
      () => load(stack.gateway, plain, 32, SECONDS),
    )) as [Load[], Load[]];
    if (((await usedRatios(guarded.gateway)).get('bench-budget') ?? 0) === 0)
      throw new Error('the budget counted nothing');
    const cpu = (loads: readonly Load[]) => loads.map(({ cpuUsPerRequest }) => cpuUsPerRequest);
    const rate = (loads: readonly Load[]) => loads.map(({ requestsPerSecond }) => requestsPerSecond);
    const what = 'chat completion, not streamed, with an API key, two limits and a budget';
    const without = 'the same without';
    const [cpuRatio, rateRatio] = [
      medianRatio(cpu(ours), cpu(reference)),
      medianRatio(rate(ours), rate(reference)),
    ];
    return [
      {
        what: `${what}, CPU per request`,
        reference: without,
        measured: `${median(cpu(ours)).toFixed(1)} µs against ${median(cpu(reference)).toFixed(1)} µs`,
        ratio: cpuRatio,
        reach: '≤ 1.05×',
        reached: cpuRatio <= 1.05,
      },
      {
        what: `${what}, c=32`,
        reference: without,
        measured: `${median(rate(ours)).toFixed(0)} against ${median(rate(reference)).toFixed(0)} req/s`,
        ratio: rateRatio,
        reach: '≥ 0.95× its req/s',
        reached: rateRatio >= 0.95,
      },
    ];
  } finally {
    await guarded.stop();
  }
}

/** Waits until the gateway asks for a key and knows the limits. */
async function inForce(gateway: Server): Promise<void> {
  for (let waited = 0; waited < 10_000; waited += 100) {
    const answer = await fetch(`${gateway.url}/v1/models`);
    await answer.arrayBuffer();
    if (answer.status === 401 && (await usedRatios(gateway)).size === LIMITS.length) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('The gateway did not learn of the key and the limits within 10 s.');
}

/** Share of each limit that is used, by its name. */
async function usedRatios(gateway: Server): Promise<Map<string, number>> {
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  return new Map(
    LIMITS.flatMap(({ name }) => {
      const found = new RegExp(`^catena_limit_used_ratio\\{limit="[^"]*${name}"\\} (\\S+)`, 'm').exec(
        metrics,
      );
      return found ? [[name, Number(found[1])]] : [];
    }),
  );
}
