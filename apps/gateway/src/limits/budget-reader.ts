import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { ClientBase } from 'pg';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { withConnection } from '../database/with-connection.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import type { Budget } from './budget.js';
import type { LimitMetric, LimitRecord, LimitTarget } from './limit-record.js';
import { Limiter } from './limiter.js';
import { SharedLimits } from './shared/shared-limits.js';

const INTERVAL_MS = 60_000;
/** Reading takes at most this share of the time, however many rows there are. */
const BUSY_SHARE = 0.02;
const RETRY_MS = 5_000;
const TIMEOUT_MS = 120_000;

const COLUMNS: Readonly<Record<LimitTarget, string>> = {
  apiKey: 'api_key',
  endpoint: 'endpoint',
  team: 'team',
  modelEndpoint: 'model_endpoint',
};
const SUMS: Readonly<Record<LimitMetric, string>> = {
  requests: 'count(*)',
  tokens: 'sum(COALESCE(input_tokens, 0)::bigint + COALESCE(output_tokens, 0))',
  costMicroUsd: 'sum(cost_micro_usd)',
};

/**
 * Tells budgets what the rows say was spent: by this gateway before it was started, and by others. In between every
 * gateway counts its own.
 */
@Injectable()
export class BudgetReader implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  /** Of the timer, by `performance.now()`. */
  private dueAt = 0;
  private reading: Promise<void> | undefined;
  private isStopped = false;

  constructor(
    private readonly limiter: Limiter,
    private readonly shared: SharedLimits,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.limiter.whenNewBudget(() => this.schedule(0));
    // What others spent without it is in the rows.
    this.shared.whenBack(() => this.schedule(0));
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    // A long statement is not waited for.
    await Promise.race([this.reading, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  }

  /** What is scheduled to be sooner stays. */
  private schedule(delayMs: number): void {
    const dueAt = performance.now() + delayMs;
    if (this.isStopped || (this.timer !== undefined && this.dueAt <= dueAt)) return;
    clearTimeout(this.timer);
    this.dueAt = dueAt;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.reading = (this.reading ?? Promise.resolve()).then(() => this.read());
    }, delayMs);
    this.timer.unref();
  }

  /** Reads all of them. What cannot be read now is read a little later. */
  async read(): Promise<void> {
    const budgets = this.limiter.budgets();
    if (budgets.length === 0 || this.isStopped) return;
    const startedAt = performance.now();
    try {
      await withConnection(
        this.settings.DATABASE_URL!,
        'catena-gateway-budgets',
        TIMEOUT_MS,
        async (client) => {
          for (const budget of budgets) await readBudget(client, budget);
        },
      );
      this.schedule(Math.max(INTERVAL_MS, (performance.now() - startedAt) / BUSY_SHARE));
    } catch (error) {
      this.logger.debug({ err: error }, 'what was spent of the budgets could not be read');
      this.schedule(RETRY_MS);
    }
  }
}

async function readBudget(client: ClientBase, budget: Budget): Promise<void> {
  const { workspaceId, target, targetKind, metric }: LimitRecord = budget.limit;
  const asked = budget.period(Date.now());
  const { rows } = await client.query<{ spent: number }>(
    `SELECT COALESCE(${SUMS[metric]}, 0)::bigint AS spent FROM inference
      WHERE workspace_id = $1 AND ${COLUMNS[targetKind]} = $2 AND started_at >= $3 AND started_at < $4 AND shadow_of IS NULL`,
    [workspaceId, target, new Date(asked.startMs), new Date(asked.endMs)],
  );
  budget.learn(rows[0]!.spent, asked);
}
