import { compare, load, median, pooled, type Comparison, type Load, type Request } from './support/load.js';
import { startServer, type Server } from './support/processes.js';
import type { Row } from './support/report.js';
import { ENDPOINT, resolvable, startStack, type Stack } from './support/stack.js';

const SECONDS = 3;
/**
 * V8 goes on optimising for about 14 s under load, on threads of its own, which count as CPU of the process: the more
 * code, the more of it, so that a gateway pays more than a bare proxy. A server that runs for days is past that.
 */
const WARM_SECONDS = 12;
const RESOLVE: Request = { path: `/v1/resolve/${ENDPOINT}?unit=customer-4711` };
const us = (value: number) => `${value.toFixed(0)} µs`;

/** `GET /v1/resolve` against bare node:http answering a constant of the same size. */
export async function resolve(stack: Stack, rounds: number): Promise<Row[]> {
  const size = (await (await fetch(stack.gateway.url + RESOLVE.path)).arrayBuffer()).byteLength;
  const bare = await startServer('bench/reference/constant-server.js', { BODY_BYTES: String(size) });
  try {
    const rate = (server: Server) => async () => (await load(server, RESOLVE, 32, SECONDS)).requestsPerSecond;
    await load(stack.gateway, RESOLVE, 32, 1);
    const { subject, reference, ratio } = await compare(rounds, rate(stack.gateway), rate(bare));
    return [
      {
        what: '`GET /v1/resolve`, c=32',
        reference: `bare node:http, a constant of ${size} bytes`,
        measured: `${subject.toFixed(0)} against ${reference.toFixed(0)} req/s`,
        ratio,
        reach: '≥ 0.7× its req/s',
        reached: ratio >= 0.7,
      },
    ];
  } finally {
    await bare.stop();
  }
}

/** The chat completion of the benchmarks. */
export function chatRequest(stream: boolean): Request {
  const question = 'My card was charged twice for the same order, what can I do? '.repeat(4);
  const body = {
    model: ENDPOINT,
    messages: [{ role: 'user', content: question }],
    user: 'customer-4711',
    metadata: { variables: { shop: 'Example & Sons' } },
    stream,
  };
  return { path: '/v1/chat/completions', method: 'POST', body: JSON.stringify(body) };
}

/**
 * Chat completions, streamed and not, in CPU of the process in the middle, against the bare proxy.
 *
 * Each pair of rounds is of fresh processes: what V8 makes of the same code differs from process to process (the bare proxy costs
 * 35 to 47 µs, the gateway 49 to 58), and more rounds of one process would only repeat its luck. Both servers have answered both
 * kinds before either is measured, as any server in use has. (Kalibera & Jones 2013, "Rigorous benchmarking in reasonable time".)
 */
export async function chat(rounds: number): Promise<Row[]> {
  const whole: Comparison[] = [];
  const streamed: Comparison[] = [];
  for (let round = 0; round < rounds; round += ROUNDS_PER_PROCESS) {
    const found = await chatOfFreshProcesses();
    whole.push(found.whole);
    streamed.push(found.streamed);
  }
  const [all, frames] = [pooled(whole), pooled(streamed)];
  return [
    {
      what: 'chat completion, not streamed, rows logged, CPU per request',
      reference: 'bare node:http + undici `dispatch` proxy',
      measured: `${us(all.subject)} against ${us(all.reference)}`,
      ratio: all.ratio,
      reach: '≤ 1.5×',
      reached: all.ratio <= 1.5,
    },
    {
      what: 'chat completion, streamed, CPU per SSE frame',
      reference: 'the same bare proxy',
      measured: `${us(frames.subject / FRAMES)} against ${us(frames.reference / FRAMES)}`,
      ratio: frames.ratio,
      reach: '≤ 1.25×',
      reached: frames.ratio <= 1.25,
    },
  ];
}

const ROUNDS_PER_PROCESS = 2;

async function chatOfFreshProcesses(): Promise<{ whole: Comparison; streamed: Comparison }> {
  const stack = await startStack();
  const bare = await startServer('bench/reference/bare-proxy.js', { UPSTREAM: stack.upstream.url });
  const cpu = (server: Server, stream: boolean) => async () =>
    (await load(server, chatRequest(stream), stream ? 16 : 32, SECONDS)).cpuUsPerRequest;
  try {
    for (const server of [stack.gateway, bare])
      for (const stream of [true, false])
        await load(server, chatRequest(stream), stream ? 16 : 32, WARM_SECONDS);
    const of = (stream: boolean) =>
      compare(ROUNDS_PER_PROCESS, cpu(stack.gateway, stream), cpu(bare, stream));
    return { whole: await of(false), streamed: await of(true) };
  } finally {
    await bare.stop();
    await stack.stop();
  }
}

/** Frames per stream of bench/reference/upstream.ts: 100 of content, then finish, usage and [DONE] in one write. */
const FRAMES = 101;

/** Keep-alive with few connections: a delayed acknowledgement would show as steps of 40 ms. */
export async function keepAlive(stack: Stack): Promise<Row[]> {
  const runs: { name: string; result: Load }[] = [];
  for (const connections of [1, 10]) {
    runs.push({
      name: `resolve, c=${connections}`,
      result: await load(stack.gateway, RESOLVE, connections, SECONDS),
    });
    const body = JSON.stringify({
      model: ENDPOINT,
      messages: [{ role: 'user', content: 'Hello' }],
      metadata: { variables: { shop: 'x' } },
    });
    const hello: Request = { path: '/v1/chat/completions', method: 'POST', body };
    runs.push({
      name: `chat, c=${connections}`,
      result: await load(stack.gateway, hello, connections, SECONDS),
    });
  }
  return runs.map(({ name, result }) => ({
    what: `keep-alive: ${name}, p99`,
    reference: 'the 40 ms of a delayed acknowledgement',
    measured: `p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms, max ${result.maxMs} ms`,
    ratio: result.p99Ms / 40,
    reach: 'no 40 ms step: p99 < 40 ms',
    reached: result.p99Ms < 40,
  }));
}

/** Resolve with 10, 1 000 and 100 000 endpoints. */
export async function scale(stack: Stack, rounds: number): Promise<Row[]> {
  const rates: number[][] = [];
  const sizes = [10, 1000, 100_000];
  let have = 1;
  for (const size of sizes) {
    await addEndpoints(stack, have, size);
    have = size;
    await resolvable(stack.gateway, `scale-${size - 1}`);
    // Spread over the endpoints, so that not one cached entry is measured.
    const requests = Array.from({ length: 8 }, (_, index) => ({
      path: `/v1/resolve/scale-${Math.max(1, Math.floor(((index + 1) * (size - 1)) / 8))}?unit=u`,
    }));
    // What follows a load of this size, once: saving the snapshot to the disk, and collecting the one before.
    await new Promise((wait) => setTimeout(wait, 5_000));
    await load(stack.gateway, requests[0]!, 32, 3);
    const measured: number[] = [];
    for (let round = 0; round < rounds; round++)
      measured.push((await load(stack.gateway, requests[round % requests.length]!, 32, 2)).cpuUsPerRequest);
    rates.push(measured);
  }
  const medians = rates.map(median);
  const ratio = Math.max(...medians) / Math.min(...medians);
  return [
    {
      what: 'resolve with 10, 1 000, 100 000 endpoints, CPU per request',
      reference: 'itself: dearest over cheapest',
      measured: medians.map(us).join(', '),
      ratio,
      reach: 'flat within 20 %',
      reached: ratio <= 1.2,
    },
  ];
}

/**
 * Copies the endpoint of the benchmarks as `scale-<from>` … `scale-<to − 1>`. A new epoch makes the gateway load everything anew:
 * 100 000 changes inside one transaction are not what the feed is for.
 */
async function addEndpoints(stack: Stack, from: number, to: number): Promise<void> {
  await stack.sql(`
    BEGIN;
    CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
      SELECT n, gen_random_uuid() AS endpoint_id, gen_random_uuid() AS split_id FROM generate_series(${from}, ${to - 1}) n;
    INSERT INTO endpoint (id, workspace_id, name, split_revision, created_at, created_by, updated_at)
      SELECT f.endpoint_id, e.workspace_id, 'scale-' || f.n, 1, now(), 'bench', now() FROM fresh f, endpoint e WHERE e.name = '${ENDPOINT}';
    INSERT INTO split (id, workspace_id, endpoint_id, revision, salt, overrides, moved_buckets, created_at, created_by)
      SELECT f.split_id, s.workspace_id, f.endpoint_id, 1, 'salt-' || f.n, s.overrides, 10000, now(), 'bench'
        FROM fresh f, split s JOIN endpoint e ON e.id = s.endpoint_id AND e.name = '${ENDPOINT}';
    INSERT INTO arm (workspace_id, split_id, position, name, chain_version_id, weight_bps, ranges)
      SELECT a.workspace_id, f.split_id, a.position, a.name, a.chain_version_id, a.weight_bps, a.ranges
        FROM fresh f, arm a JOIN split s ON s.id = a.split_id JOIN endpoint e ON e.id = s.endpoint_id AND e.name = '${ENDPOINT}';
    UPDATE change_head SET epoch = gen_random_uuid();
    COMMIT;`);
}
