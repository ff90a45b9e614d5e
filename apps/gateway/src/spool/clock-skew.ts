import type { ClientBase } from 'pg';
import type { Gauge } from 'prom-client';
import type { Logger } from '#libs/platform/log/logger.js';

const INTERVAL_MS = 60_000;
/** NTP keeps clocks within milliseconds; the way to the database may take a while. */
const WARN_SECONDS = 5;

/**
 * Compares this gateway's clock with the database's. Rows are dated by the gateway: a wrong clock loses none and
 * stores none twice, but puts them on another day, in lists, budgets and what is kept.
 */
export class ClockSkew {
  private checkedAt = -Infinity;
  private isWrong = false;

  constructor(
    private readonly gauge: Gauge,
    private readonly logger: Logger,
    private readonly now: () => number = Date.now,
  ) {}

  /** Asks at most once a minute. @param client one that is free. */
  async check(client: ClientBase): Promise<void> {
    const since = performance.now() - this.checkedAt;
    if (since < INTERVAL_MS) return;
    const before = this.now();
    const { rows } = await client.query<{ ms: number }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms',
    );
    this.checkedAt = performance.now();
    const seconds = ((before + this.now()) / 2 - rows[0]!.ms) / 1000;
    this.gauge.set(seconds);
    const isWrong = Math.abs(seconds) > WARN_SECONDS;
    if (isWrong)
      this.logger.warn(
        { seconds },
        `the clock of this gateway is ${Math.abs(seconds).toFixed(1)} s ${seconds > 0 ? 'ahead of' : 'behind'} the database's; rows are dated by it`,
      );
    else if (this.isWrong) this.logger.info('the clock of this gateway is right again');
    this.isWrong = isWrong;
  }
}
