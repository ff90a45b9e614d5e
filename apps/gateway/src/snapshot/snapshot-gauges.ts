import { Gauge } from 'prom-client';
import type { Metrics } from '../metrics/metrics.js';
import type { Snapshot } from './snapshot.js';

export interface FeedState {
  readonly snapshot: Snapshot | undefined;
  /** Milliseconds since 1970. */
  readonly confirmedAt: number | undefined;
  readonly connected: boolean;
}

/** How far the gateway follows its database, read when the metrics are. */
export function addSnapshotGauges({ registry }: Metrics, state: () => FeedState): void {
  const gauge = (name: string, help: string, read: (now: FeedState) => number | undefined) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          const value = read(state());
          if (value !== undefined) this.set(value);
        },
      }),
    );
  gauge(
    'catena_snapshot_seq',
    'Number of the last change the snapshot holds.',
    ({ snapshot }) => snapshot?.seq,
  );
  gauge(
    'catena_snapshot_endpoints',
    'Serving endpoints in the snapshot.',
    ({ snapshot }) => snapshot?.endpoints.size ?? 0,
  );
  gauge(
    'catena_snapshot_age_seconds',
    'Seconds since the snapshot was last known to be what the database holds.',
    ({ confirmedAt }) =>
      confirmedAt === undefined ? undefined : Math.max(0, (Date.now() - confirmedAt) / 1000),
  );
  gauge(
    'catena_database_connected',
    '1 while the change feed follows the database, 0 while the gateway serves from memory alone.',
    ({ connected }) => (connected ? 1 : 0),
  );
}
