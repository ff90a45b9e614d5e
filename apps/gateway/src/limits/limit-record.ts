export type LimitTarget = 'apiKey' | 'endpoint' | 'team' | 'modelEndpoint';
export type LimitMetric = 'requests' | 'tokens' | 'costMicroUsd';
export type LimitWindow = 'second' | 'minute' | 'hour' | 'day' | 'month';

/** A limit on what callers use, as the database and the disk hold it. */
export interface LimitRecord {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly targetKind: LimitTarget;
  /** Name of what is limited. */
  readonly target: string;
  readonly metric: LimitMetric;
  readonly window: LimitWindow;
  readonly amount: number;
  /** Of a budget: whether it refuses once it is spent. */
  readonly hardStop: boolean;
  /** Of a budget: at which share of it to alert; null is never. */
  readonly alertPercent: number | null;
}
