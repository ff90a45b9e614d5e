import { Counter, Gauge, Histogram } from 'prom-client';
import type { Metrics } from '../../metrics/metrics.js';

/** What operators see of the Redis that gateways share limits through. */
export class SharedLimitMetrics {
  readonly roundTrip: Histogram;
  readonly failures: Counter<'reason'>;
  readonly withoutRedis: Counter<'decision'>;
  readonly lost: Counter;

  /** @param state read when the metrics are. */
  constructor({ registry }: Metrics, state: () => { readonly isUp: boolean; readonly pending: number }) {
    const registers = [registry];
    this.roundTrip = new Histogram({
      name: 'catena_limit_redis_seconds',
      help: 'How long Redis took to decide on a request.',
      buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1],
      registers,
    });
    this.failures = new Counter({
      name: 'catena_limit_redis_failures_total',
      help: 'Failures of Redis: timeout (an answer too late), error (it refused), connection.',
      labelNames: ['reason'],
      registers,
    });
    this.withoutRedis = new Counter({
      name: 'catena_limit_decisions_without_redis_total',
      help: 'Requests under a limit that were decided without Redis, as CATENA_REDIS_FAILURE says: admitted, refused.',
      labelNames: ['decision'],
      registers,
    });
    this.lost = new Counter({
      name: 'catena_limit_settlements_lost_total',
      help: 'Settlements not brought to Redis: too many were waiting. What was reserved is free when its session ends; budgets learn from the rows.',
      registers,
    });
    // Their values are those at the moment they are read.
    for (const [name, help, read] of [
      ['catena_limit_redis_up', 'Whether limits are shared through Redis now.', () => Number(state().isUp)],
      [
        'catena_limit_settlements_pending',
        'Settlements that wait for Redis to come back.',
        () => state().pending,
      ],
    ] as const)
      registry.registerMetric(
        new Gauge({
          name,
          help,
          registers: [],
          collect() {
            this.set(read());
          },
        }),
      );
  }
}
