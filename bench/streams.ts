import { Client } from 'pg';
import { median } from './support/load.js';
import { cpuMs, residentBytes, startServer } from './support/processes.js';
import type { Row } from './support/report.js';
import { route } from './support/route.js';
import { STALL_MS, watchStreams, type StreamLoad } from './support/streams.js';
import type { Stack } from './support/stack.js';

const NAME = 'bench-streams';
const CONCURRENT = 1000;
const EVERY_MS = 50;
/** An answer of 200 tokens: 10 s, so that after the first 10 s as many end as begin, and rows are shipped. */
const FRAMES = 200;
/** V8 lets its heap grow for some 40 s before it finds that most of what is old is garbage. */
const WARM_SECONDS = 45;
const MIB = 1024 * 1024;

/** A thousand streams at 20 tokens/s through the gateway, and the same directly at the upstream. */
export async function streams(stack: Stack, seconds: number): Promise<Row[]> {
  const upstream = await startServer('bench/reference/paced-upstream.js', {
    FRAMES: String(FRAMES),
    EVERY_MS: String(EVERY_MS),
  });
  try {
    await route(stack, {
      name: NAME,
      model: 'bench',
      urls: [upstream.url],
      maxConcurrencyPerReplica: 2 * CONCURRENT,
    });
    const load: StreamLoad = {
      request: {
        path: '/v1/chat/completions',
        method: 'POST',
        body: JSON.stringify({
          model: NAME,
          stream: true,
          messages: [{ role: 'user', content: 'My card was charged twice, what can I do? '.repeat(6) }],
        }),
      },
      concurrent: CONCURRENT,
      frames: FRAMES,
      everyMs: EVERY_MS,
      seconds,
    };
    const direct = await watchStreams(upstream.url, load);

    const memory: number[] = [];
    const watch = setInterval(
      () => void residentBytes(stack.gateway.pid).then((now) => memory.push(now)),
      500,
    );
    const cpuBefore = await cpuMs(stack.gateway.pid);
    const found = await watchStreams(stack.gateway.url, load).finally(() => clearInterval(watch));
    const cpu = (await cpuMs(stack.gateway.pid)) - cpuBefore;
    const missing = found.complete - (await completeRows(stack, found.complete));

    // The last sample may be of the time when all streams were cut.
    const flat = memory.slice(2 * Math.min(WARM_SECONDS, seconds / 2), -2);
    const fifth = Math.ceil(flat.length / 5);
    const [first, last] = [median(flat.slice(0, fifth)) / MIB, median(flat.slice(-fifth)) / MIB];
    const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
    return [
      {
        what: `${CONCURRENT} concurrent streams, 20 tokens/s each, ${seconds} s: longest time without a frame`,
        reference: 'the same streams directly at the upstream',
        measured:
          `${ms(found.longestGapMs)} against ${ms(direct.longestGapMs)}, sent every ${EVERY_MS} ms; ` +
          `upstream to client p50 ${ms(found.delayP50Ms)}, p99 ${ms(found.delayP99Ms)} against ${ms(direct.delayP50Ms)}, ${ms(direct.delayP99Ms)}; ` +
          `${found.stalls} of ${(found.frames / 1e6).toFixed(1)} M over ${STALL_MS} ms; ${missing} rows missing; ` +
          `gateway ${(cpu / seconds / 10).toFixed(0)} % of a core`,
        ratio: found.longestGapMs / direct.longestGapMs,
        reach: `none > ${STALL_MS} ms`,
        reached: found.stalls === 0 && missing === 0,
      },
      {
        what: `the same: memory of the gateway at the end`,
        reference: `itself after a warm-up of ${Math.min(WARM_SECONDS, seconds / 2)} s`,
        measured: `${last.toFixed(0)} against ${first.toFixed(0)} MiB, at most ${(Math.max(...flat) / MIB).toFixed(0)}`,
        ratio: last / first,
        reach: 'flat within 10 %',
        reached: last / first <= 1.1,
      },
    ];
  } finally {
    await upstream.stop();
  }
}

/** @returns how many rows say that a stream was complete; waits until as many do as `expected`, for 20 s at most. */
async function completeRows(stack: Stack, expected: number): Promise<number> {
  const client = new Client({ connectionString: stack.databaseUrl });
  await client.connect();
  try {
    let count = 0;
    for (let waited = 0; waited < 20_000 && count < expected; waited += 250) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      const { rows } = await client.query<{ n: string }>(
        `SELECT count(*) AS n FROM inference WHERE endpoint = $1 AND status = 'ok'`,
        [NAME],
      );
      count = Number(rows[0]!.n);
    }
    return count;
  } finally {
    await client.end();
  }
}
