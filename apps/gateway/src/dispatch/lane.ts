import type { ReplicaLane } from './replica-lane.js';
import type { RetryBudget } from './retry-budget.js';

/** A model endpoint as an exchange sees it. */
export type Lane = Pick<
  ReplicaLane,
  | 'replicas'
  | 'prices'
  | 'provider'
  | 'apiVersion'
  | 'headers'
  | 'drain'
  | 'queued'
  | 'acquire'
  | 'leave'
  | 'release'
  | 'began'
  | 'succeeded'
  | 'failed'
  | 'refusalOf'
> & {
  /** What is left of retries. */
  readonly retryBudget: Pick<RetryBudget, 'take'>;
};

/** The model endpoints of one workspace. */
export interface LaneFinder {
  /** By the name that chains use. */
  find(modelEndpoint: string): Lane | undefined;
}
