import { setTimeout as sleep } from 'node:timers/promises';
import { Child, type ChildPlan } from './child.js';

const FIRST_BACKOFF_MS = 500;
const LAST_BACKOFF_MS = 15_000;
/** Having run this long, a service counts as healthy and its backoff begins anew. */
const HEALTHY_AFTER_MS = 60_000;

/** A child that is started again when it dies: it keeps nothing that the stores do not have. */
export class Service {
  private child: Child | undefined;
  private readonly stopped = new AbortController();

  constructor(
    private readonly plan: ChildPlan,
    private readonly readyUrl: string,
    private readonly say: (line: string) => void,
  ) {}

  /** @throws Error when the first start fails; later ones are tried again. */
  async start(): Promise<void> {
    this.child = new Child(this.plan);
    await this.child.ready(this.readyUrl);
    void this.keepRunning(this.child);
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.child?.stop();
  }

  kill(): void {
    this.stopped.abort();
    this.child?.kill();
  }

  private async keepRunning(first: Child): Promise<void> {
    let child = first;
    let backoffMs = FIRST_BACKOFF_MS;
    for (;;) {
      const startedAt = Date.now();
      const ending = await child.ended;
      if (this.stopped.signal.aborted) return;
      if (Date.now() - startedAt > HEALTHY_AFTER_MS) backoffMs = FIRST_BACKOFF_MS;
      this.say(`The ${this.plan.name} has ended (${ending}); it starts again in ${backoffMs / 1000} s.`);
      await sleep(backoffMs, undefined, { signal: this.stopped.signal }).catch(() => undefined);
      if (this.stopped.signal.aborted) return;
      backoffMs = Math.min(LAST_BACKOFF_MS, backoffMs * 2);
      child = this.child = new Child(this.plan);
    }
  }
}
