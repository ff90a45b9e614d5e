import type { Logger } from '#libs/platform/log/logger.js';
import type { LaneFinder } from '../dispatch/lane.js';
import type { StreamClocks } from '../dispatch/stream-clocks.js';
import type { Drain } from '../http/drain.js';
import type { Spool } from '../spool/spool.js';

/** What every exchange uses. */
export interface ExchangeServices {
  readonly lanes: { in(workspaceId: string): LaneFinder };
  readonly spool: Spool;
  readonly logger: Logger;
  /** Requests without a row, by error code. */
  readonly refused: { inc(labels: { code: string }): void };
  /** Retries that the budget of a model endpoint did not allow. */
  readonly retriesDenied: { inc(labels: { model_endpoint: string }): void };
  readonly clocks: StreamClocks;
  readonly drain: Drain;
  readonly headersTimeoutMs: number;
  readonly totalTimeoutMs: number;
  /** Longest time without progress towards the caller, in milliseconds. */
  readonly stallTimeoutMs: number;
}
