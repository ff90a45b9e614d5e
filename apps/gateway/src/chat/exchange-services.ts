import type { Counter } from 'prom-client';
import type { Logger } from '#libs/platform/log/logger.js';
import type { ReplicaLanes } from '../dispatch/replica-lanes.js';
import type { StreamClocks } from '../dispatch/stream-clocks.js';
import type { Spool } from '../spool/spool.js';

/** What every exchange uses. */
export interface ExchangeServices {
  readonly lanes: ReplicaLanes;
  readonly spool: Spool;
  readonly logger: Logger;
  /** Requests without a row, by error code. */
  readonly refused: Counter;
  /** Retries that the budget of a model endpoint did not allow. */
  readonly retriesDenied: Counter;
  readonly clocks: StreamClocks;
  readonly headersTimeoutMs: number;
  readonly totalTimeoutMs: number;
  /** Longest time without progress towards the caller, in milliseconds. */
  readonly stallTimeoutMs: number;
}
