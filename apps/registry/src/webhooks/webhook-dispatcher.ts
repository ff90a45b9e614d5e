import { setTimeout as sleep } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type OnModuleDestroy,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { DeliveryRows, type Claimed } from './delivery-rows.js';
import { MAX_ATTEMPTS, retryDelayMs } from './retry.js';
import { WebhookSender } from './webhook-sender.js';

const POLL_MS = 500;
const CONCURRENCY = 8;
/** Beyond the time-out of an attempt: for the claim before and the log after it. */
const LEASE_MARGIN_MS = 5_000;
/** How long attempts under way may go on at the end of the process. */
const STOP_MS = 5_000;
const GONE = 410;

/**
 * Delivers what the outbox holds, at least once and one at a time per webhook. Everything it needs to know is in the
 * database, so it may be killed at any moment.
 */
@Injectable()
export class WebhookDispatcher implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(WebhookDispatcher.name);
  private readonly stop = new AbortController();
  private readonly cut = new AbortController();
  private readonly underWay = new Set<Promise<void>>();
  private readonly leaseMs: number;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly rows: DeliveryRows,
    private readonly sender: WebhookSender,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.leaseMs = settings.CATENA_WEBHOOK_TIMEOUT_MS + LEASE_MARGIN_MS;
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await this.running;
    const timer = setTimeout(() => this.cut.abort(), STOP_MS);
    await Promise.all(this.underWay);
    clearTimeout(timer);
  }

  private async run(): Promise<void> {
    const stopped = this.stop.signal;
    while (!stopped.aborted) {
      const claimed = await this.claim();
      for (const delivery of claimed) this.start(delivery);
      if (claimed.length > 0 && this.underWay.size < CONCURRENCY) continue;
      const pause = sleep(POLL_MS, undefined, { signal: stopped, ref: false }).catch(() => undefined);
      await Promise.race([pause, ...this.underWay]);
    }
  }

  private async claim(): Promise<Claimed[]> {
    const free = CONCURRENCY - this.underWay.size;
    if (free <= 0) return [];
    try {
      return await this.rows.claim(free, this.leaseMs);
    } catch (error) {
      this.logger.warn(`Deliveries of webhooks cannot be read; trying again: ${String(error)}`);
      return [];
    }
  }

  private start(delivery: Claimed): void {
    const attempt = this.attempt(delivery)
      .catch((error: unknown) =>
        this.logger.warn(
          `The outcome of delivery ${delivery.id} was not written; it is sent again: ${String(error)}`,
        ),
      )
      .finally(() => this.underWay.delete(attempt));
    this.underWay.add(attempt);
  }

  private async attempt(delivery: Claimed): Promise<void> {
    const outcome = await this.sender.send(delivery, this.cut.signal);
    const isLast = delivery.roundAttempt >= MAX_ATTEMPTS || outcome.responseStatus === GONE;
    const retryMs = isLast
      ? undefined
      : retryDelayMs(delivery.roundAttempt, Math.random(), outcome.retryAfterMs);
    await this.rows.finish(delivery, outcome, retryMs);
    if (outcome.success) return;
    const why = outcome.error ?? `status ${outcome.responseStatus}`;
    const next = retryMs === undefined ? 'it is given up' : `next in ${Math.ceil(retryMs / 1_000)} s`;
    this.logger.warn(`Attempt ${delivery.attempt} of delivery ${delivery.id} failed (${why}); ${next}.`);
    if (outcome.responseStatus === GONE) await this.rows.disable(delivery.webhook.id);
  }
}
