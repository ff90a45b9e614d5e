import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { DataSource } from 'typeorm';
import { runPrepared } from '#libs/platform/database/prepared.js';
import { FollowerLoop } from '../arrivals/follower-loop.js';
import { Telemetry } from '../telemetry/telemetry.js';
import { UNMATCHED_STATEMENT } from './feedback-sql.js';
import { FORGET_CHANGES } from './matching-sql.js';

const INTERVAL_MS = 60_000;
/** Rows of gateways and feedback may overtake each other for a while; after this long somebody ought to know. */
const PATIENCE_MS = 10 * 60_000;

/**
 * Tells operators how much feedback has found no inference (it is kept for ever: names may be wrong, or rows late), and
 * forgets changes that all who go by them have dealt with.
 */
@Injectable()
export class FeedbackUpkeep implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(FeedbackUpkeep.name);
  private readonly gauge: Gauge;
  private timer: NodeJS.Timeout | undefined;
  /** How much was old when the log last told of it. */
  private told = 0;

  constructor(
    private readonly database: DataSource,
    private readonly followers: FollowerLoop,
    telemetry: Telemetry,
  ) {
    this.gauge = new Gauge({
      name: 'catena_feedback_unmatched',
      help: 'Feedback in the database that has found no inference, counted every minute',
      registers: [telemetry.registry],
    });
  }

  onApplicationBootstrap(): void {
    const run = () =>
      Promise.all([this.look(Date.now()), this.forget()]).catch((error: unknown) =>
        this.logger.warn(`The upkeep of feedback failed, and is tried again in a minute: ${String(error)}`),
      );
    void run();
    this.timer = setInterval(() => void run(), INTERVAL_MS);
    this.timer.unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  async look(nowMs: number): Promise<void> {
    const [found] = await runPrepared<{ unmatched: number; old: number }>(
      this.database,
      UNMATCHED_STATEMENT,
      [new Date(nowMs - PATIENCE_MS)],
    );
    const { unmatched, old } = found!;
    this.gauge.set(unmatched);
    if (old > this.told)
      this.logger.warn(
        `${old} judgements have found no inference for more than ${PATIENCE_MS / 60_000} minutes, ${old - this.told} of them since this was last said. ` +
          'They are kept, and matched when their rows come; GET /api/v1/feedback?matched=false shows what they name.',
      );
    this.told = old;
  }

  /** Deletes changes that lie behind every follower of them. */
  async forget(): Promise<void> {
    await runPrepared(this.database, FORGET_CHANGES, [this.followers.namesOf('feedback_change')]);
  }
}
