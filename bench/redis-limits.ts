import { findServers } from '../test/redis/find-server.js';
import { RedisServer } from '../test/redis/server.js';
import { chatRequest } from './http.js';
import { latencies } from './support/latency.js';
import { inTurns, load, median, medianRatio, type Request } from './support/load.js';
import type { Server } from './support/processes.js';
import type { Row } from './support/report.js';
import { startStack } from './support/stack.js';

const SECONDS = 3;
/** See http.ts. */
const WARM_SECONDS = 15;
const KEY = 'bench-key';
/** More than any run uses, so that every request is counted and none refused. */
const LIMITS = [
  { name: 'bench-requests', metric: 'requests', window: 'minute', amount: 1e9 },
  { name: 'bench-tokens', metric: 'tokens', window: 'minute', amount: 1e12 },
  { name: 'bench-budget', metric: 'costMicroUsd', window: 'month', amount: 1e14 },
];

/** A chat completion under two limits and a budget, which Redis on the same machine decides on, against the same in process. */
export async function redisLimits(rounds: number): Promise<Row[]> {
  const redis = await RedisServer.start([], findServers()[0]);
  const stack = await startStack();
  try {
    const shared = await stack.gatewayWith({ CATENA_REDIS_URL: redis.url });
    const { secret } = await stack.call<{ secret: string }>('POST', '/api-keys', {
      name: KEY,
      actions: ['invoke'],
    });
    for (const limit of LIMITS)
      await stack.call('POST', '/limits', { ...limit, target: { kind: 'apiKey', name: KEY } });
    for (const gateway of [shared, stack.gateway]) await inForce(gateway);
    const request: Request = { ...chatRequest(false), headers: { authorization: `Bearer ${secret}` } };
    for (const gateway of [shared, stack.gateway]) await load(gateway, request, 32, WARM_SECONDS);
    const cpu = (gateway: Server) => async () => (await load(gateway, request, 32, SECONDS)).cpuUsPerRequest;
    const alone = (gateway: Server) => async () =>
      (await latencies(gateway.url, request, 'end', SECONDS)).p50Ms;
    const [sharedCpu, localCpu, sharedMs, localMs] = (await inTurns(
      rounds,
      cpu(shared),
      cpu(stack.gateway),
      alone(shared),
      alone(stack.gateway),
    )) as [number[], number[], number[], number[]];
    if ((await metric(shared, 'catena_limit_redis_seconds_count')) === 0)
      throw new Error('Redis was not asked');
    if ((await metric(shared, 'catena_limit_redis_up')) !== 1) throw new Error('Redis went away');
    const what = 'chat completion under two limits and a budget, shared through Redis on the same machine';
    const reference = 'the same, counted in process';
    const cpuRatio = medianRatio(sharedCpu, localCpu);
    const addedMs = median(sharedMs.map((ms, round) => ms - localMs[round]!));
    return [
      {
        what: `${what}, CPU per request`,
        reference,
        measured: `${median(sharedCpu).toFixed(0)} µs against ${median(localCpu).toFixed(0)} µs`,
        ratio: cpuRatio,
        reach: '≤ 2×',
        reached: cpuRatio <= 2,
      },
      {
        what: `${what}, p50, c=1`,
        reference,
        measured: `${median(sharedMs).toFixed(2)} ms against ${median(localMs).toFixed(2)} ms`,
        ratio: medianRatio(sharedMs, localMs),
        reach: '≤ 0.5 ms more',
        reached: addedMs <= 0.5,
      },
    ];
  } finally {
    await stack.stop();
    await redis.stop();
  }
}

/** Waits until the gateway asks for a key and knows the limits. */
async function inForce(gateway: Server): Promise<void> {
  for (let waited = 0; waited < 30_000; waited += 100) {
    const answer = await fetch(`${gateway.url}/v1/models`);
    const metrics = await text(gateway);
    if (answer.status === 401 && LIMITS.every(({ name }) => metrics.includes(`${name}"}`))) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('A gateway did not learn of the key and the limits within 30 s.');
}

async function text(gateway: Server): Promise<string> {
  return (await fetch(`${gateway.url}/metrics`)).text();
}

async function metric(gateway: Server, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(await text(gateway))?.[1]);
}
