import { performance } from 'node:perf_hooks';

/** One request on the simulated GPU. */
export interface Sequence {
  readonly promptTokens: number;
  readonly tokenCount: number;
  /** Milliseconds to the first token, once its turn has come. */
  readonly ttftMs: number;
  /** The part of it in which the prompt is read. */
  readonly prefillMs: number;
  readonly intervalMs: number;
  /** Tokens are ready up to this number (exclusive). Called with `tokenCount` exactly once, last. */
  onTokens(ready: number): void;
}

interface Running {
  readonly sequence: Sequence;
  /** When its prompt is read first; in the future while other prompts are read. */
  startedAt: number;
  ready: number;
  dueAt: number;
}

/**
 * A GPU's scheduler in outline: a fixed number of sequences at a time, the others wait in arrival order. All
 * sequences share one timer, set to the earliest token due, so that a thousand streams cost one timer.
 */
export class Engine {
  private readonly active = new Map<Sequence, Running>();
  private readonly queue = new Set<Sequence>();
  private timer: NodeJS.Timeout | undefined;
  private wakeAt = Infinity;
  /** When the last prompt is read that has a slot. */
  private prefillFreeAt = 0;

  /** @param serialPrefill prompts are read one after the other, as a GPU does that is busy with one anyway. */
  constructor(
    private readonly maxNumSeqs: number,
    private readonly serialPrefill = false,
  ) {}

  get running(): number {
    return this.active.size;
  }

  get waiting(): number {
    return this.queue.size;
  }

  /** Tokens held in the KV cache now. */
  get cachedTokens(): number {
    let sum = 0;
    for (const { sequence, ready } of this.active.values()) sum += sequence.promptTokens + ready;
    return sum;
  }

  submit(sequence: Sequence): void {
    this.queue.add(sequence);
    this.admit();
  }

  /** Frees the slot, or the place in the queue, at once. */
  cancel(sequence: Sequence): void {
    this.queue.delete(sequence);
    const running = this.active.get(sequence);
    if (!running) return;
    this.active.delete(sequence);
    if (this.serialPrefill) this.giveBackPrefill(running, performance.now());
    this.admit();
  }

  /** Keeps the slot but generates nothing any more; ends with `cancel`. */
  hold(sequence: Sequence): void {
    const running = this.active.get(sequence);
    if (running) running.dueAt = Infinity;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.active.clear();
    this.queue.clear();
  }

  private admit(): void {
    while (this.active.size < this.maxNumSeqs) {
      const [sequence] = this.queue;
      if (!sequence) return;
      this.queue.delete(sequence);
      const now = performance.now();
      const startedAt = this.serialPrefill ? Math.max(now, this.prefillFreeAt) : now;
      this.prefillFreeAt = startedAt + sequence.prefillMs;
      const running = { sequence, startedAt, ready: 0, dueAt: startedAt + sequence.ttftMs };
      this.active.set(sequence, running);
      if (running.dueAt <= now) this.advance(running, now);
      this.wake(running.dueAt, now);
    }
  }

  /** Those behind a prompt that is not read to its end come sooner. */
  private giveBackPrefill({ sequence, startedAt }: Running, now: number): void {
    const left = startedAt + sequence.prefillMs - Math.max(now, startedAt);
    if (left <= 0) return;
    this.prefillFreeAt -= left;
    for (const other of this.active.values()) {
      if (other.startedAt <= startedAt) continue;
      other.startedAt -= left;
      other.dueAt -= left;
      this.wake(other.dueAt, now);
    }
  }

  private wake(at: number, now: number): void {
    if (at >= this.wakeAt) return;
    clearTimeout(this.timer);
    this.wakeAt = at;
    this.timer = setTimeout(this.tick, Math.max(1, at - now));
  }

  private readonly tick = (): void => {
    this.wakeAt = Infinity;
    const now = performance.now();
    for (const running of this.active.values()) if (running.dueAt <= now) this.advance(running, now);
    let earliest = Infinity;
    for (const running of this.active.values()) if (running.dueAt < earliest) earliest = running.dueAt;
    this.wake(earliest, now);
  };

  private advance(running: Running, now: number): void {
    const { sequence, startedAt } = running;
    const elapsed = now - startedAt - sequence.ttftMs;
    const generated =
      sequence.intervalMs > 0 ? 1 + Math.floor(elapsed / sequence.intervalMs) : sequence.tokenCount;
    running.ready = Math.min(sequence.tokenCount, Math.max(running.ready, generated));
    running.dueAt = startedAt + sequence.ttftMs + running.ready * sequence.intervalMs;
    if (running.ready >= sequence.tokenCount) this.active.delete(sequence);
    sequence.onTokens(running.ready);
    if (running.ready >= sequence.tokenCount) this.admit();
  }
}
