import { setTimeout as sleep } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Counter } from 'prom-client';
import { DataSource } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../../settings.module.js';
import { Telemetry } from '../../telemetry/telemetry.js';
import { claimLooks } from './steering-rows.js';
import { Steerer, type Look } from './steerer.js';

/** Tests looked at between two questions for more. */
const BATCH = 20;
/** How long a look under way may go on at the end of the process. */
const STOP_MS = 5_000;

/**
 * Looks at every steered test at an interval; of several registries one looks. Nothing is kept between looks, so it may be killed at any
 * moment, and what happens when two look at once is the service's care.
 */
@Injectable()
export class SteeringLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(SteeringLoop.name);
  private readonly stop = new AbortController();
  private readonly intervalMs: number;
  private readonly looks: Counter<'outcome'>;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: DataSource,
    private readonly steerer: Steerer,
    telemetry: Telemetry,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.intervalMs = settings.CATENA_STEER_INTERVAL_MS;
    this.looks = new Counter({
      name: 'catena_ab_test_looks_total',
      help: 'Looks of ramps and adaptive tests at their results, by what they came to',
      labelNames: ['outcome'] as const,
      registers: [telemetry.registry],
    });
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  private async run(): Promise<void> {
    const { signal } = this.stop;
    while (!signal.aborted) {
      const found = await this.claim();
      for (const id of found) if (!signal.aborted) await this.look(id);
      if (found.length < BATCH)
        await sleep(this.intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async claim(): Promise<string[]> {
    try {
      return await claimLooks(this.database.manager, this.intervalMs, BATCH);
    } catch (error) {
      if (!this.stop.signal.aborted)
        this.logger.warn(`A/B tests on ramps cannot be read; trying again: ${String(error)}`);
      return [];
    }
  }

  private async look(id: string): Promise<void> {
    let outcome: Look | 'failed' = 'failed';
    try {
      outcome = await this.steerer.look(id, new Date());
    } catch (error) {
      this.logger.error(
        `A/B test ${id} could not be steered; its split stays, and it is looked at again: ${String(error)}`,
      );
    }
    this.looks.inc({ outcome });
    if (outcome === 'pause' || outcome === 'roll_back')
      this.logger.warn(`A/B test ${id}: ${outcome === 'pause' ? 'paused' : 'rolled back'}.`);
    if (outcome === 'split') this.logger.log(`A/B test ${id}: its split was moved.`);
  }
}
