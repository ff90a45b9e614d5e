import { inTurns, load, median, medianRatio, type Load, type Request } from './support/load.js';
import { latencies } from './support/latency.js';
import { PORTKEY, startPortkey } from './support/portkey.js';
import { startServer, type Server } from './support/processes.js';
import type { Row } from './support/report.js';
import { route } from './support/route.js';
import { ENDPOINT, type Stack } from './support/stack.js';

const SECONDS = 3;
const WARM_SECONDS = 10;
const FIRST = 'bench-first-chunk';
const SYSTEM = { role: 'system', content: 'You help customers of Example & Sons.' };
const USER = {
  role: 'user',
  content: 'My card was charged twice for the same order, what can I do? '.repeat(4),
};
const ms = (value: number) => `${value.toFixed(2)} ms`;

/** What of the three is asked, and how. */
interface Target {
  readonly server: Server;
  readonly request: Request;
}

/** Catena with its rows logged against Portkey's gateway, which logs nothing, before the same upstream. */
export async function portkey(stack: Stack, rounds: number): Promise<Row[]> {
  const peer = await startPortkey();
  const proxy = await startServer('bench/reference/bare-proxy.js', { UPSTREAM: stack.upstream.url });
  try {
    return [...(await throughput(stack, peer, proxy, rounds)), await firstChunk(stack, peer, rounds)];
  } finally {
    await peer.stop();
    await proxy.stop();
  }
}

async function throughput(stack: Stack, peer: Server, proxy: Server, rounds: number): Promise<Row[]> {
  const ours: Target = {
    server: stack.gateway,
    request: post({
      model: ENDPOINT,
      messages: [USER],
      user: 'customer-4711',
      metadata: { variables: { shop: 'Example & Sons' } },
    }),
  };
  const plain = post({ model: 'bench', messages: [SYSTEM, USER], temperature: 0 });
  const direct: Target = { server: stack.upstream, request: plain };
  const theirs: Target = { server: peer, request: through(stack.upstream, plain) };
  const bare: Target = { server: proxy, request: plain };
  await assertSameAnswer([direct, ours, theirs, bare]);

  for (const { server, request } of [ours, theirs, bare]) await load(server, request, 32, WARM_SECONDS);
  const rows: Row[] = [];
  for (const connections of [1, 10, 32]) {
    const measure =
      ({ server, request }: Target) =>
      () =>
        load(server, request, connections, SECONDS);
    const [ourLoads, theirLoads, bareLoads] = (await inTurns(
      rounds,
      measure(ours),
      measure(theirs),
      measure(bare),
    )) as [Load[], Load[], Load[]];
    const rate = (loads: readonly Load[]) => loads.map(({ requestsPerSecond }) => requestsPerSecond);
    const cpu = (loads: readonly Load[]) => median(loads.map(({ cpuUsPerRequest }) => cpuUsPerRequest));
    const ratio = medianRatio(rate(ourLoads), rate(theirLoads));
    rows.push({
      what: `chat completion, not streamed, rows logged, c=${connections}`,
      reference: `@portkey-ai/gateway ${PORTKEY}, nothing logged`,
      measured:
        `${median(rate(ourLoads)).toFixed(0)} against ${median(rate(theirLoads)).toFixed(0)} req/s, ` +
        `CPU ${cpu(ourLoads).toFixed(0)} against ${cpu(theirLoads).toFixed(0)} µs per request; ` +
        `a bare proxy: ${median(rate(bareLoads)).toFixed(0)} req/s, ${medianRatio(rate(bareLoads), rate(theirLoads)).toFixed(1)}×`,
      ratio,
      reach: '≥ 8× its req/s',
      reached: ratio >= 8,
    });
  }
  const added = await addedMs([direct, ours, theirs], 'end', 'p99Ms', rounds);
  rows.push({
    what: 'the same, c=1: p99 added',
    reference: 'the same client directly at the upstream',
    ...added,
    reach: '≤ 1 ms added',
  });
  return rows;
}

/** Streamed, one at a time: the upstream sends the first content with the headers. */
async function firstChunk(stack: Stack, peer: Server, rounds: number): Promise<Row> {
  const upstream = await startServer('bench/reference/paced-upstream.js', { FRAMES: '5', EVERY_MS: '1' });
  try {
    await route(stack, { name: FIRST, model: 'bench', urls: [upstream.url], maxConcurrencyPerReplica: 64 });
    const plain = post({ model: 'bench', messages: [SYSTEM, USER], stream: true });
    const targets: Target[] = [
      { server: upstream, request: plain },
      { server: stack.gateway, request: post({ model: FIRST, messages: [SYSTEM, USER], stream: true }) },
      { server: peer, request: through(upstream, plain) },
    ];
    for (const { server, request } of targets) await latencies(server.url, request, 'first', SECONDS);
    return {
      what: 'chat completion, streamed, c=1: p50 added to the first content',
      reference: 'the same client directly at the upstream',
      ...(await addedMs(targets, 'first', 'p50Ms', rounds)),
      reach: '≤ 1 ms added',
    };
  } finally {
    await upstream.stop();
  }
}

async function addedMs(
  targets: readonly Target[],
  until: 'first' | 'end',
  quantile: 'p50Ms' | 'p99Ms',
  rounds: number,
): Promise<Pick<Row, 'measured' | 'ratio' | 'reached'>> {
  const [direct, ours, theirs] = (await inTurns(
    rounds,
    ...targets.map(({ server, request }) => async () => {
      return (await latencies(server.url, request, until, SECONDS))[quantile];
    }),
  )) as [number[], number[], number[]];
  const over = (through: readonly number[]) => median(through.map((value, round) => value - direct[round]!));
  return {
    measured:
      `${ms(over(ours))} added: ${ms(median(ours))} against ${ms(median(direct))}; ` +
      `Portkey adds ${ms(over(theirs))}`,
    ratio: medianRatio(ours, direct),
    reached: over(ours) <= 1,
  };
}

function post(body: object): Request {
  return { path: '/v1/chat/completions', method: 'POST', body: JSON.stringify(body) };
}

/** How Portkey is told, request by request, where an OpenAI-compatible server is. */
function through(upstream: Server, request: Request): Request {
  return {
    ...request,
    headers: {
      authorization: 'Bearer none',
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${upstream.url}/v1`,
    },
  };
}

/** @throws Error where one of them answers something else: then they do not do the same work. */
async function assertSameAnswer(targets: readonly Target[]): Promise<void> {
  const answers: string[] = [];
  for (const { server, request } of targets) {
    const response = await fetch(server.url + request.path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...request.headers },
      body: request.body!,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${server.url} answered ${response.status}: ${text.slice(0, 500)}`);
    answers.push(JSON.stringify((JSON.parse(text) as { choices: unknown }).choices));
  }
  if (new Set(answers).size > 1) throw new Error(`the answers differ: ${answers.join('\n')}`);
}
