import { afterEach, describe, expect, it } from 'vitest';
import type { SimulatorOptions } from '../apps/model-simulator/src/options.js';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';

/** 1 000 tokens take half a second: long against what a busy machine adds. */
const PREFILL = {
  ttftMs: 0,
  prefillTokensPerSecond: 2_000,
  tokensPerSecond: 0,
  jitter: 0,
  answerTokens: 20,
};
const thousandTokens = (about: string) => `${about} ` + 'word '.repeat(1000);

describe('the reading of prompts', () => {
  let simulator: Simulator;
  afterEach(() => simulator.close());
  const start = async (options: Partial<SimulatorOptions>) => {
    simulator = await createSimulator({ port: 0, ...PREFILL, ...options });
  };

  /** Milliseconds until the answer is there. */
  async function ask(
    messages: object[],
    signal: AbortSignal | null = null,
  ): Promise<{ ms: number; text: string }> {
    const started = performance.now();
    const response = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'sim-small', messages }),
      signal,
    });
    const body: any = await response.json();
    return { ms: performance.now() - started, text: body.choices[0].message.content };
  }
  const user = (content: string) => [{ role: 'user', content }];
  const metric = async (name: string) => {
    const text = await (await fetch(`${simulator.url}/metrics`)).text();
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name}{`))!
        .split(' ')[1],
    );
  };

  it('is for all at once, or with serialPrefill for one after the other', async () => {
    const three = () => Promise.all(['a', 'b', 'c'].map((about) => ask(user(thousandTokens(about)))));
    await start({});
    const parallel = await three();
    expect(Math.max(...parallel.map(({ ms }) => ms))).toBeLessThan(950);
    await simulator.close();
    await start({ serialPrefill: true });
    const serial = (await three()).map(({ ms }) => ms).sort((a, b) => a - b);
    expect(serial[0]).toBeLessThan(950);
    expect(serial[2]).toBeGreaterThan(1450);
  });

  it('goes on with the next at once when a caller leaves', async () => {
    await start({ serialPrefill: true });
    const leaving = new AbortController();
    const left = ask(user(thousandTokens('long ').repeat(10)), leaving.signal).catch(() => 'left');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const next = ask(user(thousandTokens('short')));
    await new Promise((resolve) => setTimeout(resolve, 50));
    leaving.abort();
    expect(await left).toBe('left');
    expect((await next).ms).toBeLessThan(2000);
  });

  it('skips what begins like an earlier prompt or conversation, as far as the cache reaches', async () => {
    await start({ prefixCacheTokens: 3_000 });
    const question = user(thousandTokens('a'));
    const first = await ask(question);
    const again = await ask([...question, { role: 'assistant', content: first.text }, ...user('And then?')]);
    expect(first.ms).toBeGreaterThan(480);
    expect(again.ms).toBeLessThan(300);
    const hits = await metric('vllm:prefix_cache_hits_total');
    expect(hits).toBeGreaterThan(1000);
    expect((await ask(user(thousandTokens('b')))).ms).toBeGreaterThan(480);
    expect(await metric('vllm:prefix_cache_hits_total')).toBe(hits);
    for (const about of ['c', 'd', 'e']) await ask(user(thousandTokens(about)));
    expect((await ask(question)).ms).toBeGreaterThan(480);
  });

  it('is done anew every time without a cache', async () => {
    await start({});
    for (let n = 0; n < 2; n++) expect((await ask(user(thousandTokens('a')))).ms).toBeGreaterThan(480);
    expect(await metric('vllm:prefix_cache_hits_total')).toBe(0);
  });
});
