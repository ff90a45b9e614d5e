import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Agent, Pool } from 'undici';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import { DEFAULT_STRUCTURED_OUTPUT, type StructuredOutput } from '#libs/core/contract/structured-output.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import type { ServedModelEndpoint, ServedReplica, Snapshot } from '../snapshot/snapshot.js';
import { OPENAI } from '../providers/openai/openai.provider.js';
import type { Provider } from '../providers/provider.js';
import { PROVIDERS, type ProviderFinder } from '../providers/providers.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { Breaker } from './breaker.js';
import { ReplicaClient } from './replica-client.js';
import { ReplicaLane } from './replica-lane.js';
import { addReplicaMetrics } from './replica.metrics.js';
import { ReplicaWatch } from './replica-watch.js';
import { Replica } from './replica.js';
import { WorkspaceLanes } from './workspace-lanes.js';

/** One lane per model endpoint, following the snapshot: connections to a replica that is gone drain and close. */
@Injectable()
export class ReplicaLanes implements ProviderFinder, OnApplicationShutdown {
  private readonly lanes = new Map<string, ReplicaLane>();
  private readonly byWorkspace = new Map<string, WorkspaceLanes>();
  /** What each lane was last made to follow: what did not change stays the same object. */
  private readonly followed = new WeakMap<ReplicaLane, ServedModelEndpoint>();
  private readonly watches = new Map<Replica, ReplicaWatch>();
  /** For probes alone, so that they never wait for a connection that requests use. */
  private readonly probing: Agent;

  constructor(
    store: SnapshotStore,
    metrics: Metrics,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.probing = new Agent({
      connect: { timeout: settings.CATENA_PROBE_TIMEOUT_MS },
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
    addReplicaMetrics(metrics, this.lanes);
    store.onSwap((snapshot) => this.follow(snapshot));
    const current = store.find();
    if (current) this.follow(current);
  }

  /** Those of a workspace. */
  in(workspaceId: string): WorkspaceLanes {
    let lanes = this.byWorkspace.get(workspaceId);
    if (!lanes) this.byWorkspace.set(workspaceId, (lanes = new WorkspaceLanes(this, workspaceId)));
    return lanes;
  }

  /** By key of the model endpoint, see `keyIn`; so are the others. */
  find(name: string): ReplicaLane | undefined {
    return this.lanes.get(name);
  }

  providerOf(name: string): Provider {
    return this.lanes.get(name)?.provider ?? OPENAI;
  }

  structuredOutputOf(name: string): StructuredOutput {
    return this.lanes.get(name)?.structuredOutput ?? DEFAULT_STRUCTURED_OUTPUT;
  }

  /** Of one that is not there it is not known; there is nothing that could see anything either. */
  mayRun(name: string, dataClass: DataClass): boolean {
    return this.lanes.get(name)?.isClearedFor(dataClass) ?? true;
  }

  async onApplicationShutdown(): Promise<void> {
    for (const watch of this.watches.values()) watch.stop();
    const pools = [...this.lanes.values()].flatMap((lane) => lane.replicas.map((replica) => replica.pool));
    await Promise.all([this.probing.destroy(), ...pools.map((pool) => pool.destroy())]);
  }

  private follow(snapshot: Snapshot): void {
    for (const [name, lane] of this.lanes) {
      if (snapshot.modelEndpoints.has(name)) continue;
      this.drain(lane.replicas);
      lane.replicas = [];
      this.lanes.delete(name);
    }
    for (const [key, modelEndpoint] of snapshot.modelEndpoints) {
      let lane = this.lanes.get(key);
      if (!lane) {
        const { CATENA_QUEUE_MAX, CATENA_QUEUE_TIMEOUT_MS } = this.settings;
        lane = new ReplicaLane(modelEndpoint.name, CATENA_QUEUE_MAX, CATENA_QUEUE_TIMEOUT_MS);
        this.lanes.set(key, lane);
      }
      if (this.followed.get(lane) === modelEndpoint) continue;
      this.followed.set(lane, modelEndpoint);
      this.update(lane, modelEndpoint);
    }
  }

  private update(lane: ReplicaLane, modelEndpoint: ServedModelEndpoint): void {
    lane.maxConcurrency = modelEndpoint.maxConcurrencyPerReplica;
    lane.prices = modelEndpoint.prices;
    lane.clear(modelEndpoint.clearance);
    const provider = PROVIDERS[modelEndpoint.protocol];
    lane.provider = provider;
    lane.structuredOutput = modelEndpoint.structuredOutput;
    lane.apiVersion = modelEndpoint.apiVersion ?? provider.apiVersion ?? '';
    lane.headers = provider.headers(modelEndpoint.credential, lane.apiVersion);
    const before = new Map(lane.replicas.map((replica) => [replica.baseUrl, replica]));
    const wanted = new Map(modelEndpoint.replicas.map((replica) => [replica.baseUrl, replica]));
    const added: Replica[] = [];
    lane.replicas = [...wanted.values()].map((served) => {
      const kept = before.get(served.baseUrl);
      before.delete(served.baseUrl);
      if (kept) {
        kept.id = served.id;
        // An adapter may have been loaded.
        this.watches.get(kept)?.expectOtherModels();
        return kept;
      }
      const fresh = this.connect(served);
      added.push(fresh);
      return fresh;
    });
    this.drain([...before.values()]);
    for (const replica of added) this.watch(lane, replica);
    lane.compareModels();
    lane.advance();
  }

  private connect({ id, baseUrl }: ServedReplica): Replica {
    const url = new URL(baseUrl);
    const { settings } = this;
    // No limit of connections here: the lane is the limit, and a second queue inside the pool would hide requests.
    const pool = new Pool(url.origin, {
      connections: null,
      pipelining: 1,
      allowH2: false,
      connect: { timeout: settings.CATENA_CONNECT_TIMEOUT_MS },
      headersTimeout: settings.CATENA_HEADERS_TIMEOUT_MS,
      bodyTimeout: settings.CATENA_IDLE_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
    const breaker = new Breaker({
      failures: settings.CATENA_BREAKER_FAILURES,
      openMs: settings.CATENA_BREAKER_OPEN_MS,
    });
    return new Replica(id, baseUrl, pool, url.pathname.replace(/\/+$/, ''), breaker);
  }

  private watch(lane: ReplicaLane, replica: Replica): void {
    const { settings } = this;
    const headers = (): readonly string[] => lane.headers;
    const client = new ReplicaClient(
      this.probing,
      replica.baseUrl,
      settings.CATENA_PROBE_TIMEOUT_MS,
      headers,
    );
    const intervals = {
      probeMs: settings.CATENA_PROBE_INTERVAL_MS,
      loadMs: settings.CATENA_LOAD_INTERVAL_MS,
    };
    const watch = new ReplicaWatch(lane, replica, client, intervals, this.logger);
    this.watches.set(replica, watch);
    watch.start();
  }

  private drain(replicas: readonly Replica[]): void {
    for (const replica of replicas) {
      this.watches.get(replica)?.stop();
      this.watches.delete(replica);
      replica.pool.close().catch((error: unknown) => {
        const { baseUrl } = replica;
        this.logger.warn({ err: error, replica: baseUrl }, 'connections to a removed replica did not close');
      });
    }
  }
}

/** Below the 5 s after which uvicorn, and so vLLM, closes: a request must not meet a closing connection. */
const KEEP_ALIVE_MS = 4_000;
