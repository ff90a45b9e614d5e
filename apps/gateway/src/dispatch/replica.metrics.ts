import { Counter, Gauge } from 'prom-client';
import type { Metrics } from '../metrics/metrics.js';
import type { BreakerState } from './breaker.js';
import type { ReplicaLane } from './replica-lane.js';
import type { Replica } from './replica.js';

const STATES: readonly BreakerState[] = ['closed', 'open', 'half_open'];
const OF_REPLICA = ['model_endpoint', 'replica'];

/**
 * How the replicas do, read when the metrics are. A replica is named by its id: its address is the operator's, and the
 * metrics may be read by others. `saturation` is what an autoscaler wants.
 */
export function addReplicaMetrics({ registry }: Metrics, lanes: ReadonlyMap<string, ReplicaLane>): void {
  const perReplica = (name: string, help: string, read: (replica: Replica) => number | undefined) =>
    registry.registerMetric(
      new Gauge({
        name: `catena_replica_${name}`,
        help,
        labelNames: OF_REPLICA,
        registers: [],
        collect() {
          this.reset();
          for (const [labels, replica] of replicasOf(lanes)) {
            const value = read(replica);
            if (value !== undefined) this.set(labels, value);
          }
        },
      }),
    );
  perReplica('up', '0 while its probes fail.', ({ isDown }) => (isDown ? 0 : 1));
  perReplica('requests_in_flight', 'Requests of this gateway under way.', (replica) => replica.outstanding);
  perReplica('requests_waiting', 'Requests waiting inside it, as it tells.', ({ load }) => load?.waiting);
  perReplica(
    'kv_cache_usage_ratio',
    'Share of its KV cache in use, as it tells.',
    ({ load }) => load?.kvCacheUsage,
  );
  perReplica('load_stale', '1 while it no longer tells its load.', ({ isStale }) => (isStale ? 1 : 0));
  addBreakerMetrics(registry, lanes);

  const perLane = (name: string, help: string, read: (lane: ReplicaLane) => number) =>
    registry.registerMetric(
      new Gauge({
        name: `catena_model_endpoint_${name}`,
        help,
        labelNames: ['model_endpoint'],
        registers: [],
        collect() {
          this.reset();
          for (const [key, lane] of lanes) this.set({ model_endpoint: key }, read(lane));
        },
      }),
    );
  perLane('queue_depth', 'Requests waiting for a free replica.', (lane) => lane.queued);
  perLane(
    'saturation_ratio',
    'Requests under way and waiting, over what its closed replicas take.',
    saturationOf,
  );
  registry.registerMetric(
    new Counter({
      name: 'catena_affinity_requests_total',
      help: 'Requests of conversations, by whether they went to the replica that holds their cache',
      labelNames: ['model_endpoint', 'outcome'],
      registers: [],
      collect() {
        this.reset();
        for (const [key, { affinity }] of lanes) {
          if (affinity.kept + affinity.spilled === 0) continue;
          this.inc({ model_endpoint: key, outcome: 'kept' }, affinity.kept);
          this.inc({ model_endpoint: key, outcome: 'spilled' }, affinity.spilled);
        }
      },
    }),
  );
}

function addBreakerMetrics(registry: Metrics['registry'], lanes: ReadonlyMap<string, ReplicaLane>): void {
  registry.registerMetric(
    new Gauge({
      name: 'catena_replica_breaker_state',
      help: '1 for the state its circuit breaker is in: closed, open or half_open',
      labelNames: [...OF_REPLICA, 'state'],
      registers: [],
      collect() {
        this.reset();
        for (const [labels, { breaker }] of replicasOf(lanes))
          for (const state of STATES) this.set({ ...labels, state }, breaker.state === state ? 1 : 0);
      },
    }),
  );
  const counted = (name: string, help: string, read: (replica: Replica) => number) =>
    registry.registerMetric(
      new Counter({
        name: `catena_replica_${name}`,
        help,
        labelNames: OF_REPLICA,
        registers: [],
        collect() {
          this.reset();
          for (const [labels, replica] of replicasOf(lanes)) this.inc(labels, read(replica));
        },
      }),
    );
  counted('failures_total', 'Attempts that failed by its fault.', (replica) => replica.failures);
  counted('breaker_opened_total', 'How often its circuit breaker opened.', ({ breaker }) => breaker.openings);
}

function* replicasOf(
  lanes: ReadonlyMap<string, ReplicaLane>,
): Generator<readonly [{ model_endpoint: string; replica: string }, Replica]> {
  for (const [key, lane] of lanes)
    for (const replica of lane.replicas) yield [{ model_endpoint: key, replica: replica.id }, replica];
}

/** 1 and more: no request would get a replica at once. Shadows would give way to it. */
function saturationOf(lane: ReplicaLane): number {
  let inFlight = lane.queued - lane.lentPlaces;
  let places = 0;
  for (const { breaker, outstanding } of lane.replicas) {
    inFlight += outstanding;
    if (breaker.isClosed) places += lane.maxConcurrency;
  }
  return places === 0 ? 1 : inFlight / places;
}
