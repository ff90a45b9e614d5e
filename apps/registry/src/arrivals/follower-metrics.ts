import { Counter, Gauge, type Registry } from 'prom-client';
import type { Outlook } from './pass.js';

/** Everything that had arrived at a moment. */
interface Mark {
  readonly next: number;
  readonly atMs: number;
}

/** What operators see of followers. */
export class FollowerMetrics {
  /** What each has still to get past; null where it has nothing before it. */
  private readonly marks = new Map<string, Mark | null>();
  private readonly transactions: Gauge<'follower'>;
  private readonly failures: Counter<'follower'>;

  constructor(registry: Registry) {
    const { marks } = this;
    const labelNames = ['follower'] as const;
    this.transactions = new Gauge({
      name: 'catena_follower_behind_transactions',
      help: 'Transactions since the first row a follower has not dealt with',
      labelNames,
      registers: [registry],
    });
    this.failures = new Counter({
      name: 'catena_follower_failures_total',
      help: 'Passes of followers that failed and were rolled back',
      labelNames,
      registers: [registry],
    });
    const seconds = new Gauge({
      name: 'catena_follower_behind_seconds',
      help: 'How long ago what a follower has not dealt with was there already',
      labelNames,
      registers: [],
      collect() {
        for (const [follower, mark] of marks) this.set({ follower }, behindMs(mark) / 1_000);
      },
    });
    registry.registerMetric(seconds);
  }

  /** @returns how long ago what it has not dealt with was there already, in milliseconds. */
  seen(follower: string, { position, next, behind }: Outlook): number {
    this.transactions.set({ follower }, behind);
    this.failures.inc({ follower }, 0);
    const before = this.marks.get(follower);
    const isPast = !before || position >= before.next;
    const mark = behind === 0 ? null : isPast ? { next, atMs: Date.now() } : before;
    this.marks.set(follower, mark);
    return behindMs(mark);
  }

  failed(follower: string): void {
    this.failures.inc({ follower });
    if (!this.marks.get(follower)) this.marks.set(follower, { next: 0, atMs: Date.now() });
  }
}

function behindMs(mark: Mark | null): number {
  return mark === null ? 0 : Date.now() - mark.atMs;
}
