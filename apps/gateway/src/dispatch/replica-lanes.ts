import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Pool } from 'undici';
import type { Settings } from '#libs/platform/config/settings.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import type { Logger } from '#libs/platform/log/logger.js';
import type { ServedModelEndpoint, Snapshot } from '../snapshot/snapshot.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { ReplicaLane, type Replica } from './replica-lane.js';

/** One lane per model endpoint, following the snapshot: connections to a replica that is gone drain and close. */
@Injectable()
export class ReplicaLanes implements OnApplicationShutdown {
  private readonly lanes = new Map<string, ReplicaLane>();

  constructor(
    store: SnapshotStore,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    store.onSwap((snapshot) => this.follow(snapshot));
    const current = store.find();
    if (current) this.follow(current);
  }

  /** By name of the model endpoint. */
  find(name: string): ReplicaLane | undefined {
    return this.lanes.get(name);
  }

  async onApplicationShutdown(): Promise<void> {
    const pools = [...this.lanes.values()].flatMap((lane) => lane.replicas.map((replica) => replica.pool));
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  private follow(snapshot: Snapshot): void {
    for (const [name, lane] of this.lanes) {
      if (snapshot.modelEndpoints.has(name)) continue;
      this.drain(lane.replicas);
      lane.replicas = [];
      this.lanes.delete(name);
    }
    for (const modelEndpoint of snapshot.modelEndpoints.values()) {
      let lane = this.lanes.get(modelEndpoint.name);
      if (!lane) {
        lane = new ReplicaLane(this.settings.CATENA_QUEUE_MAX, this.settings.CATENA_QUEUE_TIMEOUT_MS);
        this.lanes.set(modelEndpoint.name, lane);
      }
      this.update(lane, modelEndpoint);
    }
  }

  private update(lane: ReplicaLane, modelEndpoint: ServedModelEndpoint): void {
    lane.maxConcurrency = modelEndpoint.maxConcurrencyPerReplica;
    lane.prices = modelEndpoint.prices;
    lane.credential = modelEndpoint.credential;
    const before = new Map(lane.replicas.map((replica) => [replica.baseUrl, replica]));
    const wanted = [...new Set(modelEndpoint.replicas.map((replica) => replica.baseUrl))];
    lane.replicas = wanted.map((baseUrl) => {
      const kept = before.get(baseUrl);
      before.delete(baseUrl);
      return kept ?? this.connect(baseUrl);
    });
    this.drain([...before.values()]);
    lane.advance();
  }

  private connect(baseUrl: string): Replica {
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
      // Below the 5 s after which uvicorn, and so vLLM, closes: a request must not meet a closing connection.
      keepAliveTimeout: 4_000,
    });
    return {
      baseUrl,
      pool,
      path: `${url.pathname.replace(/\/+$/, '')}/chat/completions`,
      outstanding: 0,
    };
  }

  private drain(replicas: readonly Replica[]): void {
    for (const { pool, baseUrl } of replicas)
      pool.close().catch((error: unknown) => {
        this.logger.warn({ err: error, replica: baseUrl }, 'connections to a removed replica did not close');
      });
  }
}
