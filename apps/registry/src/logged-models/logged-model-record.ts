import type { Int64 } from '../metrics/int64.js';
import type { LoggedModel } from './logged-model.entity.js';

/** A value of a metric that a run logged about a model. */
export interface ModelMetric {
  readonly key: string;
  readonly value: number;
  readonly step: Int64;
  readonly timeMs: Int64;
  readonly runId: string;
  readonly datasetName: string | null;
  readonly datasetDigest: string | null;
}

/** A version of a registered model that was made of a logged model. */
export interface Registration {
  readonly name: string;
  readonly number: number;
}

/** A logged model with all that belongs to it. */
export interface LoggedModelRecord extends Omit<LoggedModel, 'workspaceId' | 'experiment'> {
  readonly experimentId: string;
  /** `experiment_id` of the MLflow protocol. */
  readonly experimentNumber: number;
  /** Of its experiment; null: the artifact store of this registry. */
  readonly artifactLocation: string | null;
  readonly metrics: readonly ModelMetric[];
  readonly registrations: readonly Registration[];
}
