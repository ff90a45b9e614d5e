import { setTimeout as sleep } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { DataSource } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { Telemetry } from '../telemetry/telemetry.js';
import { FollowerMetrics } from './follower-metrics.js';
import { Follower, type ArrivalSource } from './follower.js';
import { catchUp, lookAhead, pass } from './pass.js';

const MAX_BACKOFF_MS = 10_000;
/** How often a follower that goes on failing says so; and how long it is behind before it says that. */
const LATE_MS = 60_000;
/** How long passes under way may go on at the end of the process. */
const STOP_MS = 5_000;

/** Runs every provider that is a `Follower`, each by itself, as long as the process lives. */
@Injectable()
export class FollowerLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(FollowerLoop.name);
  private readonly stop = new AbortController();
  private readonly intervalMs: number;
  private readonly metrics: FollowerMetrics;
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: DataSource,
    private readonly discovery: DiscoveryService,
    telemetry: Telemetry,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.intervalMs = settings.CATENA_FOLLOW_INTERVAL_MS;
    this.metrics = new FollowerMetrics(telemetry.registry);
  }

  onApplicationBootstrap(): void {
    this.running = Promise.all(this.followers().map((follower) => this.run(follower)));
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  /** Returns when every follower has dealt with all that has arrived. @throws what a pass throws. */
  async catchUp(): Promise<void> {
    for (const follower of this.followers()) await catchUp(this.database, follower);
  }

  /** Names of those that follow a table. */
  namesOf(source: ArrivalSource): string[] {
    return this.followers()
      .filter((follower) => follower.source === source)
      .map(({ name }) => name);
  }

  private followers(): Follower[] {
    const found = this.discovery.getProviders().map(({ instance }): unknown => instance);
    const followers = [...new Set(found)].filter((instance) => instance instanceof Follower);
    const names = new Set(followers.map(({ name }) => name));
    if (names.size < followers.length)
      throw new Error(`Two followers have one name: ${[...names].join(', ')}.`);
    return followers;
  }

  private async run(follower: Follower): Promise<void> {
    const signal = this.stop.signal;
    let failures = 0;
    let saidAtMs = 0;
    let lateAtMs = LATE_MS;
    while (!signal.aborted) {
      let pauseMs = this.intervalMs;
      try {
        const outlook = await lookAhead(this.database, follower);
        const behindMs = this.metrics.seen(follower.name, outlook);
        if (outlook.behind > 0 && (await pass(this.database, follower)) === 'more') pauseMs = 0;
        if (failures > 0) this.logger.log(`Follower ${follower.name} goes on.`);
        failures = 0;
        if (behindMs < LATE_MS) lateAtMs = LATE_MS;
        else if (behindMs >= lateAtMs) {
          lateAtMs += LATE_MS;
          this.logger.warn(await this.lateness(follower, behindMs));
        }
      } catch (error) {
        if (signal.aborted) return;
        pauseMs = Math.min(MAX_BACKOFF_MS, this.intervalMs * 2 ** Math.min(failures++, 16));
        this.metrics.failed(follower.name);
        if (failures === 1 || performance.now() - saidAtMs >= LATE_MS) {
          saidAtMs = performance.now();
          this.logger.error(`Follower ${follower.name} failed, and is tried again: ${String(error)}`);
        }
      }
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** What holds followers up when they do not fail is a transaction that stays open. */
  private async lateness(follower: Follower, behindMs: number): Promise<string> {
    const [oldest] = await this.database.query<
      { pid: number; name: string; state: string; seconds: number }[]
    >(
      `SELECT pid, application_name AS name, state, extract(epoch FROM now() - xact_start)::int AS seconds
         FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1`,
    );
    const cause = oldest
      ? ` The oldest open transaction: ${oldest.seconds} s, ${oldest.state}, process ${oldest.pid} ("${oldest.name}").`
      : '';
    return `Follower ${follower.name} has been behind for ${Math.round(behindMs / 1_000)} s.${cause}`;
  }
}
