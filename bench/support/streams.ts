import { Pool, type Dispatcher } from 'undici';
import { monotonicUs } from './clock.js';
import type { Request } from './load.js';

export interface StreamLoad {
  readonly request: Request;
  /** Streams that run at the same time; one that ends is followed by another. */
  readonly concurrent: number;
  /** Content frames of a stream. */
  readonly frames: number;
  readonly everyMs: number;
  readonly seconds: number;
}

export interface StreamFindings {
  /** Streams that came to their end. */
  readonly complete: number;
  readonly frames: number;
  /** Longest time without a frame in any stream, from its request to its last byte. */
  readonly longestGapMs: number;
  /** By how much the longest was longer than what the upstream sent. */
  readonly longestAddedMs: number;
  /** Times without a frame of more than `STALL_MS`. */
  readonly stalls: number;
  /** From the upstream's write to its arrival here. */
  readonly delayP50Ms: number;
  readonly delayP99Ms: number;
}

export const STALL_MS = 500;
const CONTENT = Buffer.from('"content":"');
const DONE = Buffer.from('data: [DONE]');
const NEWLINE = 0x0a;
const SPACE = 0x20;
/** Delays are counted in steps of this, up to `STEPS` of them. */
const STEP_MS = 0.05;
const STEPS = 40_000;

/**
 * Keeps many streams of `paced-upstream.ts` running, begun spread over the length of one, and looks at when each frame
 * was sent and arrived. @throws Error for a stream that is refused, breaks off or lacks a frame.
 */
export async function watchStreams(url: string, load: StreamLoad): Promise<StreamFindings> {
  const pool = new Pool(url, { connections: load.concurrent, pipelining: 1, bodyTimeout: 0 });
  const tally = new Tally();
  const lengthMs = load.frames * load.everyMs;
  const endsMs = performance.now() + load.seconds * 1000;
  const open = new Set<Stream>();
  try {
    await Promise.all(
      Array.from({ length: load.concurrent }, async (_, index) => {
        await new Promise((resolve) => setTimeout(resolve, (index / load.concurrent) * lengthMs));
        while (performance.now() < endsMs) {
          const stream = new Stream(tally, load.frames);
          open.add(stream);
          const cut = setTimeout(() => stream.leave(), endsMs - performance.now());
          await stream.run(pool, load.request);
          clearTimeout(cut);
          open.delete(stream);
        }
      }),
    );
  } finally {
    for (const stream of open) stream.leave();
    await pool.destroy();
  }
  return tally.findings();
}

class Tally {
  complete = 0;
  frames = 0;
  longestGapUs = 0;
  longestAddedUs = 0;
  stalls = 0;
  private readonly delays = new Uint32Array(STEPS);

  gap(arrivedUs: number, addedUs: number): void {
    if (arrivedUs > this.longestGapUs) this.longestGapUs = arrivedUs;
    if (addedUs > this.longestAddedUs) this.longestAddedUs = addedUs;
    if (arrivedUs > STALL_MS * 1000) this.stalls++;
  }

  delay(us: number): void {
    this.frames++;
    this.delays[Math.min(STEPS - 1, Math.floor(us / 1000 / STEP_MS))]!++;
  }

  findings(): StreamFindings {
    const { complete, frames, stalls } = this;
    return {
      complete,
      frames,
      stalls,
      longestGapMs: this.longestGapUs / 1000,
      longestAddedMs: this.longestAddedUs / 1000,
      delayP50Ms: this.delayAt(0.5),
      delayP99Ms: this.delayAt(0.99),
    };
  }

  private delayAt(share: number): number {
    let left = this.frames * share;
    for (let step = 0; step < STEPS; step++) {
      left -= this.delays[step]!;
      if (left <= 0) return (step + 1) * STEP_MS;
    }
    return STEPS * STEP_MS;
  }
}

class Stream implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private status = 0;
  private left = false;
  private rest: Buffer | undefined;
  private seen = 0;
  private isDone = false;
  /** Before the first frame: when it was asked for. */
  private lastArrivedUs = 0;
  private lastSentUs = 0;
  private resolve!: () => void;
  private reject!: (error: Error) => void;

  constructor(
    private readonly tally: Tally,
    private readonly frames: number,
  ) {}

  run(pool: Pool, { path, body, headers }: Request): Promise<void> {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      this.lastArrivedUs = monotonicUs();
      this.lastSentUs = this.lastArrivedUs;
      pool.dispatch(
        { method: 'POST', path, headers: { 'content-type': 'application/json', ...headers }, body: body! },
        this,
      );
    });
  }

  leave(): void {
    this.left = true;
    this.controller?.abort(new Error('the time is up'));
    this.resolve();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.left) controller.abort(new Error('the time is up'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.status = status;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.status !== 200) return;
    const now = monotonicUs();
    const data = this.rest ? Buffer.concat([this.rest, chunk]) : chunk;
    // Events end in a newline; half a one waits for the other half.
    const end = data[data.length - 1] === NEWLINE ? data.length : data.lastIndexOf(NEWLINE) + 1;
    this.rest = end < data.length ? data.subarray(end) : undefined;
    let at = data.indexOf(CONTENT);
    for (; at !== -1 && at < end; at = data.indexOf(CONTENT, at)) {
      at += CONTENT.length;
      let sentUs = 0;
      for (; at < end && data[at] !== SPACE; at++) sentUs = sentUs * 10 + data[at]! - 0x30;
      this.onFrame(now, sentUs);
    }
    if (data.includes(DONE)) this.isDone = true;
  }

  onResponseEnd(): void {
    if (this.isDone && this.seen === this.frames) {
      this.tally.gap(monotonicUs() - this.lastArrivedUs, 0);
      this.tally.complete++;
      this.resolve();
    } else
      this.reject(
        new Error(
          `a stream ended with status ${this.status} after ${this.seen} of ${this.frames} frames, ` +
            `${this.isDone ? 'with' : 'without'} [DONE]`,
        ),
      );
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.left) this.resolve();
    else this.reject(error);
  }

  private onFrame(nowUs: number, sentUs: number): void {
    this.seen++;
    const gapUs = nowUs - this.lastArrivedUs;
    this.tally.gap(gapUs, gapUs - (sentUs - this.lastSentUs));
    this.tally.delay(nowUs - sentUs);
    this.lastArrivedUs = nowUs;
    this.lastSentUs = sentUs;
  }
}
