/** Which of the two clocks of a stream has run out. */
export type StreamClock = 'ttft' | 'idle';

/** A stream as its clocks see it. */
export interface ClockedStream {
  /** Contents that have come so far. */
  readonly contents: number;
  /**
   * The silence is not the replica's: the gateway holds it back, for the caller reads slowly, or there is no connection
   * yet, which has a clock of its own.
   */
  readonly isPaused: boolean;
  /** It has been silent for too long. Its clocks have stopped. */
  onSilence(clock: StreamClock): void;
}

/** The clocks of one stream, to be stopped. */
export interface RunningClocks {
  stream: ClockedStream | undefined;
  /** `performance.now()`, of the start or of the last sweep that saw something new. */
  sinceMs: number;
  /** Contents at the last sweep. */
  seen: number;
}

const MAX_SWEEP_MS = 1000;
const MIN_SWEEP_MS = 5;
/** Sweeps in the shorter of the two times: how late a clock may be. */
const SWEEPS = 10;

/**
 * The clocks that only a stream has: time to its first content, and time between contents. Bytes do not count, for
 * heartbeats and roles are bytes. One timer for all streams, and nothing to do per event: a stream counts its
 * contents anyway, and a sweep now and then sees whether the count has moved. A clock is late by two sweeps at most.
 */
export class StreamClocks {
  private readonly all: RunningClocks[] = [];
  private readonly free: RunningClocks[] = [];
  private readonly sweepMs: number;
  private timer: NodeJS.Timeout | undefined;

  /** @param ttftMs @param idleMs longest time to the first content, and between contents, in milliseconds. */
  constructor(
    readonly ttftMs: number,
    readonly idleMs: number,
  ) {
    this.sweepMs = Math.min(MAX_SWEEP_MS, Math.max(MIN_SWEEP_MS, Math.min(ttftMs, idleMs) / SWEEPS));
  }

  /** Streams under way. */
  get running(): number {
    return this.all.length - this.free.length;
  }

  start(stream: ClockedStream): RunningClocks {
    let clocks = this.free.pop();
    if (!clocks) {
      clocks = { stream: undefined, sinceMs: 0, seen: 0 };
      this.all.push(clocks);
    }
    clocks.stream = stream;
    clocks.sinceMs = performance.now();
    clocks.seen = 0;
    if (!this.timer) {
      this.timer = setInterval(() => this.sweep(), this.sweepMs);
      this.timer.unref();
    }
    return clocks;
  }

  /** Once per start. */
  stop(clocks: RunningClocks): void {
    clocks.stream = undefined;
    this.free.push(clocks);
  }

  private sweep(): void {
    if (this.running === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    const nowMs = performance.now();
    for (const clocks of this.all) {
      const { stream } = clocks;
      if (!stream) continue;
      if (stream.contents !== clocks.seen || stream.isPaused) {
        clocks.seen = stream.contents;
        clocks.sinceMs = nowMs;
        continue;
      }
      const clock = clocks.seen === 0 ? 'ttft' : 'idle';
      if (nowMs - clocks.sinceMs < (clock === 'ttft' ? this.ttftMs : this.idleMs)) continue;
      this.stop(clocks);
      stream.onSilence(clock);
    }
  }
}
