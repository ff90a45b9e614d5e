import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { monotonicUs } from '../bench/support/clock.js';
import { latencies } from '../bench/support/latency.js';
import { inTurns, medianRatio } from '../bench/support/load.js';
import { watchStreams, type StreamLoad } from '../bench/support/streams.js';
import { chosen, type Table } from '../bench/support/suite.js';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** @returns the URL of a server whose streams `send` writes. */
async function streaming(send: (response: ServerResponse) => Promise<void>): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    void send(response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const frame = (sentUs = monotonicUs()) => `data: {"choices":[{"delta":{"content":"${sentUs} "}}]}\n\n`;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const LOAD: StreamLoad = {
  request: { path: '/v1/chat/completions', method: 'POST', body: '{}' },
  concurrent: 2,
  frames: 4,
  everyMs: 10,
  seconds: 1,
};

/** Four frames, one every 10 ms; `held` is how long the third lies somewhere after it was sent. */
async function paced(response: ServerResponse, heldMs = 0): Promise<void> {
  for (let n = 0; n < 4; n++) {
    const sentUs = monotonicUs();
    if (n === 2) await sleep(heldMs);
    response.write(frame(sentUs));
    await sleep(10);
  }
  response.end('data: [DONE]\n\n');
}

describe('watching streams', () => {
  it('counts frames and complete streams, and no stall where there is none', async () => {
    const found = await watchStreams(await streaming(paced), LOAD);
    expect(found.complete).toBeGreaterThan(10);
    expect(found.frames).toBeGreaterThanOrEqual(4 * found.complete);
    expect(found.stalls).toBe(0);
    expect(found.longestAddedMs).toBeLessThan(200);
  });

  it('finds a frame that was held up, by how much, and what of it was not the upstream', async () => {
    const found = await watchStreams(await streaming((response) => paced(response, 600)), {
      ...LOAD,
      seconds: 2,
    });
    expect(found.stalls).toBeGreaterThan(0);
    expect(found.longestGapMs).toBeGreaterThan(600);
    expect(found.longestAddedMs).toBeGreaterThan(580);
    expect(found.delayP99Ms).toBeGreaterThan(580);
  });

  it('does not blame what lies between for a pause of the upstream', async () => {
    const pausing = async (response: ServerResponse): Promise<void> => {
      for (let n = 0; n < 4; n++) {
        if (n === 2) await sleep(600);
        response.write(frame());
      }
      response.end('data: [DONE]\n\n');
    };
    const found = await watchStreams(await streaming(pausing), { ...LOAD, seconds: 2 });
    expect(found.longestGapMs).toBeGreaterThan(580);
    expect(found.longestAddedMs).toBeLessThan(300);
  });

  it('puts frames together that arrive in pieces', async () => {
    const torn = async (response: ServerResponse): Promise<void> => {
      for (let n = 0; n < 4; n++) {
        const whole = frame();
        response.write(whole.slice(0, 45));
        await sleep(5);
        response.write(whole.slice(45));
        await sleep(5);
      }
      response.end('data: [DONE]\n\n');
    };
    const found = await watchStreams(await streaming(torn), LOAD);
    expect(found.complete).toBeGreaterThan(5);
    expect(found.longestGapMs).toBeLessThan(500);
  });

  it('fails where a stream breaks off or lacks a frame', async () => {
    const short = async (response: ServerResponse): Promise<void> => {
      response.end(`${frame()}data: [DONE]\n\n`);
    };
    await expect(watchStreams(await streaming(short), LOAD)).rejects.toThrow('after 1 of 4 frames');
    const cut = async (response: ServerResponse): Promise<void> => {
      response.end(frame().repeat(4));
    };
    await expect(watchStreams(await streaming(cut), LOAD)).rejects.toThrow('without [DONE]');
  });
});

describe('latencies', () => {
  it('tell the first content and the end apart', async () => {
    const url = await streaming(paced);
    const first = await latencies(url, LOAD.request, 'first', 0.5);
    const end = await latencies(url, LOAD.request, 'end', 0.5);
    expect(first.p50Ms).toBeLessThan(30);
    expect(end.p50Ms).toBeGreaterThan(30);
  });
});

describe('the rounds', () => {
  it('take things in turns, forth and back', async () => {
    const order: string[] = [];
    const measure = (name: string, value: number) => async () => {
      order.push(name);
      return value;
    };
    const [a, b] = await inTurns(3, measure('a', 2), measure('b', 4));
    expect(order.join('')).toBe('abbaab');
    expect(medianRatio(a!, b!)).toBe(0.5);
  });
});

describe('--only and --write', () => {
  const table = (mark: string, ...names: string[]): Table<unknown> => ({
    mark,
    rounds: 1,
    benches: names.map((name) => ({ name, run: async () => [] })),
  });
  const tables = [table('one', 'a', 'b'), table('two', 'c')];
  const named = (found: readonly Table<unknown>[]) =>
    found.flatMap(({ benches }) => benches.map(({ name }) => name));

  it('take everything, or what is named, in the order of the tables', () => {
    expect(named(chosen(tables, [], true))).toEqual(['a', 'b', 'c']);
    expect(named(chosen(tables, ['c', 'b'], false))).toEqual(['b', 'c']);
  });

  it('refuse a name that is none, and to write a table that lacks rows', () => {
    expect(() => chosen(tables, ['d'], false)).toThrow('No benchmark d: there are a, b, c.');
    expect(() => chosen(tables, ['b'], true)).toThrow('name a, b together');
    expect(named(chosen(tables, ['c'], true))).toEqual(['c']);
  });
});
