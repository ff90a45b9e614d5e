import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { StreamClocks, type StreamClock } from './stream-clocks.js';

class Stream {
  contents = 0;
  isPaused = false;
  ranOut: { clock: StreamClock; afterMs: number } | undefined;
  private readonly startedMs = performance.now();
  onSilence(clock: StreamClock): void {
    this.ranOut = { clock, afterMs: performance.now() - this.startedMs };
  }
}

/** Calls it now and then for so long. */
async function during(ms: number, step: () => void): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) step();
}

describe('StreamClocks', () => {
  it('tells a stream without content after the first time, one that went silent after the second', async () => {
    const clocks = new StreamClocks(150, 300);
    const [silent, stopped] = [new Stream(), new Stream()];
    clocks.start(silent);
    clocks.start(stopped);
    await during(100, () => stopped.contents++);
    await sleep(450);
    expect(silent.ranOut).toMatchObject({ clock: 'ttft' });
    expect(silent.ranOut!.afterMs).toBeGreaterThanOrEqual(150);
    expect(silent.ranOut!.afterMs).toBeLessThan(250);
    expect(stopped.ranOut).toMatchObject({ clock: 'idle' });
    expect(stopped.ranOut!.afterMs).toBeGreaterThanOrEqual(380);
    expect(clocks.running).toBe(0);
  });

  it('leaves alone a stream that brings contents, one that is held back, and one that was stopped', async () => {
    const clocks = new StreamClocks(60, 60);
    const [busy, paused, over] = [new Stream(), new Stream(), new Stream()];
    const running = [clocks.start(busy), clocks.start(paused)];
    clocks.stop(clocks.start(over));
    paused.contents = 1;
    paused.isPaused = true;
    await during(200, () => busy.contents++);
    expect([busy.ranOut, paused.ranOut, over.ranOut]).toEqual([undefined, undefined, undefined]);
    paused.isPaused = false;
    await during(200, () => busy.contents++);
    expect(busy.ranOut).toBeUndefined();
    expect(paused.ranOut).toMatchObject({ clock: 'idle' });
    clocks.stop(running[0]!);
    expect(clocks.running).toBe(0);
  });

  it('starts afresh for the next attempt of a stream that it ended', async () => {
    const clocks = new StreamClocks(50, 50);
    const times: StreamClock[] = [];
    const stream = {
      contents: 0,
      isPaused: false,
      onSilence(clock: StreamClock) {
        times.push(clock);
        if (times.length < 3) clocks.start(this);
      },
    };
    clocks.start(stream);
    await sleep(300);
    expect(times).toEqual(['ttft', 'ttft', 'ttft']);
    expect(clocks.running).toBe(0);
  });
});
