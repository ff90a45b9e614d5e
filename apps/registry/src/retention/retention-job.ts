import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { DataSource } from 'typeorm';
import { exclusively } from '#libs/platform/database/exclusive.js';
import { Telemetry } from '../telemetry/telemetry.js';
import { Offload } from './offload.js';
import { Retention, type HeldBy } from './retention.js';

const INTERVAL_MS = 10_000;
const RETENTION_INTERVAL_MS = 600_000;
/** How long a pass under way may go on at the end of the process. */
const STOP_MS = 5_000;

/** Moves large bodies to the object store and drops days that are no longer kept, one registry at a time. */
@Injectable()
export class RetentionJob implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(RetentionJob.name);
  private readonly stop = new AbortController();
  private readonly moved: Counter;
  private readonly dropped: Counter;
  private readonly failures: Counter<'of'>;
  private readonly held: Gauge<'by'>;
  private readonly failing = new Set<string>();
  private retentionDueMs = 0;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: DataSource,
    private readonly offload: Offload,
    private readonly retention: Retention,
    { registry }: Telemetry,
  ) {
    const registers = [registry];
    this.moved = new Counter({
      name: 'catena_payloads_moved_total',
      help: 'Inferences of which a body was moved to the object store',
      registers,
    });
    this.dropped = new Counter({
      name: 'catena_partitions_dropped_total',
      help: 'Days of inferences or of their payloads that were dropped because they are no longer kept',
      registers,
    });
    this.failures = new Counter({
      name: 'catena_retention_failures_total',
      help: 'Attempts to move bodies or to drop days that failed; nothing is lost, and they are tried again',
      labelNames: ['of'],
      registers,
    });
    this.held = new Gauge({
      name: 'catena_partitions_held',
      help: 'Days that are no longer kept, but still there: not archived yet, not followed yet, or locked',
      labelNames: ['by'],
      registers,
    });
  }

  onApplicationBootstrap(): void {
    this.running = this.loop();
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  /** One pass of both; what fails is counted, logged once, and tried again in the next. */
  async pass(): Promise<void> {
    const { signal } = this.stop;
    await exclusively(this.database, 'catena_retention', async (lost) => {
      const both = AbortSignal.any([lost, signal]);
      await this.attempt('offload', () => this.offload.run(both, () => this.moved.inc()));
      if (performance.now() < this.retentionDueMs) return;
      await this.attempt('retention', () => this.dropDue(both));
      this.retentionDueMs = performance.now() + RETENTION_INTERVAL_MS;
    });
  }

  private async dropDue(signal: AbortSignal): Promise<void> {
    const { dropped, held } = await this.retention.run(signal);
    this.dropped.inc(dropped.length);
    for (const by of ['archive', 'follower', 'lock'] satisfies HeldBy[])
      this.held.set({ by }, held.filter((partition) => partition.by === by).length);
    for (const { name, by } of held) if (by !== 'lock') this.logger.warn(`${name} ${HELD[by]}`);
  }

  private async loop(): Promise<void> {
    const { signal } = this.stop;
    while (!signal.aborted) {
      await this.attempt('connection', () => this.pass());
      await sleep(INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async attempt(of: keyof typeof FAILED, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      if (this.failing.delete(of)) this.logger.log(`Works again: ${of}.`);
    } catch (error) {
      if (this.stop.signal.aborted) return;
      this.failures.inc({ of });
      if (!this.failing.has(of)) this.logger.warn(`${FAILED[of]}: ${String(error)}`);
      this.failing.add(of);
    }
  }
}

const FAILED = {
  offload: 'Bodies cannot be moved to the object store; they stay in PostgreSQL until they can',
  retention: 'Days that are no longer kept cannot be dropped; trying again',
  connection: 'PostgreSQL is away; nothing is moved or dropped',
} as const;

const HELD = {
  archive: 'is no longer kept, but not archived completely: it stays until it is.',
  follower: 'is no longer kept, but has rows that a follower has not dealt with: it stays until then.',
} as const;
