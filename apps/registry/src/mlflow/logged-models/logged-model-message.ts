import { loggedModelHex } from '../../logged-models/logged-model-id.js';
import type { LoggedModelRecord } from '../../logged-models/logged-model-record.js';
import type { LoggedModelStatus } from '../../logged-models/logged-model.entity.js';
import { runHex } from '../../runs/run-id.js';
import { int64Json } from '../protocol/json-writer.js';
import { experimentLocation } from '../tracking/artifact-uri.js';

/** Numbers of the enum `LoggedModelStatus`. */
export const STATUS_NUMBERS = {
  LOGGED_MODEL_STATUS_UNSPECIFIED: 0,
  LOGGED_MODEL_PENDING: 1,
  LOGGED_MODEL_READY: 2,
  LOGGED_MODEL_UPLOAD_FAILED: 3,
} as const;

const STATUSES: Readonly<Record<LoggedModelStatus, keyof typeof STATUS_NUMBERS>> = {
  PENDING: 'LOGGED_MODEL_PENDING',
  READY: 'LOGGED_MODEL_READY',
  FAILED: 'LOGGED_MODEL_UPLOAD_FAILED',
};

/** Ours for a status of the protocol; undefined for "unspecified". */
export function statusOf(name: keyof typeof STATUS_NUMBERS): LoggedModelStatus | undefined {
  return (Object.keys(STATUSES) as LoggedModelStatus[]).find((status) => STATUSES[status] === name);
}

export function modelArtifactUri(model: LoggedModelRecord): string {
  const location = experimentLocation(model.experimentNumber, model.artifactLocation).replace(/\/+$/, '');
  return `${location}/models/${loggedModelHex(model.id)}/artifacts`;
}

/** The message `LoggedModel`. */
export function loggedModelMessage(model: LoggedModelRecord): object {
  const modelId = loggedModelHex(model.id);
  return {
    info: {
      model_id: modelId,
      experiment_id: String(model.experimentNumber),
      name: model.name,
      artifact_uri: modelArtifactUri(model),
      creation_timestamp_ms: model.createdAt.getTime(),
      last_updated_timestamp_ms: model.updatedAt.getTime(),
      status: STATUSES[model.status],
      status_message: model.statusMessage,
      model_type: model.modelType,
      source_run_id: model.sourceRunId ? runHex(model.sourceRunId) : model.foreignRun,
      tags: pairMessages(model.tags),
      registrations: model.registrations.map(({ name, number }) => ({ name, version: String(number) })),
    },
    data: {
      params: pairMessages(model.params),
      metrics: model.metrics.map((metric) => ({
        key: metric.key,
        value: metric.value,
        timestamp: int64Json(metric.timeMs),
        step: int64Json(metric.step),
        dataset_name: metric.datasetName,
        dataset_digest: metric.datasetDigest,
        model_id: modelId,
        run_id: runHex(metric.runId),
      })),
    },
  };
}

function pairMessages(pairs: Readonly<Record<string, string>>): object[] {
  return Object.entries(pairs).map(([key, value]) => ({ key, value }));
}
