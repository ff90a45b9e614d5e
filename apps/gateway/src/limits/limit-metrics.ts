import { Counter, Gauge } from 'prom-client';
import type { Metrics } from '../metrics/metrics.js';
import { keyIn } from '../snapshot/workspace-key.js';
import type { LimitRecord } from './limit-record.js';
import type { Meter } from './meter.js';

/** What operators see of limits. */
export class LimitMetrics {
  private readonly refusals: Counter<'limit'>;
  private readonly alerts: Counter<'limit'>;

  /** @param meters those there are, read when the metrics are. */
  constructor({ registry }: Metrics, meters: () => Iterable<Meter>) {
    this.refusals = new Counter({
      name: 'catena_limit_refusals_total',
      help: 'Requests that a limit did not let in, by its name.',
      labelNames: ['limit'],
      registers: [registry],
    });
    this.alerts = new Counter({
      name: 'catena_budget_alerts_total',
      help: 'Periods in which a budget passed the share at which it alerts, by its name.',
      labelNames: ['limit'],
      registers: [registry],
    });
    registry.registerMetric(
      new Gauge({
        name: 'catena_limit_used_ratio',
        help: 'Share of a limit that is used or reserved, by its name.',
        labelNames: ['limit'],
        registers: [],
        collect() {
          this.reset();
          const nowMs = Date.now();
          for (const meter of meters()) {
            const { amount } = meter.limit;
            this.set({ limit: labelOf(meter.limit) }, amount === 0 ? 1 : 1 - meter.left(nowMs) / amount);
          }
        },
      }),
    );
  }

  refused(limit: LimitRecord): void {
    this.refusals.inc({ limit: labelOf(limit) });
  }

  alerted(limit: LimitRecord): void {
    this.alerts.inc({ limit: labelOf(limit) });
  }
}

function labelOf({ workspaceId, name }: LimitRecord): string {
  return keyIn(workspaceId, name);
}
